/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SWEEP_H
#define SNAPD_SWEEP_H

/*
 * Trees that no version points at: what an activation, an interrupted or a busy removal left; and
 * what operations printed that are forgotten.
 */

#include "snapd/env.h"

/* sweep_trees(env, err): Remove every tree of the site that no version has.  Only ever called when
 * no operation on the site is open, because only then the catalog knows every tree that is needed.
 * A tree that is still mounted is left for the next time. */
int sweep_trees(struct step_env *env, struct err *err) MUST_CHECK;

/* sweep_outputs(dirs, catalog, err): Remove the directories state/ops/ID of operations that are not
 * remembered any more. */
int sweep_outputs(const struct dirs *dirs, struct catalog *catalog, struct err *err) MUST_CHECK;

#endif
