/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BUNDLE_FILE_H
#define SNAPD_BUNDLE_FILE_H

/*
 * The file of a bundle, at a path that whoever asked has given.
 *
 * Root follows nobody's path: all is done with the file-system identity and the groups of the one
 * who asked, so what he could not open or make himself is not opened or made for him.
 */

#include <sys/types.h>

#include "common/error.h"

/* bundle_file_open(path, by, ret_fd, err): Open a regular file for reading. */
int bundle_file_open(const char *path, uid_t by, int *ret_fd, struct err *err) MUST_CHECK;

/* bundle_file_check(path, by, err): Is there a directory for it, and nothing of its name?
 * ERR_EXISTS, ERR_NOT_FOUND, ERR_DENIED. */
int bundle_file_check(const char *path, uid_t by, struct err *err) MUST_CHECK;

/* bundle_file_create(path, by, ret_fd, err): Make "PATH.partial", new and 0600.  Debris of that
 * name that belongs to ${by} is removed first. */
int bundle_file_create(const char *path, uid_t by, int *ret_fd, struct err *err) MUST_CHECK;

/* bundle_file_publish(path, by, fd, err): Sync it and give it its name, durably.  ERR_EXISTS:
 * meanwhile there is something of that name, which stays. */
int bundle_file_publish(const char *path, uid_t by, int fd, struct err *err) MUST_CHECK;

/* bundle_file_discard(path, by, err): Remove "PATH.partial", if it is there. */
int bundle_file_discard(const char *path, uid_t by, struct err *err) MUST_CHECK;

#endif
