/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SETTLE_H
#define SNAPD_SETTLE_H

/*
 * Making the world what the catalog says: after a reboot nothing is mounted, after a crash
 * something may be mounted that no version needs.
 */

#include "snapd/env.h"

/* settle_site(env, err): Show every version that is to be shown (the active one writable, the last
 * good and those asked for read-only), take away other numbers below versions/, and point current
 * at the active version.  A version that somebody is in is left for next time. */
int settle_site(struct step_env *env, struct err *err) MUST_CHECK;

/* settle_sweep(env): Take away trees and sights that no version has: what an operation had to leave
 * because somebody was in it, this one or one before.  Nothing while another one is open; failures
 * are for the next time. */
void settle_sweep(struct step_env *env);

/* settle_tidy(env): Background work after an operation: that, sizes of versions that were not
 * measured yet, the driver's own tidying.  Stops as soon as another operation on the site is asked
 * for; failures are for the next time. */
void settle_tidy(struct step_env *env);

#endif
