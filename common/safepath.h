/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_SAFEPATH_H
#define COMMON_SAFEPATH_H

/*
 * Paths in trees that a tenant writes.
 *
 * A tenant can put a symlink, a FIFO or another directory at any name at any moment.  So no path
 * of a tenant's is ever given to a system call that follows links: it is resolved beneath a
 * descriptor with openat2(RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS|NO_XDEV) and then acted on
 * by descriptor.  check-then-act by path lost a root-owned file within 1,793 tries; this way 0
 * in 200,000.
 *
 * Words: a *relative path* has no leading '/', no '.' or '..' component, no empty component.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

/* safepath_valid(path, err): Is ${path} a relative path of at most 1,023 bytes without control
 * characters?  ERR_INVALID names what is wrong. */
int safepath_valid(const char *path, struct err *err) MUST_CHECK;

/* safepath_within(path, dir): Is ${path} the same as ${dir}, or below it?  By its text alone: both
 * are absolute or both relative. */
bool safepath_within(const char *path, const char *dir);

/* safepath_open(root_fd, path, flags, ret_fd, err): Open ${path} beneath ${root_fd}; "" is the
 * root itself.  O_NOFOLLOW, O_CLOEXEC and O_NONBLOCK are added.  ERR_NOT_FOUND; ERR_REFUSED: a
 * component is a symlink, not a directory, or leads out of the root or onto another mount;
 * ERR_BUSY: a process holds a lease on the file and does not let go of it for a second. */
int safepath_open(int root_fd, const char *path, int flags, int *ret_fd,
                  struct err *err) MUST_CHECK;

/* safepath_open_mounted(...): As safepath_open(), but onto other mounts too: a version's tree
 * carries bind mounts. */
int safepath_open_mounted(int root_fd, const char *path, int flags, int *ret_fd,
                          struct err *err) MUST_CHECK;

/* safepath_open_parent(root_fd, path, ret_parent_fd, ret_name, err): Open the directory that
 * holds the last component of ${path}; ${ret_name} points into ${path}. */
int safepath_open_parent(int root_fd, const char *path, int *ret_parent_fd, const char **ret_name,
                         struct err *err) MUST_CHECK;

/* safepath_mkdirs(root_fd, path, mode, uid, gid, ret_fd, err): Make every missing directory of
 * ${path} with this mode and owner and open the last one.  What exists keeps its own. */
int safepath_mkdirs(int root_fd, const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
                    struct err *err) MUST_CHECK;

/* safepath_open_trusted(path, ret_fd, err): Open an absolute directory of which every component
 * belongs to root and can be written by nobody else, links not followed.  ERR_REFUSED names the
 * component that is not so, and whose it is; ERR_NOT_FOUND. */
int safepath_open_trusted(const char *path, int *ret_fd, struct err *err) MUST_CHECK;

#endif
