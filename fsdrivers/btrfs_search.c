/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "fsdrivers/btrfs_search.h"

#define BUFFER_BYTES     (64 * 1024)
#define BUFFER_BYTES_MAX (1024 * 1024)

/* Let the next call begin behind this item.  false: there is no key behind it. */
static bool go_behind(struct btrfs_ioctl_search_key *key, const struct btrfs_item *item)
{
        key->min_objectid = item->objectid;
        key->min_type = item->type;
        key->min_offset = item->offset + 1;
        if (key->min_offset != 0)
                return true;
        if (++key->min_type <= UINT8_MAX)
                return true;
        key->min_type = 0;
        return ++key->min_objectid != 0;
}

/* One more try with a larger buffer, when one item did not fit: *args is replaced. */
static int grow(struct btrfs_ioctl_search_args_v2 **args, struct err *err)
{
        uint64_t size = (*args)->buf_size < BUFFER_BYTES ? BUFFER_BYTES : BUFFER_BYTES_MAX;
        struct btrfs_ioctl_search_args_v2 *more = realloc(*args, sizeof(*more) + size);

        if (more == NULL)
                return err_oom(err);
        more->buf_size = size;
        *args = more;
        return 0;
}

/* Each item lies behind a header of its own, at no particular alignment. *item is left at the
 * last one, where the next call goes on. */
static int visit_all(const struct btrfs_ioctl_search_args_v2 *args, struct btrfs_item *item,
                     btrfs_item_visit visit, void *arg, struct err *err)
{
        /* Of __u64 in older headers, also of Debian 12 before its updates; of __u8 since. */
        const void *items = args->buf;
        const unsigned char *at = items;

        for (uint32_t i = 0; i < args->key.nr_items; i++) {
                struct btrfs_ioctl_search_header header;
                int result;

                memcpy(&header, at, sizeof(header));
                at += sizeof(header);
                *item = (struct btrfs_item){ .transid = header.transid,
                                             .objectid = header.objectid,
                                             .offset = header.offset,
                                             .type = header.type,
                                             .len = header.len,
                                             .data = at };
                at += header.len;
                result = visit(item, arg, err);
                if (result != 0)
                        return result;
        }
        return 0;
}

int btrfs_search(int fd, const struct btrfs_range *range, btrfs_item_visit visit, void *arg,
                 struct err *err)
{
        uint64_t size = range->buffer_bytes == 0 ? BUFFER_BYTES : range->buffer_bytes;
        CLEANUP(freep) struct btrfs_ioctl_search_args_v2 *args = malloc(sizeof(*args) + size);
        struct btrfs_ioctl_search_key key = {
                .tree_id = range->tree,
                .min_objectid = range->min_objectid,
                .max_objectid = range->max_objectid,
                .min_type = range->min_type,
                .max_type = range->max_type,
                .min_offset = range->min_offset,
                .max_offset = range->max_offset,
                .min_transid = range->min_transid,
                .max_transid = UINT64_MAX,
        };
        struct btrfs_item last;
        int result;

        if (args == NULL)
                return err_oom(err);
        args->buf_size = size;
        do {
                args->key = key;
                args->key.nr_items = UINT32_MAX;
                while (ioctl(fd, BTRFS_IOC_TREE_SEARCH_V2, args) < 0) {
                        if (errno != EOVERFLOW || args->buf_size >= BUFFER_BYTES_MAX)
                                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                                                errno, "cannot search the btrfs tree %llu",
                                                (unsigned long long)range->tree);
                        if (grow(&args, err) < 0)
                                return -1;
                        args->key = key;
                        args->key.nr_items = UINT32_MAX;
                }
                if (args->key.nr_items == 0)
                        return 0;
                result = visit_all(args, &last, visit, arg, err);
                if (result != 0)
                        return result < 0 ? -1 : 0;
        } while (go_behind(&key, &last));
        return 0;
}

int btrfs_inode_path(int fd, uint64_t root, uint64_t ino, char **ret_path, struct err *err)
{
        struct btrfs_ioctl_ino_lookup_args args = { .treeid = root, .objectid = ino };
        size_t n;

        if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) < 0)
                return err_fail(err,
                                errno == ENOENT         ? ERR_NOT_FOUND
                                : errno == ENAMETOOLONG ? ERR_UNSUPPORTED
                                                        : ERR_IO,
                                errno, "cannot tell the path of inode %llu",
                                (unsigned long long)ino);
        n = strlen(args.name);
        if (n > 0 && args.name[n - 1] == '/')
                args.name[n - 1] = '\0';
        *ret_path = strdup(args.name);
        return *ret_path == NULL ? err_oom(err) : 0;
}
