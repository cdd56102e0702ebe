/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/btrfs_changed.h"
#include "fsdrivers/btrfs_internal.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treediff.h"

/*
 * Blocks of a tree carry the generation they were written in, so what changed since two trees
 * split is found without looking at the rest: btrfs_changed.c collects the paths where they may
 * differ.  Here each of them is compared as treediff does, so the letters are the same, and a
 * path too many costs a little time and nothing else.
 */

struct side {
        int fd;
        char snapshot[BTRFS_NAME_MAX]; /* in the place of a head; "" is none */
        struct btrfs_history history;
};

struct diff {
        struct side from, to;
        fs_change_visit visit;
        void *arg;
        /* The directory that the last path was in: neighbours come one after the other. */
        char *parent;
        int from_dir_fd, to_dir_fd; /* -1: it is not there */
};

static void diff_done(struct diff *d)
{
        closep(&d->from.fd);
        closep(&d->to.fd);
        closep(&d->from_dir_fd);
        closep(&d->to_dir_fd);
        btrfs_history_done(&d->from.history);
        btrfs_history_done(&d->to.history);
        free(d->parent);
}

/* A directory that is not on this side, or is something else there, is -1: everything in it is
 * missing on this side. */
static int open_dir(int root_fd, const char *path, int *dir_fd, struct err *err)
{
        closep(dir_fd);
        *dir_fd = -1;
        if (tree_open(root_fd, path, dir_fd, err) == 0)
                return 0;
        return err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED ? 0 : -1;
}

/* Open the directory of the next path on both sides, unless it is the one we are in. */
static int enter(struct diff *d, const char *path, size_t n, struct err *err)
{
        if (d->parent != NULL && strncmp(d->parent, path, n) == 0 && d->parent[n] == '\0')
                return 0;
        free(d->parent);
        d->parent = strndup(path, n);
        if (d->parent == NULL)
                return err_oom(err);
        if (open_dir(d->from.fd, d->parent, &d->from_dir_fd, err) < 0)
                return -1;
        return open_dir(d->to.fd, d->parent, &d->to_dir_fd, err);
}

static int verify(struct diff *d, const char *path, struct err *err)
{
        const char *slash = strrchr(path, '/');
        struct fs_change change = { .path = path[0] == '\0' ? "." : path };
        const char *name = slash != NULL ? slash + 1 : change.path;
        bool differs;

        if (enter(d, path, slash == NULL ? 0 : (size_t)(slash - path), err) < 0)
                return -1;
        if (treediff_entry(d->from_dir_fd, d->to_dir_fd, name, TREEDIFF_SAME_FS, change.status,
                           &differs, err) < 0)
                return err_wrap(err, "'%s'", path);
        return differs ? d->visit(&change, d->arg, err) : 0;
}

static bool is_beneath(const char *path, const char *dir)
{
        size_t n = strlen(dir);

        return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* In the order of the paths a whole subtree is followed by what lies below it, which has been
 * reported with it. */
static int verify_all(struct diff *d, const struct btrfs_changed *changed, struct err *err)
{
        const char *covered = NULL; /* a whole subtree that was walked */

        for (size_t i = 0; i < changed->n; i++) {
                const struct btrfs_changed_path *at = &changed->v[i];

                if (covered != NULL && is_beneath(at->path, covered))
                        continue;
                if (!at->whole) {
                        if (verify(d, at->path, err) < 0)
                                return -1;
                        continue;
                }
                if (treediff_below(d->from.fd, d->to.fd, at->path, TREEDIFF_SAME_FS, d->visit,
                                   d->arg, err) < 0)
                        return -1;
                covered = at->path;
        }
        return 0;
}

static int diff_by_generation(struct diff *d, uint64_t split, struct err *err)
{
        struct btrfs_changed changed = { .n = 0 };
        int result;

        result = btrfs_changed_find(d->from.fd, d->from.history.root, d->to.history.root, split,
                                    &changed, err);
        if (result == 0)
                result = verify_all(d, &changed, err);
        btrfs_changed_done(&changed);
        return result;
}

/* A head is looked at in a snapshot of this moment.  What its site wrote last is in memory only: a
 * search would not see it, and to write it out the kernel offers a snapshot of one subvolume or a
 * sync of all. */
static int side_freeze(struct fs_pool *pool, struct btrfs_tree *tree, struct side *side,
                       struct err *err)
{
        CLEANUP(closep) int fd = -1;
        enum btrfs_util_error e;

        if (btrfs_tree_open(pool, tree, &fd, err) < 0)
                return -1;
        (void)snprintf(side->snapshot, sizeof(side->snapshot), "diff-%d-%" PRIu64 BTRFS_PARTIAL,
                       getpid(), tree->info.id);
        e = btrfs_util_create_snapshot_fd2(fd, pool->trees_fd, side->snapshot,
                                           BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY, NULL, NULL);
        if (e != BTRFS_UTIL_OK) {
                side->snapshot[0] = '\0';
                return btrfs_fail(err, e, "cannot take a snapshot to compare");
        }
        tree->info.parent = tree->info.id;
        (void)snprintf(tree->name, sizeof(tree->name), "%s", side->snapshot);
        return 0;
}

/* Open a tree, or in the place of a head its snapshot, and learn its history. */
static int side_load(struct fs_pool *pool, const struct btrfs_trees *trees, fs_id id,
                     struct side *side, struct err *err)
{
        const struct btrfs_tree *found = btrfs_trees_find(trees, id);
        struct btrfs_tree tree;

        if (found == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no tree %" PRIu64, id);
        tree = *found;
        if (tree.info.kind == FS_HEAD && side_freeze(pool, &tree, side, err) < 0)
                return -1;
        if (btrfs_tree_open(pool, &tree, &side->fd, err) < 0)
                return -1;
        return btrfs_history_load(pool, trees, &tree, &side->history, err);
}

/* By generation where the two have some history in common and the kernel can tell all paths,
 * else by walking. */
static int diff_sides(struct fs_pool *pool, struct diff *d, fs_id from, fs_id to, struct err *err)
{
        CLEANUP(btrfs_trees_done) struct btrfs_trees trees = { .n = 0 };
        struct btrfs_tree same;
        uint64_t split;

        if (from == to)
                return btrfs_tree_get(pool, from, &same, err);
        if (btrfs_trees_load(pool, &trees, err) < 0 ||
            side_load(pool, &trees, from, &d->from, err) < 0 ||
            side_load(pool, &trees, to, &d->to, err) < 0)
                return -1;
        split = btrfs_history_split(&d->from.history, &d->to.history);
        if (split != 0) {
                if (diff_by_generation(d, split, err) == 0)
                        return 0;
                if (err->code != ERR_UNSUPPORTED)
                        return -1;
        }
        return treediff(d->from.fd, d->to.fd, TREEDIFF_SAME_FS, d->visit, d->arg, err);
}

static void side_thaw(struct fs_pool *pool, struct side *side)
{
        struct err ignored;

        /* What stays behind is swept by the next open(). */
        if (side->snapshot[0] != '\0')
                (void)!btrfs_destroy(pool, side->snapshot, &ignored);
}

int btrfs_diff(struct fs_pool *pool, fs_id from, fs_id to, fs_change_visit visit, void *arg,
               struct err *err)
{
        CLEANUP(diff_done)
        struct diff d = { .from.fd = -1,
                          .to.fd = -1,
                          .visit = visit,
                          .arg = arg,
                          .from_dir_fd = -1,
                          .to_dir_fd = -1 };
        int result;

        /* See btrfs_sweep(). */
        if (flock(pool->trees_fd, LOCK_SH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot lock the pool");
        result = diff_sides(pool, &d, from, to, err);
        side_thaw(pool, &d.from);
        side_thaw(pool, &d.to);
        (void)flock(pool->trees_fd, LOCK_UN);
        return result;
}
