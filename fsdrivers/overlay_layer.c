/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/overlay_internal.h"
#include "fsdrivers/treecopy_file.h"
#include "fsdrivers/treexattr.h"

#define DEAD "dead-"

int overlay_copy_dir(int src_fd, int dst_fd, struct err *err)
{
        struct stat st;
        unsigned lost;

        if (fstat(src_fd, &st) < 0 || fchown(dst_fd, st.st_uid, st.st_gid) < 0 ||
            fchmod(dst_fd, st.st_mode & 07777) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set owner and mode of a directory");
        return treexattr_copy(src_fd, dst_fd, true, &lost, err);
}

int overlay_copy_times(int src_fd, int dst_fd, struct err *err)
{
        struct stat st;

        if (fstat(src_fd, &st) < 0 ||
            futimens(dst_fd, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the times of a directory");
        return 0;
}

static int copy_regular(int src_dir_fd, int dst_dir_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int src_fd = -1, dst_fd = -1;
        struct stat st;
        bool torn;

        if (tree_open_file(src_dir_fd, name, &src_fd, &st, err) < 0)
                return -1;
        dst_fd = openat(dst_dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (dst_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot create '%s'", name);
        if (treecopy_file(src_fd, dst_fd, &st, &torn, err) < 0)
                return -1;
        return torn ? err_fail(err, ERR_BUSY, 0, "'%s' is being written", name) : 0;
}

static int make_special(int src_dir_fd, int dst_dir_fd, const char *name, const struct stat *st,
                        struct err *err)
{
        CLEANUP(freep) char *target = NULL;

        if (!S_ISLNK(st->st_mode)) {
                if (mknodat(dst_dir_fd, name, st->st_mode & (S_IFMT | 0600), st->st_rdev) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot make '%s'", name);
                return 0;
        }
        if (tree_readlink(src_dir_fd, name, &target, err) < 0)
                return -1;
        if (symlinkat(target, dst_dir_fd, name) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make the link '%s'", name);
        return 0;
}

int overlay_copy_entry(int src_dir_fd, int dst_dir_fd, const char *name, const struct stat *st,
                       struct err *err)
{
        CLEANUP(closep) int src_fd = -1, dst_fd = -1;
        unsigned lost;
        int ret = S_ISREG(st->st_mode) ? copy_regular(src_dir_fd, dst_dir_fd, name, err)
                                       : make_special(src_dir_fd, dst_dir_fd, name, st, err);

        if (ret < 0 || safepath_open(src_dir_fd, name, O_PATH, &src_fd, err) < 0 ||
            safepath_open(dst_dir_fd, name, O_PATH, &dst_fd, err) < 0)
                return -1;
        /* The owner first: chown takes setuid bits away. */
        if (fchownat(dst_dir_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
            (!S_ISLNK(st->st_mode) && fchmodat(dst_dir_fd, name, st->st_mode & 07777, 0) < 0))
                return err_fail(err, ERR_IO, errno, "cannot set owner and mode of '%s'", name);
        if (treexattr_copy(src_fd, dst_fd, true, &lost, err) < 0)
                return -1;
        if (utimensat(dst_dir_fd, name, (struct timespec[]){ st->st_atim, st->st_mtim },
                      AT_SYMLINK_NOFOLLOW) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the times of '%s'", name);
        return 0;
}

int overlay_layer_open(struct fs_pool *pool, const char *name, int *ret_fd, struct err *err)
{
        if (safepath_open(pool->layers_fd, name, O_RDONLY | O_DIRECTORY, ret_fd, err) < 0)
                return err_wrap(err, "layer");
        return 0;
}

int overlay_layer_make(struct fs_pool *pool, const char *name, const char *like, struct err *err)
{
        CLEANUP(closep) int fd = -1, like_fd = -1;

        /* What is there is what an earlier try of the same call left: no record names it. */
        if (tree_remove(pool->layers_fd, name, err) < 0 ||
            tree_remove(pool->work_fd, name, err) < 0)
                return err_wrap(err, "the layer '%s' of an earlier try", name);
        if (mkdirat(pool->layers_fd, name, 0755) < 0 || mkdirat(pool->work_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make the layer '%s'", name);
        if (overlay_layer_open(pool, name, &fd, err) < 0)
                return -1;
        if (like == NULL)
                return fchmod(fd, 0755) < 0 ? err_fail(err, ERR_IO, errno, "'%s'", name) : 0;
        if (overlay_layer_open(pool, like, &like_fd, err) < 0 ||
            overlay_copy_dir(like_fd, fd, err) < 0 || overlay_copy_times(like_fd, fd, err) < 0)
                return err_wrap(err, "layer '%s'", name);
        return 0;
}

int overlay_layer_sync(struct fs_pool *pool, const char *name, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (overlay_layer_open(pool, name, &fd, err) < 0)
                return -1;
        if (syncfs(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the layer '%s'", name);
        return 0;
}

int overlay_layer_sync_empty(struct fs_pool *pool, const char *name, struct err *err)
{
        const int parents[] = { pool->layers_fd, pool->work_fd };

        for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
                CLEANUP(closep) int fd = -1;

                if (safepath_open(parents[i], name, O_RDONLY | O_DIRECTORY, &fd, err) < 0 ||
                    file_sync_dir(fd, err) < 0 || file_sync_dir(parents[i], err) < 0)
                        return err_wrap(err, "layer '%s'", name);
        }
        return 0;
}

struct sweep {
        struct fs_pool *pool;
        const struct overlay_trees *trees;
        bool partial;
};

/* Renamed first: a layer half deleted must not look like one. */
static int layer_delete(struct fs_pool *pool, const char *name, struct err *err)
{
        char dead[NAME_MAX + 1];

        (void)snprintf(dead, sizeof(dead), ".%s%.*s", DEAD, OVERLAY_NAME_MAX, name);
        if (tree_remove(pool->layers_fd, dead, err) < 0)
                return -1;
        if (renameat(pool->layers_fd, name, pool->layers_fd, dead) < 0)
                return err_fail(err, ERR_IO, errno, "cannot retire the layer '%s'", name);
        if (tree_remove(pool->work_fd, name, err) < 0)
                return -1;
        return tree_remove(pool->layers_fd, dead, err);
}

static int sweep_layer(const char *name, void *arg, struct err *err)
{
        const struct sweep *sweep = arg;
        const char *dot = strrchr(name, '.');
        char path[NAME_MAX + 16];
        bool shown;

        if (strcmp(name, OVERLAY_EMPTY_LAYER) == 0)
                return 0;
        if (strncmp(name, "." DEAD, strlen("." DEAD)) == 0)
                return tree_remove(sweep->pool->layers_fd, name, err);
        if (dot != NULL && strcmp(dot, ".partial") == 0)
                return sweep->partial ? layer_delete(sweep->pool, name, err) : 0;
        if (overlay_trees_count(sweep->trees, name) > 0)
                return 0;
        /* A head may be mounted with layers that were merged meanwhile. */
        (void)snprintf(path, sizeof(path), "layers/%s", name);
        if (mount_shows(sweep->pool->dir_fd, path, &shown, err) < 0)
                return -1;
        return shown ? 0 : layer_delete(sweep->pool, name, err);
}

static int sweep_work(const char *name, void *arg, struct err *err)
{
        const struct sweep *sweep = arg;

        if (faccessat(sweep->pool->layers_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        return tree_remove(sweep->pool->work_fd, name, err);
}

int overlay_layers_sweep(struct fs_pool *pool, bool partial, struct err *err)
{
        struct overlay_trees trees = { 0 };
        struct sweep sweep = { .pool = pool, .trees = &trees, .partial = partial };
        int ret;

        if (overlay_trees_read(pool, &trees, err) < 0)
                return -1;
        ret = tree_each(pool->layers_fd, sweep_layer, &sweep, err);
        if (ret == 0)
                ret = tree_each(pool->work_fd, sweep_work, &sweep, err);
        overlay_trees_done(&trees);
        return ret;
}
