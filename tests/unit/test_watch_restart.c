/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the watch knows after the daemon was killed or started anew. */
#include "common/clock.h"
#include "common/json.h"
#include "tests/lib/test.h"
#include "tests/unit/watch_world.h"

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
static void next_one_is_judged(int64_t now_usec)
{
        op_id id = 0;
        CLEANUP(json_decrefp) json_t *request = json_pack("{s:s}", "verb", "rollback");

        ASSERT_OK(journal_queue(needs.catalog, "shop", "rollback", request, 0, &id, &err));
        watch_look(watch);
        now_active(2, 1);
        op_is(id, "done");
        watch_look(watch);
        ASSERT_STR(state_now(), "none");
        watch_tick(watch, now_usec);
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
        next_one_is_judged(clock_boot_usec());
        daemon_end();
}

static void probation_of_hours(bool killed)
{
        const int64_t hour = 3600 * (int64_t)USEC_PER_SEC;
        int64_t begun;

        begin("probation = 36000s\n");
        plays(300, 1, true);
        upgrade(2, "two");
        if (killed) {
                daemon_dies();
                daemon_begin();
        }
        begun = clock_boot_usec();
        for (int64_t hours = 1; hours < 6; hours++)
                watch_tick(watch, begun + hours * hour);
        next_one_is_judged(begun + 5 * hour + 1);
        daemon_end();
}

TEST(what_was_normal_outlives_a_long_probation)
{
        probation_of_hours(false);
}

TEST(what_was_normal_outlives_a_long_probation_with_a_kill_in_it)
{
        probation_of_hours(true);
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
