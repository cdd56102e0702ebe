/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
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
static char file[512], partial[BUNDLE_PARTIAL_MAX];

/* A directory that is somebody's, in one that everybody can go through. */
static const char *begin(const char *name)
{
        static char dir[400];

        root_begin();
        (void)snprintf(dir, sizeof(dir), "%s/his", test_tmpdir());
        ASSERT(mkdir(dir, 0700) == 0 && chown(dir, SOMEBODY, SOMEBODY) == 0);
        (void)snprintf(file, sizeof(file), "%s/%s", dir, name);
        ASSERT_OK(bundle_file_partial(file, partial, &err));
        return dir;
}

static const char *beside(const char *name)
{
        static char path[800];

        (void)snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(file, '/') - file), file, name);
        return path;
}

static bool is_there(const char *name)
{
        return faccessat(AT_FDCWD, beside(name), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void his_file(const char *name, const char *text)
{
        CLEANUP(closep) int fd = open(beside(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        ASSERT(fd >= 0 && fchown(fd, SOMEBODY, SOMEBODY) == 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
}

static void has_text(const char *name, const char *text)
{
        CLEANUP(closep) int fd = open(beside(name), O_RDONLY | O_CLOEXEC);
        char buf[16] = "";

        ASSERT(fd >= 0 && read(fd, buf, sizeof(buf) - 1) >= 0);
        ASSERT_STR(buf, text);
}

TEST(a_file_appears_whole_and_belongs_to_who_asked)
{
        CLEANUP(closep) int fd = -1, again = -1;
        struct stat st;

        (void)begin("a");
        ASSERT_OK(bundle_file_check(file, SOMEBODY, &err));
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &fd, &err));
        ASSERT(!is_there("a") && is_there(partial));
        ASSERT_OK(file_write_all(fd, "x", 1, &err));
        ASSERT_OK(bundle_file_publish(file, partial, SOMEBODY, fd, &err));
        ASSERT(is_there("a") && !is_there(partial));
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
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &fd, &err));
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &again, &err));
        ASSERT_OK(bundle_file_discard(file, partial, SOMEBODY, &err));
        ASSERT(!is_there(partial));
        ASSERT_OK(bundle_file_discard(file, partial, SOMEBODY, &err));
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
        ASSERT_ERR(bundle_file_create(path, partial, SOMEBODY, &fd, &err), ERR_DENIED,
                   "cannot make");
        ASSERT_ERR(bundle_file_open("/etc/shadow", SOMEBODY, &fd, &err), ERR_DENIED, "shadow");
        ASSERT_ERR(bundle_file_open("/proc/self/fd/0", SOMEBODY, &fd, &err), ERR_IO, "fd/0");

        /* A link to what only root has, under the unfinished name. */
        (void)snprintf(path, sizeof(path), "%s/secret", top);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(fd >= 0 && close(fd) == 0);
        ASSERT_EQ(symlink("../secret", beside(partial)), 0);
        ASSERT_ERR(bundle_file_create(file, partial, SOMEBODY, &fd, &err), ERR_EXISTS,
                   "cannot make");
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
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &fd, &err));
        other = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(other >= 0 && close(other) == 0);
        ASSERT_ERR(bundle_file_publish(file, partial, SOMEBODY, fd, &err), ERR_EXISTS,
                   "cannot name");
}

TEST(a_file_that_only_looks_unfinished_stays)
{
        CLEANUP(closep) int fd = -1;

        (void)begin("a");
        his_file("a.partial", "his own");
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &fd, &err));
        ASSERT_OK(file_write_all(fd, "x", 1, &err));
        ASSERT_OK(bundle_file_publish(file, partial, SOMEBODY, fd, &err));
        ASSERT_OK(bundle_file_discard(file, partial, SOMEBODY, &err));
        has_text("a", "x");
        has_text("a.partial", "his own");
}

TEST(of_two_at_once_to_one_file_the_first_that_ends_has_it_whole)
{
        char other[BUNDLE_PARTIAL_MAX];
        CLEANUP(closep) int one = -1, two = -1;

        (void)begin("a");
        ASSERT_OK(bundle_file_partial(file, other, &err));
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &one, &err));
        ASSERT_OK(file_write_all(one, "one", 3, &err));
        ASSERT_OK(bundle_file_create(file, other, SOMEBODY, &two, &err));
        ASSERT_OK(bundle_file_publish(file, partial, SOMEBODY, one, &err));
        ASSERT_OK(file_write_all(two, "two", 3, &err));
        ASSERT_ERR(bundle_file_publish(file, other, SOMEBODY, two, &err), ERR_EXISTS,
                   "cannot name");
        ASSERT_OK(bundle_file_discard(file, other, SOMEBODY, &err));
        has_text("a", "one");
        ASSERT(!is_there(partial) && !is_there(other));
}

TEST(the_unfinished_name_of_a_long_one_is_no_longer_than_names_may_be)
{
        CLEANUP(closep) int fd = -1;
        char name[BUNDLE_NAME_MAX + 2];

        memset(name, 'n', sizeof(name));
        name[BUNDLE_NAME_MAX] = '\0';
        (void)begin(name);
        ASSERT_OK(bundle_file_create(file, partial, SOMEBODY, &fd, &err));
        ASSERT_OK(bundle_file_publish(file, partial, SOMEBODY, fd, &err));
        ASSERT(is_there(name));
        name[BUNDLE_NAME_MAX] = 'n';
        name[BUNDLE_NAME_MAX + 1] = '\0';
        (void)snprintf(file, sizeof(file), "/%s", name);
        ASSERT_ERR(bundle_file_check(file, SOMEBODY, &err), ERR_INVALID, "at most");
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
