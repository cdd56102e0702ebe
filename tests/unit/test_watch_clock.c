/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A probation while the wall clock jumps: by a wrong battery, by a daylight saving that somebody
 * set by hand, by the first answer of a time server.  The boot clock decides. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/lib/test.h"
#include "tests/unit/watch_world.h"

#define HOUR_SEC INT64_C(3600)
#define YEAR_SEC (INT64_C(365) * 86400)

static int64_t ahead_sec;

/* In place of the C library's, for everything in this program. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
        long r = syscall(SYS_clock_gettime, id, ts);

        if (r == 0 && id == CLOCK_REALTIME)
                ts->tv_sec += ahead_sec;
        return (int)r;
}

static const int64_t jumps_sec[] = { 10 * YEAR_SEC, -10 * YEAR_SEC, HOUR_SEC, -HOUR_SEC };

#define JUMPS (sizeof(jumps_sec) / sizeof(jumps_sec[0]))

/* What runs by timers runs. */
static void turn(void)
{
        int64_t until = clock_boot_usec() + 1200000;

        while (clock_boot_usec() < until)
                ASSERT(sd_event_run(needs.event, 50000) >= 0);
}

static void still_on_trial(void)
{
        struct probation trial;
        struct version version;

        ASSERT_STR(state_now(), "probation");
        ASSERT_STR(newest_op().verb, "upgrade");
        ASSERT_OK(catalog_version(needs.catalog, "shop", 2, &version, &err));
        ASSERT_EQ(version.mark, MARK_NONE);
        version_done(&version);
        ASSERT_OK(probation_get(needs.catalog, "shop", &trial, &err));
        ASSERT(trial.spent_usec >= 0 && trial.spent_usec < 300 * (int64_t)USEC_PER_SEC);
        probation_done(&trial);
}

TEST(a_clock_that_jumps_takes_nothing_back_and_proves_nothing)
{
        int64_t wall = clock_wall_usec();

        begin("probation = 600s\n");
        ahead_sec = HOUR_SEC;
        ASSERT(clock_wall_usec() - wall >= HOUR_SEC * (int64_t)USEC_PER_SEC);
        ahead_sec = 0;
        plays(300, 1, true);
        upgrade(2, "two");
        plays(5, 2, true);
        for (size_t i = 0; i < JUMPS; i++) {
                ahead_sec = jumps_sec[i];
                turn();
                plays(5, 2, true);
                still_on_trial();
        }
        daemon_end();
}

TEST(a_start_with_another_clock_goes_on_with_the_time_that_is_left)
{
        begin("probation = 600s\n");
        plays(300, 1, true);
        upgrade(2, "two");
        plays(5, 2, true);
        for (size_t i = 0; i < JUMPS; i++) {
                daemon_end();
                ahead_sec = jumps_sec[i];
                daemon_begin();
                still_on_trial();
        }
        daemon_end();
}

TEST(a_version_that_fails_is_taken_back_whatever_the_clock_says)
{
        begin("probation = 600s\n");
        plays(300, 1, true);
        upgrade(2, "two");
        plays(5, 2, true);
        ahead_sec = -10 * YEAR_SEC;
        plays(3, 2, false);
        ahead_sec = 10 * YEAR_SEC;
        plays(3, 2, false);
        ASSERT_STR(state_now(), "rolling-back");
        ASSERT_STR(newest_op().verb, "rollback");
        daemon_end();
}
