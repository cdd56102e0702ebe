/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <btrfsutil.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "fsdrivers/treecopy.h"
#include "tests/driver/fs_conformance.h"

/* What is the btrfs driver's own, beside the suite. */

static struct err err;

static int site(struct world *w, const char *name)
{
        int fd = openat(w->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT(fd >= 0);
        return fd;
}

/* In the directory path of fd, which may be O_PATH as mounts are. */
static void make_subvolume(int fd, const char *path, const char *name)
{
        CLEANUP(closep) int dir_fd = openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT(btrfs_util_create_subvolume_fd(dir_fd, name, 0, NULL, NULL) == BTRFS_UTIL_OK);
}

/* A file of random bytes, so that no compression or dedupe makes it smaller. */
static void put_big(int fd, const char *path, unsigned mbytes)
{
        CLEANUP(closep) int file = openat(fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CLEANUP(closep) int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
        static char mb[1 << 20];

        for (unsigned i = 0; i < mbytes; i++)
                ASSERT(read(random, mb, sizeof(mb)) == sizeof(mb) &&
                       write(file, mb, sizeof(mb)) == sizeof(mb));
        ASSERT(fsync(file) == 0);
}

static bool is_between(uint64_t value, uint64_t low, uint64_t high)
{
        if (value < low || value > high)
                printf("# %llu is not between %llu and %llu\n", (unsigned long long)value,
                       (unsigned long long)low, (unsigned long long)high);
        return value >= low && value <= high;
}

TEST(probe_says_why_not)
{
        CLEANUP(closep) int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int path_fd = -1;
        struct btrfs_ioctl_quota_ctl_args quota = { .cmd = BTRFS_QUOTA_CTL_ENABLE };
        struct world w;

        world_make(&w);
        ASSERT_ERR(fs_driver_btrfs.probe(fd, &err), ERR_UNSUPPORTED, "not btrfs");
        path_fd = open(w.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fs_driver_btrfs.probe(path_fd, &err));
        if (ioctl(w.root_fd, BTRFS_IOC_QUOTA_CTL, &quota) < 0)
                test_skip("no quota here: %s", strerror(errno));
        ASSERT_ERR(fs_driver_btrfs.probe(w.root_fd, &err), ERR_UNSUPPORTED, "quota");
        quota.cmd = BTRFS_QUOTA_CTL_DISABLE;
        ASSERT(ioctl(w.root_fd, BTRFS_IOC_QUOTA_CTL, &quota) == 0);
        ASSERT_OK(fs_driver_btrfs.probe(w.root_fd, &err));
}

TEST(a_subvolume_is_imported_as_a_snapshot)
{
        CLEANUP(closep) int fd = -1;
        struct fs_sizes sizes;
        struct world w;
        char *before;

        world_make(&w);
        make_subvolume(w.root_fd, ".", "site-1");
        fd = site(&w, "site-1");
        fill(fd);
        put_big(fd, "big", 8);
        before = listing(fd);
        world_import(&w, 1);
        expect_same(before, listing_of(&w, 1));
        ASSERT_OK(w.driver->sizes(w.pool, 1, &sizes, &err));
        ASSERT(is_between(sizes.freed_bytes, 0, 100000));
        put(fd, "later", "caught up");
        before = listing(fd);
        world_import(&w, 1);
        expect_same(before, listing_of(&w, 1));
}

TEST(a_copied_site_shares_its_bytes)
{
        CLEANUP(closep) int fd = -1;
        struct fs_sizes sizes;
        struct world w;

        world_make(&w);
        put_dir(w.root_fd, "site-1", 0755);
        fd = site(&w, "site-1");
        put_big(fd, "big", 8);
        world_import(&w, 1);
        ASSERT_OK(w.driver->sizes(w.pool, 1, &sizes, &err));
        ASSERT(is_between(sizes.freed_bytes, 0, 100000));
        ASSERT(is_between(sizes.total_bytes, 8 << 20, 9 << 20));
}

TEST(nested_subvolumes_are_refused_by_name)
{
        CLEANUP(closep) int plain = -1, fd = -1;
        struct world w;

        world_make(&w);
        make_subvolume(w.root_fd, ".", "site-1");
        fd = site(&w, "site-1");
        make_subvolume(fd, ".", "cache");
        ASSERT_ERR(w.driver->import(w.pool, fd, 1, &err), ERR_REFUSED, "cache'");
        put_dir(w.root_fd, "site-2", 0755);
        plain = site(&w, "site-2");
        put_dir(plain, "deep", 0755);
        make_subvolume(plain, "deep", "er");
        ASSERT_ERR(w.driver->import(w.pool, plain, 2, &err), ERR_REFUSED, "'deep/er'");
}

/* What a tenant makes after adoption neither stops a capture nor gets lost in it. */
TEST(nested_subvolumes_are_kept_as_directories)
{
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        put_dir(w.head_fd, "var", 0750);
        make_subvolume(w.head_fd, "var", "store");
        put(w.head_fd, "var/store/file", "x");
        put_big(w.head_fd, "var/store/big", 4);
        put_dir(w.head_fd, "var/store/dir", 0711);
        make_subvolume(w.head_fd, "var/store/dir", "inner");
        put(w.head_fd, "var/store/dir/inner/deep", "y");
        ASSERT(fchmodat(w.head_fd, "var/store", 0750, 0) == 0);
        before = listing(w.head_fd);
        ASSERT_OK(w.driver->capture(w.pool, 1, 2, &err));
        ASSERT_OK(w.driver->capture(w.pool, 1, 2, &err));
        expect_same(before, listing_of(&w, 2));
        expect_same(before, listing(w.head_fd));
        ASSERT(!has(w.pool_fd, "trees/f2.1.partial"));
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        expect_same(before, listing_of(&w, 3));
        ASSERT_OK(w.driver->capture(w.pool, 3, 4, &err));
        expect_same(before, listing_of(&w, 4));
}

TEST(a_head_with_subvolumes_in_it_is_removed_all_the_same)
{
        struct fs_info info;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        make_subvolume(w.head_fd, ".", "a");
        make_subvolume(w.head_fd, "a", "b");
        make_subvolume(w.head_fd, "a/b", "c");
        put(w.head_fd, "a/b/c/file", "x");
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        ASSERT_ERR(w.driver->stat(w.pool, 1, &info, &err), ERR_NOT_FOUND, "1");
        ASSERT(!has(w.pool_fd, "trees/h1.0") && !has(w.pool_fd, "trees/h1.0.partial"));
}

TEST(a_read_only_flag_set_by_the_owner_makes_no_frozen_tree)
{
        CLEANUP(closep) int fd = -1;
        struct fs_info info;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        fd = openat(w.head_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(btrfs_util_set_subvolume_read_only_fd(fd, true) == BTRFS_UTIL_OK);
        ASSERT_OK(w.driver->stat(w.pool, 1, &info, &err));
        ASSERT_EQ(info.kind, FS_HEAD);
        ASSERT_OK(w.driver->capture(w.pool, 1, 2, &err));
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        world_use(&w, 3);
        put(w.head_fd, "writable", "x");
}

/* The mount of a frozen tree is read-only; so is what lies below it, for who gets there otherwise.
 */
TEST(a_frozen_tree_is_read_only_in_itself)
{
        CLEANUP(closep) int fd = -1;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        fd = openat(w.pool_fd, "trees/f2.1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(fd >= 0 && mkdirat(fd, "no", 0755) < 0 && errno == EROFS);
}

/* Nothing is left of what did not fit, and what is there can still be frozen and given up. */
TEST(a_full_disk_leaves_no_half_trees)
{
        CLEANUP(closep) int fd = -1;
        struct fs_info info;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put_big(w.head_fd, "most", 120);
        (void)close(root_dir(test_tmpdir(), "large"));
        fd = root_dir(test_tmpdir(), "large/site"); /* elsewhere, so no byte can be shared */
        put_big(fd, "too-much", 180);
        ASSERT_ERR(w.driver->import(w.pool, fd, 2, &err), ERR_NO_SPACE, "too-much");
        ASSERT_ERR(w.driver->stat(w.pool, 2, &info, &err), ERR_NOT_FOUND, "2");
        ASSERT(!has(w.pool_fd, "trees/h2.0.partial"));
        ASSERT_OK(w.driver->capture(w.pool, 1, 3, &err));
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        expect_text(w.head_fd, "lib/a", "a");
}

TEST(numbers_of_another_tree_are_not_overwritten)
{
        CLEANUP(closep) int fd = -1;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        ASSERT_ERR(w.driver->capture(w.pool, 3, 2, &err), ERR_EXISTS, "2");
        fd = site(&w, "site-1");
        ASSERT_ERR(w.driver->import(w.pool, fd, 3, &err), ERR_EXISTS, "3");
        ASSERT_ERR(w.driver->import(w.pool, fd, 2, &err), ERR_EXISTS, "2");
}

TEST(only_exact_names_are_trees)
{
        static const char *const others[] = {
                "h",
                "h1",
                "h01.0",
                "h1.00",
                "h1.",
                "h1.0x",
                "x1.0",
                "h.0",
                "h0.0",
                "h-1.0",
                "h 1.0",
                "H1.0",
                "h1.0.0",
                "f1,2",
                "h+1.0",
                "h18446744073709551616.0",
                "h1.99999999999999999999999999999999999999999999999999",
        };
        CLEANUP(closep) int trees_fd = -1;
        struct fs_info info;
        struct world w;

        world_make(&w);
        trees_fd = openat(w.pool_fd, "trees", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                make_subvolume(trees_fd, ".", others[i]);
        ASSERT_ERR(w.driver->stat(w.pool, 1, &info, &err), ERR_NOT_FOUND, "1");
        make_subvolume(trees_fd, ".", "f18446744073709551615.18446744073709551614");
        ASSERT_OK(w.driver->stat(w.pool, UINT64_MAX, &info, &err));
        ASSERT(info.parent == UINT64_MAX - 1 && info.kind == FS_FROZEN);
}

TEST(debris_is_swept_unless_someone_is_at_it)
{
        CLEANUP(closep) int trees_fd = -1;
        struct world w;

        world_make(&w);
        trees_fd = openat(w.pool_fd, "trees", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        make_subvolume(trees_fd, ".", "h7.0.partial");
        ASSERT(flock(trees_fd, LOCK_SH) == 0);
        world_reopen(&w);
        ASSERT(has(trees_fd, "h7.0.partial"));
        ASSERT(flock(trees_fd, LOCK_UN) == 0);
        world_reopen(&w);
        ASSERT(!has(trees_fd, "h7.0.partial"));
}

#define KILLS 26

/* Import killed at any moment: the head is there with everything, or not at all. */
TEST(a_killed_import_is_whole_or_absent)
{
        unsigned whole = 0, absent = 0;
        int64_t started, took;
        struct world w;
        char *wanted;
        int fd;

        world_make(&w);
        put_dir(w.root_fd, "site-1", 0755);
        fd = site(&w, "site-1");
        for (unsigned i = 0; i < 800; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "f%u", i);
                put(fd, name, name);
        }
        (void)usleep(20000);
        wanted = listing(fd);
        started = clock_boot_usec();
        ASSERT_OK(w.driver->import(w.pool, fd, 1, &err));
        took = clock_boot_usec() - started;
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        /* On a busy machine the next one may take several times as long. */
        for (unsigned i = 0; i < KILLS || (whole == 0 && i < KILLS + 6); i++) {
                int64_t wait = i < KILLS ? took * i * 13 / (10 * KILLS) : took << (i - KILLS + 1);
                struct fs_info info;
                pid_t pid = fork();

                ASSERT(pid >= 0);
                if (pid == 0)
                        _exit(w.driver->import(w.pool, fd, 1, &err) < 0);
                (void)usleep((unsigned)wait);
                (void)kill(pid, SIGKILL);
                ASSERT(waitpid(pid, NULL, 0) == pid);
                world_reopen(&w);
                if (w.driver->stat(w.pool, 1, &info, &err) == 0) {
                        expect_same(wanted, listing_of(&w, 1));
                        whole++;
                        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
                } else {
                        absent++;
                }
                ASSERT(!has(w.pool_fd, "trees/h1.0.partial"));
        }
        printf("# whole %u times, absent %u times\n", whole, absent);
        ASSERT(absent > 0 && whole > 0);
        (void)close(fd);
}

TEST(sizes_tell_what_a_removal_frees)
{
        struct fs_sizes sizes;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put_big(w.head_fd, "kept", 4);
        put_big(w.head_fd, "doomed", 8);
        world_capture(&w, 1, 2);
        del(w.head_fd, "doomed");
        put_big(w.head_fd, "between", 2);
        world_capture(&w, 1, 3);
        del(w.head_fd, "between");
        put_big(w.head_fd, "new", 16);

        ASSERT_OK(w.driver->sizes(w.pool, 2, &sizes, &err));
        ASSERT(is_between(sizes.freed_bytes, 8 << 20, (8 << 20) + 100000));
        ASSERT(is_between(sizes.total_bytes, 12 << 20, (12 << 20) + 200000));
        ASSERT_OK(w.driver->sizes(w.pool, 3, &sizes, &err));
        ASSERT(is_between(sizes.freed_bytes, 2 << 20, (2 << 20) + 100000));
        ASSERT_OK(w.driver->sizes(w.pool, 1, &sizes, &err));
        ASSERT(is_between(sizes.freed_bytes, 16 << 20, (16 << 20) + 100000));

        /* With its neighbours gone, a tree frees what they had in common too. */
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        ASSERT(root_run((const char *const[]){ "btrfs", "subvolume", "sync", w.root, NULL }) == 0);
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        ASSERT(root_run((const char *const[]){ "btrfs", "subvolume", "sync", w.root, NULL }) == 0);
        ASSERT_OK(w.driver->sizes(w.pool, 2, &sizes, &err));
        ASSERT(is_between(sizes.freed_bytes, 12 << 20, (12 << 20) + 100000));
}
