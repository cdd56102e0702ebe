/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_EXPIRY_H
#define SNAPD_EXPIRY_H

/*
 * Links and temporary rollbacks that end by themselves.
 *
 * One timer on the wall clock, for the next end there is: an end is told to people as a time of
 * day.  A link that is over leads nowhere from then on; a temporary rollback that is over becomes
 * an ordinary `forward`, tried again every few seconds while another operation is open.  Where the
 * version that it would go to was marked bad meanwhile, it goes on until a person ends it, and the
 * notice `alert` says so.
 */

#include <systemd/sd-event.h>

#include "snapd/sitecache.h"
#include "snapd/spawner.h"

struct expiry;

/* expiry_open(event, dirs, catalog, sites, spawner, ret_expiry, err): The arguments stay the
 * caller's and outlive it. */
int expiry_open(sd_event *event, const struct dirs *dirs, struct catalog *catalog,
                struct sitecache *sites, struct spawner *spawner, struct expiry **ret_expiry,
                struct err *err) MUST_CHECK;
void expiry_close(struct expiry *expiry);

/* expiry_news(expiry): Something was committed: look when the next end is. */
void expiry_news(struct expiry *expiry);

#endif
