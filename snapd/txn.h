/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_TXN_H
#define SNAPD_TXN_H

#include "snapd/env.h"
#include "snapd/journal.h"

/* txn_run(env, id, recover, err): Bring the planned operation ${id} to its end, from wherever its
 * marks say it is.
 *
 *   recover false   this process planned it
 *   recover true    another process died in it: what had been begun before the pivot is taken
 *                   back; after it the operation goes forward, or to its rescue when a step that
 *                   must not run twice had not ended
 *
 * 0: DONE.  -1: ${err} says why it failed, and the operation is
 *   FAILED       everything begun was taken back, the site is as before
 *   ROLLED_BACK  the rescue has run (ERR_ROLLED_BACK)
 *   HELD         neither could be finished (ERR_HELD); nothing was deleted, `resume` tries again
 * An operation that had ended already returns what it ended with. */
int txn_run(struct step_env *env, op_id id, bool recover, struct err *err) MUST_CHECK;

#endif
