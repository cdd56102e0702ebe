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

/*
 * What tidy() merges: the first ${n_merged} of ${n} layers that are the lower end of a stack.  The
 * new layer is named after the first and the last one in it, which together say what it holds:
 * what lies between two layers of a stack never changes.
 */
struct job {
        char *const *layers;
        size_t n, n_merged;
};

/* The layers of a tree that nobody writes: all but a head's own. */
static size_t n_still(const struct overlay_tree *tree)
{
        return tree->n_layers - (tree->info.kind == FS_HEAD ? 1 : 0);
}

static char *const *still(const struct overlay_tree *tree)
{
        return tree->layers + (tree->n_layers - n_still(tree));
}

/* The least deep stack that is too deep: what is merged for it serves the deeper ones above.  Its
 * base, which is most of a site, stays as it is. */
static bool find_deep(const struct overlay_trees *trees, struct job *job)
{
        const struct overlay_tree *found = NULL;

        for (size_t i = 0; i < trees->n; i++)
                if (n_still(&trees->all[i]) > OVERLAY_LAYERS_GOOD &&
                    (found == NULL || n_still(&trees->all[i]) < n_still(found)))
                        found = &trees->all[i];
        if (found == NULL)
                return false;
        *job = (struct job){ still(found), n_still(found), n_still(found) - 1 };
        return true;
}

/* Does some tree begin with this layer?  Then it and the one above are not merged. */
static bool begins_a_tree(const struct overlay_trees *trees, const char *layer)
{
        for (size_t i = 0; i < trees->n; i++)
                if (n_still(&trees->all[i]) > 0 && strcmp(still(&trees->all[i])[0], layer) == 0)
                        return true;
        return false;
}

/* Taking the base along means a link for each file of the site: worth it when the layers above
 * hide a good part of what is in it. */
static int worth_the_base(struct fs_pool *pool, char *const *layers, size_t n, bool *ret_worth,
                          struct err *err)
{
        uint64_t above = 0, base, bytes;

        for (size_t i = 0; i + 1 < n; i++) {
                if (overlay_layer_bytes(pool, layers[i], &bytes, err) < 0)
                        return -1;
                above += bytes;
        }
        if (overlay_layer_bytes(pool, layers[n - 1], &base, err) < 0)
                return -1;
        *ret_worth = above * 8 >= base;
        return 0;
}

/* Layers next to each other that no tree needs apart any more, since the trees between them were
 * removed: merged, what the upper ones hide comes free. */
static int find_run(struct fs_pool *pool, const struct overlay_trees *trees,
                    const struct overlay_tree *tree, struct job *job, bool *ret_found,
                    struct err *err)
{
        char *const *layers = still(tree);
        size_t n = n_still(tree), first = 0;

        for (size_t i = 1; i <= n; i++) {
                bool ends = i == n || begins_a_tree(trees, layers[i]), worth = false;

                if (!ends)
                        continue;
                *job = (struct job){ layers + first, n - first, i - first };
                first = i;
                if (i == n && job->n_merged > 1) {
                        if (worth_the_base(pool, job->layers, job->n_merged, &worth, err) < 0)
                                return -1;
                        if (!worth)
                                job->n_merged--;
                }
                if (job->n_merged > 1) {
                        *ret_found = true;
                        return 0;
                }
        }
        return 0;
}

/* After a capture the head's old mount writes to a layer of the frozen tree until it is sealed. */
static int is_quiet(struct fs_pool *pool, const struct job *job, bool *ret_quiet, struct err *err)
{
        *ret_quiet = true;
        for (size_t i = 0; i < job->n_merged && *ret_quiet; i++) {
                char path[OVERLAY_NAME_MAX + 16];
                bool writable;

                (void)snprintf(path, sizeof(path), "layers/%s", job->layers[i]);
                if (mount_shows_writable(pool->dir_fd, path, &writable, err) < 0)
                        return -1;
                *ret_quiet = !writable;
        }
        return 0;
}

static int find_job(struct fs_pool *pool, const struct overlay_trees *trees, struct job *job,
                    bool *ret_found, struct err *err)
{
        bool found = find_deep(trees, job);

        *ret_found = false;
        if (found && is_quiet(pool, job, ret_found, err) < 0)
                return -1;
        for (size_t i = 0; i < trees->n && !*ret_found; i++) {
                found = false;
                if (find_run(pool, trees, &trees->all[i], job, &found, err) < 0 ||
                    (found && is_quiet(pool, job, ret_found, err) < 0))
                        return -1;
        }
        return 0;
}

/* "A_B" from a first layer "A" or "A_x" and a last one "B" or "x_B". */
static int job_name(const struct job *job, char name[static OVERLAY_NAME_MAX + 1], struct err *err)
{
        const char *first = job->layers[0], *last = job->layers[job->n_merged - 1];
        const char *tail = strchr(last, OVERLAY_MERGED);
        int n = snprintf(name, OVERLAY_NAME_MAX + 1, "%.*s%c%s",
                         (int)strcspn(first, (char[]){ OVERLAY_MERGED, '\0' }), first,
                         OVERLAY_MERGED, tail == NULL ? last : tail + 1);

        if (n > OVERLAY_NAME_MAX)
                return err_fail(err, ERR_CORRUPT, 0, "the layer names are too long");
        return 0;
}

static bool ends_with(const struct overlay_tree *tree, const struct job *job)
{
        if (n_still(tree) < job->n)
                return false;
        for (size_t i = 0; i < job->n; i++)
                if (strcmp(tree->layers[tree->n_layers - job->n + i], job->layers[i]) != 0)
                        return false;
        return true;
}

/* Every tree that ends with the layers of the job gets the one layer instead of those merged.
 * Each record by itself says the same as before, so a crash in between does no harm. */
static int replace_layers(struct fs_pool *pool, struct overlay_trees *trees, const struct job *job,
                          const char *name, struct err *err)
{
        for (size_t i = 0; i < trees->n; i++) {
                struct overlay_tree *tree = &trees->all[i];
                CLEANUP(overlay_tree_done) struct overlay_tree next = {
                        .info = tree->info, .total_bytes = tree->total_bytes
                };
                size_t above = tree->n_layers - job->n;

                if (!ends_with(tree, job))
                        continue;
                next.layers = calloc(tree->n_layers, sizeof(*next.layers));
                if (next.layers == NULL)
                        return err_oom(err);
                for (size_t k = 0; k < tree->n_layers; k++) {
                        if (k > above && k < above + job->n_merged)
                                continue;
                        next.layers[next.n_layers] = strdup(k == above ? name : tree->layers[k]);
                        if (next.layers[next.n_layers++] == NULL)
                                return err_oom(err);
                }
                if (overlay_tree_write(pool, &next, err) < 0)
                        return -1;
        }
        return 0;
}

static int job_run(struct fs_pool *pool, const struct job *job, struct err *err)
{
        CLEANUP(overlay_trees_done) struct overlay_trees now = { 0 };
        char name[OVERLAY_NAME_MAX + 1];
        int ret;

        if (job_name(job, name, err) < 0 ||
            overlay_merge(pool, job->layers, job->n, job->n_merged, NULL, name, err) < 0 ||
            overlay_lock(pool, err) < 0)
                return -1;
        ret = overlay_trees_read(pool, &now, err);
        if (ret == 0)
                ret = layer_finish(pool, &now, name, err);
        if (ret == 0)
                ret = replace_layers(pool, &now, job, name, err);
        overlay_unlock(pool);
        return ret;
}

static int tidy(struct fs_pool *pool, struct err *err)
{
        int ret;

        for (;;) {
                CLEANUP(overlay_trees_done) struct overlay_trees trees = { 0 };
                struct job job;
                bool found;

                if (overlay_trees_read(pool, &trees, err) < 0 ||
                    find_job(pool, &trees, &job, &found, err) < 0)
                        return -1;
                if (!found)
                        break;
                if (job_run(pool, &job, err) < 0)
                        return err_wrap(err, "tidying the pool");
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
