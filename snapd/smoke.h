/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SMOKE_H
#define SNAPD_SMOKE_H

/*
 * Smoke tests: the site's probes, asked once before an upgrade and once after it.
 */

#include "snapd/env.h"
#include "snapd/prober.h"

/* smoke_ask(env, which, cwd_fd, err): 0 unless a required probe is bad, and bad again a moment
 * later.  After an upgrade there is a pause first, in which interpreters look at their files anew:
 * without it the old ones may answer, and a broken release pass.  ERR_REFUSED names it and what it
 * saw.  What is unknown, or bad of a wanted one, is noted in the operation's output and passes:
 * that is not what a site is taken back for.  ${cwd_fd} as in prober_once(). */
int smoke_ask(struct step_env *env, enum prober_which which, int cwd_fd,
              struct err *err) MUST_CHECK;

/* smoke_wanted(env, which, ret_wanted, err): Is there a probe that would be asked?  ERR_INVALID,
 * ERR_NOT_FOUND: a preset that cannot be read. */
int smoke_wanted(struct step_env *env, enum prober_which which, bool *ret_wanted,
                 struct err *err) MUST_CHECK;

#endif
