/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_MULTI_H
#define SNAPD_PROBER_MULTI_H

/*
 * libcurl's multi interface in an event loop.  Private to snapd/prober_*.c.
 *
 * Its sockets are in an epoll set of their own, of which the loop sees one descriptor: sd-event
 * dispatches one source and asks the kernel for all that are ready again, so that a thousand
 * sockets that become ready together, as they do when servers or we were slow for a moment, would
 * be looked at a million times.
 */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "common/error.h"

struct multi;

/* multi_end: The request of this handle is over; it may be removed, and others be added. */
typedef void (*multi_end)(CURL *easy, CURLcode code, void *arg);

/* multi_open(event, end, arg, ret_multi, err): ${end} is called from the loop. */
int multi_open(sd_event *event, multi_end end, void *arg, struct multi **ret_multi,
               struct err *err) MUST_CHECK;
void multi_close(struct multi *multi);

/* multi_curl(multi): To add handles to, to remove them from, and for what else can be set. */
CURLM *multi_curl(const struct multi *multi);

#endif
