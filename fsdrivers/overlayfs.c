/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/overlay_internal.h"

/*
 * Capture.  The new upper is made and both records are written to temporary names; one syncfs()
 * makes that and all the head's content durable; then the frozen record gets its name, with the
 * head's layers, and then the head's, with the new upper on top of them.
 *
 * Between the two renames the frozen tree begins with a layer that a head still has as its own:
 * that is how a half capture is known.  A file system that would keep the second rename and lose
 * the first has a head with an empty layer more, and capture finds the name of that layer there.
 */

static int open_dir(struct fs_pool *pool, const char *name, int *ret_fd, struct err *err)
{
        if (mkdirat(pool->dir_fd, name, 0700) < 0 && errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot make '%s' in the pool", name);
        return safepath_open(pool->dir_fd, name, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

static const struct overlay_tree *head_that_owns(const struct overlay_trees *trees,
                                                 const char *layer)
{
        for (size_t i = 0; i < trees->n; i++)
                if (trees->all[i].info.kind == FS_HEAD &&
                    strcmp(trees->all[i].layers[0], layer) == 0)
                        return &trees->all[i];
        return NULL;
}

static int sweep_half_captures(struct fs_pool *pool, struct err *err)
{
        struct overlay_trees trees = { 0 };
        int ret = 0;

        if (overlay_trees_read(pool, &trees, err) < 0)
                return -1;
        for (size_t i = 0; i < trees.n && ret == 0; i++)
                if (trees.all[i].info.kind == FS_FROZEN &&
                    head_that_owns(&trees, trees.all[i].layers[0]) != NULL)
                        ret = overlay_tree_drop(pool, trees.all[i].info.id, err);
        overlay_trees_done(&trees);
        return ret;
}

/* Records are written under the pool's lock, so that one which is not finished never will be. */
static int sweep_record(const char *name, void *arg, struct err *err)
{
        const struct fs_pool *pool = arg;
        const char *dot = strrchr(name, '.');

        if (dot == NULL || strcmp(dot, ".partial") != 0 || unlinkat(pool->trees_fd, name, 0) == 0 ||
            errno == ENOENT)
                return 0;
        return err_fail(err, ERR_IO, errno, "cannot remove the record '%s'", name);
}

/* tidy() of another process merges for a while without the pool's lock; it holds a lock on
 * layers/ meanwhile, and its unfinished layers are not debris. */
static int sweep(struct fs_pool *pool, struct err *err)
{
        bool alone = flock(pool->layers_fd, LOCK_EX | LOCK_NB) == 0;
        int ret;

        ret = overlay_lock(pool, err);
        if (ret == 0) {
                ret = sweep_half_captures(pool, err);
                if (ret == 0)
                        ret = tree_each(pool->trees_fd, sweep_record, pool, err);
                if (ret == 0)
                        ret = overlay_layers_sweep(pool, alone, err);
                overlay_unlock(pool);
        }
        if (alone)
                (void)flock(pool->layers_fd, LOCK_UN);
        return ret;
}

static void close_pool(struct fs_pool *pool)
{
        if (pool == NULL)
                return;
        closep(&pool->work_fd);
        closep(&pool->layers_fd);
        closep(&pool->trees_fd);
        closep(&pool->dir_fd);
        free(pool);
}

DEFINE_CLEANUP(struct fs_pool *, close_pool);

static int open_pool(int dir_fd, struct fs_pool **ret_pool, struct err *err)
{
        CLEANUP(close_poolp) struct fs_pool *pool = malloc(sizeof(*pool));
        struct stat st;

        if (pool == NULL)
                return err_oom(err);
        *pool = (struct fs_pool){ .dir_fd = -1, .trees_fd = -1, .layers_fd = -1, .work_fd = -1 };
        /* Opened anew, not duplicated: a lock belongs to the open file. */
        pool->dir_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (pool->dir_fd < 0 || fstat(pool->dir_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the pool");
        if (st.st_uid != 0 || (st.st_mode & 077) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the pool must be root's with mode 0700, not %04o of user %u",
                                st.st_mode & 07777, st.st_uid);
        if (open_dir(pool, "trees", &pool->trees_fd, err) < 0 ||
            open_dir(pool, "layers", &pool->layers_fd, err) < 0 ||
            open_dir(pool, "work", &pool->work_fd, err) < 0)
                return -1;
        if (mkdirat(pool->layers_fd, OVERLAY_EMPTY_LAYER, 0755) < 0 && errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot make the empty layer");
        if (sweep(pool, err) < 0)
                return err_wrap(err, "clearing up the pool");
        *ret_pool = STEAL(pool);
        return 0;
}

/* 1: there is such a tree already, 0: there is none. */
static int is_there(struct fs_pool *pool, fs_id id, enum fs_kind kind, fs_id parent,
                    struct overlay_tree *ret_tree, struct err *err)
{
        if (overlay_tree_read(pool, id, ret_tree, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (ret_tree->info.kind == kind && ret_tree->info.parent == parent)
                return 1;
        overlay_tree_done(ret_tree);
        return err_fail(err, ERR_EXISTS, 0, "there is another tree %" PRIu64, id);
}

/* A tree whose first layer was just made and is empty.  The record first: its flush takes what was
 * made along, so that the others have little left. */
static int record_empty(struct fs_pool *pool, const struct overlay_tree *tree, struct err *err)
{
        if (overlay_tree_prepare(pool, tree, true, err) < 0 ||
            overlay_layer_sync_empty(pool, tree->layers[0], err) < 0)
                return -1;
        return overlay_trees_commit(pool, &tree->info.id, 1, err);
}

/* A tree with what was written to it. */
static int record_whole(struct fs_pool *pool, const struct overlay_tree *tree, struct err *err)
{
        if (overlay_tree_prepare(pool, tree, false, err) < 0 ||
            overlay_layer_sync(pool, tree->layers[0], err) < 0)
                return -1;
        return overlay_trees_commit(pool, &tree->info.id, 1, err);
}

static int import_locked(struct fs_pool *pool, fs_id head, struct err *err)
{
        struct overlay_tree tree = { 0 };
        char name[24];
        int ret = is_there(pool, head, FS_HEAD, 0, &tree, err);

        overlay_tree_done(&tree);
        if (ret != 0)
                return ret < 0 ? -1 : 0;
        tree.info = (struct fs_info){ .id = head, .kind = FS_HEAD };
        (void)snprintf(name, sizeof(name), "%" PRIu64, head);
        ret = overlay_layer_make(pool, name, NULL, err);
        if (ret == 0)
                ret = overlay_tree_stack(&tree, name, NULL, 0, err);
        if (ret == 0)
                ret = record_empty(pool, &tree, err);
        overlay_tree_done(&tree);
        return ret;
}

static int import(struct fs_pool *pool, int src_fd, fs_id head, struct err *err)
{
        int ret;

        (void)src_fd;
        if (overlay_lock(pool, err) < 0)
                return -1;
        ret = import_locked(pool, head, err);
        overlay_unlock(pool);
        return ret < 0 ? err_wrap(err, "importing %" PRIu64, head) : 0;
}

/* A tree that is known to be there and of this kind. */
static int read_kind(struct fs_pool *pool, fs_id id, enum fs_kind kind,
                     struct overlay_tree *ret_tree, struct err *err)
{
        if (overlay_tree_read(pool, id, ret_tree, err) < 0)
                return -1;
        if (ret_tree->info.kind == kind)
                return 0;
        overlay_tree_done(ret_tree);
        return err_fail(err, ERR_NOT_FOUND, 0, "tree %" PRIu64 " is not a %s", id,
                        kind == FS_HEAD ? "head" : "frozen tree");
}

static int slot(struct fs_pool *pool, fs_id head, int *ret_dir_fd, char name[static NAME_MAX + 1],
                struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };

        if (read_kind(pool, head, FS_HEAD, &tree, err) < 0)
                return -1;
        if (tree.n_layers != 1)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "tree %" PRIu64 " is %zu layers, not a plain directory", head,
                                tree.n_layers);
        *ret_dir_fd = openat(pool->layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*ret_dir_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the layers");
        (void)snprintf(name, NAME_MAX + 1, "%s", tree.layers[0]);
        return 0;
}

/* Frozen gets the layers of the head, which gets a new one on top. */
static int capture_new(struct fs_pool *pool, const struct overlay_tree *head, fs_id frozen_id,
                       const char *upper, struct err *err)
{
        CLEANUP(overlay_tree_done)
        struct overlay_tree frozen = {
                .info = { .id = frozen_id, .parent = head->info.id, .kind = FS_FROZEN },
        };
        CLEANUP(overlay_tree_done) struct overlay_tree next = { .info = head->info };
        const fs_id ids[] = { frozen_id, head->info.id };

        if (overlay_layer_make(pool, upper, head->layers[0], err) < 0 ||
            overlay_tree_stack(&frozen, NULL, head->layers, head->n_layers, err) < 0 ||
            overlay_tree_stack(&next, upper, head->layers, head->n_layers, err) < 0 ||
            overlay_tree_prepare(pool, &frozen, false, err) < 0 ||
            overlay_tree_prepare(pool, &next, false, err) < 0 ||
            overlay_layer_sync(pool, head->layers[0], err) < 0)
                return -1;
        return overlay_trees_commit(pool, ids, 2, err);
}

static int capture_locked(struct fs_pool *pool, fs_id head_id, fs_id frozen_id, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree head = { 0 };
        CLEANUP(overlay_tree_done) struct overlay_tree frozen = { 0 };
        char upper[64];
        int there;

        if (read_kind(pool, head_id, FS_HEAD, &head, err) < 0)
                return -1;
        there = is_there(pool, frozen_id, FS_FROZEN, head_id, &frozen, err);
        if (there < 0)
                return -1;
        if (there == 1 && strcmp(frozen.layers[0], head.layers[0]) != 0)
                return 0;
        if (head.n_layers >= OVERLAY_LAYERS_MAX)
                return err_fail(err, ERR_REFUSED, 0, "it has %zu layers: tidy the pool first",
                                head.n_layers);
        (void)snprintf(upper, sizeof(upper), "%" PRIu64 "-%" PRIu64, head_id, frozen_id);
        if (there == 1 || head.n_layers == 1 || strcmp(head.layers[0], upper) != 0)
                return capture_new(pool, &head, frozen_id, upper, err);

        /* The head has its new upper already. */
        frozen.info = (struct fs_info){ .id = frozen_id, .parent = head_id, .kind = FS_FROZEN };
        if (overlay_tree_stack(&frozen, NULL, head.layers + 1, head.n_layers - 1, err) < 0)
                return -1;
        return record_whole(pool, &frozen, err);
}

static int capture(struct fs_pool *pool, fs_id head, fs_id frozen, struct err *err)
{
        int ret;

        if (overlay_lock(pool, err) < 0)
                return -1;
        ret = capture_locked(pool, head, frozen, err);
        overlay_unlock(pool);
        return ret < 0 ? err_wrap(err, "capturing %" PRIu64 " as %" PRIu64, head, frozen) : 0;
}

static int branch_locked(struct fs_pool *pool, fs_id frozen_id, fs_id head_id, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree frozen = { 0 };
        CLEANUP(overlay_tree_done) struct overlay_tree head = { 0 };
        char name[24];
        int there;

        if (read_kind(pool, frozen_id, FS_FROZEN, &frozen, err) < 0)
                return -1;
        there = is_there(pool, head_id, FS_HEAD, frozen_id, &head, err);
        if (there != 0)
                return there < 0 ? -1 : 0;
        if (frozen.n_layers >= OVERLAY_LAYERS_MAX)
                return err_fail(err, ERR_REFUSED, 0, "it has %zu layers: tidy the pool first",
                                frozen.n_layers);
        (void)snprintf(name, sizeof(name), "%" PRIu64, head_id);
        head.info = (struct fs_info){ .id = head_id, .parent = frozen_id, .kind = FS_HEAD };
        if (overlay_layer_make(pool, name, frozen.layers[0], err) < 0 ||
            overlay_tree_stack(&head, name, frozen.layers, frozen.n_layers, err) < 0)
                return -1;
        return record_empty(pool, &head, err);
}

static int branch(struct fs_pool *pool, fs_id frozen, fs_id head, struct err *err)
{
        int ret;

        if (overlay_lock(pool, err) < 0)
                return -1;
        ret = branch_locked(pool, frozen, head, err);
        overlay_unlock(pool);
        return ret < 0 ? err_wrap(err, "branching %" PRIu64 " from %" PRIu64, head, frozen) : 0;
}

/* A mount may date from before its topmost layer was merged with what lay below it. */
static int is_shown(struct fs_pool *pool, const struct overlay_tree *tree, bool *ret_shown,
                    struct err *err)
{
        char path[OVERLAY_NAME_MAX + 16], *merged;

        (void)snprintf(path, sizeof(path), "layers/%s", tree->layers[0]);
        if (mount_shows_top(pool->dir_fd, path, ret_shown, err) < 0)
                return -1;
        merged = strchr(path, OVERLAY_MERGED);
        if (*ret_shown || merged == NULL)
                return 0;
        *merged = '\0';
        return mount_shows_top(pool->dir_fd, path, ret_shown, err);
}

static int remove_locked(struct fs_pool *pool, fs_id id, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };
        bool shown;

        if (overlay_tree_read(pool, id, &tree, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (is_shown(pool, &tree, &shown, err) < 0)
                return -1;
        if (shown)
                return err_fail(err, ERR_BUSY, 0, "tree %" PRIu64 " is mounted", id);
        if (overlay_tree_drop(pool, id, err) < 0)
                return -1;
        return overlay_layers_sweep(pool, false, err);
}

static int remove_tree(struct fs_pool *pool, fs_id id, struct err *err)
{
        int ret;

        if (overlay_lock(pool, err) < 0)
                return -1;
        ret = remove_locked(pool, id, err);
        overlay_unlock(pool);
        return ret;
}

static int stat_tree(struct fs_pool *pool, fs_id id, struct fs_info *ret_info, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };

        if (overlay_tree_read(pool, id, &tree, err) < 0)
                return -1;
        *ret_info = tree.info;
        return 0;
}

static int walk(struct fs_pool *pool, fs_visit visit, void *arg, struct err *err)
{
        CLEANUP(overlay_trees_done) struct overlay_trees trees = { 0 };

        if (overlay_trees_read(pool, &trees, err) < 0)
                return -1;
        for (size_t i = 0; i < trees.n; i++)
                if (visit(&trees.all[i].info, arg, err) < 0)
                        return -1;
        return 0;
}

static char *in_pool(const char *dir, const char *name)
{
        char *path;

        return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static int overlay_spec(const struct overlay_tree *tree, struct mount_spec *spec, struct err *err)
{
        size_t first = spec->read_only ? 0 : 1;

        spec->kind = MOUNT_OVERLAY;
        spec->lowers = calloc(tree->n_layers + 1, sizeof(*spec->lowers));
        if (spec->lowers == NULL)
                return err_oom(err);
        for (size_t i = first; i < tree->n_layers; i++) {
                spec->lowers[spec->n_lowers] = in_pool("layers", tree->layers[i]);
                if (spec->lowers[spec->n_lowers++] == NULL)
                        return err_oom(err);
        }
        /* Without an upper overlayfs wants two lowers. */
        if (spec->read_only && spec->n_lowers == 1) {
                spec->lowers[1] = in_pool("layers", OVERLAY_EMPTY_LAYER);
                if (spec->lowers[spec->n_lowers++] == NULL)
                        return err_oom(err);
        }
        if (spec->read_only)
                return 0;
        spec->upper = in_pool("layers", tree->layers[0]);
        spec->work = in_pool("work", tree->layers[0]);
        return spec->upper == NULL || spec->work == NULL ? err_oom(err) : 0;
}

static int mounts(struct fs_pool *pool, fs_id id, bool read_only, struct mount_spec *ret_spec,
                  struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };
        CLEANUP(mount_spec_done) struct mount_spec spec = { 0 };

        if (overlay_tree_read(pool, id, &tree, err) < 0)
                return -1;
        spec.read_only = read_only || tree.info.kind == FS_FROZEN;
        if (tree.n_layers == 1 && tree.info.kind == FS_HEAD) {
                spec.kind = MOUNT_BIND;
                spec.source = in_pool("layers", tree.layers[0]);
                if (spec.source == NULL)
                        return err_oom(err);
        } else if (overlay_spec(&tree, &spec, err) < 0)
                return -1;
        *ret_spec = spec;
        memset(&spec, 0, sizeof(spec));
        return 0;
}

static int sync_tree(struct fs_pool *pool, fs_id id, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };

        if (overlay_tree_read(pool, id, &tree, err) < 0)
                return -1;
        return overlay_layer_sync(pool, tree.layers[0], err);
}

const struct fs_driver fs_driver_overlayfs = {
        .name = "overlayfs",
        .features = FS_CAPTURE_REMOUNTS | FS_IMPORT_MOVES,
        .probe = overlay_probe,
        .open = open_pool,
        .close = close_pool,
        .import = import,
        .slot = slot,
        .capture = capture,
        .branch = branch,
        .remove = remove_tree,
        .stat = stat_tree,
        .walk = walk,
        .mounts = mounts,
        .sync = sync_tree,
        .stubs = overlay_stubs,
        .sizes = overlay_sizes,
        .diff = overlay_diff,
        .flatten = overlay_flatten,
        .tidy = overlay_tidy,
};
