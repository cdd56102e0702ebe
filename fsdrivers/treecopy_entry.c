/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/treecopy_file.h"
#include "fsdrivers/treecopy_internal.h"
#include "fsdrivers/treexattr.h"

int treecopy_tell(struct copy *c, enum treecopy_kind kind, const char *path, struct err *err)
{
        if (c->options->report == NULL)
                return 0;
        return c->options->report(kind, path[0] == '\0' ? "." : path, c->options->arg, err);
}

bool treecopy_gone(const struct err *err)
{
        return err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED;
}

int treecopy_not_made(const char *path, struct err *err)
{
        return err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
                        "cannot create the copy of '%s'", path);
}

static bool is_older(struct statx_timestamp a, struct timespec b)
{
        return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : (long)a.tv_nsec < b.tv_nsec;
}

/* Everything that was in the source when the copy was made shows in these. */
bool treecopy_unchanged(const struct statx *src, const struct stat *dst)
{
        return src->stx_mode == dst->st_mode && src->stx_uid == dst->st_uid &&
               src->stx_gid == dst->st_gid && src->stx_mtime.tv_sec == dst->st_mtim.tv_sec &&
               (long)src->stx_mtime.tv_nsec == dst->st_mtim.tv_nsec &&
               (S_ISDIR(src->stx_mode) || src->stx_size == (uint64_t)dst->st_size) &&
               is_older(src->stx_ctime, dst->st_ctim);
}

/* In the order that utimensat(2) wants. */
static void stat_times(const struct stat *st, struct timespec times[static 2])
{
        times[0] = st->st_atim;
        times[1] = st->st_mtim;
}

/* The order matters: a change of owner clears setuid, and an ACL sets the group's bits. */
int treecopy_metadata(struct copy *c, int src_fd, int dst_fd, const struct stat *st, bool fresh,
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
        if ((lost & TREEXATTR_LOST_CAPABILITY) &&
            treecopy_tell(c, TREECOPY_CAPABILITY, path, err) < 0)
                return -1;
        if ((lost & TREEXATTR_LOST_UNSUPPORTED) && treecopy_tell(c, TREECOPY_XATTR, path, err) < 0)
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
        return *ret_fd < 0 ? treecopy_not_made(name, err) : 0;
}

/* Looked at by name, then opened: when it is another file by now it is looked at again. */
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
        if (treecopy_metadata(c, src_fd, dst_fd, &st, here->fresh, path, err) < 0)
                return -1;
        return torn ? treecopy_tell(c, TREECOPY_CHANGED, path, err) : 0;
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
        return lost == 0 ? 0 : treecopy_tell(c, TREECOPY_XATTR, path, err);
}

/* Symlinks and FIFOs are never opened, only held by an O_PATH descriptor, and made anew. */
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
                return treecopy_not_made(path, err);
        return copy_special_metadata(c, here, name, path, &st, src_fd, err);
}

/* Another name of an inode that was copied already.  *ret_linked is false where it is to be copied
 * after all: the destination may be out of links (btrfs allows some 65,000 in one directory), or
 * the first name went meanwhile, and its copy with it. */
static int copy_link(struct copy *c, const struct here *here, const char *name, const char *path,
                     const struct treelink *link, const struct stat *dst, bool *ret_linked,
                     struct err *err)
{
        CLEANUP(closep) int first_fd = -1;
        const char *first;

        *ret_linked = false;
        if (dst != NULL && tree_remove(here->dst_fd, name, err) < 0)
                return -1;
        if (tree_open_parent(c->dst_fd, link->path, &first_fd, &first, err) < 0)
                return treecopy_gone(err) ? treecopy_tell(c, TREECOPY_CHANGED, path, err)
                                          : err_wrap(err, "the copy of '%s'", link->path);
        *ret_linked = linkat(first_fd, first, here->dst_fd, name, 0) == 0;
        if (*ret_linked || errno == EMLINK)
                return 0;
        return errno == ENOENT ? treecopy_tell(c, TREECOPY_CHANGED, path, err)
                               : treecopy_not_made(path, err);
}

/* Copy a regular file, symlink or FIFO, unless it is there already. */
static int bring_over(struct copy *c, const struct here *here, const char *name, const char *path,
                      const struct statx *stx, const struct stat *dst, const struct treelink *link,
                      struct err *err)
{
        bool linked = false;

        if (!here->suspect && dst != NULL && stx->stx_nlink == 1 && dst->st_nlink == 1 &&
            treecopy_unchanged(stx, dst))
                return 0;
        c->totals.copied++;
        if (link != NULL) {
                if (copy_link(c, here, name, path, link, dst, &linked, err) < 0)
                        return -1;
                dst = NULL; /* copy_link() took it away */
        }
        if (linked)
                return 0;
        return S_ISREG(stx->stx_mode) ? copy_regular(c, here, name, path, stx, dst, err)
                                      : copy_special(c, here, name, path, stx, dst, err);
}

/* Links are counted in a survey too, to tell which have names outside. */
int treecopy_nondir(struct copy *c, const struct here *here, const char *name, const char *path,
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
