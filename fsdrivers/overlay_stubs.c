/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/overlay_internal.h"

/*
 * A stub goes into the head's own layer, where it hides what lies below.  A plain directory has
 * no layer of its own above it, and a link of the adopted site must not vanish while the site is
 * still served from there: such a head gets an upper, but only when something has to be hidden.
 */

/* What is seen at a path: 0 nothing, else the type; -1 on failure. */
static int seen_at(const struct overlay_stack *stack, const char *path, struct err *err)
{
        CLEANUP(overlay_dir_done) struct overlay_dir dir = { 0 };
        const char *slash = strrchr(path, '/');
        CLEANUP(freep) char *parent = strndup(path, slash == NULL ? 0 : (size_t)(slash - path));
        struct stat st;
        size_t part;
        int there;

        if (parent == NULL)
                return err_oom(err);
        if (overlay_dir_open(stack, parent, &dir, err) < 0)
                return -1;
        there = overlay_dir_look(&dir, 0, slash == NULL ? path : slash + 1, &part, &st, err);
        return there <= 0 ? there : (int)(st.st_mode & S_IFMT);
}

/* A new directory in the upper, after what is there by that name (a whiteout, a link, a file) is
 * gone; ${hides}: something below must not show through it. */
static int make_dir(int parent_fd, const char *name, bool hides, int *ret_fd, struct err *err)
{
        if (unlinkat(parent_fd, name, 0) < 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "cannot replace '%s'", name);
        if (mkdirat(parent_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", name);
        if (safepath_open(parent_fd, name, O_RDONLY | O_DIRECTORY, ret_fd, err) < 0)
                return -1;
        if (hides && fsetxattr(*ret_fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s' opaque", name);
        return 0;
}

/* One component above the stub: after it, *fd is that directory in the upper. */
static int enter(const struct overlay_stack *stack, const char *path, const char *name, int *fd,
                 struct err *err)
{
        CLEANUP(overlay_dir_done) struct overlay_dir dir = { 0 };
        CLEANUP(closep) int next = -1;
        struct stat root;
        int type;

        if (safepath_open(*fd, name, O_RDONLY | O_DIRECTORY, &next, err) == 0) {
                (void)close(*fd);
                *fd = steal_fd(&next);
                return 0;
        }
        type = seen_at(stack, path, err);
        if (type < 0)
                return -1;
        if (type != 0 && type != S_IFDIR)
                return err_fail(err, ERR_REFUSED, 0, "'%s' is not a directory", path);
        if (overlay_dir_open(stack, path, &dir, err) < 0 ||
            make_dir(*fd, name, type == 0 && stack->n > 1, &next, err) < 0)
                return -1;
        if (type == 0) {
                if (fstat(stack->fds[0], &root) < 0 ||
                    fchown(next, root.st_uid, root.st_gid) < 0 || fchmod(next, 0755) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", path);
        } else if (overlay_copy_dir(dir.parts[0].fd, next, err) < 0 ||
                   overlay_copy_times(dir.parts[0].fd, next, err) < 0)
                return -1;
        (void)close(*fd);
        *fd = steal_fd(&next);
        return 0;
}

/* The directory above keeps its times: the stub is not a change of the site's. */
static int stub_one(const struct overlay_stack *stack, const char *path, struct err *err)
{
        CLEANUP(freep) char *copy = strdup(path);
        CLEANUP(closep) int fd = openat(stack->fds[0], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int stub_fd = -1;
        struct stat st;
        char *slash;
        int type = seen_at(stack, path, err);

        if (type < 0 || type == S_IFDIR)
                return type < 0 ? -1 : 0;
        if (copy == NULL)
                return err_oom(err);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the head");
        for (slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                int ret;

                *slash = '\0';
                ret = enter(stack, copy, strrchr(copy, '/') == NULL ? copy
                            : strrchr(copy, '/') + 1, &fd, err);
                *slash = '/';
                if (ret < 0)
                        return -1;
        }
        slash = strrchr(copy, '/');
        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the directory of '%s'", path);
        if (make_dir(fd, slash == NULL ? copy : slash + 1, stack->n > 1, &stub_fd,
                     err) < 0)
                return -1;
        if (fchmod(stub_fd, 0555) < 0 ||
            futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
                return err_fail(err, ERR_IO, errno, "cannot finish the stub '%s'", path);
        return file_sync_dir(fd, err);
}

/* Does a plain head show something that a stub has to hide? */
static int must_hide(const struct overlay_stack *stack, const char *const *paths, size_t n,
                     bool *ret_hide, struct err *err)
{
        *ret_hide = false;
        for (size_t i = 0; i < n; i++) {
                int type = seen_at(stack, paths[i], err);

                if (type < 0)
                        return -1;
                *ret_hide |= type != 0 && type != S_IFDIR;
        }
        return 0;
}

static int add_upper(struct fs_pool *pool, struct overlay_tree *tree, struct err *err)
{
        struct overlay_tree next = { .info = tree->info };
        char name[32];
        int ret;

        (void)snprintf(name, sizeof(name), "%" PRIu64 "-s", tree->info.id);
        ret = overlay_layer_make(pool, name, tree->layers[0], err);
        if (ret == 0)
                ret = overlay_layer_sync_empty(pool, name, err);
        if (ret == 0)
                ret = overlay_tree_stack(&next, name, tree->layers, tree->n_layers, err);
        if (ret == 0)
                ret = overlay_tree_write(pool, &next, err);
        if (ret == 0) {
                overlay_tree_done(tree);
                *tree = next;
                return 0;
        }
        overlay_tree_done(&next);
        return -1;
}

static int stubs_locked(struct fs_pool *pool, fs_id head, const char *const *paths, size_t n,
                        struct err *err)
{
        CLEANUP(overlay_tree_done) struct overlay_tree tree = { 0 };
        CLEANUP(overlay_stack_done) struct overlay_stack stack = { 0 };
        bool hide;

        if (overlay_tree_read(pool, head, &tree, err) < 0)
                return -1;
        if (tree.info.kind != FS_HEAD)
                return err_fail(err, ERR_NOT_FOUND, 0, "tree %" PRIu64 " is not a head", head);
        if (overlay_stack_open(pool, tree.layers, tree.n_layers, &stack, err) < 0)
                return -1;
        if (tree.n_layers == 1) {
                if (must_hide(&stack, paths, n, &hide, err) < 0)
                        return -1;
                if (hide) {
                        overlay_stack_done(&stack);
                        if (add_upper(pool, &tree, err) < 0 ||
                            overlay_stack_open(pool, tree.layers, tree.n_layers, &stack, err) < 0)
                                return -1;
                }
        }
        for (size_t i = 0; i < n; i++)
                if (stub_one(&stack, paths[i], err) < 0)
                        return -1;
        return 0;
}

int overlay_stubs(struct fs_pool *pool, fs_id head, const char *const *paths, size_t n,
                  struct err *err)
{
        int ret;

        for (size_t i = 0; i < n; i++)
                if (safepath_valid(paths[i], err) < 0)
                        return -1;
        if (overlay_lock(pool, err) < 0)
                return -1;
        ret = stubs_locked(pool, head, paths, n, err);
        overlay_unlock(pool);
        return ret < 0 ? err_wrap(err, "mount points in %" PRIu64, head) : 0;
}
