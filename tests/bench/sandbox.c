/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs to start a hook's program in its sandbox, beside the same program started plainly
 * and by unshare(1) in the same namespaces.  See README.md.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "snapd/worker.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define RUNS 200

static struct err err;

static double now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int order(const void *a, const void *b)
{
        double one = *(const double *)a, two = *(const double *)b;

        return (one > two) - (one < two);
}

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
        static double usec[3][RUNS];

        root_begin();
        for (size_t i = 0; i < RUNS; i++)
                for (size_t w = 0; w < 3; w++) {
                        double begun = now_usec();

                        ways[w].run();
                        usec[w][i] = now_usec() - begun;
                }
        for (size_t w = 0; w < 3; w++) {
                qsort(usec[w], RUNS, sizeof(usec[w][0]), order);
                printf("#   /bin/true, %-12s %7.2f /%7.2f ms\n", ways[w].name, usec[w][0] / 1e3,
                       usec[w][RUNS / 2] / 1e3);
        }
        printf("#   sandbox : unshare(1) %.2f, sandbox : plain %.2f (of the medians)\n",
               usec[2][RUNS / 2] / usec[1][RUNS / 2], usec[2][RUNS / 2] / usec[0][RUNS / 2]);
}
