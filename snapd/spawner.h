/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SPAWNER_H
#define SNAPD_SPAWNER_H

/*
 * The processes of operations.
 *
 * snapd starts one for each operation and watches it.  It lives in a session of its own and goes
 * on when snapd ends; the next snapd finds it by its lock and looks once a second.  A process
 * that died with its operation still open is started again, which settles what the dead one left;
 * after the third death the operation is held and a person decides (`resume`).
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "snapd/catalog.h"
#include "snapd/dirs.h"
#include "snapd/journal.h"

struct spawner;

/* spawner_news: Something was committed by an operation, or its process has ended. */
typedef void (*spawner_news)(void *arg);

/* spawner_open(event, dirs, catalog, ret_spawner, err): The arguments stay the caller's and
 * outlive it. */
int spawner_open(sd_event *event, const struct dirs *dirs, struct catalog *catalog,
                 struct spawner **ret_spawner, struct err *err) MUST_CHECK;

/* spawner_close(spawner): Stop watching; the processes of operations go on. */
void spawner_close(struct spawner *spawner);

/* spawner_tell(spawner, news, arg): Call ${news} with ${arg} from now on, beside those told before;
 * spawner_untell(spawner, arg): no more.  At most 8. */
void spawner_tell(struct spawner *spawner, spawner_news news, void *arg);
void spawner_untell(struct spawner *spawner, const void *arg);

/* spawner_pause(spawner, usec): How long to wait before the first new start of a process that died,
 * 1 s when nothing is said; the second waits 4 times as long, the third 16 times. */
void spawner_pause(struct spawner *spawner, uint64_t usec);

/* spawner_start(spawner, id): Start the operation's process, or watch the one that runs it.  A
 * start that fails now is tried again. */
void spawner_start(struct spawner *spawner, op_id id);

/* spawner_prepare(spawner): Have a process wait for the next operation (snapd/standby.h): somebody
 * may be about to ask for one. */
void spawner_prepare(struct spawner *spawner);

/* spawner_runs(spawner, id): Is it started, watched or about to be started again? */
bool spawner_runs(const struct spawner *spawner, op_id id);

/* spawner_settle(spawner, timeout_msec, err): Start every open operation that has no process, and
 * run the event loop until they have ended or ${timeout_msec} have passed.  Held ones stay held;
 * those that live are only watched. */
int spawner_settle(struct spawner *spawner, unsigned timeout_msec, struct err *err) MUST_CHECK;

#endif
