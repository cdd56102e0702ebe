/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapd/ballast.h"
#include "tests/lib/test.h"

static struct err err;

static int open_tmp(void)
{
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);

        ASSERT(fd >= 0);
        if (geteuid() != 0)
                test_skip("ballast is root's");
        return fd;
}

TEST(ballast_is_laid_once_and_holds_data_and_small_files)
{
        int fd = open_tmp();
        struct stat st, again;

        ASSERT_OK(ballast_lay(fd, &err));
        ASSERT(fstatat(fd, ".ballast/data", &st, 0) == 0);
        ASSERT(st.st_size == 8 << 20 && st.st_blocks * 512 >= 8 << 20);
        ASSERT(fstatat(fd, ".ballast/299", &again, 0) == 0);
        ASSERT_OK(ballast_lay(fd, &err));
        ASSERT(fstatat(fd, ".ballast/data", &again, 0) == 0);
        ASSERT_EQ(again.st_ino, st.st_ino);
}

TEST(dropping_removes_everything_and_says_whether_there_was_any)
{
        int fd = open_tmp();

        ASSERT(!ballast_drop(fd));
        ASSERT_OK(ballast_lay(fd, &err));
        ASSERT(ballast_drop(fd));
        ASSERT(faccessat(fd, ".ballast", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
        ASSERT(!ballast_drop(fd));
}

TEST(half_laid_ballast_of_a_crash_is_laid_again)
{
        int fd = open_tmp();

        ASSERT(mkdirat(fd, ".ballast.partial", 0700) == 0);
        ASSERT(close(openat(fd, ".ballast.partial/data", O_CREAT | O_WRONLY, 0600)) == 0);
        ASSERT_OK(ballast_lay(fd, &err));
        ASSERT(faccessat(fd, ".ballast/data", F_OK, 0) == 0);
        ASSERT(faccessat(fd, ".ballast.partial", F_OK, 0) < 0);
}
