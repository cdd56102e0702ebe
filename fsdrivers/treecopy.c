/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "fsdrivers/treecopy_file.h"
#include "fsdrivers/treelinks.h"
#include "fsdrivers/treexattr.h"

#define ENTRY_TRIES 4

struct copy {
        int src_fd;
        int dst_fd; /* -1: a survey */
        dev_t dev;  /* of the source's root */
        const struct treecopy_options *options;
        struct treecopy_totals totals;
        struct tree_todo todo; /* marked with the following */
        struct treelinks links;
};

/* The copy of the directory is new: there is nothing in it to compare with. */
#define MARK_FRESH 1
/* The directory may be another than the one that was copied last time.  What a rename brings along
 * keeps its ctime, so below here ctime does not prove that an entry is the one that was copied. */
#define MARK_SUSPECT 2

/* The directory that is being copied. */
struct here {
        struct copy *c;
        const char *path;
        int src_fd, dst_fd;
        bool fresh, suspect; /* see the marks */
        bool changed;        /* since it was copied */
};

static int report(struct copy *c, enum treecopy_kind kind, const char *path, struct err *err)
{
        if (c->options->report == NULL)
                return 0;
        return c->options->report(kind, path[0] == '\0' ? "." : path, c->options->arg, err);
}

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

static bool is_older(struct statx_timestamp a, struct timespec b)
{
        return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : (long)a.tv_nsec < b.tv_nsec;
}

/* Everything that was in the source when the copy was made shows in these. */
static bool is_unchanged(const struct statx *src, const struct stat *dst)
{
        return src->stx_mode == dst->st_mode && src->stx_uid == dst->st_uid &&
               src->stx_gid == dst->st_gid && src->stx_mtime.tv_sec == dst->st_mtim.tv_sec &&
               (long)src->stx_mtime.tv_nsec == dst->st_mtim.tv_nsec &&
               (S_ISDIR(src->stx_mode) || src->stx_size == (uint64_t)dst->st_size) &&
               is_older(src->stx_ctime, dst->st_ctim);
}

static void stat_times(const struct stat *st, struct timespec times[static 2])
{
        times[0] = st->st_atim;
        times[1] = st->st_mtim;
}

/* The order matters: a change of owner clears setuid, and an ACL sets the group's bits. */
static int copy_metadata(struct copy *c, int src_fd, int dst_fd, const struct stat *st, bool fresh,
                         const char *path, struct err *err)
{
        struct timespec times[2];
        unsigned lost;

        stat_times(st, times);
        if (fchown(dst_fd, st->st_uid, st->st_gid) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", path);
        if (treexattr_copy(src_fd, dst_fd, fresh, &lost, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (fchmod(dst_fd, st->st_mode & 07777) < 0 || futimens(dst_fd, times) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set mode and times of '%s'", path);
        if ((lost & TREEXATTR_LOST_CAPABILITY) && report(c, TREECOPY_CAPABILITY, path, err) < 0)
                return -1;
        if ((lost & TREEXATTR_LOST_UNSUPPORTED) && report(c, TREECOPY_XATTR, path, err) < 0)
                return -1;
        return 0;
}

/* Open the empty file to copy into.  A file that has other names is not written into: they may
 * belong to another file of the source by now. */
static int open_copy(const struct here *here, const char *name, const struct stat *dst, int *ret_fd,
                     struct err *err)
{
        int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC;

        if (dst != NULL && S_ISREG(dst->st_mode) && dst->st_nlink == 1) {
                *ret_fd = openat(here->dst_fd, name, flags | O_TRUNC);
        } else {
                if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                        return -1;
                *ret_fd = openat(here->dst_fd, name, flags | O_CREAT | O_EXCL, 0600);
        }
        if (*ret_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot create the copy of '%s'", name);
        return 0;
}

static int copy_regular(struct copy *c, const struct here *here, const char *name, const char *path,
                        const struct statx *stx, const struct stat *dst, struct err *err)
{
        CLEANUP(closep) int src_fd = -1, dst_fd = -1;
        struct stat st;
        bool torn = false;

        if (tree_open_file(here->src_fd, name, &src_fd, &st, err) < 0)
                return -1;
        if (st.st_ino != stx->stx_ino)
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' was replaced", path);
        if (open_copy(here, name, dst, &dst_fd, err) < 0)
                return -1;
        if (treecopy_file(src_fd, dst_fd, &st, &torn, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (copy_metadata(c, src_fd, dst_fd, &st, here->fresh, path, err) < 0)
                return -1;
        return torn ? report(c, TREECOPY_CHANGED, path, err) : 0;
}

/* What symlinks and FIFOs have besides their name. */
static int copy_special_metadata(struct copy *c, const struct here *here, const char *name,
                                 const char *path, const struct stat *st, int src_fd,
                                 struct err *err)
{
        CLEANUP(closep) int dst_fd = -1;
        struct timespec times[2];
        unsigned lost;

        stat_times(st, times);
        if (safepath_open(here->dst_fd, name, O_PATH, &dst_fd, err) < 0)
                return -1;
        if (fchownat(dst_fd, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", path);
        if (treexattr_copy(src_fd, dst_fd, here->fresh, &lost, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (!S_ISLNK(st->st_mode) && fchmodat(here->dst_fd, name, st->st_mode & 07777, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the mode of '%s'", path);
        if (utimensat(here->dst_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the times of '%s'", path);
        return lost == 0 ? 0 : report(c, TREECOPY_XATTR, path, err);
}

static int copy_special(struct copy *c, const struct here *here, const char *name, const char *path,
                        const struct statx *stx, const struct stat *dst, struct err *err)
{
        CLEANUP(closep) int src_fd = -1;
        CLEANUP(freep) char *target = NULL;
        struct stat st;

        if (safepath_open(here->src_fd, name, O_PATH, &src_fd, err) < 0)
                return -1;
        if (fstat(src_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (st.st_ino != stx->stx_ino || (st.st_mode & S_IFMT) != (stx->stx_mode & S_IFMT))
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' was replaced", path);
        if (S_ISLNK(st.st_mode) && tree_readlink(src_fd, "", &target, err) < 0)
                return -1;
        if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (S_ISLNK(st.st_mode) ? symlinkat(target, here->dst_fd, name) < 0
                                : mkfifoat(here->dst_fd, name, 0600) < 0)
                return err_fail(err, ERR_IO, errno, "cannot create the copy of '%s'", path);
        return copy_special_metadata(c, here, name, path, &st, src_fd, err);
}

/* Another name of an inode that was copied already.  The destination may be out of links (btrfs
 * allows some 65,000 in one directory): then *ret_linked is false and it is copied. */
static int copy_link(struct copy *c, const struct here *here, const char *name,
                     const struct treelink *link, const struct stat *dst, bool *ret_linked,
                     struct err *err)
{
        CLEANUP(closep) int first_fd = -1;
        const char *first;

        if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (tree_open_parent(c->dst_fd, link->path, &first_fd, &first, err) < 0)
                return err_wrap(err, "the copy of '%s'", link->path);
        *ret_linked = linkat(first_fd, first, here->dst_fd, name, 0) == 0;
        if (!*ret_linked && errno != EMLINK)
                return err_fail(err, ERR_IO, errno, "cannot link '%s'", name);
        return 0;
}

/* Copy a regular file, symlink or FIFO, unless it is there already. */
static int bring_over(struct copy *c, const struct here *here, const char *name, const char *path,
                      const struct statx *stx, const struct stat *dst, const struct treelink *link,
                      struct err *err)
{
        bool linked = false;

        if (!here->suspect && dst != NULL && stx->stx_nlink == 1 && dst->st_nlink == 1 &&
            is_unchanged(stx, dst))
                return 0;
        c->totals.copied++;
        if (link != NULL) {
                if (copy_link(c, here, name, link, dst, &linked, err) < 0)
                        return -1;
                dst = NULL; /* copy_link() took it away */
        }
        if (linked)
                return 0;
        return S_ISREG(stx->stx_mode) ? copy_regular(c, here, name, path, stx, dst, err)
                                      : copy_special(c, here, name, path, stx, dst, err);
}

static int copy_nondir(struct copy *c, const struct here *here, const char *name, const char *path,
                       const struct statx *stx, const struct stat *dst, struct err *err)
{
        struct treelink *link = stx->stx_nlink > 1 ? treelinks_find(&c->links, stx) : NULL;

        if (c->dst_fd >= 0 && bring_over(c, here, name, path, stx, dst, link, err) < 0)
                return -1;
        if (link == NULL && S_ISREG(stx->stx_mode))
                c->totals.bytes += stx->stx_blocks * 512;
        if (link != NULL)
                link->seen++;
        else if (stx->stx_nlink > 1)
                return treelinks_add(&c->links, stx, path, err);
        return 0;
}

static int check_target(struct copy *c, const struct here *here, const char *name, const char *path,
                        struct err *err)
{
        CLEANUP(freep) char *target = NULL;

        if (tree_readlink(here->src_fd, name, &target, err) < 0)
                return -1;
        if (!leads_out(target, tree_depth(here->path)))
                return 0;
        return report(c, TREECOPY_OUTWARD_LINK, path, err);
}

/* Make the copy of a directory, to be filled later. */
static int copy_subdir(struct copy *c, const struct here *here, const char *name, const char *path,
                       const struct statx *stx, const struct stat *dst, struct err *err)
{
        bool there = dst != NULL && S_ISDIR(dst->st_mode);
        int mark = there ? 0 : MARK_FRESH;

        /* A rename shows in the directory that was renamed and in the one it was renamed in. */
        if (there && (here->suspect || (here->changed && !is_unchanged(stx, dst))))
                mark = MARK_SUSPECT;
        if (c->dst_fd < 0 || there)
                return tree_todo_push(&c->todo, strdup(path), mark, err);
        if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (mkdirat(here->dst_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot create the copy of '%s'", path);
        return tree_todo_push(&c->todo, strdup(path), mark, err);
}

/* What lies on something else than the tree: a place for it stays when it is a directory. */
static int copy_foreign(struct copy *c, const struct here *here, const char *name, const char *path,
                        const struct statx *stx, const struct stat *dst, struct err *err)
{
        bool mount = (stx->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;

        if (c->dst_fd >= 0 && dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (c->dst_fd >= 0 && S_ISDIR(stx->stx_mode) &&
            (mkdirat(here->dst_fd, name, 0700) < 0 ||
             fchownat(here->dst_fd, name, stx->stx_uid, stx->stx_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
             fchmodat(here->dst_fd, name, stx->stx_mode & 07777, 0) < 0))
                return err_fail(err, ERR_IO, errno, "cannot create the directory '%s'", path);
        return report(c, mount ? TREECOPY_MOUNT : TREECOPY_SUBVOLUME, path, err);
}

/* Copy what is at the name now.  ERR_NOT_FOUND: it is something else already. */
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
                return copy_nondir(c, here, name, path, stx, dst, err);
        case S_IFREG:
        case S_IFIFO:
                return copy_nondir(c, here, name, path, stx, dst, err);
        default:
                if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                        return -1;
                return report(c, S_ISSOCK(stx->stx_mode) ? TREECOPY_SOCKET : TREECOPY_DEVICE, path,
                              err);
        }
}

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
                /* Something else stands at the name by now; of directories that shows later. */
                if (S_ISDIR(stx.stx_mode) ||
                    (err->code != ERR_NOT_FOUND && err->code != ERR_REFUSED))
                        return -1;
        }
        return report(c, TREECOPY_CHANGED, path, err);
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
static int finish_dir(struct copy *c, const struct here *here, const struct statx *stx,
                      struct err *err)
{
        struct stat src, dst;

        if (fstat(here->src_fd, &src) < 0 || fstat(here->dst_fd, &dst) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", here->path);
        if (!here->fresh && is_unchanged(stx, &dst))
                return 0;
        /* The times are those before the entries were read: what came later is for a catch-up. */
        src.st_mtim.tv_sec = stx->stx_mtime.tv_sec;
        src.st_mtim.tv_nsec = stx->stx_mtime.tv_nsec;
        c->totals.copied++;
        return copy_metadata(c, here->src_fd, here->dst_fd, &src, here->fresh, here->path, err);
}

/* Was the directory that was just copied replaced meanwhile?  Then its copy gets times that are
 * not its own, so that the next run looks at all of it. */
static int check_replaced(struct copy *c, const struct here *here, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat now, then;

        if (tree_open(c->src_fd, here->path, &fd, err) < 0 && err->code != ERR_NOT_FOUND &&
            err->code != ERR_REFUSED)
                return -1;
        if (fstat(here->src_fd, &then) < 0 || (fd >= 0 && fstat(fd, &now) < 0))
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", here->path);
        if (fd >= 0 && now.st_ino == then.st_ino && now.st_dev == then.st_dev)
                return 0;
        if (futimens(here->dst_fd, NULL) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the times of '%s'", here->path);
        return report(c, TREECOPY_CHANGED, here->path, err);
}

/* Copy what is in a directory, then its own metadata. */
static int fill_dir(struct copy *c, struct here *here, const struct statx *stx, struct err *err)
{
        struct stat dst;

        if (fstat(here->dst_fd, &dst) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the copy of '%s'", here->path);
        here->changed = !here->fresh && !is_unchanged(stx, &dst);
        if (tree_each(here->src_fd, copy_entry, here, err) < 0)
                return -1;
        if (!here->fresh && tree_each(here->dst_fd, remove_gone, here, err) < 0)
                return -1;
        if (finish_dir(c, here, stx, err) < 0)
                return -1;
        return check_replaced(c, here, err);
}

static int copy_dir(struct copy *c, const char *path, int mark, struct err *err)
{
        CLEANUP(closep) int src_fd = -1, dst_fd = -1;
        struct here here = { .c = c,
                             .path = path,
                             .fresh = (mark & MARK_FRESH) != 0,
                             .suspect = (mark & MARK_SUSPECT) != 0 };
        struct statx stx;

        if (tree_open(c->src_fd, path, &src_fd, err) < 0)
                return err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED
                               ? report(c, TREECOPY_CHANGED, path, err)
                               : -1;
        if (statx(src_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (makedev(stx.stx_dev_major, stx.stx_dev_minor) != c->dev)
                return report(c, TREECOPY_SUBVOLUME, path, err);
        if (c->dst_fd >= 0 && tree_open(c->dst_fd, path, &dst_fd, err) < 0)
                return err_wrap(err, "the copy");

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
                    report(c, TREECOPY_SPLIT_LINK, link->path, err) < 0)
                        return -1;
        }
        return 0;
}

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
