/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_TREEDIFF_FILE_H
#define FSDRIVERS_TREEDIFF_FILE_H

/* The bytes of two files, for treediff.c. */

#include <stdbool.h>

#include "common/error.h"

/* treediff_file(from_fd, to_fd, same_fs, ret_differs, err): Do two regular files of equal size
 * differ in content?  When ${same_fs}, the map of their blocks may answer for large ones. */
int treediff_file(int from_fd, int to_fd, bool same_fs, bool *ret_differs,
                  struct err *err) MUST_CHECK;

#endif
