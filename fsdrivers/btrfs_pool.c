/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/btrfs_internal.h"
#include "fsdrivers/btrfs_nested.h"
#include "fsdrivers/list.h"
#include "fsdrivers/tree.h"

int btrfs_fail(struct err *err, enum btrfs_util_error e, const char *fmt, ...)
{
        int os = errno;
        char what[200];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);
        if (e == BTRFS_UTIL_ERROR_NO_MEMORY)
                return err_oom(err);
        return err_fail(err, ERR_IO, os, "%s", what);
}

int btrfs_commit(int fd, struct err *err)
{
        enum btrfs_util_error e;
        uint64_t transid;

        e = btrfs_util_start_sync_fd(fd, &transid);
        if (e == BTRFS_UTIL_OK)
                e = btrfs_util_wait_sync_fd(fd, transid);
        return e == BTRFS_UTIL_OK ? 0 : btrfs_fail(err, e, "cannot commit the transaction");
}

struct btrfs_tree btrfs_tree_make(enum fs_kind kind, fs_id id, fs_id parent)
{
        struct btrfs_tree tree = { .info = { .id = id, .parent = parent, .kind = kind } };

        (void)snprintf(tree.name, sizeof(tree.name), "%c%" PRIu64 ".%" PRIu64,
                       kind == FS_HEAD ? 'h' : 'f', id, parent);
        return tree;
}

/* A number as btrfs_tree_make() writes it, without a leading zero; *at is moved behind it. */
static bool parse_number(const char **at, fs_id *ret_number)
{
        const char *first = *at;
        fs_id number = 0;

        for (; **at >= '0' && **at <= '9'; ++*at)
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, (fs_id)(**at - '0'), &number))
                        return false;
        *ret_number = number;
        return *at > first && (*first != '0' || *at == first + 1);
}

/* A name is a tree's only when it is exactly what btrfs_tree_make() makes of its numbers.  This is
 * done for every tree of the pool in every call, so it is done without printf. */
static bool parse(const char *name, struct btrfs_tree *ret_tree)
{
        const char *at = name + 1;
        struct fs_info *info = &ret_tree->info;

        if (name[0] != 'h' && name[0] != 'f')
                return false;
        info->kind = name[0] == 'h' ? FS_HEAD : FS_FROZEN;
        if (!parse_number(&at, &info->id) || info->id == 0 || *at++ != '.' ||
            !parse_number(&at, &info->parent) || *at != '\0')
                return false;
        memcpy(ret_tree->name, name, (size_t)(at - name) + 1); /* at most 2 * 20 digits */
        return true;
}

/* Other names are left alone: debris, and what is none of ours. */
static int add_tree(const char *name, void *arg, struct err *err)
{
        struct btrfs_trees *trees = arg;
        struct btrfs_tree tree;

        if (!parse(name, &tree))
                return 0;
        if (!LIST_ROOM(trees))
                return err_oom(err);
        trees->v[trees->n++] = tree;
        return 0;
}

int btrfs_trees_load(struct fs_pool *pool, struct btrfs_trees *trees, struct err *err)
{
        return tree_each(pool->trees_fd, add_tree, trees, err);
}

void btrfs_trees_done(struct btrfs_trees *trees)
{
        free(trees->v);
}

const struct btrfs_tree *btrfs_trees_find(const struct btrfs_trees *trees, fs_id id)
{
        for (size_t i = 0; i < trees->n; i++)
                if (trees->v[i].info.id == id)
                        return &trees->v[i];
        return NULL;
}

int btrfs_tree_get(struct fs_pool *pool, fs_id id, struct btrfs_tree *ret_tree, struct err *err)
{
        CLEANUP(btrfs_trees_done) struct btrfs_trees trees = { .n = 0 };
        const struct btrfs_tree *tree;

        if (btrfs_trees_load(pool, &trees, err) < 0)
                return -1;
        tree = btrfs_trees_find(&trees, id);
        if (tree == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no tree %" PRIu64, id);
        *ret_tree = *tree;
        return 0;
}

int btrfs_tree_open(struct fs_pool *pool, const struct btrfs_tree *tree, int *ret_fd,
                    struct err *err)
{
        return safepath_open(pool->trees_fd, tree->name, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

int btrfs_tree_check(struct fs_pool *pool, const struct btrfs_tree *tree, struct err *err)
{
        char path[sizeof(BTRFS_TREES) + BTRFS_NAME_MAX];
        bool shows;

        /* The kernel destroys a subvolume that is mounted and in use without a word. */
        (void)snprintf(path, sizeof(path), BTRFS_TREES "/%s", tree->name);
        if (mount_shows(pool->fd, path, &shows, err) < 0)
                return -1;
        if (shows)
                return err_fail(err, ERR_BUSY, 0, "tree %" PRIu64 " is mounted", tree->info.id);
        return 0;
}

/* Remove what is not simply destroyed, step by step, so the tree stops being one first. */
static int destroy_by_steps(struct fs_pool *pool, const char *name, bool is_subvolume,
                            struct err *err)
{
        char partial[BTRFS_NAME_MAX + sizeof(BTRFS_PARTIAL)];
        enum btrfs_util_error e;

        (void)snprintf(partial, sizeof(partial), "%s", name);
        if (strstr(name, BTRFS_PARTIAL) == NULL) {
                (void)snprintf(partial, sizeof(partial), "%s" BTRFS_PARTIAL, name);
                if (renameat(pool->trees_fd, name, pool->trees_fd, partial) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot rename '%s'", name);
        }
        if (!is_subvolume)
                return tree_remove(pool->trees_fd, partial, err);
        if (btrfs_nested_destroy(pool, partial, err) < 0)
                return err_wrap(err, "removing '%s'", name);
        e = btrfs_util_delete_subvolume_fd(pool->trees_fd, partial, 0);
        return e == BTRFS_UTIL_OK ? 0
                                  : btrfs_fail(err, e, "cannot remove the subvolume '%s'", partial);
}

int btrfs_destroy(struct fs_pool *pool, const char *name, struct err *err)
{
        enum btrfs_util_error e = btrfs_util_delete_subvolume_fd(pool->trees_fd, name, 0);

        if (e == BTRFS_UTIL_OK || errno == ENOENT)
                return 0;
        switch (errno) {
        case ENOTEMPTY: /* the tenant made subvolumes of their own in it */
                return destroy_by_steps(pool, name, true, err);
        case EINVAL: /* the head was given back, and this came in exchange: see slot() */
        case ENOTDIR:
                return destroy_by_steps(pool, name, false, err);
        default:
                return btrfs_fail(err, e, "cannot remove the subvolume '%s'", name);
        }
}

/* Everything unfinished ends in the same suffix, whoever made it. */
static int sweep_one(const char *name, void *arg, struct err *err)
{
        size_t n = strlen(name), suffix = strlen(BTRFS_PARTIAL);

        if (n < suffix || strcmp(name + n - suffix, BTRFS_PARTIAL) != 0)
                return 0;
        return btrfs_destroy(arg, name, err);
}

int btrfs_sweep(struct fs_pool *pool, struct err *err)
{
        int result;

        /* btrfs_import() holds a shared lock for as long as it has something unfinished. */
        if (flock(pool->trees_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 0
                                            : err_fail(err, ERR_IO, errno, "cannot lock the pool");
        result = tree_each(pool->trees_fd, sweep_one, pool, err);
        (void)flock(pool->trees_fd, LOCK_UN);
        return result;
}
