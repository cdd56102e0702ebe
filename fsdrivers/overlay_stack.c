/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fsdrivers/overlay_internal.h"

/*
 * What the kernel's overlayfs does on lookup, in fs/overlayfs/namei.c: layers are asked from the
 * top; a whiteout (a character device 0:0) or something that is no directory ends the search, and
 * so does a directory marked opaque once it was taken.
 */

int overlay_stack_open(struct fs_pool *pool, char *const *layers, size_t n,
                       struct overlay_stack *ret_stack, struct err *err)
{
        struct overlay_stack stack = { .fds = calloc(n, sizeof(int)) };

        if (stack.fds == NULL)
                return err_oom(err);
        for (; stack.n < n; stack.n++)
                if (overlay_layer_open(pool, layers[stack.n], &stack.fds[stack.n], err) < 0) {
                        overlay_stack_done(&stack);
                        return -1;
                }
        *ret_stack = stack;
        return 0;
}

void overlay_stack_done(struct overlay_stack *stack)
{
        for (size_t i = 0; i < stack->n; i++)
                closep(&stack->fds[i]);
        free(stack->fds);
        stack->fds = NULL;
        stack->n = 0;
}

void overlay_dir_done(struct overlay_dir *dir)
{
        for (size_t i = 0; i < dir->n; i++)
                closep(&dir->parts[i].fd);
        free(dir->parts);
        dir->parts = NULL;
        dir->n = 0;
}

bool overlay_is_whiteout(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int fd)
{
        char value;

        return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

int overlay_dir_root(const struct overlay_stack *stack, struct overlay_dir *ret_dir,
                     struct err *err)
{
        struct overlay_dir dir = { .parts = calloc(stack->n, sizeof(*dir.parts)) };

        if (dir.parts == NULL)
                return err_oom(err);
        for (; dir.n < stack->n; dir.n++) {
                int fd = openat(stack->fds[dir.n], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd < 0) {
                        overlay_dir_done(&dir);
                        return err_fail(err, ERR_IO, errno, "cannot open a layer");
                }
                dir.parts[dir.n] = (struct overlay_part){ .layer = dir.n, .fd = fd };
        }
        *ret_dir = dir;
        return 0;
}

/* 1: go on with the next part, 0: the search ends here. */
static int child_part(const struct overlay_part *part, const char *name, struct overlay_dir *child,
                      struct err *err)
{
        struct stat st;
        int fd;

        if (fstatat(part->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 1 : err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        if (!S_ISDIR(st.st_mode))
                return 0;
        fd = openat(part->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
                return 0; /* it went away in a head that is in use */
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open '%s'", name);
        child->parts[child->n++] = (struct overlay_part){ .layer = part->layer, .fd = fd };
        return is_opaque(fd) ? 0 : 1;
}

int overlay_dir_child(const struct overlay_dir *dir, const char *name,
                      struct overlay_dir *ret_child, struct err *err)
{
        struct overlay_dir child = { .parts = calloc(dir->n + 1, sizeof(*child.parts)) };
        int more = 1;

        if (child.parts == NULL)
                return err_oom(err);
        for (size_t i = 0; i < dir->n && more == 1; i++)
                more = child_part(&dir->parts[i], name, &child, err);
        if (more < 0) {
                overlay_dir_done(&child);
                return -1;
        }
        *ret_child = child;
        return 0;
}

int overlay_dir_open(const struct overlay_stack *stack, const char *path,
                     struct overlay_dir *ret_dir, struct err *err)
{
        CLEANUP(freep) char *copy = strdup(path);
        char *rest = NULL;

        if (copy == NULL)
                return err_oom(err);
        if (overlay_dir_root(stack, ret_dir, err) < 0)
                return -1;
        for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
                struct overlay_dir child;
                int ret = overlay_dir_child(ret_dir, name, &child, err);

                overlay_dir_done(ret_dir);
                if (ret < 0)
                        return err_wrap(err, "'%.200s'", path);
                *ret_dir = child;
        }
        return 0;
}

int overlay_dir_look(const struct overlay_dir *dir, size_t from, const char *name,
                     size_t *ret_part, struct stat *ret_st, struct err *err)
{
        for (size_t i = from; i < dir->n; i++) {
                if (fstatat(dir->parts[i].fd, name, ret_st, AT_SYMLINK_NOFOLLOW) == 0) {
                        *ret_part = i;
                        return overlay_is_whiteout(ret_st) ? 0 : 1;
                }
                if (errno != ENOENT)
                        return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        }
        return 0;
}

struct each {
        const struct overlay_dir *dir;
        size_t part;
        overlay_visit visit;
        void *arg;
};

static int each_name(const char *name, void *arg, struct err *err)
{
        const struct each *each = arg;
        struct stat st;

        for (size_t i = 0; i < each->part; i++)
                if (faccessat(each->dir->parts[i].fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        return 0;
        if (fstatat(each->dir->parts[each->part].fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        return each->visit(each->dir, each->part, name, &st, each->arg, err);
}

int overlay_dir_each(const struct overlay_dir *dir, size_t n_parts, overlay_visit visit, void *arg,
                     struct err *err)
{
        for (size_t i = 0; i < n_parts && i < dir->n; i++) {
                struct each each = { .dir = dir, .part = i, .visit = visit, .arg = arg };

                if (tree_each(dir->parts[i].fd, each_name, &each, err) < 0)
                        return -1;
        }
        return 0;
}
