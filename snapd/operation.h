/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_OPERATION_H
#define SNAPD_OPERATION_H

/*
 * One operation, in its own process.
 *
 * `snapd --operation ID` plans and runs the queued operation ID, or settles it when an earlier
 * process died in it.  It goes on when snapd itself is restarted; whether it lives is told by a
 * lock on run/op-ID.lock that it holds until it ends.  With OPERATION_LATER for ID it waits to be
 * told (snapd/standby.h).
 */

#include <stdbool.h>

#include "snapd/dirs.h"
#include "snapd/journal.h"

/* operation_main(dirs, id): The whole life of the process; returns its exit status, 0 when the
 * operation is no longer open.  ERR_BUSY (status 3): another process runs it. */
int operation_main(const struct dirs *dirs, op_id id);

/* Stands in the place of ID, and is as long as the longest. */
#define OPERATION_LATER "some-later-operation"

/* operation_main_later(dirs, name): Get ready for an operation that nobody has asked for yet, wait
 * on stdin for its op_id, put its number into ${name}, the argument that said OPERATION_LATER, and
 * go on as operation_main().  When stdin ends instead, so does the process, with status 0. */
int operation_main_later(const struct dirs *dirs, char *name);

/* operation_alive(dirs, id): Is there a process that runs it? */
bool operation_alive(const struct dirs *dirs, op_id id);

#endif
