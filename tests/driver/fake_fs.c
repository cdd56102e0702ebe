/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "fsdrivers/treediff.h"
#include "tests/driver/fake_fs.h"

#define NAME_LEN 32

struct fs_pool {
        int dir_fd, trees_fd, info_fd;
};

static fake_fs_hook fault_hook;

void fake_fs_fault(fake_fs_hook hook)
{
        fault_hook = hook;
}

static int part(const char *call, unsigned n, struct err *err)
{
        return fault_hook == NULL ? 0 : fault_hook(call, n, err);
}

static void name_of(fs_id id, char name[static NAME_LEN])
{
        (void)snprintf(name, NAME_LEN, "%" PRIu64, id);
}

static int fake_probe(int dir_fd, struct err *err)
{
        struct stat st;

        return fstat(dir_fd, &st) < 0 ? err_fail(err, ERR_UNSUPPORTED, errno, "no directory") : 0;
}

static int fake_stat(struct fs_pool *pool, fs_id id, struct fs_info *ret_info, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        char name[NAME_LEN], kind[16];
        fs_id parent;

        name_of(id, name);
        if (file_read(pool->info_fd, name, 64, &text, NULL, err) < 0)
                return err->code == ERR_NOT_FOUND ?
                               err_fail(err, ERR_NOT_FOUND, 0, "no tree %s", name) : -1;
        if (sscanf(text, "%15s %" SCNu64, kind, &parent) != 2)
                return err_fail(err, ERR_CORRUPT, 0, "tree %s", name);
        *ret_info = (struct fs_info){ id, parent, kind[0] == 'h' ? FS_HEAD : FS_FROZEN };
        return 0;
}

static int record(struct fs_pool *pool, fs_id id, enum fs_kind kind, fs_id parent,
                  struct err *err)
{
        char name[NAME_LEN], text[64];

        name_of(id, name);
        (void)snprintf(text, sizeof(text), "%s %" PRIu64 "\n", kind == FS_HEAD ? "head" : "frozen",
                       parent);
        return file_replace(pool->info_fd, name, text, strlen(text), 0600, err);
}

/* What has no record is debris. */
static int sweep_tree(const char *name, void *arg, struct err *err)
{
        struct fs_pool *pool = arg;

        if (faccessat(pool->info_fd, name, F_OK, 0) == 0)
                return 0;
        return tree_remove(pool->trees_fd, name, err);
}

static void fake_close(struct fs_pool *pool)
{
        if (pool == NULL)
                return;
        closep(&pool->info_fd);
        closep(&pool->trees_fd);
        closep(&pool->dir_fd);
        free(pool);
}

DEFINE_CLEANUP(struct fs_pool *, fake_close);

static int fake_open(int dir_fd, struct fs_pool **ret_pool, struct err *err)
{
        CLEANUP(fake_closep) struct fs_pool *pool = calloc(1, sizeof(*pool));

        if (pool == NULL)
                return err_oom(err);
        *pool = (struct fs_pool){ -1, -1, -1 };
        pool->dir_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (pool->dir_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the pool");
        if ((mkdirat(dir_fd, "trees", 0700) < 0 && errno != EEXIST) ||
            (mkdirat(dir_fd, "info", 0700) < 0 && errno != EEXIST))
                return err_fail(err, ERR_IO, errno, "cannot make the pool");
        if (safepath_open(dir_fd, "trees", O_RDONLY | O_DIRECTORY, &pool->trees_fd, err) < 0 ||
            safepath_open(dir_fd, "info", O_RDONLY | O_DIRECTORY, &pool->info_fd, err) < 0 ||
            tree_each(pool->trees_fd, sweep_tree, pool, err) < 0)
                return -1;
        *ret_pool = STEAL(pool);
        return 0;
}

static int open_tree_dir(struct fs_pool *pool, fs_id id, int *ret_fd, struct err *err)
{
        struct fs_info info;
        char name[NAME_LEN];

        if (fake_stat(pool, id, &info, err) < 0)
                return -1;
        name_of(id, name);
        return safepath_open(pool->trees_fd, name, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

/* A whole copy under the number, and only then its record. */
static int make_copy(struct fs_pool *pool, const char *call, int src_fd,
                     const struct fs_info *info, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char name[NAME_LEN];

        name_of(info->id, name);
        if (part(call, 1, err) < 0 || tree_remove(pool->trees_fd, name, err) < 0)
                return -1;
        if (mkdirat(pool->trees_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", name);
        if (safepath_open(pool->trees_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0 ||
            part(call, 2, err) < 0 || treecopy(src_fd, fd, NULL, NULL, err) < 0)
                return -1;
        if (syncfs(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync '%s'", name);
        if (part(call, 3, err) < 0 || record(pool, info->id, info->kind, info->parent, err) < 0)
                return -1;
        return part(call, 4, err);
}

static int fake_import(struct fs_pool *pool, int src_fd, fs_id head, struct err *err)
{
        struct fs_info info = { .id = head, .kind = FS_HEAD };
        CLEANUP(closep) int fd = -1;

        if (open_tree_dir(pool, head, &fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? make_copy(pool, "import", src_fd, &info, err)
                                                  : -1;
        if (treecopy(src_fd, fd, NULL, NULL, err) < 0)
                return -1;
        return syncfs(fd) < 0 ? err_fail(err, ERR_IO, errno, "cannot sync the import") : 0;
}

static int derive(struct fs_pool *pool, const char *call, fs_id from, enum fs_kind from_kind,
                  fs_id to, struct err *err)
{
        struct fs_info info = { .id = to, .parent = from, .kind = !from_kind }, there;
        CLEANUP(closep) int fd = -1;

        if (fake_stat(pool, from, &there, err) < 0)
                return -1;
        if (there.kind != from_kind)
                return err_fail(err, ERR_NOT_FOUND, 0, "tree %" PRIu64 " is of another kind", from);
        if (fake_stat(pool, to, &there, err) == 0)
                return 0;
        if (open_tree_dir(pool, from, &fd, err) < 0)
                return -1;
        return make_copy(pool, call, fd, &info, err);
}

static int fake_capture(struct fs_pool *pool, fs_id head, fs_id frozen, struct err *err)
{
        return derive(pool, "capture", head, FS_HEAD, frozen, err);
}

static int fake_branch(struct fs_pool *pool, fs_id frozen, fs_id head, struct err *err)
{
        return derive(pool, "branch", frozen, FS_FROZEN, head, err);
}

static int fake_slot(struct fs_pool *pool, fs_id head, int *ret_dir_fd,
                     char name[static NAME_MAX + 1], struct err *err)
{
        struct fs_info info;

        if (fake_stat(pool, head, &info, err) < 0 ||
            safepath_open(pool->dir_fd, "trees", O_RDONLY | O_DIRECTORY, ret_dir_fd, err) < 0)
                return -1;
        name_of(head, name);
        return 0;
}

static int fake_remove(struct fs_pool *pool, fs_id id, struct err *err)
{
        char name[NAME_LEN], path[NAME_LEN + 8];
        bool shown;

        name_of(id, name);
        (void)snprintf(path, sizeof(path), "trees/%s", name);
        if (mount_shows(pool->dir_fd, path, &shown, err) < 0)
                return -1;
        if (shown)
                return err_fail(err, ERR_BUSY, 0, "tree %s is mounted", name);
        if (part("remove", 1, err) < 0)
                return -1;
        if (unlinkat(pool->info_fd, name, 0) < 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "cannot remove the record of %s", name);
        if (file_sync_dir(pool->info_fd, err) < 0 || part("remove", 2, err) < 0)
                return -1;
        return tree_remove(pool->trees_fd, name, err);
}

struct walking {
        struct fs_pool *pool;
        fs_visit visit;
        void *arg;
};

static int walk_one(const char *name, void *arg, struct err *err)
{
        const struct walking *walking = arg;
        struct fs_info info;
        char *end;
        fs_id id = strtoull(name, &end, 10);

        if (id == 0 || *end != '\0')
                return 0;
        if (fake_stat(walking->pool, id, &info, err) < 0)
                return -1;
        return walking->visit(&info, walking->arg, err);
}

static int fake_walk(struct fs_pool *pool, fs_visit visit, void *arg, struct err *err)
{
        struct walking walking = { pool, visit, arg };

        return tree_each(pool->info_fd, walk_one, &walking, err);
}

static int fake_mounts(struct fs_pool *pool, fs_id id, bool read_only, struct mount_spec *ret_spec,
                       struct err *err)
{
        struct mount_spec spec = { .kind = MOUNT_BIND };
        struct fs_info info;

        if (fake_stat(pool, id, &info, err) < 0)
                return -1;
        spec.read_only = read_only || info.kind == FS_FROZEN;
        if (asprintf(&spec.source, "trees/%" PRIu64, id) < 0)
                return err_oom(err);
        *ret_spec = spec;
        return 0;
}

static int fake_sync(struct fs_pool *pool, fs_id id, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (open_tree_dir(pool, id, &fd, err) < 0)
                return -1;
        return syncfs(fd) < 0 ? err_fail(err, ERR_IO, errno, "cannot sync %" PRIu64, id) : 0;
}

static int fake_stubs(struct fs_pool *pool, fs_id head, const char *const *paths, size_t n,
                      struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct fs_info info;

        if (fake_stat(pool, head, &info, err) < 0 || open_tree_dir(pool, head, &fd, err) < 0)
                return -1;
        if (info.kind != FS_HEAD)
                return err_fail(err, ERR_NOT_FOUND, 0, "tree %" PRIu64 " is not a head", head);
        for (size_t i = 0; i < n; i++)
                if (tree_stub(fd, paths[i], err) < 0)
                        return -1;
        return syncfs(fd) < 0 ? err_fail(err, ERR_IO, errno, "cannot sync the stubs") : 0;
}

/* Nothing is shared between trees, so removing one gives all of it back. */
static int fake_sizes(struct fs_pool *pool, fs_id id, struct fs_sizes *ret_sizes, struct err *err)
{
        struct treecopy_totals totals;
        CLEANUP(closep) int fd = -1;

        if (open_tree_dir(pool, id, &fd, err) < 0 || treecopy_survey(fd, NULL, &totals, err) < 0)
                return -1;
        *ret_sizes = (struct fs_sizes){ totals.bytes, totals.bytes };
        return 0;
}

static int fake_diff(struct fs_pool *pool, fs_id from, fs_id to, fs_change_visit visit, void *arg,
                     struct err *err)
{
        CLEANUP(closep) int from_fd = -1, to_fd = -1;

        if (open_tree_dir(pool, from, &from_fd, err) < 0 ||
            open_tree_dir(pool, to, &to_fd, err) < 0)
                return -1;
        return treediff(from_fd, to_fd, 0, visit, arg, err);
}

static int fake_flatten(struct fs_pool *pool, fs_id head, struct err *err)
{
        struct fs_info info;

        return fake_stat(pool, head, &info, err); /* it is a plain directory already */
}

const struct fs_driver fs_driver_fake = {
        .name = "fake",
        .probe = fake_probe,
        .open = fake_open,
        .close = fake_close,
        .import = fake_import,
        .slot = fake_slot,
        .capture = fake_capture,
        .branch = fake_branch,
        .remove = fake_remove,
        .stat = fake_stat,
        .walk = fake_walk,
        .mounts = fake_mounts,
        .sync = fake_sync,
        .stubs = fake_stubs,
        .sizes = fake_sizes,
        .diff = fake_diff,
        .flatten = fake_flatten,
};
