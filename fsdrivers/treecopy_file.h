/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREECOPY_FILE_H
#define FSDRIVERS_TREECOPY_FILE_H

/* The bytes of one file, for treecopy.c. */

#include <stdbool.h>
#include <sys/stat.h>

#include "common/error.h"

/* treecopy_file(src_fd, dst_fd, ret_stat, ret_torn, err): Give the empty regular file ${dst_fd}
 * the content of ${src_fd}: by FICLONE where both ends can, else byte by byte without the holes.
 * ${ret_stat} is the source as it was before; ${ret_torn}: it was still being written to after
 * several tries. */
int treecopy_file(int src_fd, int dst_fd, struct stat *ret_stat, bool *ret_torn,
                  struct err *err) MUST_CHECK;

#endif
