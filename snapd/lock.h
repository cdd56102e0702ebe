/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_LOCK_H
#define SNAPD_LOCK_H

/*
 * Locks in the run directory, which the kernel releases when their holder dies.
 *
 *   op-ID.lock       held by the process that runs operation ID: is it alive?
 *   site-NAME.lock   held by whoever has the site's pool open: an operation, the tidying after it
 *                    (which ends when somebody waits), a question, the start of snapd
 */

#include "snapd/dirs.h"

/* lock_take(dirs, name, wait_msec, ret_fd, err): Hold the lock ${name} until the descriptor is
 * closed.  ERR_BUSY: somebody else had it for ${wait_msec}. */
int lock_take(const struct dirs *dirs, const char *name, unsigned wait_msec, int *ret_fd,
              struct err *err) MUST_CHECK;

/* lock_site(dirs, site, wait_msec, ret_fd, err): The same for a site's pool. */
int lock_site(const struct dirs *dirs, const char *site, unsigned wait_msec, int *ret_fd,
              struct err *err) MUST_CHECK;

#endif
