/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/file.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treediff.h"
#include "tests/lib/test.h"

static struct err err;
static int from, to;
static char found[8192];

static void begin(void)
{
        int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);

        ASSERT(dir >= 0 && mkdirat(dir, "from", 0755) == 0 && mkdirat(dir, "to", 0755) == 0);
        from = openat(dir, "from", O_RDONLY | O_DIRECTORY);
        to = openat(dir, "to", O_RDONLY | O_DIRECTORY);
        ASSERT(from >= 0 && to >= 0);
        close(dir);
}

static void put(int dir, const char *path, const char *text)
{
        int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        close(fd);
}

static void put_both(const char *path, const char *text)
{
        put(from, path, text);
        put(to, path, text);
}

static int append(const struct fs_change *change, void *arg, struct err *e)
{
        size_t n = strlen(found);

        (void)arg;
        (void)e;
        (void)snprintf(found + n, sizeof(found) - n, "%s %s\n", change->status, change->path);
        return 0;
}

static const char *diff(void)
{
        found[0] = '\0';
        ASSERT_OK(treediff(from, to, 0, append, NULL, &err));
        return found;
}

TEST(equal_trees_do_not_differ_whatever_their_times)
{
        begin();
        put_both("file", "text");
        ASSERT(mkdirat(from, "d", 0755) == 0 && mkdirat(to, "d", 0755) == 0);
        ASSERT(symlinkat("file", from, "l") == 0 && symlinkat("file", to, "l") == 0);
        put_both("d/x", "");
        ASSERT(utimensat(to, "file", NULL, 0) == 0);
        ASSERT_STR(diff(), "");
}

TEST(each_kind_of_change_has_its_letter)
{
        int fd;

        begin();
        put(from, "content", "aa");
        put(to, "content", "ab");
        ASSERT_STR(diff(), "c..... content\n");
        ASSERT(unlinkat(to, "content", 0) == 0);
        ASSERT_STR(diff(), "-..... content\n");
        ASSERT(mkdirat(to, "content", 0755) == 0);
        put(to, "content/below", "x");
        ASSERT_STR(diff(), "t..... content\n+..... content/below\n");
        ASSERT_OK(tree_remove(to, "content", &err));
        ASSERT_OK(tree_remove(from, "content", &err));

        put_both("f", "x");
        ASSERT(fchmodat(to, "f", 0600, 0) == 0);
        ASSERT_STR(diff(), ".p.... f\n");
        if (geteuid() == 0) {
                ASSERT(fchownat(to, "f", 5, 6, 0) == 0);
                ASSERT_STR(diff(), ".pug.. f\n");
        }
        fd = openat(to, "f", O_RDWR);
        ASSERT(fsetxattr(fd, "user.a", "1", 1, 0) == 0);
        ASSERT(diff()[4] == 'x' && found[5] == '.');
        close(fd);
        fd = openat(from, "f", O_RDWR);
        ASSERT(fsetxattr(fd, "user.a", "2", 1, 0) == 0);
        ASSERT(diff()[4] == 'x');
        close(fd);
}

TEST(an_acl_is_an_attribute_with_a_letter_of_its_own)
{
        static const unsigned char acl[] = {
                2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 4, 0, 0xe9, 3, 0, 0,
                4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
                0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
        };
        int fd;

        begin();
        put_both("f", "x");
        fd = openat(to, "f", O_RDWR);
        if (fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
                test_skip("no ACLs here: %s", strerror(errno));
        ASSERT_STR(diff(), "....xa f\n");
}

TEST(bytes_decide_even_when_size_and_times_are_equal)
{
        struct timespec times[2];
        struct stat st;

        begin();
        put(from, "f", "one");
        put(to, "f", "two");
        ASSERT(fstatat(from, "f", &st, 0) == 0);
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        ASSERT(utimensat(to, "f", times, 0) == 0);
        ASSERT_STR(diff(), "c..... f\n");
}

TEST(links_are_compared_by_what_they_say)
{
        begin();
        ASSERT(symlinkat("a", from, "l") == 0 && symlinkat("b", to, "l") == 0);
        ASSERT_STR(diff(), "c..... l\n");
}

TEST(whole_subtrees_come_entry_by_entry)
{
        begin();
        ASSERT(mkdirat(from, "a", 0755) == 0 && mkdirat(from, "a/b", 0755) == 0);
        put(from, "a/b/c", "x");
        ASSERT_STR(diff(), "-..... a\n-..... a/b\n-..... a/b/c\n");
}

TEST(the_root_is_a_dot)
{
        begin();
        ASSERT(fchmod(to, 0711) == 0);
        ASSERT_STR(diff(), ".p.... .\n");
}

TEST(a_walk_can_begin_anywhere)
{
        begin();
        ASSERT(mkdirat(from, "a", 0755) == 0);
        put(from, "a/x", "x");
        put(from, "b", "x");
        found[0] = '\0';
        ASSERT_OK(treediff_below(from, to, "a", 0, append, NULL, &err));
        ASSERT_STR(found, "-..... a\n-..... a/x\n");
        found[0] = '\0';
        ASSERT_OK(treediff_below(from, to, "a/x", 0, append, NULL, &err));
        ASSERT_STR(found, "-..... a/x\n");
        found[0] = '\0';
        ASSERT_OK(treediff_below(from, to, "no/where", 0, append, NULL, &err));
        ASSERT_STR(found, "");
}

static int stop(const struct fs_change *change, void *arg, struct err *e)
{
        (void)change;
        (void)arg;
        return err_fail(e, ERR_TIMEOUT, 0, "enough");
}

TEST(a_visitor_can_stop)
{
        begin();
        put(from, "b", "x");
        ASSERT_ERR(treediff(from, to, 0, stop, NULL, &err), ERR_TIMEOUT, "enough");
}
