/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BUNDLE_FILE_H
#define SNAPD_BUNDLE_FILE_H

/*
 * The file of a bundle, at a path that whoever asked has given.
 *
 * Root follows nobody's path: all is done with the file-system identity and the groups of the one
 * who asked, so what he could not open or make himself is not opened or made for him.
 */

#include <limits.h>
#include <sys/types.h>

#include "common/error.h"

#define BUNDLE_NAME_MAX    (NAME_MAX - 25) /* bytes of a file's name */
#define BUNDLE_PARTIAL_MAX (NAME_MAX + 1)

/* bundle_file_open(path, by, ret_fd, err): Open a regular file for reading. */
int bundle_file_open(const char *path, uid_t by, int *ret_fd, struct err *err) MUST_CHECK;

/* bundle_file_check(path, by, err): Is there a directory for it, and nothing of its name?
 * ERR_EXISTS, ERR_NOT_FOUND, ERR_DENIED. */
int bundle_file_check(const char *path, uid_t by, struct err *err) MUST_CHECK;

/* bundle_file_partial(path, partial, err): What it is called, in the same directory, until it is
 * whole: "NAME.RANDOM.partial", which nobody has and no other export takes.  ERR_INVALID. */
int bundle_file_partial(const char *path, char partial[static BUNDLE_PARTIAL_MAX],
                        struct err *err) MUST_CHECK;

/* bundle_file_create(path, partial, by, ret_fd, err): Make it under that name, new and 0600.  What
 * an earlier try with the same name has left is removed first. */
int bundle_file_create(const char *path, const char *partial, uid_t by, int *ret_fd,
                       struct err *err) MUST_CHECK;

/* bundle_file_publish(path, partial, by, fd, err): Sync it and give it its name, durably.
 * ERR_EXISTS: meanwhile there is something of that name, which stays. */
int bundle_file_publish(const char *path, const char *partial, uid_t by, int fd,
                        struct err *err) MUST_CHECK;

/* bundle_file_discard(path, partial, by, err): Remove what is not whole, if it is there. */
int bundle_file_discard(const char *path, const char *partial, uid_t by,
                        struct err *err) MUST_CHECK;

#endif
