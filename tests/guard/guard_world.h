/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_GUARD_WORLD_H
#define TESTS_GUARD_WORLD_H

/* What tests of the prober run in: its directories, and a loop that is turned by hand. */

#include <systemd/sd-event.h>

#include "common/clock.h"
#include "snapd/dirs.h"

/* guard_dirs(): All of them are test_tmpdir(), and open. */
struct dirs guard_dirs(void);

/* guard_turn(event, msec): So long. */
void guard_turn(sd_event *event, unsigned msec);

/* Until it is true, however busy the machine is; the test fails after 30 s. */
#define GUARD_TURN_UNTIL(event, condition)                                                         \
        do {                                                                                       \
                int64_t end_ = clock_boot_usec() + 30 * USEC_PER_SEC;                              \
                while (!(condition)) {                                                             \
                        if (clock_boot_usec() > end_)                                              \
                                test_fail(__FILE__, __LINE__, "not so in 30 s: %s", #condition);   \
                        guard_turn(event, 20);                                                     \
                }                                                                                  \
        } while (0)

#endif
