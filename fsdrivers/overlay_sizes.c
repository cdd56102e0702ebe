/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsdrivers/overlay_internal.h"

/* A file of several names counts once; and its blocks come free only when all of them go, since
 * merged layers share files by hard links. */
struct linked {
        ino_t inode;
        nlink_t names;
        uint64_t bytes;
};

struct usage {
        uint64_t bytes; /* of everything with one name */
        struct linked *linked;
        size_t n, room;
        struct tree_todo todo;
        const char *path; /* the directory being visited */
        int fd;
};

static void usage_done(struct usage *usage)
{
        free(usage->linked);
        tree_todo_done(&usage->todo);
}

static int usage_add(struct usage *usage, const struct stat *st, struct err *err)
{
        uint64_t bytes = (uint64_t)st->st_blocks * 512;

        if (S_ISDIR(st->st_mode) || st->st_nlink == 1) {
                usage->bytes += bytes;
                return 0;
        }
        if (usage->n == usage->room) {
                size_t room = usage->room == 0 ? 64 : usage->room * 2;
                struct linked *more = reallocarray(usage->linked, room, sizeof(*more));

                if (more == NULL)
                        return err_oom(err);
                usage->linked = more;
                usage->room = room;
        }
        usage->linked[usage->n++] = (struct linked){ st->st_ino, st->st_nlink, bytes };
        return 0;
}

static int linked_order(const void *a, const void *b)
{
        const struct linked *x = a, *y = b;

        return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static uint64_t usage_sum(struct usage *usage, bool all_names_only)
{
        uint64_t sum = usage->bytes;

        if (usage->n > 0)
                qsort(usage->linked, usage->n, sizeof(*usage->linked), linked_order);
        for (size_t i = 0, next; i < usage->n; i = next) {
                for (next = i + 1; next < usage->n; next++)
                        if (usage->linked[next].inode != usage->linked[i].inode)
                                break;
                if (!all_names_only || next - i >= usage->linked[i].names)
                        sum += usage->linked[i].bytes;
        }
        return sum;
}

static int add_seen(const struct overlay_dir *dir, size_t part, const char *name,
                    const struct stat *st, void *arg, struct err *err)
{
        struct usage *usage = arg;

        (void)dir;
        (void)part;
        if (overlay_is_whiteout(st))
                return 0;
        if (usage_add(usage, st, err) < 0)
                return -1;
        if (!S_ISDIR(st->st_mode))
                return 0;
        return tree_todo_push(&usage->todo, tree_join(usage->path, name), 0, err);
}

/* What du would say of the mounted tree. */
static int total_bytes(struct fs_pool *pool, const struct overlay_tree *tree, uint64_t *ret_bytes,
                       struct err *err)
{
        CLEANUP(overlay_stack_done) struct overlay_stack stack = { 0 };
        CLEANUP(usage_done) struct usage usage = { 0 };
        char *next;

        if (overlay_stack_open(pool, tree->layers, tree->n_layers, &stack, err) < 0 ||
            tree_todo_push(&usage.todo, strdup(""), 0, err) < 0)
                return -1;
        while ((next = tree_todo_pop(&usage.todo, NULL)) != NULL) {
                CLEANUP(overlay_dir_done) struct overlay_dir dir = { 0 };
                CLEANUP(freep) char *path = next;

                usage.path = path;
                if (overlay_dir_open(&stack, path, &dir, err) < 0 ||
                    overlay_dir_each(&dir, dir.n, add_seen, &usage, err) < 0)
                        return -1;
        }
        *ret_bytes = usage_sum(&usage, false);
        return 0;
}

static int add_name(const char *name, void *arg, struct err *err)
{
        struct usage *usage = arg;
        struct stat st;

        if (fstatat(usage->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        if (usage_add(usage, &st, err) < 0)
                return -1;
        if (!S_ISDIR(st.st_mode))
                return 0;
        return tree_todo_push(&usage->todo, tree_join(usage->path, name), 0, err);
}

static int layer_usage(struct fs_pool *pool, const char *layer, struct usage *usage,
                       struct err *err)
{
        CLEANUP(closep) int root_fd = -1;
        char *next;

        if (overlay_layer_open(pool, layer, &root_fd, err) < 0 ||
            tree_todo_push(&usage->todo, strdup(""), 0, err) < 0)
                return -1;
        while ((next = tree_todo_pop(&usage->todo, NULL)) != NULL) {
                CLEANUP(closep) int fd = -1;
                CLEANUP(freep) char *path = next;

                if (tree_open(root_fd, path, &fd, err) < 0) {
                        if (err->code == ERR_NOT_FOUND)
                                continue;
                        return -1;
                }
                usage->path = path;
                usage->fd = fd;
                if (tree_each(fd, add_name, usage, err) < 0)
                        return -1;
        }
        return 0;
}

int overlay_layer_bytes(struct fs_pool *pool, const char *name, uint64_t *ret_bytes,
                        struct err *err)
{
        CLEANUP(usage_done) struct usage usage = { 0 };

        if (layer_usage(pool, name, &usage, err) < 0)
                return -1;
        *ret_bytes = usage_sum(&usage, false);
        return 0;
}

static int freed_bytes(struct fs_pool *pool, const struct overlay_tree *tree, uint64_t *ret_bytes,
                       struct err *err)
{
        CLEANUP(overlay_trees_done) struct overlay_trees trees = { 0 };
        CLEANUP(usage_done) struct usage usage = { 0 };

        if (overlay_trees_read(pool, &trees, err) < 0)
                return -1;
        for (size_t i = 0; i < tree->n_layers; i++)
                if (overlay_trees_count(&trees, tree->layers[i]) == 1 &&
                    layer_usage(pool, tree->layers[i], &usage, err) < 0)
                        return -1;
        *ret_bytes = usage_sum(&usage, true);
        return 0;
}

/* A frozen tree stays as large as it is, and walking one of 100,000 files takes a quarter of a
 * second: so the record remembers. */
static void remember_total(struct fs_pool *pool, fs_id id, uint64_t bytes)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };
        struct err ignored; /* on a full disk it is measured again next time */

        if (overlay_lock(pool, &ignored) < 0)
                return;
        if (overlay_tree_read(pool, id, &tree, &ignored) == 0 && tree.info.kind == FS_FROZEN) {
                tree.total_bytes = bytes;
                if (overlay_tree_write(pool, &tree, &ignored) < 0)
                        tree.total_bytes = 0;
        }
        overlay_unlock(pool);
}

int overlay_sizes(struct fs_pool *pool, fs_id id, struct fs_sizes *ret_sizes, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };
        struct fs_sizes sizes;

        if (overlay_tree_read(pool, id, &tree, err) < 0)
                return -1;
        sizes.total_bytes = tree.total_bytes;
        if (sizes.total_bytes == 0) {
                if (total_bytes(pool, &tree, &sizes.total_bytes, err) < 0)
                        return -1;
                if (tree.info.kind == FS_FROZEN)
                        remember_total(pool, id, sizes.total_bytes);
        }
        if (freed_bytes(pool, &tree, &sizes.freed_bytes, err) < 0)
                return -1;
        *ret_sizes = sizes;
        return 0;
}
