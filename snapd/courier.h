/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_COURIER_H
#define SNAPD_COURIER_H

/*
 * The daemon's side of notices: routes what was put in the outbox, starts a process for each target
 * that something is due for (snapd/deliver.h), and looks again when the next one is due.
 *
 * It hears of a new notice by the outbox's file being written, whoever wrote it, and waits for
 * nothing: names are resolved and servers spoken to elsewhere.  A target has one process at a time,
 * and a slow one is slow for itself only.
 */

#include <systemd/sd-event.h>

#include "snapd/catalog.h"
#include "snapd/dirs.h"
#include "snapd/outbox.h"

struct courier;

/* courier_open(event, dirs, catalog, outbox, ret_courier, err): Begin; the arguments outlive it. */
int courier_open(sd_event *event, const struct dirs *dirs, struct catalog *catalog,
                 struct outbox *outbox, struct courier **ret_courier, struct err *err) MUST_CHECK;

/* courier_close(courier): Its processes go on and write their marks themselves. */
void courier_close(struct courier *courier);

#endif
