/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/btrfs_nested.h"
#include "fsdrivers/treecopy.h"

/* A head in the making and, when it is there already, the one it is to replace. */
struct making {
        struct fs_pool *pool;
        struct btrfs_tree head;
        char partial[BTRFS_NAME_MAX + sizeof(BTRFS_PARTIAL)];
        bool there;
};

/* A snapshot has nested subvolumes as empty directories, a copy would too: both refuse.  Other
 * notable things are the caller's to report, by treecopy_survey(). */
static int refuse_subvolume(enum treecopy_kind kind, const char *path, void *arg, struct err *err)
{
        (void)arg;
        if (kind != TREECOPY_SUBVOLUME)
                return 0;
        return err_fail(err, ERR_REFUSED, 0,
                        "'%s' is a btrfs subvolume inside the site, which is left out of a copy: "
                        "make it a directory or a shared path",
                        path);
}

/* Show what was made under its name, durably. */
static int finish(const struct making *making, struct err *err)
{
        int trees_fd = making->pool->trees_fd;

        if (!making->there) {
                if (renameat(trees_fd, making->partial, trees_fd, making->head.name) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot rename to '%s'",
                                        making->head.name);
                return btrfs_commit(trees_fd, err);
        }
        if (renameat2(trees_fd, making->partial, trees_fd, making->head.name, RENAME_EXCHANGE) < 0)
                return err_fail(err, ERR_IO, errno, "cannot exchange '%s'", making->head.name);
        if (btrfs_commit(trees_fd, err) < 0)
                return -1;
        return btrfs_destroy(making->pool, making->partial, err);
}

/* Where the source is a subvolume of the same file system.  false in *ret_made: it is not. */
static int make_by_snapshot(const struct making *making, int src_fd, bool *ret_made,
                            struct err *err)
{
        enum btrfs_util_error e;

        *ret_made = false;
        if (btrfs_util_is_subvolume_fd(src_fd) != BTRFS_UTIL_OK)
                return 0;
        if (btrfs_nested_refuse(src_fd, err) < 0)
                return -1;
        e = btrfs_util_create_snapshot_fd2(src_fd, making->pool->trees_fd, making->partial, 0, NULL,
                                           NULL);
        if (e != BTRFS_UTIL_OK && errno != EXDEV)
                return btrfs_fail(err, e, "cannot take a snapshot of the site's directory");
        *ret_made = e == BTRFS_UTIL_OK;
        return 0;
}

/* A catch-up works on a snapshot of what is there, so that a crash leaves the old or the new. */
static int make_by_copy(const struct making *making, int src_fd, struct err *err)
{
        const struct treecopy_options options = { .report = refuse_subvolume };
        CLEANUP(closep) int fd = -1, old_fd = -1;
        enum btrfs_util_error e;

        if (making->there) {
                if (btrfs_tree_open(making->pool, &making->head, &old_fd, err) < 0)
                        return -1;
                e = btrfs_util_create_snapshot_fd2(old_fd, making->pool->trees_fd, making->partial,
                                                   0, NULL, NULL);
        } else {
                e = btrfs_util_create_subvolume_fd(making->pool->trees_fd, making->partial, 0, NULL,
                                                   NULL);
        }
        if (e != BTRFS_UTIL_OK)
                return btrfs_fail(err, e, "cannot make the subvolume '%s'", making->partial);
        if (safepath_open(making->pool->trees_fd, making->partial, O_RDONLY | O_DIRECTORY, &fd,
                          err) < 0)
                return -1;
        if (treecopy(src_fd, fd, &options, NULL, err) < 0)
                return -1;
        if (syncfs(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the copy");
        return 0;
}

/* Under the unfinished name, whichever way; whole from finish() on. */
static int make(const struct making *making, int src_fd, struct err *err)
{
        bool made;

        /* What an attempt of before left. */
        if (btrfs_destroy(making->pool, making->partial, err) < 0 ||
            make_by_snapshot(making, src_fd, &made, err) < 0)
                return -1;
        if (!made && make_by_copy(making, src_fd, err) < 0) {
                struct err ignored;

                /* Whatever happens to it: open() sweeps it too. */
                (void)!btrfs_destroy(making->pool, making->partial, &ignored);
                return -1;
        }
        return finish(making, err);
}

int btrfs_import(struct fs_pool *pool, int src_fd, fs_id head, struct err *err)
{
        struct making making = { .pool = pool, .head = btrfs_tree_make(FS_HEAD, head, 0) };
        struct btrfs_tree there = { .info = { .id = 0 } };
        int result;

        if (btrfs_tree_get(pool, head, &there, err) < 0 && err->code != ERR_NOT_FOUND)
                return -1;
        making.there = there.info.id != 0;
        if (making.there && (there.info.kind != FS_HEAD || there.info.parent != 0))
                return err_fail(err, ERR_EXISTS, 0, "tree %" PRIu64 " was not imported", head);
        if (making.there && btrfs_tree_check(pool, &there, err) < 0)
                return -1;
        (void)snprintf(making.partial, sizeof(making.partial), "%s" BTRFS_PARTIAL,
                       making.head.name);

        /* See btrfs_sweep(). */
        if (flock(pool->trees_fd, LOCK_SH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot lock the pool");
        result = make(&making, src_fd, err);
        (void)flock(pool->trees_fd, LOCK_UN);
        return result < 0 ? err_wrap(err, "importing tree %" PRIu64, head) : 0;
}
