/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/safepath.h"
#include "tests/lib/test.h"

static struct err err;
static int root;

static void begin(void)
{
        root = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);
        ASSERT(root >= 0 && mkdirat(root, "dir", 0755) == 0);
        ASSERT(mkfifoat(root, "fifo", 0644) == 0 && symlinkat("dir", root, "link") == 0);
        ASSERT(close(openat(root, "dir/file", O_WRONLY | O_CREAT, 0644)) == 0);
}

TEST(only_plain_relative_paths_are_valid)
{
        static const char *const bad[] = { "",     "/a",  "a/",    "a//b", ".",    "..",
                                           "a/..", "./a", "a/./b", "a\nb", "a\x7f" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                ASSERT(safepath_valid(bad[i], &err) < 0 && err.code == ERR_INVALID);
        ASSERT_OK(safepath_valid("a/..b/.c/d e/-f", &err));
}

TEST(links_are_refused_at_every_place)
{
        int fd;

        begin();
        ASSERT_OK(safepath_open(root, "dir/file", O_RDONLY, &fd, &err));
        close(fd);
        ASSERT_ERR(safepath_open(root, "link/file", O_RDONLY, &fd, &err), ERR_REFUSED, "link");
        ASSERT_ERR(safepath_open(root, "link", O_RDONLY, &fd, &err), ERR_REFUSED, "link");
        ASSERT_ERR(safepath_open(root, "link", O_RDONLY | O_DIRECTORY, &fd, &err), ERR_REFUSED,
                   "link");
        ASSERT_ERR(safepath_open(root, "dir/none", O_RDONLY, &fd, &err), ERR_NOT_FOUND, "none");
}

TEST(a_fifo_does_not_block)
{
        int fd;

        begin();
        alarm(5);
        ASSERT_OK(safepath_open(root, "fifo", O_RDONLY, &fd, &err));
        close(fd);
}

/* A lease of another process ends after 45 s at the earliest. */
TEST(a_lease_is_said_and_not_waited_out)
{
        int64_t started;
        int pipe_fds[2], fd;
        char c;
        pid_t pid;

        begin();
        ASSERT(pipe(pipe_fds) == 0);
        pid = fork();
        if (pid == 0) {
                int file = openat(root, "dir/file", O_RDWR);

                signal(SIGIO, SIG_IGN);
                _exit(fcntl(file, F_SETLEASE, F_WRLCK) < 0 || write(pipe_fds[1], "x", 1) != 1 ||
                      pause() != 0);
        }
        close(pipe_fds[1]);
        ASSERT(read(pipe_fds[0], &c, 1) == 1);
        started = clock_boot_usec();
        ASSERT_ERR(safepath_open(root, "dir/file", O_RDONLY, &fd, &err), ERR_BUSY, "lease");
        ASSERT(clock_boot_usec() - started < 10 * USEC_PER_SEC);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}
