/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs to start a hook's program in its sandbox, beside the same program started plainly
 * and by unshare(1) in the same namespaces.  See README.md.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapd/worker.h"
#include "tests/bench/series.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define RUNS 200

static struct err err;

static void in_sandbox(void)
{
        const char *argv[] = { "/bin/true", NULL };
        const char *env[] = { "PATH=/usr/bin:/bin", NULL };
        struct worker_command command = {
                .uid = 65534,
                .gid = 65534,
                .cwd_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
                .argv = argv,
                .env = env,
                .output_fd = STDERR_FILENO,
                .output_max = 1000,
                .timeout_msec = 20000,
        };

        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        (void)close(command.cwd_fd);
}

static void plainly(void)
{
        ASSERT_EQ(root_run((const char *[]){ "/bin/true", NULL }), 0);
}

static void by_unshare(void)
{
        ASSERT_EQ(root_run((const char *[]){ "unshare", "--fork", "--pid", "--mount-proc", "--ipc",
                                             "/bin/true", NULL }),
                  0);
}

/* In turn, so that what else the machine does hits all of them. */
TEST(start)
{
        static const struct {
                const char *name;
                void (*run)(void);
        } ways[] = { { "plain", plainly },
                     { "unshare(1)", by_unshare },
                     { "sandbox", in_sandbox } };
        struct series times[3] = { 0 };
        char line[40];

        root_begin();
        for (size_t i = 0; i < RUNS; i++)
                for (size_t w = 0; w < 3; w++) {
                        double begun = series_now();

                        ways[w].run();
                        series_note(&times[w], begun);
                }
        for (size_t w = 0; w < 3; w++) {
                (void)snprintf(line, sizeof(line), "/bin/true, %s", ways[w].name);
                series_report(line, &times[w], &times[1]);
        }
}
