/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_CLIENT_H
#define SNAPCTL_CLIENT_H

/*
 * Calls to the daemon: HTTP and JSON on its unix socket (docs/api.md).
 *
 * The daemon is trusted with what it says but not with how much: an answer has a limit of bytes
 * and of time, and must be JSON as common/json.h takes it.  Redirects are not followed.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define CLIENT_SOCKET       "/run/sitesnap/snapd.sock"
#define CLIENT_PATH_MAX     512
#define CLIENT_TIMEOUT_MSEC 120000

struct client;

/* client_open(socket_path, ret_client, err): Nothing is connected before the first call; the path
 * outlives it.  Give it to client_close(). */
int client_open(const char *socket_path, struct client **ret_client, struct err *err) MUST_CHECK;
void client_close(struct client *client);
void client_closep(struct client **client);

/* client_set_timeout(client, msec): How long a call may take from here on. */
void client_set_timeout(struct client *client, long msec);

/* client_set_wake(client, fd): A call ends early with ERR_TIMEOUT when ${fd} becomes readable; -1
 * for none.  client_woken(): did the last call end so? */
void client_set_wake(struct client *client, int fd);
bool client_woken(const struct client *client);

/* client_lost(client): Did the last call fail without an answer of the daemon's, as when it is
 * being restarted? */
bool client_lost(const struct client *client);

/* client_call(client, method, path, body, ret_answer, err): One request.  ${body} may be NULL;
 * ${ret_answer} may be NULL, else it is an object and the caller's.  An error that the daemon
 * answers keeps its code and message.  ERR_IO: no answer, and what to do; ERR_DENIED: the socket
 * may not be opened; ERR_CORRUPT: the answer makes no sense. */
int client_call(struct client *client, const char *method, const char *path, const json_t *body,
                json_t **ret_answer, struct err *err) MUST_CHECK;

/* client_get(client, ret_answer, err, fmt, ...): GET of the path that is printed so.  What is put
 * in must be of a form that needs no escapes in an URL. */
int client_get(struct client *client, json_t **ret_answer, struct err *err, const char *fmt, ...)
        PRINTF(4, 5) MUST_CHECK;

/* client_error(error, err): Fill ${err} from an "error" object of the API; returns -1. */
int client_error(const json_t *error, struct err *err);

/* answer_u64(answer, key, ret_value, err), answer_array(...): A member that must be there; the
 * array is borrowed.  ERR_CORRUPT. */
int answer_u64(const json_t *answer, const char *key, uint64_t *ret_value,
               struct err *err) MUST_CHECK;
int answer_array(const json_t *answer, const char *key, const json_t **ret_array,
                 struct err *err) MUST_CHECK;

#endif
