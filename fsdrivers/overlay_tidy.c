/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/file.h"
#include "fsdrivers/overlay_internal.h"

/*
 * Merging takes as long as there are entries, so it is done without the pool's lock, into a layer
 * that is not finished ("NAME.partial"), under a lock of layers/ that keeps other processes from
 * taking it for debris.  Only the change of records is done under the pool's lock, after a look
 * whether they are still what they were.
 */

/* Give the finished layer its name.  What has that name already is debris, unless a tree lists
 * it: then an earlier run made the same. */
static int layer_finish(struct fs_pool *pool, const struct overlay_trees *trees, const char *name,
                        struct err *err)
{
        char partial[OVERLAY_NAME_MAX + 16];

        (void)snprintf(partial, sizeof(partial), "%s.partial", name);
        if (overlay_trees_count(trees, name) > 0)
                return tree_remove(pool->layers_fd, partial, err);
        if (tree_remove(pool->layers_fd, name, err) < 0)
                return -1;
        if (renameat(pool->layers_fd, partial, pool->layers_fd, name) < 0)
                return err_fail(err, ERR_IO, errno, "cannot finish the layer '%s'", name);
        return file_sync_dir(pool->layers_fd, err);
}

static bool same_layers(const struct overlay_tree *a, const struct overlay_tree *b)
{
        if (a->n_layers != b->n_layers)
                return false;
        for (size_t i = 0; i < a->n_layers; i++)
                if (strcmp(a->layers[i], b->layers[i]) != 0)
                        return false;
        return true;
}

static int flatten_finish(struct fs_pool *pool, const struct overlay_tree *was, const char *name,
                          struct err *err)
{
        CLEANUP(overlay_trees_done) struct overlay_trees trees = { 0 };
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };

        if (overlay_trees_read(pool, &trees, err) < 0 ||
            overlay_tree_read(pool, was->info.id, &tree, err) < 0)
                return -1;
        if (!same_layers(was, &tree))
                return err_fail(err, ERR_BUSY, 0, "it changed while it was flattened");
        if (layer_finish(pool, &trees, name, err) < 0 ||
            overlay_tree_stack(&tree, name, NULL, 0, err) < 0 ||
            overlay_tree_write(pool, &tree, err) < 0)
                return -1;
        return overlay_layers_sweep(pool, false, err);
}

static int flatten(struct fs_pool *pool, fs_id head, struct err *err)
{
        CLEANUP(overlay_trees_done) struct overlay_trees trees = { 0 };
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };
        CLEANUP(freep) bool *shared = NULL;
        char name[OVERLAY_NAME_MAX + 8];
        int ret;

        if (overlay_tree_read(pool, head, &tree, err) < 0)
                return -1;
        if (tree.info.kind != FS_HEAD)
                return err_fail(err, ERR_NOT_FOUND, 0, "tree %" PRIu64 " is not a head", head);
        if (tree.n_layers == 1)
                return 0;
        if (overlay_trees_read(pool, &trees, err) < 0)
                return -1;

        /* The head goes on being written: a file that another tree has too must be a copy. */
        shared = calloc(tree.n_layers, sizeof(*shared));
        if (shared == NULL)
                return err_oom(err);
        for (size_t i = 0; i < tree.n_layers; i++)
                shared[i] = overlay_trees_count(&trees, tree.layers[i]) > 1;
        (void)snprintf(name, sizeof(name), "%s.flat", tree.layers[0]);
        if (overlay_merge(pool, tree.layers, tree.n_layers, tree.n_layers, shared, name, err) < 0 ||
            overlay_lock(pool, err) < 0)
                return -1;
        ret = flatten_finish(pool, &tree, name, err);
        overlay_unlock(pool);
        return ret;
}

int overlay_flatten(struct fs_pool *pool, fs_id head, struct err *err)
{
        int ret;

        if (flock(pool->layers_fd, LOCK_EX) < 0)
                return err_fail(err, ERR_IO, errno, "cannot lock the layers");
        ret = flatten(pool, head, err);
        (void)flock(pool->layers_fd, LOCK_UN);
        return ret < 0 ? err_wrap(err, "making %" PRIu64 " a plain directory", head) : 0;
}

/* The layers of a tree that nobody writes: all but a head's own. */
static size_t n_still(const struct overlay_tree *tree)
{
        return tree->n_layers - (tree->info.kind == FS_HEAD ? 1 : 0);
}

static bool ends_with(const struct overlay_tree *tree, char *const *layers, size_t n)
{
        if (n_still(tree) < n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (strcmp(tree->layers[tree->n_layers - n + i], layers[i]) != 0)
                        return false;
        return true;
}

/* The least deep stack that is too deep: what is merged for it serves the deeper ones above. */
static const struct overlay_tree *too_deep(const struct overlay_trees *trees)
{
        const struct overlay_tree *found = NULL;

        for (size_t i = 0; i < trees->n; i++)
                if (n_still(&trees->all[i]) > OVERLAY_LAYERS_GOOD &&
                    (found == NULL || n_still(&trees->all[i]) < n_still(found)))
                        found = &trees->all[i];
        return found;
}

/* Every tree that ends with the merged layers and the base gets the one layer and the base
 * instead.  Each record by itself says the same as before, so a crash in between does no harm. */
static int replace_layers(struct fs_pool *pool, struct overlay_trees *trees, char *const *layers,
                          size_t n, char *name, struct err *err)
{
        for (size_t i = 0; i < trees->n; i++) {
                struct overlay_tree *tree = &trees->all[i];
                size_t above = tree->n_layers - n;
                CLEANUP(overlay_tree_done) struct overlay_tree next = { .info = tree->info };

                if (!ends_with(tree, layers, n))
                        continue;
                next.layers = calloc(above + 2, sizeof(*next.layers));
                if (next.layers == NULL)
                        return err_oom(err);
                for (; next.n_layers < above; next.n_layers++)
                        next.layers[next.n_layers] = strdup(tree->layers[next.n_layers]);
                next.layers[next.n_layers++] = strdup(name);
                next.layers[next.n_layers++] = strdup(layers[n - 1]);
                for (size_t k = 0; k < next.n_layers; k++)
                        if (next.layers[k] == NULL)
                                return err_oom(err);
                if (overlay_tree_write(pool, &next, err) < 0)
                        return -1;
        }
        return 0;
}

/* The base, which is most of a site, stays as it is: only what changed since is merged. */
static int shorten(struct fs_pool *pool, const struct overlay_tree *tree, struct err *err)
{
        CLEANUP(overlay_trees_done) struct overlay_trees now = { 0 };
        size_t n = n_still(tree);
        char *const *layers = tree->layers + (tree->n_layers - n);
        char name[OVERLAY_NAME_MAX + 8];
        int ret;

        (void)snprintf(name, sizeof(name), "%s.m", layers[0]);
        if (overlay_merge(pool, layers, n, n - 1, NULL, name, err) < 0 ||
            overlay_lock(pool, err) < 0)
                return -1;
        ret = overlay_trees_read(pool, &now, err);
        if (ret == 0)
                ret = layer_finish(pool, &now, name, err);
        if (ret == 0)
                ret = replace_layers(pool, &now, layers, n, name, err);
        overlay_unlock(pool);
        return ret;
}

static int tidy(struct fs_pool *pool, struct err *err)
{
        int ret;

        for (;;) {
                CLEANUP(overlay_trees_done) struct overlay_trees trees = { 0 };
                const struct overlay_tree *tree;

                if (overlay_trees_read(pool, &trees, err) < 0)
                        return -1;
                tree = too_deep(&trees);
                if (tree == NULL)
                        break;
                if (shorten(pool, tree, err) < 0)
                        return err_wrap(err, "tidying tree %" PRIu64, tree->info.id);
        }
        if (overlay_lock(pool, err) < 0)
                return -1;
        ret = overlay_layers_sweep(pool, true, err);
        overlay_unlock(pool);
        return ret;
}

int overlay_tidy(struct fs_pool *pool, struct err *err)
{
        int ret;

        if (flock(pool->layers_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        return 0; /* someone else is at it */
                return err_fail(err, ERR_IO, errno, "cannot lock the layers");
        }
        ret = tidy(pool, err);
        (void)flock(pool->layers_fd, LOCK_UN);
        return ret;
}
