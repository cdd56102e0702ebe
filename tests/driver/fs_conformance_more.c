/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

/* Mount points, plain directories, sizes, differences, full disks and debris. */

static struct err err;

static void expect_stub(int fd, const char *path)
{
        struct stat st;

        ASSERT(fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0);
        if (!S_ISDIR(st.st_mode) || (st.st_mode & 07777) != 0555 || st.st_uid != 0)
                test_fail(__FILE__, __LINE__, "'%s' has mode %o and owner %u", path, st.st_mode,
                          st.st_uid);
}

TEST(stubs_are_made_where_no_directory_is)
{
        static const char *const paths[] = { "uploads", "lib/cache", "new/deep/er", "lib/sub",
                                             "lib/link", "index.php", "dangling" };
        struct world w;
        struct stat st;

        world_make(&w);
        world_import(&w, 1);
        ASSERT_OK(w.driver->stubs(w.pool, 1, paths, 7, &err));
        ASSERT_OK(w.driver->stubs(w.pool, 1, paths, 7, &err));
        world_use(&w, 1);
        expect_stub(w.head_fd, "uploads");
        expect_stub(w.head_fd, "lib/cache");
        expect_stub(w.head_fd, "new/deep/er");
        expect_stub(w.head_fd, "lib/link");
        expect_stub(w.head_fd, "index.php");
        expect_stub(w.head_fd, "dangling");
        expect_text(w.head_fd, "lib/sub/c", "c"); /* a directory stays as it is */
        ASSERT(fstatat(w.head_fd, "new", &st, 0) == 0);
        ASSERT_EQ(st.st_uid, 1000);
        ASSERT_EQ(st.st_gid, 1001);
        world_capture(&w, 1, 2);
        {
                CLEANUP(closep) int fd = world_mount(&w, 2, true);

                expect_stub(fd, "index.php");
                expect_stub(fd, "uploads");
        }
}

TEST(stubs_of_a_captured_head_leave_the_frozen_tree)
{
        static const char *const paths[] = { "lib/a", "lib/sub/c", "gone" };
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        put_dir(w.head_fd, "gone", 0755);
        put(w.head_fd, "gone/x", "x");
        world_capture(&w, 1, 2);
        before = listing_of(&w, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        world_use(&w, 3);
        del_tree(w.head_fd, "gone");
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->stubs(w.pool, 3, paths, 3, &err));
        expect_same(before, listing_of(&w, 2));
        world_use(&w, 3);
        expect_stub(w.head_fd, "lib/a");
        expect_stub(w.head_fd, "lib/sub/c");
        expect_stub(w.head_fd, "gone");
        ASSERT(!has(w.head_fd, "gone/x"));
        expect_text(w.head_fd, "lib/b", "b");
        ASSERT_ERR(w.driver->stubs(w.pool, 2, paths, 1, &err), ERR_NOT_FOUND, "2");
}

TEST(stubs_do_not_go_through_links)
{
        static const char *const paths[] = { "out/uploads" };
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put_link(w.head_fd, "out", "/tmp");
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_ERR(w.driver->stubs(w.pool, 1, paths, 1, &err), ERR_REFUSED, "out");
        world_use(&w, 1);
        world_capture(&w, 1, 2);
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_ERR(w.driver->stubs(w.pool, 1, paths, 1, &err), ERR_REFUSED, "out");
}

/* A head with history becomes a plain directory, and other trees are what they were. */
TEST(flattened_head_is_a_plain_directory)
{
        CLEANUP(closep) int dir_fd = -1, fd = -1;
        char name[NAME_MAX + 1], *head, *two, *three;
        struct world w;

        world_make(&w);
        if (w.driver->flatten == NULL)
                test_skip("this driver has no plain directories to flatten to");
        world_start(&w, 1);
        put(w.head_fd, "lib/one", "1");
        world_capture(&w, 1, 2);
        put(w.head_fd, "lib/two", "2");
        del(w.head_fd, "lib/one");
        del_tree(w.head_fd, "lib/sub");
        put_dir(w.head_fd, "lib/sub", 0700);
        world_capture(&w, 1, 3);
        put(w.head_fd, "lib/a", "changed");
        head = listing(w.head_fd);
        closep(&w.head_fd);
        w.head_fd = -1;
        two = listing_of(&w, 2);
        three = listing_of(&w, 3);
        ASSERT_OK(w.driver->flatten(w.pool, 1, &err));
        ASSERT_OK(w.driver->flatten(w.pool, 1, &err));
        expect_same(head, listing_of(&w, 1));

        /* What is written to it now is not in the trees it came from. */
        world_use(&w, 1);
        put(w.head_fd, "lib/b", "in place");
        ASSERT(fchmodat(w.head_fd, "tool", 0700, 0) == 0);
        expect_same(two, listing_of(&w, 2));
        expect_same(three, listing_of(&w, 3));
        head = listing(w.head_fd);
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->remove(w.pool, 2, &err));
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));

        put_dir(w.root_fd, "back", 0700);
        ASSERT_OK(w.driver->slot(w.pool, 1, &dir_fd, name, &err));
        ASSERT(renameat2(w.root_fd, "back", dir_fd, name, RENAME_EXCHANGE) == 0);
        fd = openat(w.root_fd, "back", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(futimens(fd, (struct timespec[]){ { .tv_nsec = UTIME_OMIT },
                                                 { .tv_sec = 1000000003, .tv_nsec = 7 } }) == 0);
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        expect_same(head, listing(fd));
        ASSERT(fgetxattr(fd, "trusted.overlay.opaque", NULL, 0) < 0);
}

TEST(slot_says_when_a_head_is_not_plain)
{
        CLEANUP(closep) int dir_fd = -1;
        char name[NAME_MAX + 1];
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        if (w.driver->slot(w.pool, 3, &dir_fd, name, &err) < 0)
                ASSERT_EQ(err.code, ERR_UNSUPPORTED);
        ASSERT_ERR(w.driver->slot(w.pool, 9, &dir_fd, name, &err), ERR_NOT_FOUND, "9");
}

static void put_large(int fd, const char *path, size_t n)
{
        CLEANUP(closep) int file = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        static char block[65536];

        /* No zeros, nothing that compresses. */
        for (size_t done = 0; done < n; done += sizeof(block)) {
                for (size_t i = 0; i < sizeof(block); i++)
                        block[i] = (char)rand();
                ASSERT(write(file, block, sizeof(block)) == sizeof(block));
        }
}

#define MB (1 << 20)

TEST(sizes_tell_what_removing_would_free)
{
        struct fs_sizes sizes;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put_large(w.head_fd, "large", 6 * MB);
        world_capture(&w, 1, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        world_use(&w, 3);
        put_large(w.head_fd, "of-branch", 3 * MB);
        ASSERT_OK(w.driver->sync(w.pool, 3, &err));
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->sizes(w.pool, 2, &sizes, &err));
        ASSERT(sizes.total_bytes >= 6 * MB && sizes.total_bytes < 8 * MB);
        ASSERT(fs_case.copies || sizes.freed_bytes < MB);
        ASSERT_OK(w.driver->sizes(w.pool, 3, &sizes, &err));
        ASSERT(sizes.total_bytes >= 9 * MB && sizes.total_bytes < 11 * MB);
        ASSERT(fs_case.copies || (sizes.freed_bytes >= 3 * MB && sizes.freed_bytes < 4 * MB));

        /* With the others gone the last one holds everything. */
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        ASSERT_OK(w.driver->remove(w.pool, 2, &err));
        ASSERT_OK(w.driver->sizes(w.pool, 3, &sizes, &err));
        ASSERT(sizes.freed_bytes >= 9 * MB && sizes.freed_bytes < 11 * MB);
}

static unsigned long long free_bytes(struct world *w)
{
        struct statvfs vfs;

        sync();
        ASSERT(statvfs(w->root, &vfs) == 0);
        return (unsigned long long)vfs.f_bfree * vfs.f_frsize;
}

/* Versions that nobody needs any more give their space back, at the latest when tidied. */
TEST(pruned_trees_give_their_space_back)
{
        unsigned long long before, after = 0;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        for (fs_id id = 2; id < 6; id++) {
                put_large(w.head_fd, "large", 6 * MB);
                world_capture(&w, 1, id);
        }
        before = free_bytes(&w);
        for (fs_id id = 2; id < 5; id++)
                ASSERT_OK(w.driver->remove(w.pool, id, &err));
        closep(&w.head_fd);
        w.head_fd = -1;
        if (w.driver->tidy != NULL)
                ASSERT_OK(w.driver->tidy(w.pool, &err));
        for (int tries = 0; tries < 100 && after < before + 16 * MB; tries++) {
                after = free_bytes(&w); /* some file systems free in the background */
                if (after < before + 16 * MB)
                        (void)usleep(50000);
        }
        ASSERT(after >= before + 16 * MB);
}

struct expected {
        const char *path, *status;
        bool met;
};

static struct expected changes[] = {
        { ".", ".p...." },
        { "index.php", "c....." },
        { "tool", ".p...." },
        { "lib/b", "..u..." },
        { "lib/sub/c", "...g.." },
        { "lib/a", "....x." },
        { "odd/-rf", ".p..xa" },
        { "new", "+....." },
        { "new-dir", "+....." },
        { "new-dir/in", "+....." },
        { "fifo", "-....." },
        { "sticky", "-....." },
        { "sticky/in", "-....." },
        { "lib/link", "t....." },
        { "lib/link/in", "+....." },
        { "sparse", "c....." },
        { "dangling", "c....." },
        { "moved", "+....." },
        { "odd/.wh.name", "-....." },
};

#define N_CHANGES (sizeof(changes) / sizeof(changes[0]))

static int meet(const struct fs_change *change, void *arg, struct err *e)
{
        bool backwards = *(bool *)arg;

        (void)e;
        for (size_t i = 0; i < N_CHANGES; i++) {
                char want[8];

                if (strcmp(changes[i].path, change->path) != 0)
                        continue;
                (void)snprintf(want, sizeof(want), "%s", changes[i].status);
                if (backwards && (want[0] == '+' || want[0] == '-'))
                        want[0] = want[0] == '+' ? '-' : '+';
                if (changes[i].met || strcmp(want, change->status) != 0)
                        test_fail(__FILE__, __LINE__, "'%s' is '%s', not '%s'", change->path,
                                  change->status, want);
                changes[i].met = true;
                return 0;
        }
        test_fail(__FILE__, __LINE__, "'%s' is said to be '%s'", change->path, change->status);
}

static void expect_changes(struct world *w, fs_id from, fs_id to, bool backwards)
{
        for (size_t i = 0; i < N_CHANGES; i++)
                changes[i].met = false;
        ASSERT_OK(w->driver->diff(w->pool, from, to, meet, &backwards, &err));
        for (size_t i = 0; i < N_CHANGES; i++)
                if (!changes[i].met)
                        test_fail(__FILE__, __LINE__, "'%s' is not reported", changes[i].path);
}

static void change_all(int fd)
{
        /* user::rw- user:5:rw- group::r-- mask::rw- other::r--: not the mode that it had. */
        static const unsigned char acl[] = {
                2, 0, 0, 0,
                1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
                2, 0, 6, 0, 5, 0, 0, 0,
                4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
                16, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
                32, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
        };
        CLEANUP(closep) int a = openat(fd, "lib/a", O_RDONLY), rf = openat(fd, "odd/-rf", O_RDONLY);
        CLEANUP(closep) int sparse = openat(fd, "sparse", O_WRONLY);

        ASSERT(fchmodat(fd, ".", 0750, 0) == 0);
        put(fd, "index.php", "<?php version 2");
        ASSERT(fchmodat(fd, "tool", 0600, 0) == 0);
        ASSERT(fchownat(fd, "lib/b", 5, -1, 0) == 0);
        ASSERT(fchownat(fd, "lib/sub/c", -1, 6, 0) == 0);
        ASSERT(fsetxattr(a, "user.comment", "other", 5, 0) == 0);
        ASSERT(fsetxattr(rf, "system.posix_acl_access", acl, sizeof(acl), 0) == 0);
        put(fd, "new", "n");
        put_dir(fd, "new-dir", 0755);
        put(fd, "new-dir/in", "n");
        del(fd, "fifo");
        del_tree(fd, "sticky");
        del(fd, "lib/link");
        put_dir(fd, "lib/link", 0755);
        put(fd, "lib/link/in", "n");
        ASSERT(pwrite(sparse, "mid", 3, MB / 2) == 3);
        del(fd, "dangling");
        put_link(fd, "dangling", "elsewhere");
        ASSERT(fchownat(fd, "dangling", 1000, 1000, AT_SYMLINK_NOFOLLOW) == 0);
        ASSERT(renameat(fd, "odd/.wh.name", fd, "moved") == 0);

        /* And what is no change: the same again, times, a directory made anew. */
        put(fd, "odd/ two  spaces ", "spaces");
        ASSERT(utimensat(fd, "linked", NULL, 0) == 0);
        del_tree(fd, "odd/deep");
        put_dir(fd, "odd/deep", 0755);
}

TEST(diff_gives_the_letters_of_every_change)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put(w.head_fd, "sticky/in", "i");
        del_tree(w.head_fd, "odd/deep");
        put_dir(w.head_fd, "odd/deep", 0755);
        world_capture(&w, 1, 2);
        change_all(w.head_fd);
        expect_changes(&w, 2, 1, false);
        world_capture(&w, 1, 3);
        expect_changes(&w, 2, 3, false);
        expect_changes(&w, 3, 2, true);
        ASSERT_OK(w.driver->branch(w.pool, 2, 4, &err));
        expect_changes(&w, 4, 3, false);
        if (w.driver->tidy != NULL) {
                closep(&w.head_fd);
                w.head_fd = -1;
                ASSERT_OK(w.driver->tidy(w.pool, &err));
                expect_changes(&w, 2, 3, false);
        }
}

static int no_change(const struct fs_change *change, void *arg, struct err *e)
{
        (void)arg;
        (void)e;
        test_fail(__FILE__, __LINE__, "'%s' is said to be '%s'", change->path, change->status);
}

static int stop_at_once(const struct fs_change *change, void *arg, struct err *e)
{
        (void)change;
        (void)arg;
        return err_fail(e, ERR_TIMEOUT, 0, "enough");
}

TEST(diff_of_equal_trees_is_empty_and_a_visitor_can_stop_it)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        world_capture(&w, 1, 3);
        ASSERT_OK(w.driver->diff(w.pool, 2, 3, no_change, NULL, &err));
        ASSERT_OK(w.driver->diff(w.pool, 2, 2, no_change, NULL, &err));
        ASSERT_OK(w.driver->diff(w.pool, 3, 1, no_change, NULL, &err));
        put(w.head_fd, "new", "n");
        ASSERT_ERR(w.driver->diff(w.pool, 2, 1, stop_at_once, NULL, &err), ERR_TIMEOUT, "enough");
        ASSERT_ERR(w.driver->diff(w.pool, 2, 9, no_change, NULL, &err), ERR_NOT_FOUND, "9");
}

static int count_one(const struct fs_info *info, void *arg, struct err *e)
{
        (void)info;
        (void)e;
        (*(size_t *)arg)++;
        return 0;
}

static size_t n_trees(struct world *w)
{
        size_t n = 0;

        ASSERT_OK(w->driver->walk(w->pool, count_one, &n, &err));
        return n;
}

TEST(debris_of_a_crash_is_swept)
{
        char *one, *two;
        struct world w;

        world_make(&w);
        if (fs_case.plant == NULL)
                test_skip("this driver leaves no debris");
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        put(w.head_fd, "after", "a");
        one = listing(w.head_fd);
        closep(&w.head_fd);
        w.head_fd = -1;
        two = listing_of(&w, 2);
        fs_case.plant(&w);
        world_reopen(&w);
        ASSERT_EQ(n_trees(&w), 2);
        fs_case.expect_clean(&w);
        expect_same(one, listing_of(&w, 1));
        expect_same(two, listing_of(&w, 2));
        ASSERT_OK(w.driver->capture(w.pool, 1, 3, &err));
        expect_same(one, listing_of(&w, 3));
        ASSERT_OK(w.driver->branch(w.pool, 3, 4, &err));
        expect_same(one, listing_of(&w, 4));
}
