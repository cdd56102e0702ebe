/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_BTRFS_CHANGED_H
#define FSDRIVERS_BTRFS_CHANGED_H

/*
 * The paths where two subvolumes that split at some generation may differ.
 *
 * An inode that was touched after the split has a newer generation in its inode item, on the side
 * where that happened; so has a directory that got or lost a name.  Everything else is the same on
 * both sides.  So the candidates are the names of the touched inodes, and in touched directories
 * the names that do not stand for the same inode on both sides.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct btrfs_changed_path {
        char *path;
        bool whole; /* a directory that came, went or was replaced: all below it counts too */
};

struct btrfs_changed {
        struct btrfs_changed_path *v; /* sorted, what is below a directory right behind it */
        size_t n, room;
};

/* btrfs_changed_find(fd, from_root, to_root, split, changed, err): Fill in ${changed}, which is
 * zeroed; btrfs_changed_done() in any case.  ${fd} is any directory of the file system.
 * ERR_UNSUPPORTED: some path is too long for the kernel to tell; walk the trees instead. */
int btrfs_changed_find(int fd, uint64_t from_root, uint64_t to_root, uint64_t split,
                       struct btrfs_changed *changed, struct err *err) MUST_CHECK;
void btrfs_changed_done(struct btrfs_changed *changed);

#endif
