/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_STANDBY_H
#define SNAPD_STANDBY_H

/*
 * A process for the next operation, before anybody has asked for one.
 *
 * Half of what a short operation takes is its process: the program, its libraries and the catalog,
 * with what only its first commit costs.  One waits with all of that behind it
 * (operation_main_later()) and is told the number through a pipe.  It knows nothing of any site,
 * has no lock, and ends when the pipe is closed, so that none stays behind a daemon that dies.
 * There is one at most.  It is an offer: without it a process is started in the usual way.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "snapd/dirs.h"
#include "snapd/journal.h"

struct standby;

/* What becomes the caller's with an operation's process. */
struct standby_process {
        pid_t pid;
        int pid_fd, news_fd;
};

/* standby_open(dirs, ret_standby, err): Nothing waits yet; ${dirs} outlives it. */
int standby_open(const struct dirs *dirs, struct standby **ret_standby, struct err *err) MUST_CHECK;

/* standby_close(standby): The one that waits has ended after it. */
void standby_close(struct standby *standby);

/* standby_prepare(standby): Start one, when none waits: somebody may be about to ask. */
void standby_prepare(struct standby *standby);

/* standby_take(standby, id, ret_process): Let the one that waits run this operation; false when
 * there is none. */
bool standby_take(struct standby *standby, op_id id, struct standby_process *ret_process);

#endif
