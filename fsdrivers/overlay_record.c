/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "fsdrivers/overlay_internal.h"

#define RECORD_MAX (256 * 1024)

static const char *const kinds[] = { [FS_HEAD] = "head", [FS_FROZEN] = "frozen" };

static inline void json_donep(json_t **json)
{
        json_decref(*json);
}

void overlay_tree_done(struct overlay_tree *tree)
{
        for (size_t i = 0; i < tree->n_layers; i++)
                free(tree->layers[i]);
        free(tree->layers);
        tree->layers = NULL;
        tree->n_layers = 0;
}

int overlay_tree_stack(struct overlay_tree *tree, const char *first, char *const *rest, size_t n,
                       struct err *err)
{
        char **layers = calloc(n + 1, sizeof(*layers));
        size_t k = 0;

        if (layers == NULL)
                return err_oom(err);
        if (first != NULL)
                layers[k++] = strdup(first);
        for (size_t i = 0; i < n; i++)
                layers[k++] = strdup(rest[i]);
        overlay_tree_done(tree);
        tree->layers = layers;
        tree->n_layers = k;
        for (size_t i = 0; i < k; i++)
                if (layers[i] == NULL)
                        return err_oom(err);
        return 0;
}

/* A name in a record becomes a path, so it is ours or the record is damaged. */
static bool layer_name_valid(const char *name)
{
        size_t n = name == NULL ? 0 : strlen(name);

        return n > 0 && n <= OVERLAY_NAME_MAX && isdigit((unsigned char)name[0]) &&
               strspn(name, "0123456789-._abcdefghijklmnopqrstuvwxyz") == n;
}

static int layers_parse(const json_t *json, struct overlay_tree *tree, struct err *err)
{
        const json_t *list = json_object_get(json, "layers");
        size_t n = json_array_size(list);

        if (n == 0 || n > OVERLAY_LAYERS_MAX + 1)
                return err_fail(err, ERR_CORRUPT, 0, "%zu layers", n);
        tree->layers = calloc(n, sizeof(*tree->layers));
        if (tree->layers == NULL)
                return err_oom(err);
        for (; tree->n_layers < n; tree->n_layers++) {
                const char *name = json_string_value(json_array_get(list, tree->n_layers));

                if (!layer_name_valid(name))
                        return err_fail(err, ERR_CORRUPT, 0, "a layer's name is not ours");
                tree->layers[tree->n_layers] = strdup(name);
                if (tree->layers[tree->n_layers] == NULL)
                        return err_oom(err);
        }
        return 0;
}

static int tree_parse(const char *text, size_t n, fs_id id, struct overlay_tree *tree,
                      struct err *err)
{
        CLEANUP(json_donep) json_t *json = NULL;
        const char *kind;

        if (json_parse(text, n, &json, err) < 0)
                return err_fail(err, ERR_CORRUPT, 0, "it is not JSON");
        kind = json_get_string(json, "kind");
        if (json_get_u64(json, "format") != 1 || kind == NULL ||
            (strcmp(kind, kinds[FS_HEAD]) != 0 && strcmp(kind, kinds[FS_FROZEN]) != 0))
                return err_fail(err, ERR_CORRUPT, 0, "format or kind is unknown");
        tree->info = (struct fs_info){
                .id = id,
                .parent = json_get_u64(json, "parent"),
                .kind = strcmp(kind, kinds[FS_HEAD]) == 0 ? FS_HEAD : FS_FROZEN,
        };
        tree->total_bytes = json_get_u64(json, "bytes");
        return layers_parse(json, tree, err);
}

int overlay_tree_read(struct fs_pool *pool, fs_id id, struct overlay_tree *ret_tree,
                      struct err *err)
{
        struct overlay_tree tree = { 0 };
        CLEANUP(freep) char *text = NULL;
        char name[24];
        size_t n;

        (void)snprintf(name, sizeof(name), "%" PRIu64, id);
        if (file_read(pool->trees_fd, name, RECORD_MAX, &text, &n, err) < 0) {
                if (err->code == ERR_NOT_FOUND)
                        return err_fail(err, ERR_NOT_FOUND, 0, "no tree %s", name);
                return err_wrap(err, "tree %s", name);
        }
        if (tree_parse(text, n, id, &tree, err) < 0) {
                overlay_tree_done(&tree);
                return err_wrap(err, "the record of tree %s is damaged", name);
        }
        *ret_tree = tree;
        return 0;
}

static char *tree_format(const struct overlay_tree *tree)
{
        CLEANUP(json_donep) json_t *json = json_object();
        json_t *layers = json_array();
        int bad = 0;

        for (size_t i = 0; i < tree->n_layers; i++)
                bad |= json_array_append_new(layers, json_string(tree->layers[i]));
        bad |= json_object_set_new(json, "format", json_integer(1));
        bad |= json_object_set_new(json, "kind", json_string(kinds[tree->info.kind]));
        bad |= json_object_set_new(json, "parent", json_integer((json_int_t)tree->info.parent));
        bad |= json_object_set_new(json, "layers", layers);
        if (tree->total_bytes != 0)
                bad |= json_object_set_new(json, "bytes",
                                           json_integer((json_int_t)tree->total_bytes));
        return bad ? NULL : json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
}

int overlay_tree_prepare(struct fs_pool *pool, const struct overlay_tree *tree, bool synced,
                         struct err *err)
{
        CLEANUP(freep) char *text = tree_format(tree);
        CLEANUP(closep) int fd = -1;
        char name[40];

        if (text == NULL)
                return err_oom(err);
        (void)snprintf(name, sizeof(name), "%" PRIu64 ".partial", tree->info.id);
        (void)unlinkat(pool->trees_fd, name, 0);
        fd = openat(pool->trees_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot create the record '%s'", name);
        if (file_write_all(fd, text, strlen(text), err) < 0)
                return err_wrap(err, "the record '%s'", name);
        if (synced && fsync(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the record '%s'", name);
        return 0;
}

int overlay_trees_commit(struct fs_pool *pool, const fs_id *ids, size_t n, struct err *err)
{
        for (size_t i = 0; i < n; i++) {
                char name[24], partial[40];

                (void)snprintf(name, sizeof(name), "%" PRIu64, ids[i]);
                (void)snprintf(partial, sizeof(partial), "%" PRIu64 ".partial", ids[i]);
                if (renameat(pool->trees_fd, partial, pool->trees_fd, name) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot rename the record '%s'",
                                        partial);
        }
        return file_sync_dir(pool->trees_fd, err);
}

int overlay_tree_write(struct fs_pool *pool, const struct overlay_tree *tree, struct err *err)
{
        CLEANUP(freep) char *text = tree_format(tree);
        char name[24];

        if (text == NULL)
                return err_oom(err);
        (void)snprintf(name, sizeof(name), "%" PRIu64, tree->info.id);
        if (file_replace(pool->trees_fd, name, text, strlen(text), 0600, err) < 0)
                return err_wrap(err, "the record of tree %s", name);
        return 0;
}

int overlay_tree_drop(struct fs_pool *pool, fs_id id, struct err *err)
{
        char name[24];

        (void)snprintf(name, sizeof(name), "%" PRIu64, id);
        if (unlinkat(pool->trees_fd, name, 0) < 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "cannot remove the record of tree %s", name);
        return file_sync_dir(pool->trees_fd, err);
}

struct reading {
        struct fs_pool *pool;
        struct overlay_trees *trees;
        size_t room;
};

static int read_one(const char *name, void *arg, struct err *err)
{
        struct reading *reading = arg;
        struct overlay_trees *trees = reading->trees;
        char *end;
        fs_id id = strtoull(name, &end, 10);

        /* Anything but a number is what a crash left of file_replace(). */
        if (id == 0 || *end != '\0' || !isdigit((unsigned char)name[0]))
                return 0;
        if (trees->n == reading->room) {
                size_t room = reading->room == 0 ? 64 : reading->room * 2;
                struct overlay_tree *more = reallocarray(trees->all, room, sizeof(*more));

                if (more == NULL)
                        return err_oom(err);
                trees->all = more;
                reading->room = room;
        }
        if (overlay_tree_read(reading->pool, id, &trees->all[trees->n], err) < 0)
                return -1;
        trees->n++;
        return 0;
}

static int tree_order(const void *a, const void *b)
{
        const struct overlay_tree *x = a, *y = b;

        return x->info.id < y->info.id ? -1 : x->info.id > y->info.id;
}

int overlay_trees_read(struct fs_pool *pool, struct overlay_trees *ret_trees, struct err *err)
{
        struct overlay_trees trees = { 0 };
        struct reading reading = { .pool = pool, .trees = &trees };

        if (tree_each(pool->trees_fd, read_one, &reading, err) < 0) {
                overlay_trees_done(&trees);
                return -1;
        }
        if (trees.n > 0)
                qsort(trees.all, trees.n, sizeof(*trees.all), tree_order);
        *ret_trees = trees;
        return 0;
}

void overlay_trees_done(struct overlay_trees *trees)
{
        for (size_t i = 0; i < trees->n; i++)
                overlay_tree_done(&trees->all[i]);
        free(trees->all);
        trees->all = NULL;
        trees->n = 0;
}

size_t overlay_trees_count(const struct overlay_trees *trees, const char *layer)
{
        size_t n = 0;

        for (size_t i = 0; i < trees->n; i++)
                for (size_t k = 0; k < trees->all[i].n_layers; k++)
                        n += strcmp(trees->all[i].layers[k], layer) == 0;
        return n;
}

int overlay_lock(struct fs_pool *pool, struct err *err)
{
        int ret;

        do
                ret = flock(pool->dir_fd, LOCK_EX);
        while (ret < 0 && errno == EINTR);
        return ret < 0 ? err_fail(err, ERR_IO, errno, "cannot lock the pool") : 0;
}

void overlay_unlock(struct fs_pool *pool)
{
        (void)flock(pool->dir_fd, LOCK_UN);
}
