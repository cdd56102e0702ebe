/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h> /* ST_RDONLY */
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/btrfs_internal.h"
#include "fsdrivers/btrfs_nested.h"
#include "fsdrivers/btrfs_search.h"
#include "fsdrivers/tree.h"

/* Not in <linux/magic.h> of every version. */
#ifndef BTRFS_SUPER_MAGIC
#define BTRFS_SUPER_MAGIC 0x9123683E
#endif

/* Stops the search at the one item that says whether quota groups are on. */
static int see_quota(const struct btrfs_item *item, void *arg, struct err *err)
{
        bool *on = arg;

        (void)err;
        if (item->type != BTRFS_QGROUP_STATUS_KEY)
                return 0;
        *on = (BTRFS_GET(item, struct btrfs_qgroup_status_item, flags) &
               BTRFS_QGROUP_STATUS_FLAG_ON) != 0;
        return 1;
}

/* With quota groups a snapshot of a large site takes a second instead of two milliseconds, and
 * the removal of one keeps the cleaner busy for twenty (Linux 6.18, 100,000 files). */
static int probe_quota(int fd, struct err *err)
{
        const struct btrfs_range range = { .tree = BTRFS_QUOTA_TREE_OBJECTID,
                                           .min_type = BTRFS_QGROUP_STATUS_KEY,
                                           .max_type = BTRFS_QGROUP_STATUS_KEY,
                                           .buffer_bytes = 4096 };
        bool on = false;

        if (btrfs_search(fd, &range, see_quota, &on, err) < 0) {
                if (err->code == ERR_NOT_FOUND)
                        return 0; /* there is no quota tree */
                if (err->os == EPERM)
                        return err_fail(err, ERR_UNSUPPORTED, 0, "snapshots need root");
                return -1;
        }
        if (on)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "this btrfs has quota groups, which make snapshots slow: "
                                "`btrfs quota disable` them");
        return 0;
}

static int btrfs_probe(int dir_fd, struct err *err)
{
        CLEANUP(closep) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct statfs fs;

        if (fd < 0 || fstatfs(fd, &fs) < 0)
                return err_fail(err, ERR_IO, errno, "cannot look at the file system");
        if ((unsigned long)fs.f_type != BTRFS_SUPER_MAGIC)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the file system is not btrfs");
        if (fs.f_flags & ST_RDONLY)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the file system is read-only");
        return probe_quota(fd, err);
}

static void btrfs_close(struct fs_pool *pool)
{
        if (pool == NULL)
                return;
        closep(&pool->fd);
        closep(&pool->trees_fd);
        free(pool);
}

/* The directory of trees is all that a pool consists of. Its entry is synced at once: everything
 * that comes later is a transaction of btrfs, which would bring it along, but an empty pool that
 * was acknowledged has to be there too. */
static int open_pool(struct fs_pool *pool, int dir_fd, struct err *err)
{
        bool made;

        if (safepath_open(dir_fd, "", O_RDONLY | O_DIRECTORY, &pool->fd, err) < 0)
                return -1;
        made = mkdirat(pool->fd, BTRFS_TREES, 0700) == 0;
        if (!made && errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot make '" BTRFS_TREES "'");
        if (made && file_sync_dir(pool->fd, err) < 0)
                return -1;
        if (safepath_open(pool->fd, BTRFS_TREES, O_RDONLY | O_DIRECTORY, &pool->trees_fd, err) < 0)
                return -1;
        return btrfs_sweep(pool, err);
}

static int btrfs_open(int dir_fd, struct fs_pool **ret_pool, struct err *err)
{
        struct fs_pool *pool = malloc(sizeof(*pool));

        if (pool == NULL)
                return err_oom(err);
        *pool = (struct fs_pool){ .fd = -1, .trees_fd = -1 };
        if (open_pool(pool, dir_fd, err) < 0) {
                btrfs_close(pool);
                return err_wrap(err, "opening the pool");
        }
        *ret_pool = pool;
        return 0;
}

/* Make wanted a snapshot of the tree numbered source, which is of the other kind. */
static int snapshot(struct fs_pool *pool, fs_id source, const struct btrfs_tree *wanted,
                    struct err *err)
{
        CLEANUP(btrfs_trees_done) struct btrfs_trees trees = { .n = 0 };
        CLEANUP(btrfs_nested_done) struct btrfs_nested nested = { .n = 0 };
        CLEANUP(closep) int fd = -1;
        const struct btrfs_tree *from, *there;
        bool freeze = wanted->info.kind == FS_FROZEN;
        enum btrfs_util_error e;

        if (btrfs_trees_load(pool, &trees, err) < 0)
                return -1;
        /* Run again after it succeeded: the name alone proves that the snapshot is whole. */
        there = btrfs_trees_find(&trees, wanted->info.id);
        if (there != NULL && strcmp(there->name, wanted->name) == 0)
                return 0;
        if (there != NULL)
                return err_fail(err, ERR_EXISTS, 0, "tree %" PRIu64 " is there and is another",
                                wanted->info.id);
        from = btrfs_trees_find(&trees, source);
        if (from == NULL || from->info.kind == wanted->info.kind)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no %s %" PRIu64,
                                freeze ? "head" : "frozen tree", source);
        if (btrfs_tree_open(pool, from, &fd, err) < 0)
                return -1;
        if (freeze && btrfs_nested_load(fd, &nested, err) < 0)
                return -1;
        if (nested.n > 0)
                return btrfs_nested_freeze(pool, fd, &nested, wanted->name, err);

        /* The read-only flag on the head would not stop who has a file of it open: the frozen
         * tree is a snapshot that was read-only from its first moment.  The call writes out what
         * is dirty in the head and commits, with the new name in the same transaction, so there
         * is nothing left to sync. */
        e = btrfs_util_create_snapshot_fd2(fd, pool->trees_fd, wanted->name,
                                           freeze ? BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY : 0, NULL,
                                           NULL);
        if (e != BTRFS_UTIL_OK)
                return btrfs_fail(err, e, "cannot take the snapshot '%s'", wanted->name);
        return 0;
}

/* The names say what was made of what, so both directions are one function. */
static int btrfs_capture(struct fs_pool *pool, fs_id head, fs_id frozen, struct err *err)
{
        const struct btrfs_tree wanted = btrfs_tree_make(FS_FROZEN, frozen, head);

        return snapshot(pool, head, &wanted, err);
}

static int btrfs_branch(struct fs_pool *pool, fs_id frozen, fs_id head, struct err *err)
{
        const struct btrfs_tree wanted = btrfs_tree_make(FS_HEAD, head, frozen);

        return snapshot(pool, frozen, &wanted, err);
}

static int btrfs_remove(struct fs_pool *pool, fs_id id, struct err *err)
{
        struct btrfs_tree tree;

        if (btrfs_tree_get(pool, id, &tree, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (btrfs_tree_check(pool, &tree, err) < 0 || btrfs_destroy(pool, tree.name, err) < 0)
                return -1;
        return btrfs_commit(pool->trees_fd, err);
}

static int btrfs_stat(struct fs_pool *pool, fs_id id, struct fs_info *ret_info, struct err *err)
{
        struct btrfs_tree tree;

        if (btrfs_tree_get(pool, id, &tree, err) < 0)
                return -1;
        *ret_info = tree.info;
        return 0;
}

static int btrfs_walk(struct fs_pool *pool, fs_visit visit, void *arg, struct err *err)
{
        CLEANUP(btrfs_trees_done) struct btrfs_trees trees = { .n = 0 };

        if (btrfs_trees_load(pool, &trees, err) < 0)
                return -1;
        for (size_t i = 0; i < trees.n; i++)
                if (visit(&trees.v[i].info, arg, err) < 0)
                        return -1;
        return 0;
}

/* The calls that are about heads treat a frozen tree as not there. */
static int head_get(struct fs_pool *pool, fs_id head, struct btrfs_tree *ret_tree, struct err *err)
{
        if (btrfs_tree_get(pool, head, ret_tree, err) < 0)
                return -1;
        if (ret_tree->info.kind != FS_HEAD)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no head %" PRIu64, head);
        return 0;
}

/* A subvolume can be renamed and looked into like any directory. */
static int btrfs_slot(struct fs_pool *pool, fs_id head, int *ret_dir_fd,
                      char name[static NAME_MAX + 1], struct err *err)
{
        struct btrfs_tree tree;

        if (head_get(pool, head, &tree, err) < 0 ||
            safepath_open(pool->trees_fd, "", O_RDONLY | O_DIRECTORY, ret_dir_fd, err) < 0)
                return -1;
        (void)snprintf(name, NAME_MAX + 1, "%s", tree.name);
        return 0;
}

static int btrfs_mounts(struct fs_pool *pool, fs_id id, bool read_only, struct mount_spec *ret_spec,
                        struct err *err)
{
        struct btrfs_tree tree;
        char *source;

        if (btrfs_tree_get(pool, id, &tree, err) < 0)
                return -1;
        if (asprintf(&source, BTRFS_TREES "/%s", tree.name) < 0)
                return err_oom(err);
        *ret_spec = (struct mount_spec){ .kind = MOUNT_BIND,
                                         .read_only = read_only || tree.info.kind == FS_FROZEN,
                                         .source = source };
        return 0;
}

/* A snapshot would write out this subvolume alone, but leave a subvolume behind; whoever asks
 * for a sync is about to let go of the tree, and waits. */
static int btrfs_sync(struct fs_pool *pool, fs_id id, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct btrfs_tree tree;

        if (btrfs_tree_get(pool, id, &tree, err) < 0 || btrfs_tree_open(pool, &tree, &fd, err) < 0)
                return -1;
        if (syncfs(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync tree %" PRIu64, id);
        return 0;
}

/* A commit takes some milliseconds, and nearly always all stubs are there from the last time. */
static bool stubs_there(int fd, const char *const *paths, size_t n)
{
        struct err ignored;

        for (size_t i = 0; i < n; i++) {
                CLEANUP(closep) int stub_fd = -1;

                if (safepath_open(fd, paths[i], O_PATH | O_DIRECTORY, &stub_fd, &ignored) < 0)
                        return false;
        }
        return true;
}

static int btrfs_stubs(struct fs_pool *pool, fs_id head, const char *const *paths, size_t n,
                       struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct btrfs_tree tree;

        if (head_get(pool, head, &tree, err) < 0 || btrfs_tree_open(pool, &tree, &fd, err) < 0)
                return -1;
        if (stubs_there(fd, paths, n))
                return 0;
        for (size_t i = 0; i < n; i++)
                if (tree_stub(fd, paths[i], err) < 0)
                        return -1;
        return btrfs_commit(fd, err);
}

/* Nothing to do: every head is a plain directory already, see slot(). */
static int btrfs_flatten(struct fs_pool *pool, fs_id head, struct err *err)
{
        struct btrfs_tree tree;

        return head_get(pool, head, &tree, err);
}

const struct fs_driver fs_driver_btrfs = {
        .name = "btrfs",
        .features = 0,
        .probe = btrfs_probe,
        .open = btrfs_open,
        .close = btrfs_close,
        .import = btrfs_import,
        .slot = btrfs_slot,
        .capture = btrfs_capture,
        .branch = btrfs_branch,
        .remove = btrfs_remove,
        .stat = btrfs_stat,
        .walk = btrfs_walk,
        .mounts = btrfs_mounts,
        .sync = btrfs_sync,
        .stubs = btrfs_stubs,
        .sizes = btrfs_sizes,
        .diff = btrfs_diff,
        .flatten = btrfs_flatten,
};
