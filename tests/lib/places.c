/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/places.h"
#include "tests/lib/test.h"

void places_begin(struct dirs *dirs)
{
        static char state[200], run[200], conf[200];
        struct err err;

        if (getuid() != 0)
                test_skip("the daemon's directories are root's");
        test_need_syscalls();
        (void)snprintf(state, sizeof(state), "%s/state", test_tmpdir());
        (void)snprintf(run, sizeof(run), "%s/run", test_tmpdir());
        (void)snprintf(conf, sizeof(conf), "%s/conf", test_tmpdir());
        *dirs = (struct dirs){ .state = state, .run = run, .conf = conf, .socket = "" };
        ASSERT_OK(dirs_open(dirs, &err));
        ASSERT_EQ(mkdirat(dirs->conf_fd, "sites.d", 0755), 0);
}
