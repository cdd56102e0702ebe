/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ADOPT_H
#define SNAPD_ADOPT_H

/*
 * What is asked before a directory is taken over.
 */

#include "snapd/plan.h"

/* adopt_prepare(env, facts, err): Choose the driver and the pool's place, and refuse what cannot
 * be taken over: a docroot or a shared path that is not there, another file system than HOME's, a
 * database that is not one, a pool or home that others could change.  Changes nothing that stays:
 * missing directories of HOME and the pool are made to ask their file system. */
int adopt_prepare(struct step_env *env, struct plan_facts *facts, struct err *err) MUST_CHECK;

/* adopt_site(dirs, request, ret_site, err): The site that a request to add one describes, checked
 * like a file in sites.d.  Give it to site_free(). */
int adopt_site(const struct dirs *dirs, const json_t *request, struct site **ret_site,
               struct err *err) MUST_CHECK;

#endif
