/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BUNDLE_CHILD_H
#define SNAPD_BUNDLE_CHILD_H

/*
 * Reading a bundle in a process that has nothing but the bundle, one directory, and the rights of
 * the site's user (role `unpack` of snapd/role.h).  Root never parses a byte of it.
 */

#include <sys/types.h>

#include "snapd/bundle.h"

/* bundle_child_run(unpack, uid, gid, ret_facts, err): bundle_unpack() in such a process, which ends
 * with this one.  ${unpack}'s progress is asked here, about five times a second.  The facts are
 * bounded text, and no more to be believed than their writer. */
int bundle_child_run(const struct bundle_unpack *unpack, uid_t uid, gid_t gid,
                     struct bundle_facts *ret_facts, struct err *err) MUST_CHECK;

#endif
