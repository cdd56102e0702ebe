/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/notice_op.h"
#include "tests/lib/test.h"

static struct err err;
static struct dirs dirs;
static struct catalog *catalog;
static struct outbox *outbox;
static json_t *request;

/* A site with versions 1 (kept) and 2 (active). */
static void begin(void)
{
        struct version one = {
                .number = 1, .state = VERSION_KEPT, .label = (char *)"1.0", .verb = (char *)"add"
        };
        struct version two = { .number = 2,
                               .state = VERSION_ACTIVE,
                               .label = (char *)"2.0",
                               .verb = (char *)"upgrade" };

        dirs.state_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(dirs.state_fd >= 0);
        ASSERT_OK(catalog_open(dirs.state_fd, &catalog, &err));
        ASSERT_OK(outbox_open(dirs.state_fd, &outbox, &err));
        ASSERT_OK(catalog_add_site(catalog, "wiki", "overlayfs", "/", &err));
        ASSERT_OK(catalog_put_version(catalog, "wiki", &one, &err));
        ASSERT_OK(catalog_put_version(catalog, "wiki", &two, &err));
        request = json_pack("{s:s}", "label", "3.0");
}

static op_id op_of(const char *verb, enum op_state state, const char *why)
{
        struct err cause = { 0 };
        op_id id;

        (void)err_fail(&cause, ERR_IO, 0, "%s", why);
        ASSERT_OK(journal_queue(catalog, "wiki", verb, request, 0, &id, &err));
        if (state == OP_QUEUED)
                return id;
        if (state == OP_DONE || state == OP_ROLLED_BACK) {
                struct plan plan = { 0 };

                ASSERT_OK(journal_plan(catalog, id, &plan, 3, &err));
        }
        if (state == OP_ROLLED_BACK)
                ASSERT_OK(journal_state(catalog, id, OP_RESCUING, &cause, &err));
        ASSERT_OK(journal_state(catalog, id, state, state == OP_DONE ? NULL : &cause, &err));
        return id;
}

static json_t *last;

static int look(const struct outbox_notice *notice, void *arg, struct err *e)
{
        const struct outbox_wish wish = { "t", 0 };
        unsigned *n = arg;

        (*n)++;
        return outbox_route(outbox, notice->id, &wish, 1, clock_wall_usec(), e);
}

/* How many notices were put since the last call; the last one's JSON is in `last`. */
static unsigned news(void)
{
        struct delivery_list list;
        unsigned n = 0;

        ASSERT_OK(outbox_unrouted(outbox, look, &n, &err));
        ASSERT_OK(outbox_due(outbox, "t", clock_wall_usec(), 100, &list, &err));
        json_decref(last);
        last = NULL;
        if (list.n > 0)
                ASSERT_OK(json_parse(list.items[list.n - 1].body,
                                     strlen(list.items[list.n - 1].body), &last, &err));
        delivery_list_done(&list);
        return n;
}

static void expect(const char *key, const char *text)
{
        ASSERT_STR(json_get_string(last, key), text);
}

TEST(a_failed_operation_is_told_once_with_its_cause_and_what_is_safe)
{
        op_id id;

        begin();
        id = op_of("upgrade", OP_FAILED, "no space is left");
        ASSERT_OK(notice_op_ended(&dirs, catalog, id, &err));
        ASSERT_OK(notice_op_ended(&dirs, catalog, id, &err));
        ASSERT_EQ(news(), 1);
        expect("phase", "failed");
        expect("why", "no space is left");
        expect("label", "3.0");
        ASSERT_EQ(json_get_u64(last, "from"), 2);
        ASSERT_OK(notice_op_catch_up(outbox, catalog, &dirs, &err));
        ASSERT_EQ(news(), 0);
}

TEST(what_the_file_says_of_releases_is_told_with_them)
{
        static const char lines[] = "[site]\nhome = /srv/wiki\nowner = daemon\n[upgrade]\n"
                                    "track = stable\nautomatic = no\n";

        if (getuid() != 0)
                test_skip("files of sites are root's");
        test_need_syscalls();
        begin();
        dirs.conf_fd = dirs.state_fd;
        ASSERT_OK(notice_op_started(&dirs, catalog, op_of("upgrade", OP_QUEUED, ""), &err));
        ASSERT_EQ(news(), 1);
        ASSERT(json_object_get(last, "track") == NULL);
        ASSERT(json_object_get(last, "automatic_updates") == NULL);
        ASSERT_EQ(mkdirat(dirs.conf_fd, "sites.d", 0755), 0);
        ASSERT_OK(
                file_replace(dirs.conf_fd, "sites.d/wiki.conf", lines, strlen(lines), 0644, &err));
        ASSERT_OK(notice_space(&dirs, "wiki", &(struct notice_space){ .wanted_bytes = 1 << 30 },
                               &err));
        ASSERT_EQ(news(), 1);
        expect("phase", "space-low");
        expect("track", "stable");
        ASSERT(json_is_false(json_object_get(last, "automatic_updates")));
}

TEST(a_rolled_back_upgrade_quotes_the_end_of_its_output_cleaned)
{
        static const char output[] = "one\r\ntwo\x1b[2J\nlast \xff words";
        const json_t *tail;
        char path[64];
        op_id id;

        begin();
        id = op_of("upgrade", OP_ROLLED_BACK, "it exited with status 3");
        ASSERT(mkdirat(dirs.state_fd, "ops", 0700) == 0);
        (void)snprintf(path, sizeof(path), "ops/%" PRIu64, id);
        ASSERT(mkdirat(dirs.state_fd, path, 0700) == 0);
        (void)snprintf(path, sizeof(path), "ops/%" PRIu64 "/output", id);
        ASSERT_OK(file_replace(dirs.state_fd, path, output, sizeof(output) - 1, 0600, &err));
        ASSERT_OK(notice_op_ended(&dirs, catalog, id, &err));
        ASSERT_EQ(news(), 1);
        expect("phase", "rolled-back");
        tail = json_object_get(json_object_get(last, "evidence"), "the end of its output");
        ASSERT_EQ(json_array_size(tail), 3);
        ASSERT_STR(json_string_value(json_array_get(tail, 1)), "two [2J");
        ASSERT_STR(json_string_value(json_array_get(tail, 2)), "last ? words");
}

TEST(a_finished_one_names_the_version_that_rollback_goes_to)
{
        begin();
        ASSERT_OK(notice_op_ended(&dirs, catalog, op_of("activate", OP_DONE, ""), &err));
        ASSERT_EQ(news(), 1);
        expect("phase", "finished");
        ASSERT_EQ(json_get_u64(last, "from"), 1);
        ASSERT_EQ(json_get_u64(last, "to"), 3);
        ASSERT(json_get_string(last, "why") == NULL);
}

/* The operation is a rollback and went well; what a person hears of is the version it left. */
TEST(a_version_that_the_guard_took_back_is_told_with_its_own_release_and_what_was_written_to_it)
{
        struct version bad = { .number = 7,
                               .state = VERSION_KEPT,
                               .label = (char *)"2.1-beta",
                               .verb = (char *)"upgrade" };

        begin();
        ASSERT_OK(catalog_put_version(catalog, "wiki", &bad, &err));
        json_decref(request);
        request = json_pack("{s:{s:s, s:s, s:I, s:[{s:s, s:s}]}}", "cause", "text",
                            "probe 'front': 9 of 9 answers failed", "probe", "front", "version",
                            (json_int_t)7, "examples", "url", "/", "what", "status 500");
        ASSERT_OK(notice_op_ended(&dirs, catalog, op_of("rollback", OP_DONE, ""), &err));
        ASSERT_EQ(news(), 1);
        expect("phase", "rolled-back");
        expect("label", "2.1-beta");
        expect("subject", "wiki: version 7 was taken back, version 3 is served again");
        expect("why", "probe 'front': 9 of 9 answers failed");
        ASSERT_STR(json_string_value(json_array_get(json_object_get(last, "next"), 1)),
                   SITESNAP_CTL " lost-writes wiki 3 7");
        ASSERT(strstr(json_get_string(last, "safe"), "2.1-beta is refused here") != NULL);
}

TEST(what_is_told_depends_on_the_verb)
{
        static const struct {
                const char *verb;
                enum op_state state;
                unsigned n;
        } rows[] = {
                { "upgrade", OP_DONE, 1 },      { "prune", OP_DONE, 0 },
                { "prune", OP_FAILED, 1 },      { "mount", OP_FAILED, 0 },
                { "mount", OP_DONE, 0 },        { "unheard-of", OP_DONE, 0 },
                { "unheard-of", OP_FAILED, 1 }, { "rollback", OP_DONE, 1 },
        };

        begin();
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                op_id id = op_of(rows[i].verb, rows[i].state, "x");
                unsigned n;

                ASSERT_OK(notice_op_ended(&dirs, catalog, id, &err));
                n = news();
                if (n != rows[i].n)
                        test_fail(__FILE__, __LINE__, "%s: %u notices", rows[i].verb, n);
        }
}

TEST(only_an_upgrade_tells_that_it_begins)
{
        begin();
        ASSERT_OK(notice_op_started(&dirs, catalog, op_of("upgrade", OP_QUEUED, ""), &err));
        ASSERT_EQ(news(), 1);
        expect("phase", "started");
        ASSERT_OK(journal_state(catalog, 1, OP_FAILED, NULL, &err));
        ASSERT_OK(notice_op_started(&dirs, catalog, op_of("rollback", OP_QUEUED, ""), &err));
        ASSERT_EQ(news(), 0);
}

TEST(one_that_is_held_again_is_told_again)
{
        struct err why = { 0 };
        op_id id;

        begin();
        (void)err_fail(&why, ERR_HELD, 0, "the disk is full");
        id = op_of("upgrade", OP_QUEUED, "");
        for (unsigned i = 0; i < 2; i++) {
                ASSERT_OK(journal_state(catalog, id, OP_HELD, &why, &err));
                ASSERT_OK(notice_op_ended(&dirs, catalog, id, &err));
                ASSERT_OK(notice_op_catch_up(outbox, catalog, &dirs, &err));
                ASSERT_EQ(news(), 1);
                expect("why", "the disk is full");
                ASSERT_OK(journal_state(catalog, id, OP_QUEUED, NULL, &err));
        }
}

/* Its process died between its end and its notice. */
TEST(what_was_not_told_is_caught_up_and_old_news_are_not)
{
        begin();
        (void)op_of("upgrade", OP_FAILED, "old");
        outbox_close(outbox);
        ASSERT(unlinkat(dirs.state_fd, OUTBOX_FILE, 0) == 0);
        (void)usleep(1100000); /* an outbox knows the second it was made in */
        ASSERT_OK(outbox_open(dirs.state_fd, &outbox, &err));
        ASSERT_OK(notice_op_catch_up(outbox, catalog, &dirs, &err));
        ASSERT_EQ(news(), 0);
        (void)usleep(10000);
        (void)op_of("upgrade", OP_FAILED, "new");
        ASSERT_OK(notice_op_catch_up(outbox, catalog, &dirs, &err));
        ASSERT_OK(notice_op_catch_up(outbox, catalog, &dirs, &err));
        ASSERT_EQ(news(), 1);
        expect("why", "new");
}

TEST(little_space_is_told_at_the_crossing_and_after_a_recovery_again)
{
        static const struct {
                uint64_t free, all, wanted;
                unsigned told;
        } rows[] = {
                { 60, 1000, 0, 0 }, /* 5 % of 1,000 are 50 */
                { 49, 1000, 0, 1 },    { 40, 1000, 0, 0 },    { 51, 1000, 0, 0 },
                { 49, 1000, 0, 0 },    { 70, 1000, 0, 0 },    { 49, 1000, 0, 1 },
                { 70, 1000, 0, 0 },    { 150, 1000, 200, 1 }, { 260, 1000, 200, 0 },
                { 199, 1000, 200, 1 },
        };

        begin();
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                const struct notice_space space = { rows[i].free << 20, rows[i].all << 20,
                                                    rows[i].wanted << 20 };
                unsigned n;

                ASSERT_OK(notice_space(&dirs, "wiki", &space, &err));
                n = news();
                if (n != rows[i].told)
                        test_fail(__FILE__, __LINE__, "row %zu: %u", i, n);
        }
        expect("why", "199M are free, and 200M should be");
}
