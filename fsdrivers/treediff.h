/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREEDIFF_H
#define FSDRIVERS_TREEDIFF_H

/*
 * What differs between two trees, by walking both.
 *
 * Entries are told apart by name.  One that is in only one tree is "+....." or "-.....", and so is
 * everything in it; another type is "t....."; else the letters are snapper's: content,
 * permissions, user, group, extended attributes, ACL (an ACL is an attribute too, so a changed one
 * is "xa").  Times alone are no change.  The root itself is reported as ".".
 *
 * Content is compared by size, then by bytes: equal times prove nothing, they can be set.
 */

#include <stdbool.h>

#include "fsdrivers/fsdriver.h"

enum treediff_flags {
        /* Both trees are on one file system, so that files which lie in the same blocks are the
         * same without being read. */
        TREEDIFF_SAME_FS = 1 << 0,
};

/* treediff_entry(from_dir_fd, to_dir_fd, name, flags, status, ret_differs, err): Compare one name
 * in two directories; either descriptor may be -1 for a directory that is not there.  When it is
 * there on neither side it does not differ. */
int treediff_entry(int from_dir_fd, int to_dir_fd, const char *name, unsigned flags,
                   char status[static 8], bool *ret_differs, struct err *err) MUST_CHECK;

/* treediff_below(from_fd, to_fd, path, flags, visit, arg, err): Visit what differs at ${path} and
 * below it; ${path} need not be there on both sides.  "" is the whole tree. */
int treediff_below(int from_fd, int to_fd, const char *path, unsigned flags, fs_change_visit visit,
                   void *arg, struct err *err) MUST_CHECK;

/* treediff(from_fd, to_fd, flags, visit, arg, err): Visit what differs between two trees. */
int treediff(int from_fd, int to_fd, unsigned flags, fs_change_visit visit, void *arg,
             struct err *err) MUST_CHECK;

#endif
