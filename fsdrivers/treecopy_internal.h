/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREECOPY_INTERNAL_H
#define FSDRIVERS_TREECOPY_INTERNAL_H

/* What the files of treecopy share: treecopy.c walks, treecopy_entry.c copies what is not a
 * directory, treecopy_file.c the bytes. */

#include <stdbool.h>
#include <sys/stat.h>

#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "fsdrivers/treelinks.h"

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

/* treecopy_tell(c, kind, path, err): Report something, if anyone wants to know. */
int treecopy_tell(struct copy *c, enum treecopy_kind kind, const char *path,
                  struct err *err) MUST_CHECK;

/* treecopy_gone(err): Did a lookup fail because something else, or nothing, is at the name? */
bool treecopy_gone(const struct err *err);

/* treecopy_not_made(path, err): For errno after making a copy failed; -1, with ERR_EXISTS when
 * there is one already. */
int treecopy_not_made(const char *path, struct err *err) MUST_CHECK;

/* treecopy_unchanged(src, dst): Is the entry as it was when ${dst} was copied from it? */
bool treecopy_unchanged(const struct statx *src, const struct stat *dst);

/* treecopy_metadata(c, src_fd, dst_fd, st, fresh, path, err): Owner, attributes, mode and times of
 * a file or directory; all of them but the attributes as ${st} says. */
int treecopy_metadata(struct copy *c, int src_fd, int dst_fd, const struct stat *st, bool fresh,
                      const char *path, struct err *err) MUST_CHECK;

/* treecopy_nondir(c, here, name, path, stx, dst, err): Bring over a regular file, symlink or FIFO
 * that was ${stx} a moment ago and of which ${dst} is the copy, NULL for none.  ERR_NOT_FOUND and
 * ERR_REFUSED: it is something else by now. */
int treecopy_nondir(struct copy *c, const struct here *here, const char *name, const char *path,
                    const struct statx *stx, const struct stat *dst, struct err *err) MUST_CHECK;

#endif
