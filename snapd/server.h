/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SERVER_H
#define SNAPD_SERVER_H

/*
 * The API's socket: who connects, and how many may.
 */

#include <systemd/sd-event.h>

#include "snapd/dialog.h"

struct server;

/* server_listen(path, ret_fd, err): Bind the socket; everybody may connect.  A stale one is
 * replaced; two daemons cannot do that to each other, since the caller holds the lock that
 * server_lock() took.  ERR_EXISTS: there is something else than a socket. */
int server_listen(const char *path, int *ret_fd, struct err *err) MUST_CHECK;

/* server_lock(run_fd, ret_fd, err): Be the only daemon of these directories for as long as the
 * descriptor is open.  ERR_BUSY: another one runs. */
int server_lock(int run_fd, int *ret_fd, struct err *err) MUST_CHECK;

/* server_open(event, listen_fd, env, ret_server, err): Serve the socket, which stays the
 * caller's.  At most 256 connections, 16 of one user; root has no limit of its own, and the last
 * 16 are root's. */
int server_open(sd_event *event, int listen_fd, const struct dialog_env *env,
                struct server **ret_server, struct err *err) MUST_CHECK;
void server_close(struct server *server);

#endif
