/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "fsdrivers/btrfs_internal.h"
#include "fsdrivers/list.h"

/* BTRFS_IOC_GET_SUBVOL_INFO (Linux 4.18), which a subvolume of 0 means to libbtrfsutil. */
static int info_get(struct fs_pool *pool, const struct btrfs_tree *tree,
                    struct btrfs_util_subvolume_info *info, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        enum btrfs_util_error e;

        if (btrfs_tree_open(pool, tree, &fd, err) < 0)
                return -1;
        e = btrfs_util_subvolume_info_fd(fd, 0, info);
        return e == BTRFS_UTIL_OK ? 0 : btrfs_fail(err, e, "cannot look at '%s'", tree->name);
}

static int add_moment(struct btrfs_history *history, const uint8_t *uuid, uint64_t until,
                      struct err *err)
{
        struct btrfs_moment *moment;

        if (!LIST_ROOM(history))
                return err_oom(err);
        moment = &history->v[history->n++];
        memcpy(moment->uuid, uuid, sizeof(moment->uuid));
        moment->until = until;
        return 0;
}

/* The parent of what was not made as a snapshot. */
static bool is_null(const uint8_t uuid[static 16])
{
        static const uint8_t null[16];

        return memcmp(uuid, null, sizeof(null)) == 0;
}

static int load(struct fs_pool *pool, const struct btrfs_trees *trees,
                const struct btrfs_tree *tree, struct btrfs_history *history, struct err *err)
{
        struct btrfs_util_subvolume_info info;

        if (info_get(pool, tree, &info, err) < 0)
                return -1;
        history->root = info.id;
        history->otransid = info.otransid;
        if (add_moment(history, info.uuid, UINT64_MAX, err) < 0)
                return -1;

        /* A snapshot is made at the very end of its transaction: what its source changes in the
         * next one is its own.  The source was made before it, so these go down from each to the
         * next. */
        while (!is_null(info.parent_uuid)) {
                uint8_t parent_uuid[16];

                memcpy(parent_uuid, info.parent_uuid, sizeof(parent_uuid));
                if (add_moment(history, parent_uuid, info.otransid, err) < 0)
                        return -1;
                tree = btrfs_trees_find(trees, tree->info.parent);
                if (tree == NULL || history->n > trees->n + 1)
                        return 0;
                if (info_get(pool, tree, &info, err) < 0)
                        return -1;
                if (memcmp(info.uuid, parent_uuid, sizeof(parent_uuid)) != 0)
                        return 0;
        }
        return 0;
}

int btrfs_history_load(struct fs_pool *pool, const struct btrfs_trees *trees,
                       const struct btrfs_tree *tree, struct btrfs_history *history,
                       struct err *err)
{
        if (load(pool, trees, tree, history, err) == 0)
                return 0;
        btrfs_history_done(history);
        return -1;
}

void btrfs_history_done(struct btrfs_history *history)
{
        free(history->v);
        *history = (struct btrfs_history){ .n = 0 };
}

uint64_t btrfs_history_split(const struct btrfs_history *a, const struct btrfs_history *b)
{
        for (size_t i = 0; i < a->n; i++)
                for (size_t j = 0; j < b->n; j++)
                        if (memcmp(a->v[i].uuid, b->v[j].uuid, 16) == 0)
                                return a->v[i].until < b->v[j].until ? a->v[i].until
                                                                     : b->v[j].until;
        return 0;
}
