/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREECOPY_H
#define FSDRIVERS_TREECOPY_H

/*
 * Copying a directory tree that its tenant may be writing meanwhile, to a place that only root can
 * write.
 *
 * Everything is done by descriptor, one component at a time: a name that turns into a symlink, a
 * FIFO or another directory between two looks is seen as what it is then, or left for the next
 * run; the copy never follows, blocks, or leaves the tree.  Nor does it cross into another mount
 * or subvolume.
 *
 *   kept       owner, mode with its setuid and setgid bits, times, extended attributes and ACLs,
 *              hard links within the tree, holes, symlinks as they are, FIFOs
 *   not kept   security.capability, inode flags (chattr), sockets, device nodes
 *
 * Run again with the same destination it catches up: entries whose type, size, mtime, mode or
 * owner differ, or whose ctime is not older than the copy's, are copied again; what the source
 * has no more is removed.  ctime is the kernel's own, so a changed file with a forged mtime is
 * noticed.  A catch-up reads no file that is unchanged, except below a directory that may have been
 * renamed: everything there is copied again.  So are entries with several names, because only that
 * gets every change of who is linked to whom right.
 *
 * Nothing is synced: the caller does that once for the whole tree.  A failure leaves a partial
 * copy, for the caller to remove or to run again.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* What a person may want to know of.  The treatment is always the same. */
enum treecopy_kind {
        TREECOPY_MOUNT,        /* another mount: kept as an empty directory; a file is left out */
        TREECOPY_SUBVOLUME,    /* a nested subvolume: kept as an empty directory */
        TREECOPY_OUTWARD_LINK, /* a symlink that leads out of the tree: kept as it is */
        TREECOPY_SPLIT_LINK,   /* a hard link with other names outside: now a file of its own */
        TREECOPY_SOCKET,       /* left out: its server makes it anew */
        TREECOPY_DEVICE,       /* a device node: left out */
        TREECOPY_CAPABILITY,   /* file capabilities: not given to the copy */
        TREECOPY_XATTR,        /* an extended attribute or ACL the destination cannot hold */
        TREECOPY_CHANGED,      /* it changed under the copy: run again once the tree is quiet */
        TREECOPY_KINDS
};

/* treecopy_kind_text(kind): The treatment as a phrase for a person. */
const char *treecopy_kind_text(enum treecopy_kind kind);

/* Called for each such thing; ${path} is relative to the tree.  A return of -1 stops. */
typedef int (*treecopy_report)(enum treecopy_kind kind, const char *path, void *arg,
                               struct err *err);

struct treecopy_options {
        const char *const *excludes; /* relative paths: neither looked at nor touched in the copy */
        size_t n_excludes;
        treecopy_report report; /* may be NULL */
        void *arg;
};

struct treecopy_totals {
        uint64_t entries; /* looked at */
        uint64_t copied;  /* made or made anew */
        uint64_t bytes;   /* allocated by regular files, each hard-linked one once */
};

/* treecopy(src_fd, dst_fd, options, ret_totals, err): After it, the directory ${dst_fd} is like
 * ${src_fd}.  ${options} and ${ret_totals} may be NULL.
 * ERR_REFUSED: directories nested too deeply; ERR_BUSY: a process holds a lease on a file;
 * ERR_NO_SPACE. */
int treecopy(int src_fd, int dst_fd, const struct treecopy_options *options,
             struct treecopy_totals *ret_totals, struct err *err) MUST_CHECK;

/* treecopy_survey(src_fd, options, ret_totals, err): Report what treecopy() would, and count,
 * without copying.  Capabilities and attributes are not looked at. */
int treecopy_survey(int src_fd, const struct treecopy_options *options,
                    struct treecopy_totals *ret_totals, struct err *err) MUST_CHECK;

#endif
