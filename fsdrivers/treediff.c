/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/list.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treediff.h"
#include "fsdrivers/treediff_file.h"
#include "fsdrivers/treexattr.h"

/* Marks of a directory that is to be visited: in which trees it is one. */
#define IN_FROM 1
#define IN_TO   2

struct diff {
        int from_fd, to_fd;
        dev_t from_dev, to_dev;
        unsigned flags;
        fs_change_visit visit;
        void *arg;
        struct tree_todo todo;
};

struct compared {
        char status[8];
        bool differs;
        int dir_mark; /* IN_FROM and IN_TO: where it is a directory */
};

/* Type of what is at a name, 0 for nothing. */
static int look(int dir_fd, const char *name, struct stat *st, struct err *err)
{
        memset(st, 0, sizeof(*st));
        if (dir_fd < 0 || fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        memset(st, 0, sizeof(*st));
        return errno == ENOENT ? 0 : err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
}

/* By text: where they lead to is of no interest. */
static int diff_links(int from_dir_fd, int to_dir_fd, const char *name, bool *ret_differs,
                      struct err *err)
{
        CLEANUP(freep) char *from = NULL;
        CLEANUP(freep) char *to = NULL;

        if (tree_readlink(from_dir_fd, name, &from, err) < 0 ||
            tree_readlink(to_dir_fd, name, &to, err) < 0)
                return -1;
        *ret_differs = strcmp(from, to) != 0;
        return 0;
}

/* Files of equal size. */
static int diff_files(int from_dir_fd, int to_dir_fd, const char *name, unsigned flags,
                      bool *ret_differs, struct err *err)
{
        CLEANUP(closep) int from_fd = -1, to_fd = -1;
        struct stat from, to;

        if (tree_open_file(from_dir_fd, name, &from_fd, &from, err) < 0 ||
            tree_open_file(to_dir_fd, name, &to_fd, &to, err) < 0)
                return -1;
        return treediff_file(from_fd, to_fd, (flags & TREEDIFF_SAME_FS) != 0, ret_differs, err);
}

static int diff_content(int from_dir_fd, int to_dir_fd, const char *name, const struct stat *from,
                        const struct stat *to, unsigned flags, bool *ret_differs, struct err *err)
{
        int result;

        *ret_differs = false;
        if (from->st_dev == to->st_dev && from->st_ino == to->st_ino)
                return 0; /* it is the same file */
        switch (from->st_mode & S_IFMT) {
        case S_IFREG:
                *ret_differs = from->st_size != to->st_size;
                if (*ret_differs || from->st_size == 0)
                        return 0;
                result = diff_files(from_dir_fd, to_dir_fd, name, flags, ret_differs, err);
                break;
        case S_IFLNK:
                result = diff_links(from_dir_fd, to_dir_fd, name, ret_differs, err);
                break;
        case S_IFBLK:
        case S_IFCHR:
                *ret_differs = from->st_rdev != to->st_rdev;
                return 0;
        default:
                return 0;
        }
        if (result < 0 && err->code == ERR_NOT_FOUND) {
                *ret_differs = true; /* replaced under our eyes: changed, certainly */
                return 0;
        }
        return result;
}

/* What has become something else meanwhile has told so by its other letters, or will next time. */
static int diff_xattrs(int from_dir_fd, int to_dir_fd, const char *name, bool *ret_xattrs,
                       bool *ret_acl, struct err *err)
{
        CLEANUP(closep) int from_fd = -1, to_fd = -1;

        *ret_xattrs = *ret_acl = false;
        if (safepath_open(from_dir_fd, name, O_PATH, &from_fd, err) < 0 ||
            safepath_open(to_dir_fd, name, O_PATH, &to_fd, err) < 0)
                return err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED ? 0 : -1;
        return treexattr_diff(from_fd, to_fd, ret_xattrs, ret_acl, err);
}

/* The letters of one name, and whether there is something below it. */
static int compare(int from_dir_fd, int to_dir_fd, const char *name, unsigned flags,
                   struct compared *ret, struct err *err)
{
        struct stat from, to;
        bool content, xattrs, acl;
        char *status = ret->status;

        if (look(from_dir_fd, name, &from, err) < 0 || look(to_dir_fd, name, &to, err) < 0)
                return -1;
        memcpy(status, "......", 7);
        ret->dir_mark = (S_ISDIR(from.st_mode) ? IN_FROM : 0) | (S_ISDIR(to.st_mode) ? IN_TO : 0);
        ret->differs = from.st_mode != 0 || to.st_mode != 0;
        if (from.st_mode == 0 || to.st_mode == 0) {
                status[0] = from.st_mode == 0 ? '+' : '-';
                return 0;
        }
        if ((from.st_mode ^ to.st_mode) & S_IFMT) {
                status[0] = 't';
                return 0;
        }
        if (diff_content(from_dir_fd, to_dir_fd, name, &from, &to, flags, &content, err) < 0 ||
            diff_xattrs(from_dir_fd, to_dir_fd, name, &xattrs, &acl, err) < 0)
                return -1;
        status[0] = content ? 'c' : '.';
        status[1] = from.st_mode != to.st_mode ? 'p' : '.';
        status[2] = from.st_uid != to.st_uid ? 'u' : '.';
        status[3] = from.st_gid != to.st_gid ? 'g' : '.';
        status[4] = xattrs ? 'x' : '.';
        status[5] = acl ? 'a' : '.';
        ret->differs = strcmp(status, "......") != 0;
        return 0;
}

int treediff_entry(int from_dir_fd, int to_dir_fd, const char *name, unsigned flags,
                   char status[static 8], bool *ret_differs, struct err *err)
{
        struct compared compared;

        if (compare(from_dir_fd, to_dir_fd, name, flags, &compared, err) < 0)
                return -1;
        memcpy(status, compared.status, sizeof(compared.status));
        *ret_differs = compared.differs;
        return 0;
}

/* Compare one name, report it, and remember to look into it. */
static int diff_name(struct diff *d, int from_dir_fd, int to_dir_fd, const char *dir_path,
                     const char *name, struct err *err)
{
        CLEANUP(freep) char *path = tree_join(dir_path, name);
        struct compared compared;
        struct fs_change change = { .path = path };

        if (path == NULL)
                return err_oom(err);
        if (compare(from_dir_fd, to_dir_fd, name, d->flags, &compared, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (compared.differs) {
                memcpy(change.status, compared.status, sizeof(change.status));
                if (d->visit(&change, d->arg, err) < 0)
                        return -1;
        }
        if (compared.dir_mark == 0)
                return 0;
        return tree_todo_push(&d->todo, STEAL(path), compared.dir_mark, err);
}

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

static int names_add(const char *name, void *arg, struct err *err)
{
        struct names *names = arg;

        if (!LIST_ROOM(names))
                return err_oom(err);
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

/* Open a directory of one tree and list it.  One that is gone, or that is another subvolume, has
 * nothing in it. */
static int list(int root_fd, dev_t dev, const char *path, int *ret_fd, struct names *names,
                struct err *err)
{
        struct stat st;

        if (tree_open(root_fd, path, ret_fd, err) < 0)
                return err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED ? 0 : -1;
        if (fstat(*ret_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (st.st_dev != dev)
                return 0;
        if (tree_each(*ret_fd, names_add, names, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (names->n > 0)
                qsort(names->v, names->n, sizeof(*names->v), name_order);
        return 0;
}

/* Both lists are sorted, so names are paired by merging them. */
static int diff_dir(struct diff *d, const char *path, int mark, struct err *err)
{
        CLEANUP(closep) int from_fd = -1, to_fd = -1;
        CLEANUP(names_done) struct names from = { .n = 0 };
        CLEANUP(names_done) struct names to = { .n = 0 };
        size_t i = 0, j = 0;

        if (((mark & IN_FROM) && list(d->from_fd, d->from_dev, path, &from_fd, &from, err) < 0) ||
            ((mark & IN_TO) && list(d->to_fd, d->to_dev, path, &to_fd, &to, err) < 0))
                return -1;
        while (i < from.n || j < to.n) {
                int order = i == from.n ? 1 : j == to.n ? -1 : strcmp(from.v[i], to.v[j]);
                const char *name = order <= 0 ? from.v[i] : to.v[j];

                if (diff_name(d, order <= 0 ? from_fd : -1, order >= 0 ? to_fd : -1, path, name,
                              err) < 0)
                        return -1;
                i += order <= 0;
                j += order >= 0;
        }
        return 0;
}

/* The root is compared as "." in itself. */
static int diff_root(struct diff *d, struct err *err)
{
        struct compared compared;
        struct fs_change change = { .path = "." };

        if (compare(d->from_fd, d->to_fd, ".", d->flags, &compared, err) < 0)
                return -1;
        if (compared.differs) {
                memcpy(change.status, compared.status, sizeof(change.status));
                if (d->visit(&change, d->arg, err) < 0)
                        return -1;
        }
        return tree_todo_push(&d->todo, strdup(""), IN_FROM | IN_TO, err);
}

/* The directory that holds ${path}; that it is not there is no failure. */
static int start_parent(int root_fd, const char *path, int *ret_fd, const char **ret_name,
                        struct err *err)
{
        const char *slash = strrchr(path, '/');

        *ret_name = slash == NULL ? path : slash + 1;
        if (tree_open_parent(root_fd, path, ret_fd, ret_name, err) == 0)
                return 0;
        return err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED ? 0 : -1;
}

/* Where the walk begins, when it is not the root. */
static int diff_start(struct diff *d, const char *path, struct err *err)
{
        CLEANUP(closep) int from_fd = -1, to_fd = -1;
        CLEANUP(freep) char *parent = NULL;
        const char *name = path;

        if (start_parent(d->from_fd, path, &from_fd, &name, err) < 0 ||
            start_parent(d->to_fd, path, &to_fd, &name, err) < 0)
                return -1;
        parent = strndup(path, name == path ? 0 : (size_t)(name - path) - 1);
        if (parent == NULL)
                return err_oom(err);
        return diff_name(d, from_fd, to_fd, parent, name, err);
}

/* No recursion: what is found to be a directory is put on a list. */
static int diff_all(struct diff *d, const char *start, struct err *err)
{
        char *next;
        int mark;

        if ((start[0] == '\0' ? diff_root(d, err) : diff_start(d, start, err)) < 0)
                return -1;
        while ((next = tree_todo_pop(&d->todo, &mark)) != NULL) {
                CLEANUP(freep) char *path = next;

                if (diff_dir(d, path, mark, err) < 0)
                        return -1;
        }
        return 0;
}

int treediff_below(int from_fd, int to_fd, const char *path, unsigned flags, fs_change_visit visit,
                   void *arg, struct err *err)
{
        struct diff d = {
                .from_fd = from_fd, .to_fd = to_fd, .flags = flags, .visit = visit, .arg = arg
        };
        struct stat from, to;
        int result;

        if (fstat(from_fd, &from) < 0 || fstat(to_fd, &to) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the trees");
        d.from_dev = from.st_dev;
        d.to_dev = to.st_dev;
        result = diff_all(&d, path, err);
        tree_todo_done(&d.todo);
        return result;
}

int treediff(int from_fd, int to_fd, unsigned flags, fs_change_visit visit, void *arg,
             struct err *err)
{
        return treediff_below(from_fd, to_fd, "", flags, visit, arg, err);
}
