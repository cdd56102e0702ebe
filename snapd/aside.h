/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ASIDE_H
#define SNAPD_ASIDE_H

/*
 * What is replaced at versions/N while somebody may be in it.
 *
 * A mount on which another lies can be reached by nobody, and one that is detached loses sight of
 * what was nested in it, the uploads.  So nothing is laid over anything: the new sight is mounted
 * beside the old one and the two mount points exchange names (mount_exchange()).  Whoever is in
 * the old one has it whole, under the name ".N.K" that is never used again; when the last has
 * left, it is unmounted.  N is a version's number as text, ${versions_fd} is HOME/versions.
 */

#include <stdbool.h>

#include "common/error.h"
#include "fsdrivers/mount.h"

/* aside_show(versions_fd, name, mount_fd, err): Show ${mount_fd} at ${name}, on which something is
 * mounted; that goes aside.  At no moment ${name} shows nothing or a part.  ERR_UNSUPPORTED: the
 * file system cannot exchange names. */
int aside_show(int versions_fd, const char *name, int mount_fd, struct err *err) MUST_CHECK;

/* aside_back(versions_fd, name, ret_found, err): What went aside last takes the name again, and
 * what is there now goes aside; false when nothing is aside. */
int aside_back(int versions_fd, const char *name, bool *ret_found, struct err *err) MUST_CHECK;

/* aside_clear(versions_fd, name, ret_left, err): Unmount what went aside and nobody is in any
 * more; NULL for ${name}: of all versions.  ${ret_left}: somebody stays in some of it. */
int aside_clear(int versions_fd, const char *name, bool *ret_left, struct err *err) MUST_CHECK;

/* aside_used(versions_fd, name, look, ret_used, err): Is a process in what went aside?  Then ${err}
 * says which one, although the call succeeds. */
int aside_used(int versions_fd, const char *name, enum mount_look look, bool *ret_used,
               struct err *err) MUST_CHECK;

#endif
