/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a version that is on trial. */
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "tests/lib/test.h"
#include "tests/unit/watch_world.h"

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

/* Requests queue behind those of the broken version, and nothing is in any cache. */
TEST(an_old_version_that_recovers_is_not_held)
{
        begin("");
        breaks();
        now_active(2, 1);
        op_is(newest_op().id, "done");
        watch_look(watch);
        plays(25, 1, false);
        ASSERT_STR(state_now(), "verifying");
        plays(60, 1, true);
        ASSERT_STR(state_now(), "verifying");
        ASSERT_EQ(notices("held"), 0);
        daemon_end();
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

/* They have one visitor each, who asks for what fails. */
TEST(a_flood_of_failures_at_neighbours_stops_no_rollback)
{
        static const char *const owners[] = { "daemon", "bin", "sys", "games" };

        begin("");
        neighbours_put(4, owners);
        plays(300, 1, true);
        upgrade(2, "two");
        plays_all(10, 4, 0, true);
        for (unsigned i = 0; i < 8; i++) {
                struct sample flooded = { .from_usec = played_usec,
                                          .to_usec = played_usec + USEC_PER_SEC,
                                          .version = 1,
                                          .good = 1,
                                          .bad = 50,
                                          .lone = 50 };

                for (unsigned k = 0; k < 4; k++) {
                        char name[16];

                        (void)snprintf(name, sizeof(name), "other%u", k);
                        watch_sample(watch, name, "front", &flooded);
                }
                plays(1, 2, false);
        }
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

TEST(what_a_version_showed_that_is_taken_back_later_is_not_normal)
{
        CLEANUP(json_decrefp) json_t *request = json_pack("{s:s}", "verb", "rollback");
        op_id id;

        begin("after = rollback\n");
        plays(300, 1, true);
        upgrade(2, "two");
        watch_marked(watch, "shop", 2, MARK_GOOD);
        ASSERT_STR(state_now(), "good");
        /* One answer in four. */
        for (unsigned i = 0; i < 600 && strcmp(state_now(), "good") == 0; i++)
                plays(1, 2, i % 4 != 0);
        ASSERT_STR(state_now(), "rolling-back");
        op_is(newest_op().id, "done");
        now_active(2, 1);
        watch_look(watch);
        ASSERT_STR(state_now(), "verifying");
        ASSERT_OK(journal_queue(needs.catalog, "shop", "rollback", request, 0, &id, &err));
        watch_look(watch);
        op_is(id, "done");
        watch_look(watch);
        upgrade(3, "three");
        for (unsigned i = 0; i < 60 && strcmp(state_now(), "probation") == 0; i++)
                plays(1, 3, i % 4 != 0);
        ASSERT_STR(state_now(), "rolling-back");
        daemon_end();
}

/* A person goes back from a version that failed and was kept; the next one is judged. */
static void went_back_by_hand(const char *guard, const char *fails)
{
        CLEANUP(json_decrefp) json_t *request = json_pack("{s:s}", "verb", "rollback");
        op_id id;

        begin(guard);
        breaks();
        ASSERT_STR(state_now(), fails);
        for (unsigned i = 0; i < 200; i++)
                plays(1, 2, i % 4 != 0);
        ASSERT_STR(state_now(), fails);
        ASSERT_OK(journal_queue(needs.catalog, "shop", "rollback", request, 0, &id, &err));
        watch_look(watch);
        now_active(2, 1);
        op_is(id, "done");
        watch_look(watch);
        ASSERT_STR(state_now(), "none");
        upgrade(3, "three");
        for (unsigned i = 0; i < 60 && strcmp(state_now(), "probation") == 0; i++)
                plays(1, 3, i % 4 != 0);
        ASSERT_STR(state_now(), fails);
        daemon_end();
}

TEST(what_a_version_showed_that_was_frozen_is_not_normal)
{
        went_back_by_hand("policy = freeze\n", "frozen");
}

TEST(nor_what_one_showed_of_which_a_person_was_told)
{
        went_back_by_hand("policy = alert\n", "alerted");
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
