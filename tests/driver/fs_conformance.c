/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

/* The life of trees: made, told apart, kept apart, removed. */

static struct err err;

static struct fs_info seen[64];
static size_t n_seen;

static int collect(const struct fs_info *info, void *arg, struct err *e)
{
        (void)arg;
        (void)e;
        ASSERT(n_seen < 64);
        seen[n_seen++] = *info;
        return 0;
}

static size_t count_trees(struct world *w)
{
        n_seen = 0;
        ASSERT_OK(w->driver->walk(w->pool, collect, NULL, &err));
        return n_seen;
}

static void expect_tree(struct world *w, fs_id id, fs_id parent, enum fs_kind kind)
{
        struct fs_info info;

        ASSERT_OK(w->driver->stat(w->pool, id, &info, &err));
        ASSERT_EQ(info.id, id);
        ASSERT_EQ(info.parent, parent);
        ASSERT_EQ(info.kind, kind);
        for (size_t i = 0; i < n_seen; i++)
                if (seen[i].id == id && seen[i].parent == parent && seen[i].kind == kind)
                        return;
        test_fail(__FILE__, __LINE__, "walk() does not tell of %llu", (unsigned long long)id);
}

TEST(new_pool_has_no_trees)
{
        struct fs_info info;
        struct world w;

        world_make(&w);
        ASSERT_EQ(count_trees(&w), 0);
        ASSERT_ERR(w.driver->stat(w.pool, 1, &info, &err), ERR_NOT_FOUND, "1");
        world_reopen(&w);
        ASSERT_EQ(count_trees(&w), 0);
}

TEST(import_keeps_everything)
{
        struct world w;
        char *before;
        int fd;

        world_make(&w);
        put_dir(w.root_fd, "site-1", 0755);
        fd = openat(w.root_fd, "site-1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fill(fd);
        before = listing(fd);
        (void)close(fd);
        world_import(&w, 1);
        expect_same(before, listing_of(&w, 1));
        ASSERT_EQ(count_trees(&w), 1);
        expect_tree(&w, 1, 0, FS_HEAD);
}

TEST(import_repeats)
{
        struct world w;
        char *before;

        world_make(&w);
        world_import(&w, 1);
        before = listing_of(&w, 1);
        if (w.driver->features & FS_IMPORT_MOVES)
                ASSERT_OK(w.driver->import(w.pool, -1, 1, &err));
        else
                world_import(&w, 1);
        expect_same(before, listing_of(&w, 1));
        ASSERT_EQ(count_trees(&w), 1);
}

TEST(import_catches_up_where_it_copies)
{
        struct world w;
        char *before;
        int fd;

        world_make(&w);
        if (w.driver->features & FS_IMPORT_MOVES)
                test_skip("this driver moves the directory");
        world_import(&w, 1);
        fd = openat(w.root_fd, "site-1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put(fd, "new", "later");
        put(fd, "lib/a", "changed meanwhile");
        del(fd, "lib/b");
        before = listing(fd);
        (void)close(fd);
        world_import(&w, 1);
        expect_same(before, listing_of(&w, 1));
}

TEST(capture_is_the_head_as_it_was)
{
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        put(w.head_fd, "lib/new", "in");
        before = listing(w.head_fd);
        world_capture(&w, 1, 2);
        expect_same(before, listing_of(&w, 2));
        expect_same(before, listing(w.head_fd));
        ASSERT_EQ(count_trees(&w), 2);
        expect_tree(&w, 1, 0, FS_HEAD);
        expect_tree(&w, 2, 1, FS_FROZEN);
}

TEST(what_is_written_after_a_capture_is_not_in_it)
{
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        before = listing_of(&w, 2);
        put(w.head_fd, "index.php", "<?php version 2");
        put(w.head_fd, "lib/sub/new", "n");
        del(w.head_fd, "lib/a");
        ASSERT(fchmodat(w.head_fd, ".", 0700, 0) == 0);
        ASSERT(fchownat(w.head_fd, "lib", 7, 8, 0) == 0);
        ASSERT(fchmodat(w.head_fd, "tool", 0600, 0) == 0);
        expect_same(before, listing_of(&w, 2));
        expect_text(w.head_fd, "index.php", "<?php version 2");
        ASSERT(!has(w.head_fd, "lib/a"));
}

TEST(frozen_tree_cannot_be_written)
{
        CLEANUP(closep) int fd = -1;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        fd = world_mount(&w, 2, false);
        ASSERT(mkdirat(fd, "no", 0755) < 0 && errno == EROFS);
}

TEST(branches_are_apart_from_each_other)
{
        CLEANUP(closep) int a = -1, b = -1;
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        before = listing_of(&w, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        ASSERT_OK(w.driver->branch(w.pool, 2, 4, &err));
        expect_same(before, listing_of(&w, 3));
        a = world_mount(&w, 3, false);
        b = world_mount(&w, 4, false);
        put(a, "lib/a", "of 3");
        put(b, "lib/a", "of 4");
        del_tree(b, "lib/sub");
        put(w.head_fd, "lib/a", "of 1");
        expect_text(a, "lib/a", "of 3");
        expect_text(b, "lib/a", "of 4");
        expect_text(a, "lib/sub/c", "c");
        expect_same(before, listing_of(&w, 2));
        (void)count_trees(&w);
        expect_tree(&w, 3, 2, FS_HEAD);
        expect_tree(&w, 4, 2, FS_HEAD);
}

TEST(branch_is_captured_in_its_turn)
{
        struct world w;
        char *before;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        world_use(&w, 3);
        put(w.head_fd, "lib/a", "branched");
        del(w.head_fd, "linked");
        before = listing(w.head_fd);
        world_capture(&w, 3, 4);
        put(w.head_fd, "lib/a", "later");
        expect_same(before, listing_of(&w, 4));
        (void)count_trees(&w);
        expect_tree(&w, 4, 3, FS_FROZEN);
}

TEST(calls_repeat_with_the_same_numbers)
{
        struct world w;
        char *two, *three;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        put(w.head_fd, "after", "a");
        two = listing_of(&w, 2);
        ASSERT_OK(w.driver->capture(w.pool, 1, 2, &err));
        expect_same(two, listing_of(&w, 2));
        ASSERT(has(w.head_fd, "after"));
        world_use(&w, 1);
        ASSERT(has(w.head_fd, "after"));
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        world_use(&w, 3);
        put(w.head_fd, "branched", "b");
        ASSERT_OK(w.driver->branch(w.pool, 2, 3, &err));
        three = listing(w.head_fd);
        world_use(&w, 3);
        expect_same(three, listing(w.head_fd));
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        ASSERT_EQ(count_trees(&w), 2);
}

TEST(everything_survives_a_new_open)
{
        struct world w;
        char *one, *two;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        put(w.head_fd, "after", "a");
        ASSERT_OK(w.driver->sync(w.pool, 1, &err));
        one = listing(w.head_fd);
        two = listing_of(&w, 2);
        closep(&w.head_fd);
        w.head_fd = -1;
        world_reopen(&w);
        ASSERT_EQ(count_trees(&w), 2);
        expect_same(two, listing_of(&w, 2));
        world_use(&w, 1);
        expect_same(one, listing(w.head_fd));
}

TEST(unknown_trees_are_said_to_be_unknown)
{
        struct mount_spec spec;
        struct fs_sizes sizes;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        ASSERT_ERR(w.driver->capture(w.pool, 9, 10, &err), ERR_NOT_FOUND, "9");
        ASSERT_ERR(w.driver->branch(w.pool, 9, 10, &err), ERR_NOT_FOUND, "9");
        ASSERT_ERR(w.driver->mounts(w.pool, 9, true, &spec, &err), ERR_NOT_FOUND, "9");
        ASSERT_ERR(w.driver->sizes(w.pool, 9, &sizes, &err), ERR_NOT_FOUND, "9");
        ASSERT_ERR(w.driver->sync(w.pool, 9, &err), ERR_NOT_FOUND, "9");
        ASSERT_ERR(w.driver->capture(w.pool, 2, 10, &err), ERR_NOT_FOUND, "2");
        ASSERT_ERR(w.driver->branch(w.pool, 1, 10, &err), ERR_NOT_FOUND, "1");
        ASSERT_OK(w.driver->remove(w.pool, 9, &err));
        ASSERT_EQ(count_trees(&w), 2);
}

TEST(trees_are_removed_in_any_order)
{
        /* 1 head; 2, 3, 4 captured from it; 5 branched from 3. */
        static const fs_id orders[][5] = {
                { 2, 3, 4, 5, 1 }, { 3, 2, 5, 4, 1 }, { 1, 2, 3, 4, 5 }, { 4, 1, 3, 5, 2 },
        };

        for (size_t o = 0; o < 4; o++) {
                char *kept[6] = { 0 };
                bool gone[6] = { 0 };
                struct world w;

                world_make(&w);
                world_start(&w, 1);
                for (fs_id id = 2; id <= 4; id++) {
                        char text[24];

                        (void)snprintf(text, sizeof(text), "round %d", (int)id);
                        put(w.head_fd, "lib/a", text);
                        put(w.head_fd, text, text);
                        world_capture(&w, 1, id);
                }
                ASSERT_OK(w.driver->branch(w.pool, 3, 5, &err));
                closep(&w.head_fd);
                for (fs_id id = 1; id <= 5; id++)
                        kept[id] = listing_of(&w, id);
                for (size_t i = 0; i < 5; i++) {
                        ASSERT_OK(w.driver->remove(w.pool, orders[o][i], &err));
                        gone[orders[o][i]] = true;
                        ASSERT_EQ(count_trees(&w), 4 - i);
                        for (fs_id id = 1; id <= 5; id++)
                                if (!gone[id])
                                        expect_same(kept[id], listing_of(&w, id));
                }
        }
}

TEST(mounted_trees_are_not_removed)
{
        CLEANUP(closep) int versions_fd = -1, fd = -1;
        char versions[200];
        struct world w;
        pid_t holder;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        closep(&w.head_fd);
        (void)snprintf(versions, sizeof(versions), "%s/versions", w.root);
        (void)close(root_dir(w.root, "versions"));
        root_share(versions);
        versions_fd = open(versions, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put_dir(versions_fd, "1", 0755);
        put_dir(versions_fd, "2", 0755);
        for (fs_id id = 1; id <= 2; id++) {
                char name[8];

                (void)snprintf(name, sizeof(name), "%d", (int)id);
                fd = world_mount(&w, id, false);
                ASSERT_OK(mount_attach(fd, versions_fd, name, &err));
                (void)close(steal_fd(&fd));
        }
        ASSERT_ERR(w.driver->remove(w.pool, 2, &err), ERR_BUSY, "2");
        ASSERT_ERR(w.driver->remove(w.pool, 1, &err), ERR_BUSY, "1");
        holder = root_hold(NULL, NULL, MS_PRIVATE);
        ASSERT_OK(mount_detach(versions_fd, "2", &err));
        ASSERT_ERR(w.driver->remove(w.pool, 2, &err), ERR_BUSY, "2");
        root_release(holder);
        /* The head is still mounted, on top of what the frozen tree is made of. */
        ASSERT_OK(w.driver->remove(w.pool, 2, &err));
        expect_text(versions_fd, "1/lib/a", "a");
        ASSERT_OK(mount_detach(versions_fd, "1", &err));
        ASSERT_OK(w.driver->remove(w.pool, 1, &err));
        ASSERT_EQ(count_trees(&w), 0);
}
