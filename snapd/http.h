/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_HTTP_H
#define SNAPD_HTTP_H

/*
 * The HTTP side of the server: libmicrohttpd inside our event loop, without threads and without a
 * listening socket of its own; server.c gives it connections it has accepted.
 *
 * A peer has 10 s to send a request, header and body, counted from the connection or from the end
 * of the answer before; 30 s to take an answer.  libmicrohttpd's own timeout begins anew with each
 * byte, so it is not used.
 */

#include <systemd/sd-event.h>

#include "snapd/dialog.h"

struct http;

/* http_open(event, env, ret_http, err): ${env} is copied, what it points to outlives it. */
int http_open(sd_event *event, const struct dialog_env *env, struct http **ret_http,
              struct err *err) MUST_CHECK;

/* http_close(http): Every connection is closed. */
void http_close(struct http *http);

/* http_add(http, fd, peer, err): Take a non-blocking connection over, also on failure. */
int http_add(struct http *http, int fd, const struct peer *peer, struct err *err) MUST_CHECK;

/* http_count(http, uid, ret_of_uid): How many connections there are, and how many of a user. */
unsigned http_count(const struct http *http, uid_t uid, unsigned *ret_of_uid);

/* http_news(http): Something has changed that clients may wait for. */
void http_news(struct http *http);

#endif
