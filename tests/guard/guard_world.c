/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>

#include "tests/guard/guard_world.h"
#include "tests/lib/test.h"

struct dirs guard_dirs(void)
{
        struct dirs dirs = { .state = test_tmpdir(),
                             .run = test_tmpdir(),
                             .conf = test_tmpdir(),
                             .socket = "none" };

        dirs.run_fd = dirs.conf_fd = dirs.state_fd =
                open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(dirs.state_fd >= 0);
        return dirs;
}

void guard_turn(sd_event *event, unsigned msec)
{
        int64_t end = clock_boot_usec() + (int64_t)msec * 1000;

        while (clock_boot_usec() < end)
                ASSERT(sd_event_run(event, 20000) >= 0);
}
