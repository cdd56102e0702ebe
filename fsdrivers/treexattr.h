/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREEXATTR_H
#define FSDRIVERS_TREEXATTR_H

/*
 * Extended attributes of one entry; POSIX ACLs are two of them.  Descriptors may be O_PATH, so
 * that symlinks have theirs too; /proc must be mounted for that.
 *
 * Three kinds are not the entry's own and stay out of copies and comparisons:
 * security.capability (a copy of a tenant's file must not get capabilities from root's hand),
 * trusted.overlay.* (means something in its own overlay layer only), and security.* and btrfs.*
 * that the destination gave a new entry by itself are not removed from it.
 */

#include <stdbool.h>

#include "common/error.h"

enum treexattr_lost {
        TREEXATTR_LOST_CAPABILITY = 1 << 0,  /* the source had capabilities */
        TREEXATTR_LOST_UNSUPPORTED = 1 << 1, /* the destination cannot hold one of them */
};

/* treexattr_copy(src_fd, dst_fd, fresh, ret_lost, err): Give ${dst_fd} the attributes of
 * ${src_fd}.  When ${fresh}, it is known to have none of its own; else surplus ones go.
 * ${ret_lost} gets enum treexattr_lost. */
int treexattr_copy(int src_fd, int dst_fd, bool fresh, unsigned *ret_lost,
                   struct err *err) MUST_CHECK;

/* treexattr_diff(a_fd, b_fd, ret_xattrs, ret_acl, err): Do the attributes differ, and does an ACL
 * among them? */
int treexattr_diff(int a_fd, int b_fd, bool *ret_xattrs, bool *ret_acl, struct err *err) MUST_CHECK;

#endif
