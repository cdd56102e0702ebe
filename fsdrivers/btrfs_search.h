/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_BTRFS_SEARCH_H
#define FSDRIVERS_BTRFS_SEARCH_H

/* Reading the trees of a btrfs by BTRFS_IOC_TREE_SEARCH_V2 (Linux 3.16, CAP_SYS_ADMIN). */

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "common/error.h"

/* Items with keys from (min_objectid, min_type, min_offset) to (max_...), as one 136-bit number:
 * types in between come along. */
struct btrfs_range {
        uint64_t tree;
        uint64_t min_objectid, max_objectid;
        uint64_t min_offset, max_offset;
        uint64_t min_transid; /* blocks older than this are left out unread */
        unsigned char min_type, max_type;
        unsigned buffer_bytes; /* 0: for long lists; a look-up is quicker with little */
};

struct btrfs_item {
        uint64_t transid; /* of the block it is in */
        uint64_t objectid, offset;
        uint32_t type, len;
        const unsigned char *data; /* little endian, not aligned */
};

/* Returns -1 to stop as failed, 1 to stop, 0 to go on. */
typedef int (*btrfs_item_visit)(const struct btrfs_item *item, void *arg, struct err *err);

/* btrfs_search(fd, range, visit, arg, err): Visit every item of the range.  A tree that does not
 * exist is ERR_NOT_FOUND. */
int btrfs_search(int fd, const struct btrfs_range *range, btrfs_item_visit visit, void *arg,
                 struct err *err) MUST_CHECK;

/* btrfs_inode_path(fd, root, ino, ret_path, err): The path of a directory in the subvolume
 * ${root}, relative to its top, "" for that itself; the caller frees.  ERR_NOT_FOUND: it is gone;
 * ERR_UNSUPPORTED: the path has 4,080 bytes or more, which the kernel does not tell. */
int btrfs_inode_path(int fd, uint64_t root, uint64_t ino, char **ret_path,
                     struct err *err) MUST_CHECK;

/* BTRFS_GET(item, type, member): A 64-bit member of the structure that the item holds; 0 when the
 * item is too short for it. */
#define BTRFS_GET(item, type, member) btrfs_get64((item)->data, (item)->len, offsetof(type, member))

static inline uint64_t btrfs_get64(const unsigned char *data, size_t len, size_t at)
{
        uint64_t value;

        if (at + sizeof(value) > len)
                return 0;
        memcpy(&value, data + at, sizeof(value));
        return le64toh(value);
}

static inline uint32_t btrfs_get32(const unsigned char *data, size_t len, size_t at)
{
        uint32_t value;

        if (at + sizeof(value) > len)
                return 0;
        memcpy(&value, data + at, sizeof(value));
        return le32toh(value);
}

static inline uint16_t btrfs_get16(const unsigned char *data, size_t len, size_t at)
{
        uint16_t value;

        if (at + sizeof(value) > len)
                return 0;
        memcpy(&value, data + at, sizeof(value));
        return le16toh(value);
}

#endif
