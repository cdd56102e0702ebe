/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_DAEMON_H
#define TESTS_LIB_DAEMON_H

/*
 * A running daemon for tests, in the test's own mount namespace and directories; $SNAPD is the
 * program.  It is ended with the test.  Each function fails the test itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* daemon_dir(name): A path in the test's directory: "state", "run", "conf", "run/s". */
const char *daemon_dir(const char *name);

/* daemon_start(env): Start it and wait until it answers; ${env} are "NAME=value" in addition,
 * NULL-terminated, or NULL.  Returns its pid. */
pid_t daemon_start(const char *const *env);

/* daemon_run(env, listen_fd): Start it without waiting; ${listen_fd} >= 0 is passed as systemd
 * does. */
pid_t daemon_run(const char *const *env, int listen_fd);

/* daemon_end(pid, signal): End it and return its wait status. */
int daemon_end(pid_t pid, int signal);

/* daemon_conf(name, text): Write sites.d/NAME.conf. */
void daemon_conf(const char *name, const char *text);

/* daemon_connect(uid): A connection as that user; -1 when it is refused. */
int daemon_connect(uid_t uid);

/* reply_read(fd, buf, size, msec): All that comes until the other side closes, or until
 * ${msec} pass; the text, with a NUL.  Returns true when the other side closed. */
bool reply_read(int fd, char *buf, size_t size, int msec);

/* reply_status(text): 404 of "HTTP/1.1 404 Not Found"; 0 when it is none. */
int reply_status(const char *text);

/* daemon_ask(uid, method, path, body, buf, size): One request as that user, answer and all in
 * ${buf}; its status, 0 when there was no answer within 15 s. */
int daemon_ask(uid_t uid, const char *method, const char *path, const char *body, char *buf,
               size_t size);

#endif
