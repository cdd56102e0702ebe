/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsdrivers/overlay_internal.h"
#include "fsdrivers/treediff.h"

/*
 * Two trees of one line end with the same layers.  What differs between them shows in the layers
 * above those: a name that none of them mentions, in a directory that both trees see through to
 * the same common layers, is the same in both.  So only the directories of those layers are
 * visited, however large the site is.
 */

#define IN_FROM 1
#define IN_TO   2

struct side {
        struct overlay_stack stack;
        size_t n_own; /* layers above the common ones */
};

struct diff {
        struct side from, to;
        fs_change_visit visit;
        void *arg;
        struct tree_todo todo;
};

struct names {
        char **v;
        size_t n, room;
};

static void names_done(struct names *names)
{
        for (size_t i = 0; i < names->n; i++)
                free(names->v[i]);
        free(names->v);
}

static int names_add(const struct overlay_dir *dir, size_t part, const char *name,
                     const struct stat *st, void *arg, struct err *err)
{
        struct names *names = arg;

        (void)dir;
        (void)part;
        (void)st;
        if (names->n == names->room) {
                size_t room = names->room == 0 ? 32 : names->room * 2;
                char **more = reallocarray(names->v, room, sizeof(*more));

                if (more == NULL)
                        return err_oom(err);
                names->v = more;
                names->room = room;
        }
        names->v[names->n] = strdup(name);
        if (names->v[names->n] == NULL)
                return err_oom(err);
        names->n++;
        return 0;
}

static int name_order(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t own_parts(const struct overlay_dir *dir, const struct side *side)
{
        size_t n = 0;

        while (n < dir->n && dir->parts[n].layer < side->n_own)
                n++;
        return n;
}

/* Do both see the same common layers here?  One may have hidden them. */
static bool same_below(const struct diff *d, const struct overlay_dir *from, size_t n_from,
                       const struct overlay_dir *to, size_t n_to)
{
        if (from->n - n_from != to->n - n_to)
                return false;
        for (size_t i = 0; i < from->n - n_from; i++)
                if (from->parts[n_from + i].layer - d->from.n_own !=
                    to->parts[n_to + i].layer - d->to.n_own)
                        return false;
        return true;
}

static int diff_name(struct diff *d, const char *dir_path, const struct overlay_dir *from,
                     const struct overlay_dir *to, const char *name, struct err *err)
{
        CLEANUP(freep) char *path = tree_join(dir_path, name);
        struct fs_change change = { .path = path };
        size_t from_part = 0, to_part = 0;
        struct stat from_st, to_st;
        int in_from, in_to, mark;
        bool differs;

        if (path == NULL)
                return err_oom(err);
        in_from = overlay_dir_look(from, 0, name, &from_part, &from_st, err);
        in_to = in_from < 0 ? -1 : overlay_dir_look(to, 0, name, &to_part, &to_st, err);
        if (in_to < 0)
                return -1;
        if (!in_from && !in_to)
                return 0;
        if (treediff_entry(in_from ? from->parts[from_part].fd : -1,
                           in_to ? to->parts[to_part].fd : -1, name, TREEDIFF_SAME_FS,
                           change.status, &differs, err) < 0)
                return err_wrap(err, "'%.200s'", path);
        if (differs && d->visit(&change, d->arg, err) < 0)
                return -1;
        mark = (in_from && S_ISDIR(from_st.st_mode) ? IN_FROM : 0) |
               (in_to && S_ISDIR(to_st.st_mode) ? IN_TO : 0);
        return mark == 0 ? 0 : tree_todo_push(&d->todo, STEAL(path), mark, err);
}

static int diff_dir(struct diff *d, const char *path, int mark, struct err *err)
{
        CLEANUP(overlay_dir_done) struct overlay_dir from = { 0 };
        CLEANUP(overlay_dir_done) struct overlay_dir to = { 0 };
        CLEANUP(names_done) struct names names = { 0 };
        size_t n_from, n_to;

        if (((mark & IN_FROM) && overlay_dir_open(&d->from.stack, path, &from, err) < 0) ||
            ((mark & IN_TO) && overlay_dir_open(&d->to.stack, path, &to, err) < 0))
                return -1;
        n_from = own_parts(&from, &d->from);
        n_to = own_parts(&to, &d->to);
        if (!same_below(d, &from, n_from, &to, n_to)) {
                n_from = from.n;
                n_to = to.n;
        }
        if (overlay_dir_each(&from, n_from, names_add, &names, err) < 0 ||
            overlay_dir_each(&to, n_to, names_add, &names, err) < 0)
                return -1;
        if (names.n > 0)
                qsort(names.v, names.n, sizeof(*names.v), name_order);
        for (size_t i = 0; i < names.n; i++)
                if ((i == 0 || strcmp(names.v[i], names.v[i - 1]) != 0) &&
                    diff_name(d, path, &from, &to, names.v[i], err) < 0)
                        return -1;
        return 0;
}

static int diff_all(struct diff *d, struct err *err)
{
        struct fs_change root = { .path = "." };
        char *next;
        bool differs;
        int mark;

        if (treediff_entry(d->from.stack.fds[0], d->to.stack.fds[0], ".", TREEDIFF_SAME_FS,
                           root.status, &differs, err) < 0 ||
            (differs && d->visit(&root, d->arg, err) < 0) ||
            tree_todo_push(&d->todo, strdup(""), IN_FROM | IN_TO, err) < 0)
                return -1;
        while ((next = tree_todo_pop(&d->todo, &mark)) != NULL) {
                CLEANUP(freep) char *path = next;

                if (diff_dir(d, path, mark, err) < 0)
                        return -1;
        }
        return 0;
}

int overlay_diff(struct fs_pool *pool, fs_id from_id, fs_id to_id, fs_change_visit visit,
                 void *arg, struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree from = { 0 };
        CLEANUP(overlay_tree_done) struct overlay_tree to = { 0 };
        struct diff d = { .visit = visit, .arg = arg };
        size_t common = 0;
        int ret = -1;

        if (overlay_tree_read(pool, from_id, &from, err) < 0 ||
            overlay_tree_read(pool, to_id, &to, err) < 0)
                return -1;
        while (common < from.n_layers && common < to.n_layers &&
               strcmp(from.layers[from.n_layers - 1 - common],
                      to.layers[to.n_layers - 1 - common]) == 0)
                common++;
        d.from.n_own = from.n_layers - common;
        d.to.n_own = to.n_layers - common;
        if (overlay_stack_open(pool, from.layers, from.n_layers, &d.from.stack, err) == 0 &&
            overlay_stack_open(pool, to.layers, to.n_layers, &d.to.stack, err) == 0)
                ret = diff_all(&d, err);
        tree_todo_done(&d.todo);
        overlay_stack_done(&d.from.stack);
        overlay_stack_done(&d.to.stack);
        return ret;
}
