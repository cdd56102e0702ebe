/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PLAN_BUNDLE_H
#define SNAPD_PLAN_BUNDLE_H

/*
 * What export and import ask of the world before they are planned.
 */

#include "snapd/plan.h"

/* plan_bundle_prepare_export(env, facts, err): Is there such a version, and can such a file be
 * made?  ERR_EXISTS: the file is there; ERR_NOT_FOUND. */
int plan_bundle_prepare_export(struct step_env *env, struct plan_facts *facts,
                               struct err *err) MUST_CHECK;

/* plan_bundle_prepare_import(env, facts, err): facts->bundle is what the archive says of itself,
 * and it can be a version of this site.  ERR_REFUSED, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_NOT_FOUND.
 */
int plan_bundle_prepare_import(struct step_env *env, struct plan_facts *facts,
                               struct err *err) MUST_CHECK;

#endif
