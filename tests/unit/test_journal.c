/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "snapd/journal.h"
#include "snapd/sql.h"
#include "snapd/wake.h"
#include "tests/lib/test.h"

static struct err err;
static struct catalog *catalog;
static int state_fd;

static void journal_make(void)
{
        state_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(state_fd >= 0);
        ASSERT_OK(catalog_open(state_fd, &catalog, &err));
}

static void journal_reopen(void)
{
        catalog_close(catalog);
        ASSERT_OK(catalog_open(state_fd, &catalog, &err));
}

static op_id queue(const char *site)
{
        json_t *request = json_pack("{s:s, s:s}", "verb", "upgrade", "reason", "because");
        op_id id = 0;

        ASSERT_OK(journal_queue(catalog, site, "upgrade", request, 0, &id, &err));
        json_decref(request);
        return id;
}

static const struct step_kind one = { .name = "fs.capture" };
static const struct step_kind two = { .name = "fs.switch" };
static const struct step_kind hook = { .name = "hook.run", .once = true };

/* Two steps in main, the second is the pivot; when asked, a third that a rescue of one answers. */
static void plan(op_id id, bool rescue)
{
        struct step main_steps[] = { { &one, json_pack("{s:I}", "tree", (json_int_t)1 << 40) },
                                     { &two, json_object() },
                                     { &hook, json_object() } };
        struct step rescue_steps[] = { { &two, json_pack("{s:s}", "to", "back") } };
        struct plan p = { .parts = { { main_steps, rescue ? 3 : 2 },
                                     { rescue_steps, rescue ? 1 : 0 } },
                          .pivot = 1 };

        ASSERT_OK(journal_plan(catalog, id, &p, 8, &err));
        for (unsigned i = 0; i < 3; i++)
                json_decref(main_steps[i].args);
        json_decref(rescue_steps[0].args);
}

static enum op_state state_of(op_id id)
{
        struct op op = { 0 };
        enum op_state state;

        ASSERT_OK(journal_get(catalog, id, false, &op, &err));
        state = op.state;
        op_done(&op);
        return state;
}

TEST(a_request_is_remembered_whole)
{
        struct op op = { 0 };
        op_id id;

        journal_make();
        id = queue("shop");
        journal_reopen();
        ASSERT_OK(journal_get(catalog, id, true, &op, &err));
        ASSERT_STR(op.site, "shop");
        ASSERT_STR(op.verb, "upgrade");
        ASSERT_STR(op.reason, "because");
        ASSERT_STR(json_string_value(json_object_get(op.request, "verb")), "upgrade");
        ASSERT_EQ(op.state, OP_QUEUED);
        ASSERT_EQ(op.n_steps, 0);
        ASSERT_EQ(op.error.code, 0);
        ASSERT(op.created_usec > 0 && op.ended_usec == 0 && !op.abort);
        op_done(&op);
        ASSERT_ERR(journal_get(catalog, 99, false, &op, &err), ERR_NOT_FOUND, "operation 99");
        catalog_close(catalog);
}

TEST(a_second_request_is_told_who_is_in_the_way)
{
        json_t *request = json_object();
        op_id first, id = 77;
        char text[128];

        journal_make();
        first = queue("shop");
        (void)snprintf(text, sizeof(text),
                       "site 'shop' is busy: upgrade (operation %" PRIu64
                       ", asked for by root at 20",
                       first);
        ASSERT_ERR(journal_queue(catalog, "shop", "prune", request, 0, &id, &err), ERR_BUSY, text);
        ASSERT(strstr(err.msg, ") is going on") != NULL);
        ASSERT_EQ(id, 77);
        ASSERT(queue("blog") > first);
        ASSERT_OK(journal_state(catalog, first, OP_HELD, NULL, &err));
        ASSERT_ERR(journal_queue(catalog, "shop", "prune", request, 0, &id, &err), ERR_BUSY,
                   "site 'shop' is held: upgrade");
        ASSERT(strstr(err.msg, "ops resume 1'") != NULL);
        ASSERT_OK(journal_state(catalog, first, OP_FAILED, NULL, &err));
        ASSERT_OK(journal_queue(catalog, "shop", "prune", request, 0, &id, &err));
        json_decref(request);
        catalog_close(catalog);
}

TEST(the_database_itself_refuses_a_second_open_operation)
{
        journal_make();
        (void)queue("shop");
        ASSERT_ERR(sql_script(catalog_db(catalog),
                              "INSERT INTO ops (site, verb, request, state, by, reason, created)"
                              " VALUES ('shop', 'x', '{}', 'running', 0, '', 1)",
                              &err),
                   ERR_EXISTS, "UNIQUE");
        catalog_close(catalog);
}

static void end(op_id id, enum op_state state)
{
        ASSERT_OK(journal_state(catalog, id, state, NULL, &err));
}

TEST(one_that_is_served_lets_the_next_one_wait_for_its_end)
{
        json_t *request = json_object();
        op_id first, second, before = 0;
        struct op op = { 0 };

        journal_make();
        first = queue("shop");
        plan(first, false);
        ASSERT(!journal_has_answer(catalog, first));
        ASSERT_OK(journal_serve(catalog, first, &err));
        ASSERT(journal_has_answer(catalog, first));
        ASSERT(journal_is_open(catalog, first));
        ASSERT(!journal_somebody_waits(catalog, "shop", first));

        second = queue("shop");
        ASSERT(journal_somebody_waits(catalog, "shop", first));
        ASSERT(!journal_somebody_waits(catalog, "other", first));
        ASSERT_OK(journal_before(catalog, "shop", second, &before, &err));
        ASSERT_EQ(before, first);
        ASSERT_ERR(journal_queue(catalog, "shop", "rollback", request, 0, &before, &err), ERR_BUSY,
                   "site \'shop\' is");
        end(first, OP_DONE);
        ASSERT_OK(journal_before(catalog, "shop", second, &before, &err));
        ASSERT_EQ(before, 0);

        /* When it was is kept, once. */
        ASSERT_OK(journal_get(catalog, first, false, &op, &err));
        ASSERT(op.served_usec > 0 && op.served_usec <= op.ended_usec);
        op_done(&op);
        json_decref(request);
}

TEST(one_that_is_held_is_in_the_way_although_it_is_served)
{
        json_t *request = json_object();
        op_id first, second, before = 0;

        journal_make();
        first = queue("shop");
        plan(first, false);
        ASSERT_OK(journal_serve(catalog, first, &err));
        second = queue("shop");
        ASSERT_OK(journal_state(catalog, first, OP_HELD, NULL, &err));
        ASSERT_ERR(journal_before(catalog, "shop", second, &before, &err), ERR_BUSY, "is held");
        end(second, OP_FAILED);
        ASSERT_ERR(journal_queue(catalog, "shop", "rollback", request, 0, &before, &err), ERR_BUSY,
                   "site \'shop\' is");
        json_decref(request);
}

TEST(a_plan_comes_back_in_order)
{
        struct op op = { 0 };
        op_id id;

        journal_make();
        id = queue("shop");
        plan(id, true);
        journal_reopen();
        ASSERT_OK(journal_get(catalog, id, true, &op, &err));
        ASSERT_EQ(op.state, OP_RUNNING);
        ASSERT_EQ(op.version, 8);
        ASSERT_EQ(op.pivot, 1);
        ASSERT_EQ(op.n_steps, 4);
        ASSERT_STR(op.steps[0].kind, "fs.capture");
        ASSERT_EQ(json_integer_value(json_object_get(op.steps[0].args, "tree")), 1LL << 40);
        ASSERT_STR(op.steps[1].kind, "fs.switch");
        ASSERT_EQ(op.steps[1].n, 1);
        ASSERT_EQ(op.steps[3].part, PLAN_RESCUE);
        ASSERT_EQ(op.steps[3].n, 0);
        for (unsigned i = 0; i < 4; i++)
                /* Of main the first comes next. */
                ASSERT_EQ(op.steps[i].mark, i == 0 ? STEP_RUNNING : STEP_PLANNED);
        op_done(&op);

        struct plan none = { .pivot = 0 };
        ASSERT_ERR(journal_plan(catalog, id, &none, 0, &err), ERR_CORRUPT, "a plan already");
        catalog_close(catalog);
}

TEST(a_plan_that_fails_is_not_half_there)
{
        struct op op = { 0 };
        op_id id;

        journal_make();
        id = queue("shop");
        ASSERT_OK(catalog_begin(catalog, &err));
        plan(id, true);
        catalog_rollback(catalog);
        ASSERT_OK(journal_get(catalog, id, true, &op, &err));
        ASSERT_EQ(op.state, OP_QUEUED);
        ASSERT_EQ(op.n_steps, 0);
        op_done(&op);
        catalog_close(catalog);
}

TEST(marks_and_their_times_are_kept)
{
        struct op op = { 0 };
        uint64_t seq;
        op_id id;

        journal_make();
        id = queue("shop");
        plan(id, true);
        seq = journal_seq(catalog, id);
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_RUNNING, &err));
        ASSERT(journal_seq(catalog, id) > seq);
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_DONE, &err));
        ASSERT_OK(journal_mark(catalog, id, PLAN_RESCUE, 0, STEP_RUNNING, &err));
        journal_reopen();
        ASSERT_OK(journal_get(catalog, id, true, &op, &err));
        ASSERT_EQ(op.steps[0].mark, STEP_DONE);
        ASSERT(op.steps[0].started_usec > 0);
        ASSERT(op.steps[0].ended_usec >= op.steps[0].started_usec);
        ASSERT_EQ(op.steps[1].mark, STEP_PLANNED);
        ASSERT_EQ(op.steps[1].started_usec, 0);
        ASSERT_EQ(op.steps[3].mark, STEP_RUNNING);
        ASSERT_EQ(op.steps[3].ended_usec, 0);
        op_done(&op);
        ASSERT_ERR(journal_mark(catalog, id, PLAN_MAIN, 3, STEP_DONE, &err), ERR_NOT_FOUND,
                   "has no step 3");
        catalog_close(catalog);
}

TEST(an_operation_goes_only_where_the_picture_has_an_arrow)
{
        static const unsigned allowed[OP_STATES] = {
                [OP_QUEUED] = 1 << OP_RUNNING | 1 << OP_FAILED | 1 << OP_HELD,
                [OP_RUNNING] = 1 << OP_UNDOING | 1 << OP_RESCUING | 1 << OP_DONE | 1 << OP_HELD,
                [OP_UNDOING] = 1 << OP_FAILED | 1 << OP_HELD,
                [OP_RESCUING] = 1 << OP_ROLLED_BACK | 1 << OP_HELD,
        };
        op_id id;

        journal_make();
        id = queue("shop");
        for (enum op_state from = 0; from < OP_STATES; from++)
                for (enum op_state to = 0; to < OP_STATES; to++) {
                        char text[256];
                        bool fine = from == to || (allowed[from] >> to & 1) != 0;

                        if (from == OP_HELD)
                                continue;
                        (void)snprintf(text, sizeof(text), "UPDATE ops SET state = '%s'",
                                       op_state_name(from));
                        ASSERT_OK(sql_script(catalog_db(catalog), text, &err));
                        if (fine)
                                ASSERT_OK(journal_state(catalog, id, to, NULL, &err));
                        else
                                ASSERT_ERR(journal_state(catalog, id, to, NULL, &err), ERR_CORRUPT,
                                           "cannot go from");
                        ASSERT_EQ(state_of(id), fine ? to : from);
                }
        catalog_close(catalog);
}

TEST(a_held_operation_knows_where_it_was)
{
        struct err first = { .code = ERR_NO_SPACE, .msg = "disk full" };
        struct err cause = { .code = ERR_HELD, .os = 5, .msg = "umount: busy" };
        struct op op = { 0 };
        op_id id;

        journal_make();
        id = queue("shop");
        plan(id, false);
        ASSERT_OK(journal_state(catalog, id, OP_UNDOING, &first, &err));
        ASSERT_OK(journal_state(catalog, id, OP_HELD, &cause, &err));
        ASSERT_OK(journal_state(catalog, id, OP_HELD, NULL, &err));
        ASSERT_OK(journal_get(catalog, id, false, &op, &err));
        ASSERT_EQ(op.state, OP_HELD);
        ASSERT_EQ(op.held_state, OP_UNDOING);
        ASSERT_EQ(op.error.code, ERR_HELD);
        ASSERT_EQ(op.error.os, 5);
        ASSERT_STR(op.error.msg, "umount: busy");
        ASSERT_STR(op.cause.msg, "disk full");
        ASSERT_EQ(op.ended_usec, 0);
        op_done(&op);
        ASSERT_ERR(journal_state(catalog, id, OP_RUNNING, NULL, &err), ERR_CORRUPT, "from held");
        ASSERT_OK(journal_state(catalog, id, OP_UNDOING, NULL, &err));
        ASSERT_OK(journal_state(catalog, id, OP_FAILED, NULL, &err));
        ASSERT_OK(journal_get(catalog, id, false, &op, &err));
        ASSERT(op.ended_usec >= op.created_usec);
        ASSERT_EQ(op.error.code, ERR_NO_SPACE);
        ASSERT_STR(op.error.msg, "disk full");
        op_done(&op);
        catalog_close(catalog);
}

TEST(abort_is_asked_before_the_point_of_no_return)
{
        op_id id;

        journal_make();
        id = queue("shop");
        plan(id, false);
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_DONE, &err));
        ASSERT(!journal_abort_asked(catalog, id));
        ASSERT_OK(journal_ask_abort(catalog, id, &err));
        ASSERT(journal_abort_asked(catalog, id));

        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 1, STEP_DONE, &err));
        ASSERT_ERR(journal_ask_abort(catalog, id, &err), ERR_REFUSED, "point of no return");
        ASSERT_OK(journal_state(catalog, id, OP_HELD, NULL, &err));
        ASSERT_ERR(journal_ask_abort(catalog, id, &err), ERR_REFUSED, "ops resume");
        ASSERT_OK(journal_state(catalog, id, OP_DONE, NULL, &err));
        ASSERT_ERR(journal_ask_abort(catalog, id, &err), ERR_NOTHING, "has ended");
        ASSERT_ERR(journal_ask_abort(catalog, 99, &err), ERR_NOT_FOUND, "operation 99");
        ASSERT(!journal_abort_asked(catalog, 99));

        id = queue("blog");
        plan(id, true);
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 1, STEP_DONE, &err));
        ASSERT_OK(journal_ask_abort(catalog, id, &err));
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 2, STEP_DONE, &err));
        ASSERT_ERR(journal_ask_abort(catalog, id, &err), ERR_REFUSED, "point of no return");
        ASSERT_OK(journal_state(catalog, id, OP_RESCUING, NULL, &err));
        ASSERT_ERR(journal_ask_abort(catalog, id, &err), ERR_NOTHING, "taken back already");
        catalog_close(catalog);
}

TEST(lists_are_newest_first_and_can_be_narrowed)
{
        struct op_list list = { 0 };
        op_id a, b, c;

        journal_make();
        a = queue("shop");
        ASSERT_OK(journal_state(catalog, a, OP_FAILED, NULL, &err));
        b = queue("blog");
        c = queue("shop");
        ASSERT_OK(journal_list(catalog, NULL, false, 10, &list, &err));
        ASSERT_EQ(list.n, 3);
        ASSERT_EQ(list.items[0].id, c);
        ASSERT_EQ(list.items[2].id, a);
        op_list_done(&list);
        ASSERT_OK(journal_list(catalog, "shop", false, 1, &list, &err));
        ASSERT_EQ(list.n, 1);
        ASSERT_EQ(list.items[0].id, c);
        op_list_done(&list);
        ASSERT_OK(journal_list(catalog, NULL, true, 10, &list, &err));
        ASSERT_EQ(list.n, 2);
        ASSERT_EQ(list.items[1].id, b);
        op_list_done(&list);
        ASSERT_OK(journal_list(catalog, "wiki", true, 10, &list, &err));
        ASSERT_EQ(list.n, 0);
        op_list_done(&list);
        catalog_close(catalog);
}

TEST(a_thousand_ended_operations_are_remembered)
{
        struct op_list list = { 0 };
        uint64_t n = 0;
        op_id id = 0;

        journal_make();
        ASSERT_OK(catalog_begin(catalog, &err));
        for (unsigned i = 0; i < 1005; i++) {
                id = queue("shop");
                plan(id, true);
                ASSERT_OK(journal_state(catalog, id, OP_DONE, NULL, &err));
        }
        (void)queue("blog");
        ASSERT_OK(catalog_commit(catalog, &err));
        (void)queue("shop");
        ASSERT_OK(journal_list(catalog, "shop", false, 2000, &list, &err));
        ASSERT_EQ(list.n, 1001);
        ASSERT_EQ(list.items[1].id, id);
        op_list_done(&list);
        ASSERT_EQ(sql_number(catalog_db(catalog), "SELECT count(*) FROM steps", NULL, &n, &err), 1);
        ASSERT_EQ(n, 4000);
        catalog_close(catalog);
}

TEST(progress_is_news_of_the_running_step_only)
{
        struct op op = { 0 };
        uint64_t seq;
        op_id id;

        journal_make();
        id = queue("shop");
        plan(id, false);
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_RUNNING, &err));
        seq = journal_seq(catalog, id);
        journal_progress(catalog, id, PLAN_MAIN, 0, 10, 200);
        ASSERT_EQ(journal_seq(catalog, id), seq + 1);
        journal_progress(catalog, id, PLAN_MAIN, 0, 20, 200); /* too soon to be news */
        ASSERT_EQ(journal_seq(catalog, id), seq + 1);
        ASSERT_OK(journal_get(catalog, id, true, &op, &err));
        ASSERT_EQ(op.seq, seq + 1);
        ASSERT_EQ(op.steps[0].progress_done, 10);
        ASSERT_EQ(op.steps[0].progress_all, 200);
        ASSERT_EQ(op.steps[1].progress_all, 0);
        op_done(&op);
        journal_progress(catalog, id, PLAN_MAIN, 0, 200, 200);
        ASSERT_EQ(journal_seq(catalog, id), seq + 2);
        ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_DONE, &err));
        ASSERT_EQ(journal_seq(catalog, id), seq + 3);
        ASSERT_OK(journal_get(catalog, id, true, &op, &err));
        ASSERT_EQ(op.steps[0].progress_all, 0);
        op_done(&op);
        catalog_close(catalog);
}

TEST(progress_that_is_torn_or_another_operations_is_not_shown)
{
        struct progress_file file;
        struct progress progress = { .op = 5, .done = 1, .all = 1 }, got;
        int fd;

        journal_make();
        progress_open(state_fd, &file);
        ASSERT(!progress_get(&file, 5, &got));
        ASSERT(progress_put(&file, &progress));
        ASSERT(progress_get(&file, 5, &got));
        ASSERT(!progress_get(&file, 5 + 256, &got));
        progress.op = 5 + 256;
        ASSERT(progress_put(&file, &progress));
        ASSERT(!progress_get(&file, 5, &got));
        ASSERT(progress_get(&file, 5 + 256, &got));
        ASSERT_EQ(got.count, 1);

        fd = openat(state_fd, "progress", O_RDWR);
        ASSERT_EQ(pwrite(fd, "torn", 4, 5 * (7 * 8) + 24), 4);
        ASSERT(!progress_get(&file, 5 + 256, &got));
        progress_close(&file);
        catalog_close(catalog);
}

TEST(a_commit_wakes_whoever_waits)
{
        int ends[2], pair[2];
        char number[16], buf[8];
        op_id id;

        journal_make();
        ASSERT_EQ(pipe(ends), 0);
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        for (unsigned i = 0; i < 2; i++) {
                int *p = i == 0 ? ends : pair;
                struct pollfd poll_fd = { .fd = p[0], .events = POLLIN };

                (void)snprintf(number, sizeof(number), "%d", p[1]);
                setenv(WAKE_ENV, number, 1);
                id = queue(i == 0 ? "a" : "b");
                ASSERT_EQ(read(p[0], buf, sizeof(buf)), 1);
                plan(id, false);
                ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_RUNNING, &err));
                ASSERT_EQ(read(p[0], buf, sizeof(buf)), 2);
                ASSERT_OK(catalog_begin(catalog, &err));
                ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_DONE, &err));
                ASSERT_EQ(poll(&poll_fd, 1, 0), 0); /* not before it is true */
                ASSERT_OK(catalog_commit(catalog, &err));
                ASSERT_EQ(read(p[0], buf, sizeof(buf)), 1);
        }
        catalog_close(catalog);
}

TEST(nobody_to_wake_is_no_failure)
{
        int ends[2];
        char number[16];

        journal_make();
        ASSERT_EQ(pipe(ends), 0);
        (void)snprintf(number, sizeof(number), "%d", ends[1]);
        setenv(WAKE_ENV, number, 1);
        for (unsigned i = 0; i < 70000; i++) /* more than a pipe holds: must not wait */
                wake_send();
        close(ends[0]);
        wake_send(); /* SIGPIPE would end this process */
        close(ends[1]);
        wake_send();
        setenv(WAKE_ENV, "x", 1);
        (void)queue("shop");
        catalog_close(catalog);
}

/* The program's own fdatasync() stands before libc's for SQLite too: flushes are counted, and
 * still done. */
static unsigned flushes;

int fdatasync(int fd)
{
        flushes++;
        return (int)syscall(SYS_fdatasync, fd);
}

TEST(a_mark_costs_one_flush_and_progress_none)
{
        int64_t began;
        op_id id;

        journal_make();
        id = queue("shop");
        plan(id, false);
        flushes = 0;
        began = clock_boot_usec();
        for (unsigned i = 0; i < 100; i++)
                ASSERT_OK(journal_mark(catalog, id, PLAN_MAIN, 0, STEP_RUNNING, &err));
        printf("# measured: journal: a durable mark takes %lld us\n",
               (long long)(clock_boot_usec() - began) / 100);
        ASSERT_EQ(flushes, 100);
        began = clock_boot_usec();
        for (unsigned i = 0; i < 1000; i++)
                journal_progress(catalog, id, PLAN_MAIN, 0, 7, 7);
        printf("# measured: journal: a report of progress takes %lld ns\n",
               (long long)(clock_boot_usec() - began));
        ASSERT_EQ(flushes, 100);
        catalog_close(catalog);
}
