/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/treecopy_internal.h"

#define ENTRY_TRIES 4

/* Few paths, compared as a whole: what is below an excluded directory is never come to. */
static bool is_excluded(const struct copy *c, const char *path)
{
        for (size_t i = 0; i < c->options->n_excludes; i++)
                if (strcmp(c->options->excludes[i], path) == 0)
                        return true;
        return false;
}

/* Does a link in a directory so many levels down lead above the root?  By its text only: it is
 * said to a person, nothing depends on it. */
static bool leads_out(const char *target, size_t depth)
{
        if (target[0] == '/')
                return true;
        while (*target != '\0') {
                size_t n = strcspn(target, "/");

                if (n == 2 && target[0] == '.' && target[1] == '.') {
                        if (depth == 0)
                                return true;
                        depth--;
                } else if (n > 0 && !(n == 1 && target[0] == '.')) {
                        depth++;
                }
                target += n;
                target += strspn(target, "/");
        }
        return false;
}

/* Said once for each link, also in a survey. */
static int check_target(struct copy *c, const struct here *here, const char *name, const char *path,
                        struct err *err)
{
        CLEANUP(freep) char *target = NULL;

        if (tree_readlink(here->src_fd, name, &target, err) < 0)
                return -1;
        if (!leads_out(target, tree_depth(here->path)))
                return 0;
        return treecopy_tell(c, TREECOPY_OUTWARD_LINK, path, err);
}

/* Make the copy of a directory, to be filled later. */
static int copy_subdir(struct copy *c, const struct here *here, const char *name, const char *path,
                       const struct statx *stx, const struct stat *dst, struct err *err)
{
        bool there = dst != NULL && S_ISDIR(dst->st_mode);
        int mark = there ? 0 : MARK_FRESH;

        /* A rename shows in the directory that was renamed and in the one it was renamed in. */
        if (there && (here->suspect || (here->changed && !treecopy_unchanged(stx, dst))))
                mark = MARK_SUSPECT;
        if (c->dst_fd < 0 || there)
                return tree_todo_push(&c->todo, strdup(path), mark, err);
        if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (mkdirat(here->dst_fd, name, 0700) < 0)
                return treecopy_not_made(path, err);
        return tree_todo_push(&c->todo, strdup(path), mark, err);
}

/* What lies on something else than the tree: a place for it stays when it is a directory. */
static int copy_foreign(struct copy *c, const struct here *here, const char *name, const char *path,
                        const struct statx *stx, const struct stat *dst, struct err *err)
{
        bool mount = (stx->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;

        if (c->dst_fd >= 0 && dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (c->dst_fd >= 0 && S_ISDIR(stx->stx_mode) && mkdirat(here->dst_fd, name, 0700) < 0)
                return treecopy_not_made(path, err);
        if (c->dst_fd >= 0 && S_ISDIR(stx->stx_mode) &&
            (fchownat(here->dst_fd, name, stx->stx_uid, stx->stx_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
             fchmodat(here->dst_fd, name, stx->stx_mode & 07777, 0) < 0))
                return err_fail(err, ERR_IO, errno, "cannot create the directory '%s'", path);
        return treecopy_tell(c, mount ? TREECOPY_MOUNT : TREECOPY_SUBVOLUME, path, err);
}

/* Copy what is at the name now.  ERR_NOT_FOUND: it is something else already; ERR_EXISTS: it has a
 * copy that was not expected. */
static int copy_once(struct copy *c, const struct here *here, const char *name, const char *path,
                     const struct statx *stx, const struct stat *dst, struct err *err)
{
        /* Only for directories does another device mean another subvolume: overlayfs shows files
         * with the device of their layer. */
        if ((stx->stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
            (S_ISDIR(stx->stx_mode) && makedev(stx->stx_dev_major, stx->stx_dev_minor) != c->dev))
                return copy_foreign(c, here, name, path, stx, dst, err);

        switch (stx->stx_mode & S_IFMT) {
        case S_IFDIR:
                return copy_subdir(c, here, name, path, stx, dst, err);
        case S_IFLNK:
                if (check_target(c, here, name, path, err) < 0)
                        return -1;
                return treecopy_nondir(c, here, name, path, stx, dst, err);
        case S_IFREG:
        case S_IFIFO:
                return treecopy_nondir(c, here, name, path, stx, dst, err);
        default:
                if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                        return -1;
                return treecopy_tell(c, S_ISSOCK(stx->stx_mode) ? TREECOPY_SOCKET : TREECOPY_DEVICE,
                                     path, err);
        }
}

/* A name is looked at once more when it turned out to be something else than a moment ago; when
 * it does not hold still it is left for the next run. */
static int copy_entry(const char *name, void *arg, struct err *err)
{
        const struct here *here = arg;
        struct copy *c = here->c;
        CLEANUP(freep) char *path = tree_join(here->path, name);
        struct statx stx;
        struct stat dst;

        if (path == NULL)
                return err_oom(err);
        if (is_excluded(c, path))
                return 0;
        c->totals.entries++;
        for (unsigned tries = 0; tries < ENTRY_TRIES; tries++) {
                bool there = c->dst_fd >= 0 && !(here->fresh && tries == 0) &&
                             fstatat(here->dst_fd, name, &dst, AT_SYMLINK_NOFOLLOW) == 0;

                if (statx(here->src_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                          STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
                        return errno == ENOENT
                                       ? 0
                                       : err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
                if (copy_once(c, here, name, path, &stx, there ? &dst : NULL, err) == 0)
                        return 0;
                /* A directory that changes while it is read can list a name twice. */
                if (err->code == ERR_EXISTS)
                        continue;
                /* Something else stands at the name by now; of directories that shows later. */
                if (S_ISDIR(stx.stx_mode) || !treecopy_gone(err))
                        return -1;
        }
        return treecopy_tell(c, TREECOPY_CHANGED, path, err);
}

/* For an entry of the copy: is it in the source still? */
static int remove_gone(const char *name, void *arg, struct err *err)
{
        const struct here *here = arg;
        CLEANUP(freep) char *path = tree_join(here->path, name);
        struct stat st;

        if (path == NULL)
                return err_oom(err);
        if (is_excluded(here->c, path) ||
            fstatat(here->src_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        if (errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        return tree_remove(here->dst_fd, name, err);
}

/* The directory's own metadata, after its entries: making them changed its times. */
/* An unchanged directory is left alone: setting its times would dirty an inode for nothing. */
static int finish_dir(struct copy *c, const struct here *here, const struct statx *stx,
                      struct err *err)
{
        struct stat src, dst;

        if (fstat(here->src_fd, &src) < 0 || fstat(here->dst_fd, &dst) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", here->path);
        if (!here->fresh && treecopy_unchanged(stx, &dst))
                return 0;
        /* The times are those before the entries were read: what came later is for a catch-up. */
        src.st_mtim.tv_sec = stx->stx_mtime.tv_sec;
        src.st_mtim.tv_nsec = stx->stx_mtime.tv_nsec;
        c->totals.copied++;
        return treecopy_metadata(c, here->src_fd, here->dst_fd, &src, here->fresh, here->path, err);
}

/* Was the directory that was just copied replaced meanwhile?  Then its copy gets times that are
 * not its own, so that the next run looks at all of it. */
static int check_replaced(struct copy *c, const struct here *here, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat now, then;

        if (tree_open(c->src_fd, here->path, &fd, err) < 0 && !treecopy_gone(err))
                return -1;
        if (fstat(here->src_fd, &then) < 0 || (fd >= 0 && fstat(fd, &now) < 0))
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", here->path);
        if (fd >= 0 && now.st_ino == then.st_ino && now.st_dev == then.st_dev)
                return 0;
        if (futimens(here->dst_fd, NULL) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the times of '%s'", here->path);
        return treecopy_tell(c, TREECOPY_CHANGED, here->path, err);
}

/* Copy what is in a directory, then its own metadata. */
static int fill_dir(struct copy *c, struct here *here, const struct statx *stx, struct err *err)
{
        struct stat dst;

        if (fstat(here->dst_fd, &dst) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the copy of '%s'", here->path);
        here->changed = !here->fresh && !treecopy_unchanged(stx, &dst);
        if (tree_each(here->src_fd, copy_entry, here, err) < 0)
                return -1;
        if (!here->fresh && tree_each(here->dst_fd, remove_gone, here, err) < 0)
                return -1;
        if (finish_dir(c, here, stx, err) < 0)
                return -1;
        return check_replaced(c, here, err);
}

/* One directory of the list of those to do. That it is gone, or none any more, is a change like
 * any other. */
static int copy_dir(struct copy *c, const char *path, int mark, struct err *err)
{
        CLEANUP(closep) int src_fd = -1, dst_fd = -1;
        struct here here = { .c = c,
                             .path = path,
                             .fresh = (mark & MARK_FRESH) != 0,
                             .suspect = (mark & MARK_SUSPECT) != 0 };
        struct statx stx;

        if (tree_open(c->src_fd, path, &src_fd, err) < 0)
                return treecopy_gone(err) ? treecopy_tell(c, TREECOPY_CHANGED, path, err) : -1;
        if (statx(src_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (makedev(stx.stx_dev_major, stx.stx_dev_minor) != c->dev)
                return treecopy_tell(c, TREECOPY_SUBVOLUME, path, err);
        /* A directory that was gone for a moment lost its copy, or a file took its place. */
        if (c->dst_fd >= 0 && tree_open(c->dst_fd, path, &dst_fd, err) < 0)
                return treecopy_gone(err) ? treecopy_tell(c, TREECOPY_CHANGED, path, err)
                                          : err_wrap(err, "the copy");

        here.src_fd = src_fd;
        here.dst_fd = dst_fd;
        if (c->dst_fd < 0)
                return tree_each(src_fd, copy_entry, &here, err);
        return fill_dir(c, &here, &stx, err);
}

/* Which names of an inode are outside is known only when all inside have been seen. */
static int report_split(struct copy *c, struct err *err)
{
        for (size_t i = 0; i < c->links.room; i++) {
                const struct treelink *link = &c->links.slots[i];

                if (link->path != NULL && link->seen < link->names &&
                    treecopy_tell(c, TREECOPY_SPLIT_LINK, link->path, err) < 0)
                        return -1;
        }
        return 0;
}

/* Parents come before what is in them, so their copies are there; and since all of its
 * directories are made while a directory is read, nothing later changes its times. */
static int copy_all(struct copy *c, struct err *err)
{
        char *next;
        int mark;

        /* The root of the copy may hold something already. */
        if (tree_todo_push(&c->todo, strdup(""), 0, err) < 0)
                return -1;
        while ((next = tree_todo_pop(&c->todo, &mark)) != NULL) {
                CLEANUP(freep) char *path = next;

                if (copy_dir(c, path, mark, err) < 0)
                        return -1;
        }
        return report_split(c, err);
}

static int run(int src_fd, int dst_fd, const struct treecopy_options *options,
               struct treecopy_totals *ret_totals, struct err *err)
{
        static const struct treecopy_options none = { .n_excludes = 0 };
        struct copy c = { .src_fd = src_fd,
                          .dst_fd = dst_fd,
                          .options = options == NULL ? &none : options };
        struct stat st;
        int result;

        if (fstat(src_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the tree");
        c.dev = st.st_dev;
        result = copy_all(&c, err);
        tree_todo_done(&c.todo);
        treelinks_done(&c.links);
        if (result == 0 && ret_totals != NULL)
                *ret_totals = c.totals;
        return result;
}

int treecopy(int src_fd, int dst_fd, const struct treecopy_options *options,
             struct treecopy_totals *ret_totals, struct err *err)
{
        return run(src_fd, dst_fd, options, ret_totals, err);
}

int treecopy_survey(int src_fd, const struct treecopy_options *options,
                    struct treecopy_totals *ret_totals, struct err *err)
{
        return run(src_fd, -1, options, ret_totals, err);
}

const char *treecopy_kind_text(enum treecopy_kind kind)
{
        static const char *const texts[TREECOPY_KINDS] = {
                [TREECOPY_MOUNT] = "is another mount; not copied",
                [TREECOPY_SUBVOLUME] = "is a subvolume of its own; not copied",
                [TREECOPY_OUTWARD_LINK] = "is a symbolic link that leads out of the tree; kept",
                [TREECOPY_SPLIT_LINK] = "is a hard link to a file outside; now a file of its own",
                [TREECOPY_SOCKET] = "is a socket; left out",
                [TREECOPY_DEVICE] = "is a device node; left out",
                [TREECOPY_CAPABILITY] = "has file capabilities; the copy has none",
                [TREECOPY_XATTR] = "has extended attributes that the copy cannot hold",
                [TREECOPY_CHANGED] = "changed while it was copied",
        };

        return kind < TREECOPY_KINDS ? texts[kind] : "";
}
