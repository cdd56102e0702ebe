/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_BTRFS_NESTED_H
#define FSDRIVERS_BTRFS_NESTED_H

/*
 * Subvolumes inside a tree.  Everybody may make some in a directory of theirs, and a snapshot has
 * an empty directory in the place of each.
 *
 *   import     refuses them by name
 *   capture    keeps them as plain directories: a tenant must not be able to stop a rollback, and
 *              the files must not be lost when the head is removed
 *   remove     removes them with the tree
 */

#include <stddef.h>
#include <stdint.h>

#include "fsdrivers/btrfs_internal.h"

struct btrfs_nested { /* zeroed is empty */
        struct btrfs_nested_one {
                uint64_t id;
                char *path; /* relative to the outermost; NULL when it is too long to be told */
        } * v;              /* each behind the one it is in */
        size_t n, room;
};

/* btrfs_nested_load(fd, nested, err): All subvolumes in the one whose root is ${fd}. */
int btrfs_nested_load(int fd, struct btrfs_nested *nested, struct err *err) MUST_CHECK;

/* btrfs_nested_done(nested): Free what it holds. */
void btrfs_nested_done(struct btrfs_nested *nested);

/* btrfs_nested_refuse(fd, err): ERR_REFUSED names the first of them, if there is any. */
int btrfs_nested_refuse(int fd, struct err *err) MUST_CHECK;

/* btrfs_nested_freeze(pool, fd, nested, name, err): Make trees/NAME, a read-only snapshot of the
 * subvolume ${fd} in which each of ${nested} is a directory with the same files, by reflinks.
 * ERR_BUSY: one of them was moved meanwhile. */
int btrfs_nested_freeze(struct fs_pool *pool, int fd, const struct btrfs_nested *nested,
                        const char *name, struct err *err) MUST_CHECK;

/* btrfs_nested_destroy(pool, name, err): Remove all subvolumes in trees/NAME. */
int btrfs_nested_destroy(struct fs_pool *pool, const char *name, struct err *err) MUST_CHECK;

#endif
