/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapd/dirs.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

static struct err err;
static char state[256], run[256], conf[256];

static struct dirs dirs_of_test(void)
{
        root_begin();
        (void)snprintf(state, sizeof(state), "%s/state", test_tmpdir());
        (void)snprintf(run, sizeof(run), "%s/run", test_tmpdir());
        (void)snprintf(conf, sizeof(conf), "%s/conf", test_tmpdir());
        return (struct dirs){ .state = state, .run = run, .conf = conf };
}

static unsigned mode_of(const char *path)
{
        struct stat st;

        ASSERT_EQ(stat(path, &st), 0);
        return st.st_mode & 07777;
}

TEST(missing_directories_are_made)
{
        struct dirs dirs = dirs_of_test();
        struct stat st;

        (void)umask(077);
        ASSERT_OK(dirs_open(&dirs, &err));
        ASSERT_EQ(mode_of(state), 0700);
        ASSERT_EQ(mode_of(run), 0755);
        ASSERT_EQ(mode_of(conf), 0755);
        ASSERT_EQ(fsync(dirs.state_fd), 0); /* not O_PATH */
        ASSERT_EQ(fstat(dirs.run_fd, &st), 0);
        ASSERT_OK(dirs_open(&dirs, &err));
}

TEST(a_directory_others_can_write_is_refused)
{
        struct dirs dirs = dirs_of_test();

        ASSERT_EQ(mkdir(run, 0755), 0);
        ASSERT_EQ(chmod(run, 0775), 0);
        ASSERT_ERR(dirs_open(&dirs, &err), ERR_REFUSED, "run' can be changed by others than root");
}

TEST(a_directory_of_someone_else_is_refused)
{
        struct dirs dirs = dirs_of_test();

        ASSERT_EQ(mkdir(conf, 0755), 0);
        ASSERT_EQ(chown(conf, 65534, 65534), 0);
        ASSERT_ERR(dirs_open(&dirs, &err), ERR_REFUSED, "conf' can be changed");
}

TEST(a_symlink_is_refused)
{
        struct dirs dirs = dirs_of_test();

        ASSERT_EQ(symlink("/tmp", state), 0);
        ASSERT_ERR(dirs_open(&dirs, &err), ERR_REFUSED, "symbolic link");
}

TEST(a_relative_path_is_refused)
{
        struct dirs dirs = dirs_of_test();

        dirs.state = "state";
        ASSERT_ERR(dirs_open(&dirs, &err), ERR_INVALID, "'state'");
}

TEST(an_operation_has_its_directory)
{
        struct dirs dirs = dirs_of_test();
        char path[300];
        int fd, again;

        ASSERT_OK(dirs_open(&dirs, &err));
        ASSERT_OK(dirs_op(&dirs, 7, &fd, &err));
        ASSERT_OK(dirs_op(&dirs, 7, &again, &err));
        (void)snprintf(path, sizeof(path), "%s/ops/7", state);
        ASSERT_EQ(mode_of(path), 0700);
        (void)close(fd);
        (void)close(again);
}
