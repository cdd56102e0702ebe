/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/bundle_file.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define SOMEBODY 33 /* www-data, whom /etc/passwd has */

static struct err err;
static char file[512];

/* A directory that is somebody's, in one that everybody can go through. */
static const char *begin(const char *name)
{
        static char dir[400];

        root_begin();
        (void)snprintf(dir, sizeof(dir), "%s/his", test_tmpdir());
        ASSERT(mkdir(dir, 0700) == 0 && chown(dir, SOMEBODY, SOMEBODY) == 0);
        (void)snprintf(file, sizeof(file), "%s/%s", dir, name);
        return dir;
}

static bool is_there(const char *tail)
{
        char path[600];

        (void)snprintf(path, sizeof(path), "%s%s", file, tail);
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

TEST(a_file_appears_whole_and_belongs_to_who_asked)
{
        CLEANUP(closep) int fd = -1, again = -1;
        struct stat st;

        (void)begin("a");
        ASSERT_OK(bundle_file_check(file, SOMEBODY, &err));
        ASSERT_OK(bundle_file_create(file, SOMEBODY, &fd, &err));
        ASSERT(!is_there("") && is_there(".partial"));
        ASSERT_OK(file_write_all(fd, "x", 1, &err));
        ASSERT_OK(bundle_file_publish(file, SOMEBODY, fd, &err));
        ASSERT(is_there("") && !is_there(".partial"));
        ASSERT_EQ(stat(file, &st), 0);
        ASSERT_EQ(st.st_uid, SOMEBODY);
        ASSERT_EQ(st.st_mode & 07777, 0600);
        ASSERT_OK(bundle_file_open(file, SOMEBODY, &again, &err));
        ASSERT_ERR(bundle_file_check(file, SOMEBODY, &err), ERR_EXISTS, "is there already");
        ASSERT_EQ(setfsuid((uid_t)-1), 0);
}

TEST(what_was_not_finished_goes_and_is_begun_again)
{
        CLEANUP(closep) int fd = -1, again = -1;

        (void)begin("a");
        ASSERT_OK(bundle_file_create(file, SOMEBODY, &fd, &err));
        ASSERT_OK(bundle_file_create(file, SOMEBODY, &again, &err));
        ASSERT_OK(bundle_file_discard(file, SOMEBODY, &err));
        ASSERT(!is_there(".partial"));
        ASSERT_OK(bundle_file_discard(file, SOMEBODY, &err));
}

TEST(root_does_for_nobody_what_he_could_not_do)
{
        const char *top;
        struct stat st;
        char path[600];
        int fd;

        (void)begin("a");
        top = test_tmpdir();
        (void)snprintf(path, sizeof(path), "%s/roots", top);
        ASSERT(mkdir(path, 0755) == 0);
        (void)snprintf(path, sizeof(path), "%s/roots/a", top);
        ASSERT_ERR(bundle_file_create(path, SOMEBODY, &fd, &err), ERR_DENIED, "cannot make");
        ASSERT_ERR(bundle_file_open("/etc/shadow", SOMEBODY, &fd, &err), ERR_DENIED, "shadow");
        ASSERT_ERR(bundle_file_open("/proc/self/fd/0", SOMEBODY, &fd, &err), ERR_IO, "fd/0");

        /* A link to what only root has, under the unfinished name. */
        (void)snprintf(path, sizeof(path), "%s/secret", top);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(fd >= 0 && close(fd) == 0);
        (void)snprintf(path, sizeof(path), "%s.partial", file);
        ASSERT_EQ(symlink("../secret", path), 0);
        ASSERT_ERR(bundle_file_create(file, SOMEBODY, &fd, &err), ERR_EXISTS, "cannot make");
        (void)snprintf(path, sizeof(path), "%s/secret", top);
        ASSERT_EQ(stat(path, &st), 0);
        ASSERT_EQ(st.st_uid, 0);
        ASSERT_EQ(setfsuid((uid_t)-1), 0);
}

TEST(what_is_there_is_never_replaced)
{
        CLEANUP(closep) int fd = -1;
        int other;

        (void)begin("a");
        ASSERT_OK(bundle_file_create(file, SOMEBODY, &fd, &err));
        other = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(other >= 0 && close(other) == 0);
        ASSERT_ERR(bundle_file_publish(file, SOMEBODY, fd, &err), ERR_EXISTS, "cannot name");
}

TEST(only_an_absolute_path_of_a_file_is_taken)
{
        static const char *const paths[] = { "a", "/", "/tmp/", "/tmp/..", "/tmp/.", "" };

        (void)begin("a");
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                ASSERT_ERR(bundle_file_check(paths[i], SOMEBODY, &err), ERR_INVALID,
                           "is not the absolute path");
        ASSERT_ERR(bundle_file_check("/none/a", SOMEBODY, &err), ERR_NOT_FOUND, "'/none'");
}
