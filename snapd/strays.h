/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_STRAYS_H
#define SNAPD_STRAYS_H

/*
 * Copies on a database server whose names are as ours for a site and that no version has: left by
 * a catalog that was lost, or made by another machine's sitesnap.  Nobody can tell which, so they
 * are told of and never dropped.
 */

#include "snapd/env.h"

/* strays_visit(env, visit, arg, err): Visit each that there is now, while no operation of the site
 * makes another.  None when the driver cannot list copies, or the site has none on a server. */
int strays_visit(struct step_env *env, db_visit visit, void *arg, struct err *err) MUST_CHECK;

#endif
