/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_FAKE_FS_H
#define TESTS_DRIVER_FAKE_FS_H

/*
 * A file-system driver of plain copies, for tests that need no particular file system: it works
 * in any directory, takes its time for large trees, and can be told to fail.
 *
 *   trees/7    the tree, whole
 *   info/7     "head 0" or "frozen 3": kind and parent; what makes the tree be there
 */

#include "fsdrivers/fsdriver.h"

extern const struct fs_driver fs_driver_fake;

/* fake_fs_fault(hook): From now on ${hook} is called wherever a call has done a part of its work,
 * with the call's name and the part's number; NULL for none.  When it returns -1 the call fails
 * with what it put into err; it may also never return. */
typedef int (*fake_fs_hook)(const char *call, unsigned part, struct err *err);
void fake_fs_fault(fake_fs_hook hook);

#endif
