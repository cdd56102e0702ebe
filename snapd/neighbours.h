/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_NEIGHBOURS_H
#define SNAPD_NEIGHBOURS_H

/*
 * The other sites of this machine.  Each is removed, swept and switched without a look at the
 * others, so that no two may have a place in common.
 */

#include "snapd/env.h"

/* neighbours_check(env, pool, err): Does the site, which is to be added with ${pool}, keep out of
 * the homes, pools and databases of all others, and they out of its own?  ERR_REFUSED names the
 * other site. */
int neighbours_check(struct step_env *env, const char *pool, struct err *err) MUST_CHECK;

#endif
