/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/btrfs_internal.h"
#include "fsdrivers/btrfs_search.h"
#include "fsdrivers/list.h"

/*
 * What a tree would free is the extents that only it refers to.  Asking the kernel who refers to
 * an extent is exact and slow (some 10 us), so most are ruled out first:
 *
 *   - Blocks not newer than the latest frozen tree in its own past are in that tree too, with all
 *     extents they refer to.
 *   - Extents that its nearest relative refers to as well are shared.
 *
 * Metadata, files small enough to lie in it, and what is not written out yet are not counted.
 */

#define ASK_BYTES      (64 * 1024)
#define RELATIVE_WORTH 500 /* candidates from which reading the relative pays */

struct extent {
        uint64_t bytenr, bytes;
};

/* What is gathered from a tree in one search. */
struct extents {
        struct extent *v;
        size_t n, room;
        uint64_t newer_than;  /* only those in blocks written after this */
        uint64_t inode_bytes; /* as stat(2) counts blocks: in whole pages */
};

static void extents_done(struct extents *extents)
{
        free(extents->v);
}

static int see_extent(const struct btrfs_item *item, void *arg, struct err *err)
{
        const size_t type_at = offsetof(struct btrfs_file_extent_item, type);
        struct extents *extents = arg;
        struct extent extent;

        if (item->type == BTRFS_INODE_ITEM_KEY)
                extents->inode_bytes +=
                        (BTRFS_GET(item, struct btrfs_inode_item, nbytes) + 4095) & ~4095ULL;
        if (item->type != BTRFS_EXTENT_DATA_KEY || item->transid <= extents->newer_than ||
            item->len <= type_at || item->data[type_at] == BTRFS_FILE_EXTENT_INLINE)
                return 0;
        extent.bytenr = BTRFS_GET(item, struct btrfs_file_extent_item, disk_bytenr);
        extent.bytes = BTRFS_GET(item, struct btrfs_file_extent_item, disk_num_bytes);
        if (extent.bytenr == 0)
                return 0; /* a hole */
        if (!LIST_ROOM(extents))
                return err_oom(err);
        extents->v[extents->n++] = extent;
        return 0;
}

/* By place on disk, which is also what tells one extent from another. */
static int extent_order(const void *a, const void *b)
{
        const struct extent *one = a, *two = b;

        return (one->bytenr > two->bytenr) - (one->bytenr < two->bytenr);
}

/* The extents of a tree, each once, in order, and the size of its inodes. */
static int extents_load(int fd, uint64_t root, struct extents *extents, struct err *err)
{
        const struct btrfs_range range = { .tree = root,
                                           .min_objectid = BTRFS_FIRST_FREE_OBJECTID,
                                           .max_objectid = BTRFS_LAST_FREE_OBJECTID,
                                           .max_type = UINT8_MAX,
                                           .max_offset = UINT64_MAX };
        size_t kept = 0;

        if (btrfs_search(fd, &range, see_extent, extents, err) < 0)
                return -1;
        if (extents->n == 0)
                return 0;
        qsort(extents->v, extents->n, sizeof(*extents->v), extent_order);
        for (size_t i = 1; i < extents->n; i++)
                if (extents->v[i].bytenr != extents->v[kept].bytenr)
                        extents->v[++kept] = extents->v[i];
        extents->n = kept + 1;
        return 0;
}

/* Both lists are in order, so one pass is enough. */
static void subtract(struct extents *extents, const struct extents *others)
{
        size_t kept = 0, j = 0;

        for (size_t i = 0; i < extents->n; i++) {
                while (j < others->n && others->v[j].bytenr < extents->v[i].bytenr)
                        j++;
                if (j == others->n || others->v[j].bytenr != extents->v[i].bytenr)
                        extents->v[kept++] = extents->v[i];
        }
        extents->n = kept;
}

/* Does any other subvolume refer to the extent?  One that cannot be told counts as shared: it is
 * better to promise too little. */
static bool is_shared(int fd, uint64_t root, uint64_t bytenr, struct btrfs_data_container *answer)
{
        struct btrfs_ioctl_logical_ino_args args = {
                .logical = bytenr,
                .size = ASK_BYTES,
                .flags = BTRFS_LOGICAL_INO_ARGS_IGNORE_OFFSET,
                .inodes = (uintptr_t)answer,
        };

        if (ioctl(fd, BTRFS_IOC_LOGICAL_INO_V2, &args) < 0)
                return true;
        for (uint32_t i = 0; i + 2 < answer->elem_cnt; i += 3) /* inode, offset, root */
                if (answer->val[i + 2] != root)
                        return true;
        return false;
}

/* What a tree has in common with the others of the pool. */
struct kinship {
        uint64_t kept;     /* blocks up to this generation are in a frozen tree as well */
        uint64_t relative; /* root of the tree that split last, 0 for none */
};

/* Asks every tree of the pool for its history: some microseconds each. */
static int kinship_find(struct fs_pool *pool, const struct btrfs_trees *trees,
                        const struct btrfs_tree *tree, const struct btrfs_history *history,
                        struct kinship *kin, struct err *err)
{
        uint64_t latest = 0, latest_made = 0;

        for (size_t i = 0; i < trees->n; i++) {
                CLEANUP(btrfs_history_done) struct btrfs_history other = { .n = 0 };
                uint64_t split;

                if (trees->v[i].info.id == tree->info.id)
                        continue;
                if (btrfs_history_load(pool, trees, &trees->v[i], &other, err) < 0)
                        return -1;
                split = btrfs_history_split(history, &other);
                /* Frozen before the two split: it still is what both were then. */
                if (trees->v[i].info.kind == FS_FROZEN && split >= other.otransid &&
                    split > kin->kept)
                        kin->kept = split;
                if (split > latest || (split == latest && other.otransid < latest_made)) {
                        latest = split;
                        latest_made = other.otransid;
                        kin->relative = other.root;
                }
        }
        return 0;
}

static int sizes_count(struct fs_pool *pool, const struct btrfs_history *history,
                       const struct kinship *kin, struct fs_sizes *ret_sizes, struct err *err)
{
        CLEANUP(extents_done) struct extents own = { .newer_than = kin->kept };
        CLEANUP(extents_done) struct extents others = { .n = 0 };
        CLEANUP(freep) struct btrfs_data_container *answer = malloc(ASK_BYTES);
        uint64_t bytes = 0;

        if (answer == NULL)
                return err_oom(err);
        if (extents_load(pool->trees_fd, history->root, &own, err) < 0)
                return -1;
        if (own.n >= RELATIVE_WORTH && kin->relative != 0) {
                if (extents_load(pool->trees_fd, kin->relative, &others, err) < 0)
                        return -1;
                subtract(&own, &others);
        }
        for (size_t i = 0; i < own.n; i++)
                if (!is_shared(pool->trees_fd, history->root, own.v[i].bytenr, answer))
                        bytes += own.v[i].bytes;
        *ret_sizes = (struct fs_sizes){ .total_bytes = own.inode_bytes, .freed_bytes = bytes };
        return 0;
}

int btrfs_sizes(struct fs_pool *pool, fs_id id, struct fs_sizes *ret_sizes, struct err *err)
{
        CLEANUP(btrfs_trees_done) struct btrfs_trees trees = { .n = 0 };
        CLEANUP(btrfs_history_done) struct btrfs_history history = { .n = 0 };
        const struct btrfs_tree *tree;
        struct kinship kin = { .kept = 0 };

        if (btrfs_trees_load(pool, &trees, err) < 0)
                return -1;
        tree = btrfs_trees_find(&trees, id);
        if (tree == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no tree %" PRIu64, id);
        /* Who refers to an extent is known of what was committed. */
        if (tree->info.kind == FS_HEAD && btrfs_commit(pool->trees_fd, err) < 0)
                return -1;
        if (btrfs_history_load(pool, &trees, tree, &history, err) < 0 ||
            kinship_find(pool, &trees, tree, &history, &kin, err) < 0)
                return -1;
        return sizes_count(pool, &history, &kin, ret_sizes, err);
}
