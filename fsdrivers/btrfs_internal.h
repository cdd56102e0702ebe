/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_BTRFS_INTERNAL_H
#define FSDRIVERS_BTRFS_INTERNAL_H

/*
 * What the files of the btrfs driver share.
 *
 * A pool is one directory, trees/, with a subvolume per tree.  Its name says everything there is
 * to know, so that a snapshot and its record are one and the same directory entry and appear in
 * one transaction:
 *
 *   h7.0            head 7, imported
 *   f8.7            frozen tree 8, captured from head 7
 *   h9.8            head 9, branched from frozen tree 8
 *   h7.0.partial    head 7 in the making; debris unless someone holds a shared lock on trees/
 *
 * The kind is in the name, not in the read-only flag: the owner of a head's root directory may
 * set that flag (BTRFS_IOC_SUBVOL_SETFLAGS asks for the owner of the inode, no more).
 */

#include <btrfsutil.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsdrivers/fsdriver.h"

#define BTRFS_TREES   "trees"
#define BTRFS_PARTIAL ".partial"

struct fs_pool {
        int fd;
        int trees_fd;
};

#define BTRFS_NAME_MAX 64

struct btrfs_tree {
        struct fs_info info; /* id 0: not there */
        char name[BTRFS_NAME_MAX];
};

/* btrfs_tree_make(kind, id, parent): The tree of these numbers, with its name. */
struct btrfs_tree btrfs_tree_make(enum fs_kind kind, fs_id id, fs_id parent);

struct btrfs_trees {
        struct btrfs_tree *v;
        size_t n, room;
};

/* btrfs_trees_load(pool, trees, err): All trees of the pool, in no order; btrfs_trees_done(). */
int btrfs_trees_load(struct fs_pool *pool, struct btrfs_trees *trees, struct err *err) MUST_CHECK;
void btrfs_trees_done(struct btrfs_trees *trees);

/* btrfs_trees_find(trees, id): NULL is not there. */
const struct btrfs_tree *btrfs_trees_find(const struct btrfs_trees *trees, fs_id id);

/* btrfs_tree_get(pool, id, ret_tree, err): ERR_NOT_FOUND. */
int btrfs_tree_get(struct fs_pool *pool, fs_id id, struct btrfs_tree *ret_tree,
                   struct err *err) MUST_CHECK;

/* btrfs_tree_open(pool, tree, ret_fd, err): The root directory of the subvolume. */
int btrfs_tree_open(struct fs_pool *pool, const struct btrfs_tree *tree, int *ret_fd,
                    struct err *err) MUST_CHECK;

/* btrfs_tree_check(pool, tree, err): ERR_BUSY when a mount namespace shows the tree. */
int btrfs_tree_check(struct fs_pool *pool, const struct btrfs_tree *tree,
                     struct err *err) MUST_CHECK;

/* btrfs_destroy(pool, name, err): Remove the subvolume trees/NAME with the subvolumes nested in
 * it, or whatever else is there.  On failure it is a tree still, whole, or none any more.  Not
 * committed: see btrfs_commit(). */
int btrfs_destroy(struct fs_pool *pool, const char *name, struct err *err) MUST_CHECK;

/* btrfs_sweep(pool, err): Remove debris, unless someone is making a tree just now. */
int btrfs_sweep(struct fs_pool *pool, struct err *err) MUST_CHECK;

/* btrfs_commit(fd, err): Everything done to the file system's metadata so far is durable. */
int btrfs_commit(int fd, struct err *err) MUST_CHECK;

/* btrfs_fail(err, e, fmt, ...): The failure path of a libbtrfsutil call. */
int btrfs_fail(struct err *err, enum btrfs_util_error e, const char *fmt, ...) PRINTF(3, 4);

/* btrfs_import(pool, src_fd, head, err), btrfs_sizes(...), btrfs_diff(...): See struct
 * fs_driver. */
int btrfs_import(struct fs_pool *pool, int src_fd, fs_id head, struct err *err) MUST_CHECK;
int btrfs_sizes(struct fs_pool *pool, fs_id id, struct fs_sizes *ret_sizes,
                struct err *err) MUST_CHECK;
int btrfs_diff(struct fs_pool *pool, fs_id from, fs_id to, fs_change_visit visit, void *arg,
               struct err *err) MUST_CHECK;

/*
 * History.  Every tree of a pool was once a snapshot of another, or imported.  Two trees have
 * everything in common that happened up to one generation (transaction number), at which their
 * histories split.
 */

struct btrfs_history {
        struct btrfs_moment {
                unsigned char uuid[16];
                uint64_t until; /* up to here its history is ours too */
        } * v;                  /* the tree itself, its parent, its parent's parent, ... */
        size_t n, room;
        uint64_t root;     /* id of the subvolume */
        uint64_t otransid; /* the generation in which it was made */
};

/* btrfs_history_load(pool, trees, tree, history, err): Parents are followed as far as they are
 * there still; the uuid of the first that is gone is known all the same. */
int btrfs_history_load(struct fs_pool *pool, const struct btrfs_trees *trees,
                       const struct btrfs_tree *tree, struct btrfs_history *history,
                       struct err *err) MUST_CHECK;
void btrfs_history_done(struct btrfs_history *history);

/* btrfs_history_split(a, b): The last generation both have in common; 0 when they are strangers. */
uint64_t btrfs_history_split(const struct btrfs_history *a, const struct btrfs_history *b);

#endif
