/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watch over a catalog in which this test plays the operations, and with samples of its own. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/request.h"
#include "snapd/sql.h"
#include "snapd/watch.h"
#include "tests/lib/test.h"

/* An operation's process would be this program once more. */
__attribute__((constructor)) static void never_an_operation(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--operation") == 0)
                        _exit(3);
}

static struct err err;
static struct dirs dirs;
static struct watch_needs needs = { .dirs = &dirs };
static struct watch *watch, *volatile dead; /* a killed one is never freed */
static char state[200], run[200], conf[200];
static int64_t played_usec; /* until when samples were played */

/* What the prober was told last. */
static uint64_t told_served;
static unsigned told_pace;
static int told_hold;

static void on_served(void *arg, const char *site, uint64_t version)
{
        (void)arg;
        (void)site;
        told_served = version;
}

static void on_pace(void *arg, const char *site, unsigned msec)
{
        (void)arg;
        (void)site;
        told_pace = msec;
}

static void on_hold(void *arg, const char *site, bool on)
{
        (void)arg;
        (void)site;
        told_hold = on;
}

static void sql(const char *script)
{
        ASSERT_OK(sql_script(catalog_db(needs.catalog), script, &err));
}

static void conf_put(const char *site, const char *owner, const char *guard)
{
        char file[64], lines[400];

        (void)snprintf(file, sizeof(file), "sites.d/%s.conf", site);
        (void)snprintf(lines, sizeof(lines),
                       "[site]\nhome = /srv/%s\nowner = %s\n"
                       "[upgrade]\ncommand = /bin/true\n[guard]\n%s",
                       site, owner, guard);
        ASSERT_OK(file_replace(dirs.conf_fd, file, lines, strlen(lines), 0644, &err));
}

static void version_put(const char *site, uint64_t number, enum version_state how, uint64_t op,
                        const char *label)
{
        struct version version = {
                .number = number,
                .state = how,
                .label = (char *)label,
                .verb = (char *)(op == 0 ? "add" : "upgrade"),
                .operation = op,
                .parent = number - 1,
                .created_usec = clock_wall_usec(),
                .active_usec = clock_wall_usec(),
        };

        ASSERT_OK(catalog_put_version(needs.catalog, site, &version, &err));
}

static void site_put(const char *site, const char *owner, const char *guard)
{
        conf_put(site, owner, guard);
        ASSERT_OK(catalog_add_site(needs.catalog, site, "overlayfs", "/", &err));
        version_put(site, 1, VERSION_ACTIVE, 0, "one");
}

static void daemon_begin(void)
{
        static const struct guard_probe probes[] = { { "front", GUARD_ACTIVE, true },
                                                     { "log", GUARD_VISITORS, false } };

        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        ASSERT_OK(sitecache_open(&dirs, &needs.sites, &err));
        ASSERT(sd_event_new(&needs.event) >= 0);
        ASSERT_OK(spawner_open(needs.event, &dirs, needs.catalog, &needs.spawner, &err));
        ASSERT_OK(outbox_open(dirs.state_fd, &needs.outbox, &err));
        ASSERT_OK(watch_open(&needs, &watch, &err));
        ASSERT_OK(watch_set(watch, "shop", probes, 2, &err));
}

static void daemon_end(void)
{
        watch_close(watch);
        spawner_close(needs.spawner);
        outbox_close(needs.outbox);
        sitecache_close(needs.sites);
        catalog_close(needs.catalog);
        (void)sd_event_unref(needs.event);
        watch = NULL;
}

/* As if it had been killed: nothing is written any more. */
static void daemon_dies(void)
{
        catalog_close(needs.catalog);
        dead = watch;
        watch = NULL;
        played_usec += USEC_PER_SEC;
}

static void begin(const char *guard)
{
        if (getuid() != 0)
                test_skip("the daemon's directories are root's");
        test_need_syscalls();
        (void)snprintf(state, sizeof(state), "%s/state", test_tmpdir());
        (void)snprintf(run, sizeof(run), "%s/run", test_tmpdir());
        (void)snprintf(conf, sizeof(conf), "%s/conf", test_tmpdir());
        dirs = (struct dirs){ .state = state, .run = run, .conf = conf, .socket = "" };
        ASSERT_OK(dirs_open(&dirs, &err));
        ASSERT_EQ(mkdirat(dirs.conf_fd, "sites.d", 0755), 0);
        needs.prober = (struct watch_prober){ on_served, on_hold, on_pace, NULL };
        played_usec = clock_boot_usec();
        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        site_put("shop", "nobody", guard);
        catalog_close(needs.catalog);
        daemon_begin();
}

/* One second of a site's front page. */
static void play(const char *site, uint64_t version, unsigned good, unsigned bad, unsigned unknown)
{
        struct sample sample = {
                .from_usec = played_usec,
                .to_usec = played_usec + USEC_PER_SEC,
                .wall_usec = clock_wall_usec(),
                .version = version,
                .good = good,
                .bad = bad,
                .unknown = unknown,
        };

        sample.latency[10] = good + bad;
        if (bad > 0)
                sample.examples = json_pack("[{s:s, s:s, s:s, s:i, s:s}]", "verdict", "bad", "what",
                                            "status 500", "url", "http://shop/", "status", 500,
                                            "excerpt", "PHP Fatal error");
        watch_sample(watch, site, "front", &sample);
        json_decref(sample.examples);
}

static void plays(unsigned seconds, uint64_t version, bool well)
{
        for (unsigned i = 0; i < seconds; i++) {
                play("shop", version, well, !well, 0);
                played_usec += USEC_PER_SEC;
        }
}

/* An upgrade from the request to the end, as the journal and the catalog show it. */
static op_id upgrade_begins(const char *label)
{
        json_t *request = json_pack("{s:s, s:s}", "verb", "upgrade", "label", label);
        op_id id;

        ASSERT_OK(request_submit(&dirs, needs.catalog, "shop", request, 0, NULL, &id, &err));
        json_decref(request);
        watch_look(watch);
        return id;
}

static void op_is(op_id id, const char *how)
{
        char script[200];

        (void)snprintf(script, sizeof(script),
                       "UPDATE ops SET state = '%s', ended = 1 WHERE id = %d", how, (int)id);
        sql(script);
}

static void now_active(uint64_t from, uint64_t to)
{
        char script[200];

        (void)snprintf(script, sizeof(script),
                       "UPDATE versions SET state = 'kept' WHERE number = %d;"
                       "UPDATE versions SET state = 'active' WHERE number = %d",
                       (int)from, (int)to);
        sql(script);
}

static void upgrade(uint64_t to, const char *label)
{
        op_id id = upgrade_begins(label);
        char script[100];

        (void)snprintf(script, sizeof(script),
                       "UPDATE versions SET state = 'kept' WHERE state = 'active'");
        sql(script);
        version_put("shop", to, VERSION_ACTIVE, id, label);
        op_is(id, "done");
        watch_look(watch);
}

static const char *state_now(void)
{
        uint64_t version;
        const char *name = watch_state(watch, "shop", &version);

        return name == NULL ? "(not watched)" : name;
}

static struct op newest_op(void)
{
        static struct op_list list;

        op_list_done(&list);
        ASSERT_OK(journal_list(needs.catalog, "shop", false, 1, &list, &err));
        return list.items[0];
}

static uint64_t notices(const char *phase)
{
        uint64_t n = 0;
        sqlite3 *db;
        char path[300];

        (void)snprintf(path, sizeof(path), "%s/outbox.db", state);
        ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
        ASSERT_OK(sql_number(db, "SELECT count(*) FROM notices WHERE phase = ?",
                             SQL_ARGS(sql_text(phase)), &n, &err));
        sql_close(db);
        return n;
}

TEST(an_upgraded_version_is_on_probation)
{
        CLEANUP(json_decrefp) json_t *view = NULL;

        begin("");
        plays(300, 1, true);
        ASSERT_STR(state_now(), "none");
        (void)upgrade_begins("two");
        ASSERT_EQ(told_hold, 1);
        op_is(newest_op().id, "failed");
        watch_look(watch);
        ASSERT_STR(state_now(), "none");
        upgrade(2, "two");
        ASSERT_STR(state_now(), "probation");
        ASSERT_EQ(told_hold, 0);
        ASSERT_EQ(told_served, 2);
        ASSERT_EQ(told_pace, 1000);
        view = watch_view(watch, "shop");
        ASSERT_EQ(json_get_u64(view, "version"), 2);
        ASSERT_EQ(json_get_u64(view, "prior"), 1);
        ASSERT(json_get_string(view, "until") != NULL);
        plays(60, 2, true);
        ASSERT_STR(state_now(), "probation");
        daemon_end();
}

/* From good to bad, and what is written down with it. */
static void breaks(void)
{
        plays(300, 1, true);
        upgrade(2, "two");
        plays(5, 2, true);
        plays(6, 2, false);
}

TEST(a_version_that_fails_is_taken_back_once)
{
        struct version version;
        struct op op;
        json_t *cause;

        begin("");
        breaks();
        ASSERT_STR(state_now(), "rolling-back");
        op = newest_op();
        ASSERT_STR(op.verb, "rollback");
        cause = json_object_get(op.request, "cause");
        ASSERT_STR(json_get_string(cause, "by"), "guard");
        ASSERT_STR(json_get_string(cause, "probe"), "front");
        ASSERT_EQ(json_get_u64(cause, "version"), 2);
        ASSERT_STR(
                json_get_string(json_array_get(json_object_get(cause, "examples"), 0), "excerpt"),
                "PHP Fatal error");
        ASSERT(json_array_size(json_object_get(cause, "samples")) >= 4);
        ASSERT_OK(catalog_version(needs.catalog, "shop", 2, &version, &err));
        ASSERT_EQ(version.mark, MARK_BAD);
        ASSERT(strstr(version.mark_reason, "failed") != NULL);
        version_done(&version);
        now_active(2, 1);
        op_is(op.id, "done");
        watch_look(watch);
        ASSERT_STR(state_now(), "verifying");
        ASSERT_EQ(told_served, 1);
        plays(5, 1, true);
        ASSERT_STR(state_now(), "verifying");
        daemon_end();
}

TEST(the_release_is_refused_until_somebody_says_why_not)
{
        CLEANUP(json_decrefp) json_t *request = NULL;
        bool lifted;

        begin("");
        breaks();
        now_active(2, 1);
        op_is(newest_op().id, "done");
        watch_look(watch);
        request = json_pack("{s:s, s:s}", "verb", "upgrade", "label", "two");
        ASSERT_ERR(request_check(&dirs, needs.catalog, "shop", request, &err), ERR_REFUSED,
                   "was taken back here as version 2");
        ASSERT_EQ(err_exit_status(err.code), 4);
        ASSERT_OK(json_object_set_new(request, "label", json_string("three")));
        ASSERT_OK(request_check(&dirs, needs.catalog, "shop", request, &err));
        ASSERT_OK(json_object_set_new(request, "label", json_string("two")));
        ASSERT_ERR(probation_lift(needs.catalog, "shop", 2, "", &lifted, &err), ERR_INVALID,
                   "say with --reason why");
        ASSERT_OK(probation_lift(needs.catalog, "shop", 2, "it was the disk", &lifted, &err));
        ASSERT(lifted);
        ASSERT_OK(request_check(&dirs, needs.catalog, "shop", request, &err));
        daemon_end();
}

TEST(an_old_version_that_fails_too_is_said_and_nothing_more_is_done)
{
        op_id first;

        begin("");
        breaks();
        first = newest_op().id;
        now_active(2, 1);
        op_is(first, "done");
        watch_look(watch);
        plays(60, 1, false);
        ASSERT_STR(state_now(), "held");
        ASSERT_EQ(newest_op().id, first);
        ASSERT_EQ(notices("held"), 1);
        daemon_dies();
        daemon_begin();
        plays(60, 1, false);
        ASSERT_STR(state_now(), "held");
        ASSERT_EQ(newest_op().id, first);
}

TEST(a_rollback_that_cannot_be_made_is_held_after_three_tries)
{
        begin("");
        breaks();
        for (int i = 0; i < 3; i++) {
                int64_t until = clock_boot_usec() + 1200000;

                op_is(newest_op().id, "failed");
                watch_look(watch);
                if (i < 2) {
                        ASSERT_STR(state_now(), "probation");
                        while (clock_boot_usec() < until)
                                (void)usleep(100000);
                        plays(1, 2, false);
                        ASSERT_STR(state_now(), "rolling-back");
                }
        }
        ASSERT_STR(state_now(), "held");
        ASSERT_EQ(notices("held"), 1);
        daemon_end();
}

TEST(freeze_keeps_the_version_and_refuses_the_next)
{
        CLEANUP(json_decrefp)
        json_t *request = json_pack("{s:s, s:s}", "verb", "upgrade", "label", "three");

        begin("policy = freeze\n");
        breaks();
        ASSERT_STR(state_now(), "frozen");
        ASSERT_STR(newest_op().verb, "upgrade");
        ASSERT_EQ(notices("freeze"), 1);
        ASSERT_ERR(request_check(&dirs, needs.catalog, "shop", request, &err), ERR_REFUSED,
                   "is frozen");
        watch_marked(watch, "shop", 2, MARK_GOOD);
        ASSERT_STR(state_now(), "good");
        ASSERT_OK(request_check(&dirs, needs.catalog, "shop", request, &err));
        daemon_end();
}

TEST(alert_only_says_so_once)
{
        begin("policy = alert\n");
        breaks();
        plays(60, 2, false);
        ASSERT_STR(state_now(), "alerted");
        ASSERT_STR(newest_op().verb, "upgrade");
        ASSERT_EQ(notices("alert"), 1);
        daemon_end();
}

TEST(probation_survives_a_kill_and_a_reboot)
{
        struct probation trial;

        begin("probation = 600s\n");
        plays(300, 1, true);
        daemon_end(); /* what is normal survives that, too */
        daemon_begin();
        upgrade(2, "two");
        plays(5, 2, true);
        daemon_dies();
        daemon_begin();
        ASSERT_STR(state_now(), "probation");
        /* Another boot: its clock began anew; of the probation 590 s were spent. */
        daemon_end();
        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        sql("UPDATE probations SET boot = 'another', boot_time = 999999999999999,"
            "  spent = 590000000");
        catalog_close(needs.catalog);
        daemon_begin();
        ASSERT_STR(state_now(), "probation");
        ASSERT_OK(probation_get(needs.catalog, "shop", &trial, &err));
        ASSERT_EQ(trial.spent_usec, 590000000);
        ASSERT_EQ(json_get_u64(json_object_get(trial.baseline, "front"), "good"), 300);
        probation_done(&trial);
        /* What was measured before the upgrade is remembered, so it can still be judged. */
        plays(6, 2, false);
        ASSERT_STR(state_now(), "rolling-back");
        daemon_end();
}

/* An upgrade that follows at once on one that was taken back is judged by what was normal before
 * both, whatever happens to the daemon in between. */
static void next_one_is_judged(void)
{
        op_id id = 0;
        CLEANUP(json_decrefp) json_t *request = json_pack("{s:s}", "verb", "rollback");

        ASSERT_OK(journal_queue(needs.catalog, "shop", "rollback", request, 0, &id, &err));
        watch_look(watch);
        now_active(2, 1);
        op_is(id, "done");
        watch_look(watch);
        ASSERT_STR(state_now(), "none");
        upgrade(3, "three");
        ASSERT_STR(state_now(), "probation");
        plays(6, 3, false);
        ASSERT_STR(state_now(), "rolling-back");
}

TEST(what_was_normal_outlives_a_kill_in_probation)
{
        begin("");
        plays(300, 1, true);
        upgrade(2, "two");
        plays(5, 2, true);
        daemon_dies();
        daemon_begin();
        ASSERT_STR(state_now(), "probation");
        next_one_is_judged();
        daemon_end();
}

TEST(what_was_normal_outlives_a_long_probation)
{
        begin("probation = 36000s\n");
        plays(300, 1, true);
        upgrade(2, "two");
        for (int64_t hours = 1; hours < 6; hours++)
                watch_tick(watch, clock_boot_usec() + hours * 3600 * USEC_PER_SEC);
        next_one_is_judged();
        daemon_end();
}

TEST(what_is_normal_outlives_a_kill)
{
        begin("");
        plays(300, 1, true);
        watch_tick(watch, clock_boot_usec() + 599 * USEC_PER_SEC);
        watch_tick(watch, clock_boot_usec() + 601 * USEC_PER_SEC);
        daemon_dies();
        daemon_begin();
        upgrade(2, "two");
        plays(6, 2, false);
        ASSERT_STR(state_now(), "rolling-back");
        daemon_end();
}

TEST(a_rollback_that_ended_while_nobody_looked_is_verified)
{
        begin("");
        breaks();
        now_active(2, 1);
        op_is(newest_op().id, "done");
        daemon_dies();
        daemon_begin();
        ASSERT_STR(state_now(), "verifying");
        daemon_end();
}

TEST(an_upgrade_that_ended_while_nobody_looked_is_on_probation)
{
        op_id id;

        begin("");
        plays(300, 1, true);
        id = upgrade_begins("two");
        daemon_dies();
        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        sql("UPDATE versions SET state = 'kept' WHERE state = 'active'");
        version_put("shop", 2, VERSION_ACTIVE, id, "two");
        op_is(id, "done");
        catalog_close(needs.catalog);
        daemon_begin();
        ASSERT_STR(state_now(), "probation");
        plays(6, 2, false);
        ASSERT_STR(state_now(), "rolling-back");
        daemon_end();
}

TEST(what_somebody_activates_meanwhile_is_left_alone)
{
        begin("");
        plays(300, 1, true);
        upgrade(2, "two");
        now_active(2, 1);
        version_put("shop", 3, VERSION_KEPT, 0, "x");
        {
                CLEANUP(json_decrefp) json_t *request = json_pack("{s:s}", "verb", "forward");
                op_id id;

                ASSERT_OK(journal_queue(needs.catalog, "shop", "rollback", request, 0, &id, &err));
                watch_look(watch);
                op_is(id, "done");
                watch_look(watch);
        }
        ASSERT_STR(state_now(), "none");
        plays(60, 1, false);
        ASSERT_STR(state_now(), "none");
        ASSERT_EQ(notices("alert"), 1); /* after probation: alert */
        daemon_end();
}

TEST(a_site_that_was_bad_before_takes_nothing_back)
{
        begin("");
        plays(300, 1, false);
        upgrade(2, "two");
        plays(60, 2, false);
        ASSERT_STR(state_now(), "probation");
        daemon_end();
}

static const struct guard_probe front[] = { { "front", GUARD_ACTIVE, true } };

static void neighbours_put(unsigned n, const char *const *owners)
{
        for (unsigned i = 0; i < n; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "other%u", i);
                site_put(name, owners[i], "");
                ASSERT_OK(watch_set(watch, name, front, 1, &err));
        }
}

/* Everybody for some seconds: the first ${failing} neighbours are down. */
static void plays_all(unsigned seconds, unsigned n, unsigned failing, bool well)
{
        for (unsigned i = 0; i < seconds; i++) {
                for (unsigned k = 0; k < n; k++) {
                        char name[16];

                        (void)snprintf(name, sizeof(name), "other%u", k);
                        play(name, 1, k >= failing, k < failing, 0);
                }
                play("shop", 2, well, !well, 0);
                played_usec += USEC_PER_SEC;
        }
}

TEST(when_most_sites_fail_at_once_nothing_is_taken_back)
{
        static const char *const owners[] = { "daemon", "bin", "sys", "games" };

        begin("");
        neighbours_put(4, owners);
        plays(300, 1, true);
        upgrade(2, "two");
        plays_all(10, 4, 0, true);
        plays_all(60, 4, 3, false);
        ASSERT_STR(state_now(), "probation");
        plays_all(30, 4, 0, true);
        ASSERT_STR(state_now(), "probation");
        plays_all(6, 4, 0, false);
        ASSERT_STR(state_now(), "rolling-back");
        daemon_end();
}

TEST(one_neighbour_with_many_broken_sites_stops_no_rollback)
{
        static const char *const owners[] = {
                "daemon", "daemon", "daemon", "daemon", "bin", "sys"
        };

        begin("");
        neighbours_put(6, owners);
        plays(300, 1, true);
        upgrade(2, "two");
        plays_all(10, 6, 0, true);
        plays_all(8, 6, 4, false);
        ASSERT_STR(state_now(), "rolling-back");
        daemon_end();
}

TEST(the_end_of_a_probation_marks_the_version)
{
        struct version version;

        begin("probation = 600s\n");
        plays(300, 1, true);
        upgrade(2, "two");
        daemon_end();
        ASSERT_OK(catalog_open(dirs.state_fd, &needs.catalog, &err));
        sql("UPDATE probations SET boot = 'another', spent = 599900000");
        catalog_close(needs.catalog);
        daemon_begin();
        (void)usleep(200000);
        plays(299, 2, true);
        ASSERT_STR(state_now(), "probation");
        plays(2, 2, true);
        ASSERT_STR(state_now(), "good");
        ASSERT_OK(catalog_version(needs.catalog, "shop", 2, &version, &err));
        ASSERT_EQ(version.mark, MARK_GOOD);
        version_done(&version);
        daemon_end();
}
