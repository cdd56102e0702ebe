/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_DELIVER_H
#define SNAPD_DELIVER_H

/*
 * Delivering what is due for one target, in a process of its own: `snapd --deliver TARGET`.
 *
 *   the process (root)       reads the target's file, its secret and the outbox, runs commands as
 *                            their user, and marks what became of each delivery
 *   its child (role deliver) speaks to the mail server or the webhook, without rights; gets
 *                            messages and the secret through a file in memory and answers with
 *                            records of a fixed size
 *
 * Neither the daemon nor another target waits for it.  A lock keeps two processes of one target
 * apart, so that one that outlives its daemon still writes its marks and nothing is sent twice.
 *
 * A message is JSON, {"id", "host", "target", "notices": [NOTICE]}: one notice, or a digest.
 */

#include "common/error.h"
#include "snapd/dirs.h"

#define DELIVER_LIMIT_MSEC 150000 /* for all of one process */

#define DELIVER_BUSY 3 /* exit status: another process of this target is at it */

/* deliver_main(dirs, target): The whole life of the process; returns its exit status: 0 everything
 * that was due was tried and marked. */
int deliver_main(const struct dirs *dirs, const char *target);

#endif
