/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREELINKS_H
#define FSDRIVERS_TREELINKS_H

/*
 * Inodes with several names that a walk has met, and where it met each first.  An inode number
 * alone is not enough: ext4 gives it to the next file as soon as one is gone, so the time of birth
 * belongs to it.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/error.h"

struct treelink {
        char *path; /* where it was met first; NULL is a free slot */
        uint64_t ino;
        int64_t birth_nsec;
        uint32_t names; /* that it has */
        uint32_t seen;  /* of them in this walk */
};

struct treelinks { /* zeroed is empty */
        struct treelink *slots;
        size_t n, room;
};

/* treelinks_find(links, stx): The entry of this inode, or NULL. */
struct treelink *treelinks_find(const struct treelinks *links, const struct statx *stx);

/* treelinks_add(links, stx, path, err): Remember an inode that is not there yet, seen once. */
int treelinks_add(struct treelinks *links, const struct statx *stx, const char *path,
                  struct err *err) MUST_CHECK;

/* treelinks_done(links): Free what it holds; it is empty afterwards. */
void treelinks_done(struct treelinks *links);

#endif
