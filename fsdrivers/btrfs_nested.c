/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/btrfs_nested.h"
#include "fsdrivers/btrfs_search.h"
#include "fsdrivers/list.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"

/* While the subvolumes in one of them are listed. */
struct listing {
        struct btrfs_nested *nested;
        int fd;
        uint64_t parent;
        const char *parent_path;
};

/* The path of a subvolume: that of its parent, the directory in it, the name. */
static int tell_path(const struct listing *l, const struct btrfs_item *item, char **ret_path,
                     struct err *err)
{
        const size_t header = sizeof(struct btrfs_root_ref);
        CLEANUP(freep) char *dir = NULL;
        CLEANUP(freep) char *path = NULL;
        CLEANUP(freep) char *name = strndup((const char *)item->data + header, item->len - header);

        *ret_path = NULL;
        if (name == NULL)
                return err_oom(err);
        if (l->parent_path == NULL)
                return 0;
        if (btrfs_inode_path(l->fd, l->parent, BTRFS_GET(item, struct btrfs_root_ref, dirid), &dir,
                             err) < 0)
                return err->code == ERR_NOT_FOUND || err->code == ERR_UNSUPPORTED ? 0 : -1;
        path = dir[0] == '\0' ? strdup(l->parent_path) : tree_join(l->parent_path, dir);
        if (path == NULL || (*ret_path = tree_join(path, name)) == NULL)
                return err_oom(err);
        return 0;
}

/* A ROOT_REF leads from a subvolume (objectid) to one in it (offset). */
static int see_child(const struct btrfs_item *item, void *arg, struct err *err)
{
        struct listing *l = arg;
        struct btrfs_nested *nested = l->nested;
        char *path;

        if (item->type != BTRFS_ROOT_REF_KEY || item->len < sizeof(struct btrfs_root_ref))
                return 0;
        if (!LIST_ROOM(nested))
                return err_oom(err);
        if (tell_path(l, item, &path, err) < 0)
                return -1;
        nested->v[nested->n++] = (struct btrfs_nested_one){ .id = item->offset, .path = path };
        return 0;
}

/* Appends to the list, so the caller can go on from each of them in turn. */
static int list_children(int fd, uint64_t parent, const char *parent_path,
                         struct btrfs_nested *nested, struct err *err)
{
        const struct btrfs_range range = { .tree = BTRFS_ROOT_TREE_OBJECTID,
                                           .min_objectid = parent,
                                           .max_objectid = parent,
                                           .min_type = BTRFS_ROOT_REF_KEY,
                                           .max_type = BTRFS_ROOT_REF_KEY,
                                           .max_offset = UINT64_MAX,
                                           .buffer_bytes = 4096 };
        struct listing l = {
                .nested = nested, .fd = fd, .parent = parent, .parent_path = parent_path
        };

        return btrfs_search(fd, &range, see_child, &l, err);
}

int btrfs_nested_load(int fd, struct btrfs_nested *nested, struct err *err)
{
        enum btrfs_util_error e;
        uint64_t root;

        e = btrfs_util_subvolume_id_fd(fd, &root);
        if (e != BTRFS_UTIL_OK)
                return btrfs_fail(err, e, "cannot tell the subvolume");
        if (list_children(fd, root, "", nested, err) < 0)
                return -1;
        for (size_t i = 0; i < nested->n; i++)
                if (list_children(fd, nested->v[i].id, nested->v[i].path, nested, err) < 0)
                        return -1;
        return 0;
}

void btrfs_nested_done(struct btrfs_nested *nested)
{
        for (size_t i = 0; i < nested->n; i++)
                free(nested->v[i].path);
        free(nested->v);
}

int btrfs_nested_refuse(int fd, struct err *err)
{
        CLEANUP(btrfs_nested_done) struct btrfs_nested nested = { .n = 0 };

        if (btrfs_nested_load(fd, &nested, err) < 0)
                return -1;
        if (nested.n == 0)
                return 0;
        return err_fail(err, ERR_REFUSED, 0,
                        "'%s' is a btrfs subvolume inside the site, which is left out of a "
                        "snapshot: make it a directory or a shared path",
                        nested.v[0].path != NULL ? nested.v[0].path : "(a very long path)");
}

/* In the snapshot there is an empty directory (inode 2) in its place, or one that treecopy left
 * for a subvolume in a subvolume. */
static int replace_stub(int partial_fd, const char *path, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1;
        struct timespec times[2];
        struct stat st;
        const char *name;

        if (tree_open_parent(partial_fd, path, &parent_fd, &name, err) < 0)
                return -1;
        if (fstat(parent_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the directory of '%s'", path);
        if ((unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT) ||
            mkdirat(parent_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", path);
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        if (futimens(parent_fd, times) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the times of a directory");
        return safepath_open(parent_fd, name, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

/* Bring the files of one of them into its place in the snapshot. */
static int keep_one(int fd, int partial_fd, const struct btrfs_nested_one *one, struct err *err)
{
        CLEANUP(closep) int src_fd = -1, dst_fd = -1;
        uint64_t id;

        if (one->path == NULL)
                return err_fail(err, ERR_REFUSED, 0,
                                "a btrfs subvolume lies too deep inside the site to be kept");

        /* The tenant may have put something else there since it was listed. */
        if (tree_open(fd, one->path, &src_fd, err) < 0 ||
            btrfs_util_subvolume_id_fd(src_fd, &id) != BTRFS_UTIL_OK || id != one->id)
                return err_fail(err, ERR_BUSY, 0, "the subvolume '%s' was moved: try again",
                                one->path);
        if (replace_stub(partial_fd, one->path, &dst_fd, err) < 0)
                return -1;
        return treecopy(src_fd, dst_fd, NULL, NULL, err);
}

/* Read-only comes last here. That is as good: nobody but root can get at the snapshot meanwhile,
 * so there is no open file that the flag would not stop. */
static int freeze(struct fs_pool *pool, int fd, const struct btrfs_nested *nested,
                  const char *partial, struct err *err)
{
        CLEANUP(closep) int partial_fd = -1;
        enum btrfs_util_error e;

        e = btrfs_util_create_snapshot_fd2(fd, pool->trees_fd, partial, 0, NULL, NULL);
        if (e != BTRFS_UTIL_OK)
                return btrfs_fail(err, e, "cannot take the snapshot '%s'", partial);
        if (safepath_open(pool->trees_fd, partial, O_RDONLY | O_DIRECTORY, &partial_fd, err) < 0)
                return -1;
        for (size_t i = 0; i < nested->n; i++)
                if (keep_one(fd, partial_fd, &nested->v[i], err) < 0)
                        return -1;
        if (syncfs(partial_fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the snapshot");
        e = btrfs_util_set_subvolume_read_only_fd(partial_fd, true);
        return e == BTRFS_UTIL_OK ? 0 : btrfs_fail(err, e, "cannot make '%s' read-only", partial);
}

int btrfs_nested_freeze(struct fs_pool *pool, int fd, const struct btrfs_nested *nested,
                        const char *name, struct err *err)
{
        char partial[BTRFS_NAME_MAX + sizeof(BTRFS_PARTIAL)];
        struct err ignored;
        int result;

        (void)snprintf(partial, sizeof(partial), "%s" BTRFS_PARTIAL, name);
        /* See btrfs_sweep(). */
        if (flock(pool->trees_fd, LOCK_SH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot lock the pool");
        result = btrfs_destroy(pool, partial, err);
        if (result == 0)
                result = freeze(pool, fd, nested, partial, err);
        if (result == 0 && renameat(pool->trees_fd, partial, pool->trees_fd, name) < 0)
                result = err_fail(err, ERR_IO, errno, "cannot rename to '%s'", name);
        if (result < 0)
                (void)!btrfs_destroy(pool, partial, &ignored); /* else open() sweeps it */
        (void)flock(pool->trees_fd, LOCK_UN);
        return result < 0 ? -1 : btrfs_commit(pool->trees_fd, err);
}

static int destroy_by_id(int fd, uint64_t id, struct err *err)
{
        struct btrfs_ioctl_vol_args_v2 args = { .flags = BTRFS_SUBVOL_SPEC_BY_ID, .subvolid = id };

        /* By id (Linux 5.7): the path to it was made by the tenant. */
        if (ioctl(fd, BTRFS_IOC_SNAP_DESTROY_V2, &args) < 0)
                return err_fail(err, ERR_IO, errno, "cannot remove the nested subvolume %" PRIu64,
                                id);
        return 0;
}

int btrfs_nested_destroy(struct fs_pool *pool, const char *name, struct err *err)
{
        CLEANUP(btrfs_nested_done) struct btrfs_nested nested = { .n = 0 };
        CLEANUP(closep) int fd = -1;

        if (safepath_open(pool->trees_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0 ||
            btrfs_nested_load(fd, &nested, err) < 0)
                return -1;
        for (size_t i = nested.n; i > 0; i--)
                if (destroy_by_id(fd, nested.v[i - 1].id, err) < 0)
                        return -1;
        return 0;
}
