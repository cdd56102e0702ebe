/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/safepath.h"
#include "fsdrivers/overlay_internal.h"
#include "fsdrivers/treelinks.h"

/*
 * Merging layers into one.
 *
 * When layers stay below the merged one it has to say what they said about them: a whiteout stays
 * where the name would show otherwise, and only there, since in a directory with nothing below
 * readdir would list it; a directory that something hid from below becomes opaque.
 */

struct merge {
        struct overlay_stack stack;
        size_t n_merged;
        const bool *shared; /* by layer: make copies of its files */
        int out_fd;
        struct tree_todo todo;
        struct treelinks copied; /* files with several names that were copied */
};

struct merge_dir {
        struct merge *merge;
        const char *path;
        int out_fd;
        size_t n_parts; /* how many of the directory's parts are merged; the others stay below */
};

/* Would the name show from below, were it not for the merged layers? */
static int below_shows(const struct merge_dir *here, const struct overlay_dir *dir,
                       const char *name, struct err *err)
{
        struct stat st;
        size_t part;

        return overlay_dir_look(dir, here->n_parts, name, &part, &st, err);
}

static int merge_whiteout(const struct merge_dir *here, const struct overlay_dir *dir,
                          const char *name, struct err *err)
{
        int shows = below_shows(here, dir, name, err);

        if (shows <= 0)
                return shows;
        if (mknodat(here->out_fd, name, S_IFCHR, makedev(0, 0)) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make the whiteout '%s'", name);
        return 0;
}

static int merge_subdir(struct merge_dir *here, const struct overlay_dir *dir, const char *name,
                        struct err *err)
{
        CLEANUP(overlay_dir_done) struct overlay_dir child = { 0 };
        CLEANUP(closep) int fd = -1;
        int shows;

        if (mkdirat(here->out_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make the directory '%s'", name);
        if (overlay_dir_child(dir, name, &child, err) < 0)
                return -1;
        shows = below_shows(here, dir, name, err);
        if (shows < 0)
                return -1;
        if (shows == 1 && child.n > 0 &&
            child.parts[child.n - 1].layer < here->merge->n_merged) {
                if (safepath_open(here->out_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                        return -1;
                if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot make '%s' opaque", name);
        }
        return tree_todo_push(&here->merge->todo, tree_join(here->path, name), 0, err);
}

/* Once copied, the other names of a file are links of the copy. */
static int copy_file(struct merge_dir *here, int src_fd, const char *name, const struct stat *st,
                     struct err *err)
{
        struct treelinks *copied = &here->merge->copied;
        CLEANUP(closep) int first_fd = -1;
        CLEANUP(freep) char *path = NULL;
        const char *first_name;
        struct treelink *link;
        struct statx stx;

        if (st->st_nlink == 1 || S_ISDIR(st->st_mode))
                return overlay_copy_entry(src_fd, here->out_fd, name, st, err);
        if (statx(src_fd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        link = treelinks_find(copied, &stx);
        if (link != NULL) {
                if (tree_open_parent(here->merge->out_fd, link->path, &first_fd, &first_name,
                                     err) < 0)
                        return -1;
                if (linkat(first_fd, first_name, here->out_fd, name, 0) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot link '%s'", name);
                return 0;
        }
        path = tree_join(here->path, name);
        if (path == NULL)
                return err_oom(err);
        if (overlay_copy_entry(src_fd, here->out_fd, name, st, err) < 0)
                return -1;
        return treelinks_add(copied, &stx, path, err);
}

static int merge_file(struct merge_dir *here, const struct overlay_part *part, const char *name,
                      const struct stat *st, struct err *err)
{
        char path[64 + NAME_MAX];

        if (here->merge->shared != NULL && here->merge->shared[part->layer])
                return copy_file(here, part->fd, name, st, err);
        if (linkat(part->fd, name, here->out_fd, name, 0) < 0) {
                if (errno == EMLINK)
                        return copy_file(here, part->fd, name, st, err);
                return err_fail(err, ERR_IO, errno, "cannot link '%s'", name);
        }
        if (here->merge->shared == NULL)
                return 0;
        /* A plain directory is made, for which overlayfs's notes on where a file came from mean
         * nothing any more.  Most files have none. */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", here->out_fd, name);
        (void)lremovexattr(path, "trusted.overlay.origin");
        return 0;
}

static int merge_entry(const struct overlay_dir *dir, size_t part, const char *name,
                       const struct stat *st, void *arg, struct err *err)
{
        struct merge_dir *here = arg;

        if (overlay_is_whiteout(st))
                return merge_whiteout(here, dir, name, err);
        if (S_ISDIR(st->st_mode))
                return merge_subdir(here, dir, name, err);
        return merge_file(here, &dir->parts[part], name, st, err);
}

static int merge_one_dir(struct merge *merge, const char *path, struct err *err)
{
        CLEANUP(overlay_dir_done) struct overlay_dir dir = { 0 };
        CLEANUP(closep) int out_fd = -1;
        struct merge_dir here = { .merge = merge, .path = path };

        if (overlay_dir_open(&merge->stack, path, &dir, err) < 0 ||
            tree_open(merge->out_fd, path, &out_fd, err) < 0)
                return -1;
        here.out_fd = out_fd;
        while (here.n_parts < dir.n && dir.parts[here.n_parts].layer < merge->n_merged)
                here.n_parts++;
        if (here.n_parts == 0)
                return 0; /* it went away in a head that is in use */
        if (overlay_copy_dir(dir.parts[0].fd, out_fd, err) < 0 ||
            overlay_dir_each(&dir, here.n_parts, merge_entry, &here, err) < 0)
                return err_wrap(err, "'%.200s'", path);
        return overlay_copy_times(dir.parts[0].fd, out_fd, err);
}

static int merge_all(struct merge *merge, struct err *err)
{
        char *next;

        if (tree_todo_push(&merge->todo, strdup(""), 0, err) < 0)
                return -1;
        while ((next = tree_todo_pop(&merge->todo, NULL)) != NULL) {
                CLEANUP(freep) char *path = next;

                if (merge_one_dir(merge, path, err) < 0)
                        return -1;
        }
        if (syncfs(merge->out_fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the merged layer");
        return 0;
}

int overlay_merge(struct fs_pool *pool, char *const *layers, size_t n, size_t n_merged,
                  const bool *shared, const char *out, struct err *err)
{
        struct merge merge = { .n_merged = n_merged, .shared = shared, .out_fd = -1 };
        char partial[OVERLAY_NAME_MAX + 16];
        int ret;

        (void)snprintf(partial, sizeof(partial), "%s.partial", out);
        if (strlen(out) > OVERLAY_NAME_MAX)
                return err_fail(err, ERR_INVALID, 0, "the layer name '%s' is too long", out);
        if (tree_remove(pool->layers_fd, partial, err) < 0)
                return -1;
        if (mkdirat(pool->layers_fd, partial, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s'", partial);
        if (overlay_layer_open(pool, partial, &merge.out_fd, err) < 0)
                return -1;
        ret = overlay_stack_open(pool, layers, n, &merge.stack, err);
        if (ret == 0)
                ret = merge_all(&merge, err);
        tree_todo_done(&merge.todo);
        treelinks_done(&merge.copied);
        overlay_stack_done(&merge.stack);
        closep(&merge.out_fd);
        return ret < 0 ? err_wrap(err, "merging %zu layers", n_merged) : 0;
}
