/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_DIALOG_H
#define SNAPD_DIALOG_H

/*
 * One request and its answer, between libmicrohttpd, which reads and writes HTTP, and the routes.
 *
 *   READING   header and body come in; what breaks a limit is answered and the connection closed
 *   WAITING   suspended until an operation has news           (ANSWER_WAIT)
 *   ASKED     suspended until a process has answered          (ANSWER_ASK)
 *   ANSWERED  the answer is on its way out
 *
 * libmicrohttpd takes the first Content-Length of several and prefers Transfer-Encoding to both
 * (0.9.75): what two readers could read as two different requests is refused here.
 */

#include <microhttpd.h>
#include <stdbool.h>

#include "snapd/question.h"
#include "snapd/routes.h"

#define HEADER_MAX 8192
#define BODY_MAX   65536

struct dialog;

struct dialog_env {
        struct api *api;
        struct questions *questions;
};

/* dialog_begin(env, connection, peer, method, path): The header is there.  NULL: no memory. */
struct dialog *dialog_begin(const struct dialog_env *env, struct MHD_Connection *connection,
                            const struct peer *peer, const char *method, const char *path);
void dialog_end(struct dialog *dialog);

/* dialog_continue(dialog, data, n): As libmicrohttpd's access handler: called at once, with
 * the pieces of the body, at its end, and when a suspended one goes on. */
enum MHD_Result dialog_continue(struct dialog *dialog, const char *data, size_t *n);

/* dialog_waits(dialog): Does it wait for news of an operation? */
bool dialog_waits(const struct dialog *dialog);

/* dialog_answered(dialog): Has it an answer that is being sent? */
bool dialog_answered(const struct dialog *dialog);

/* dialog_busy(dialog): Nothing is expected from the peer now: it waits for us, from its question
 * until there is an answer to send, also while libmicrohttpd has not yet gone on with it. */
bool dialog_busy(const struct dialog *dialog);

/* dialog_look(dialog, now_usec): Let it go on if there are news or its time has come. */
void dialog_look(struct dialog *dialog, int64_t now_usec);

/* dialog_drop(dialog): Nobody is there any more: its connection is closed. */
void dialog_drop(struct dialog *dialog);

#endif
