/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/dialog.h"
#include "snapd/view.h"

#define GATHER_USEC 100000 /* between two answers about an operation that goes on */

enum dialog_state { READING, WAITING, ASKED, ANSWERED };

struct dialog {
        struct dialog_env env;
        struct MHD_Connection *connection;
        enum dialog_state state;
        bool begun; /* the header was looked at */
        bool suspended;
        bool dropped;
        struct call call;
        char *body;
        size_t body_n;
        json_t *body_json;
        struct answer wait; /* while WAITING */

        /* What ASKED has brought. */
        struct err asked_err;
        char *asked_text;
        size_t asked_n;
};

struct dialog *dialog_begin(const struct dialog_env *env, struct MHD_Connection *connection,
                            const struct peer *peer, const char *method, const char *path)
{
        struct dialog *dialog = calloc(1, sizeof(*dialog));

        if (dialog == NULL)
                return NULL;
        dialog->env = *env;
        dialog->connection = connection;
        dialog->call = (struct call){
                .method = method,
                .path = path,
                .peer = *peer,
                .arrived_usec = clock_boot_usec(),
        };
        return dialog;
}

void dialog_end(struct dialog *dialog)
{
        if (dialog == NULL)
                return;
        if (dialog->state == ASKED)
                questions_forget(dialog->env.questions, dialog);
        free(dialog->body);
        free(dialog->asked_text);
        json_decref(dialog->body_json);
        free(dialog);
}

bool dialog_waits(const struct dialog *dialog)
{
        return dialog->state == WAITING && dialog->suspended;
}

bool dialog_answered(const struct dialog *dialog)
{
        return dialog->state == ANSWERED;
}

bool dialog_busy(const struct dialog *dialog)
{
        return dialog->state == WAITING || dialog->state == ASKED;
}

/* Sending */

static enum MHD_Result send_text(struct dialog *dialog, unsigned status, const char *type,
                                 char *text, size_t n, bool close_after)
{
        struct MHD_Response *response =
                MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
        enum MHD_Result result;

        if (response == NULL) {
                free(text);
                return MHD_NO;
        }
        dialog->state = ANSWERED;
        if (MHD_add_response_header(response, "Content-Type",
                                    type == NULL ? "application/json" : type) != MHD_YES ||
            (close_after && MHD_add_response_header(response, "Connection", "close") != MHD_YES)) {
                MHD_destroy_response(response);
                return MHD_NO;
        }
        result = MHD_queue_response(dialog->connection, status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result send_json(struct dialog *dialog, unsigned status, const json_t *json,
                                 bool close_after)
{
        char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);

        /* Without memory for an answer, the closed connection is one. */
        return text == NULL ? MHD_NO
                            : send_text(dialog, status, NULL, text, strlen(text), close_after);
}

static enum MHD_Result send_error(struct dialog *dialog, unsigned status, const struct err *err,
                                  bool close_after)
{
        CLEANUP(json_decrefp) json_t *json = view_error(err);

        if (status >= 500)
                log_warning("%s %s for user %u: %s", dialog->call.method, dialog->call.path,
                            dialog->call.peer.uid, err->msg);
        return send_json(dialog, status, json, close_after);
}

/* An answer after which the rest of the stream means nothing. */
static enum MHD_Result send_refusal(struct dialog *dialog, unsigned status, const char *why)
{
        struct err err = { 0 };

        (void)err_fail(&err, ERR_INVALID, 0, "%s", why);
        return send_error(dialog, status, &err, true);
}

/* Reading */

struct header_scan {
        unsigned lengths, encodings;
        const char *length;
        bool malformed;
};

/* "Content-Length : 5" is a name of its own for libmicrohttpd and a length for others, and a bare
 * CR ends a line for some. */
static bool line_well_formed(const char *name, const char *value)
{
        static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

        if (name[0] == '\0' || name[strspn(name, token)] != '\0')
                return false;
        for (const char *c = value; c != NULL && *c != '\0'; c++)
                if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
                        return false;
        return true;
}

static enum MHD_Result scan_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
        struct header_scan *scan = arg;

        (void)kind;
        scan->malformed |= !line_well_formed(name, value);
        if (strcasecmp(name, "Content-Length") == 0) {
                scan->lengths++;
                scan->length = value;
        }
        scan->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
        return MHD_YES;
}

/* The size of the header and how long the body is said to be. */
static enum MHD_Result header_check(struct dialog *dialog)
{
        struct header_scan scan = { 0 };
        struct err err = { 0 };
        uint64_t length = 0;
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                dialog->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

        if (info == NULL || info->header_size > HEADER_MAX)
                return send_refusal(dialog, 431, "the header is longer than 8 KiB");
        (void)MHD_get_connection_values(dialog->connection, MHD_HEADER_KIND, scan_header, &scan);
        if (scan.malformed)
                return send_refusal(dialog, 400, "a malformed line in the header");
        if (scan.lengths > 1)
                return send_refusal(dialog, 400, "more than one Content-Length");
        if (scan.encodings > 0)
                return send_refusal(dialog, scan.lengths > 0 ? 400 : 411,
                                    "a body is sent with a Content-Length and not in chunks");
        if (scan.length != NULL && call_number(scan.length, "a Content-Length", &length, &err) < 0)
                return send_refusal(dialog, 400, err.msg);
        if (length > BODY_MAX)
                return send_refusal(dialog, 413, "the body is longer than 64 KiB");
        return MHD_YES;
}

static enum MHD_Result body_take(struct dialog *dialog, const char *data, size_t n)
{
        char *more;

        if (n > BODY_MAX - dialog->body_n)
                return MHD_NO;
        more = realloc(dialog->body, dialog->body_n + n);
        if (more == NULL)
                return MHD_NO;
        memcpy(more + dialog->body_n, data, n);
        dialog->body = more;
        dialog->body_n += n;
        return MHD_YES;
}

static enum MHD_Result take_arg(void *arg, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
        struct call *call = arg;

        (void)kind;
        if (call->n_args == CALL_ARGS_MAX)
                return MHD_NO;
        call->args[call->n_args].name = name;
        call->args[call->n_args++].value = value == NULL ? "" : value;
        return MHD_YES;
}

static int call_complete(struct dialog *dialog, struct err *err)
{
        struct call *call = &dialog->call;
        int given =
                MHD_get_connection_values(dialog->connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);

        if (given > CALL_ARGS_MAX)
                return err_fail(err, ERR_INVALID, 0, "more than %d arguments", CALL_ARGS_MAX);
        (void)MHD_get_connection_values(dialog->connection, MHD_GET_ARGUMENT_KIND, take_arg, call);
        if (dialog->body_n > 0 &&
            json_parse(dialog->body, dialog->body_n, &dialog->body_json, err) < 0)
                return err_wrap(err, "the body");
        free(STEAL(dialog->body));
        call->body = dialog->body_json;
        return 0;
}

/* Waiting */

static void dialog_suspend(struct dialog *dialog, enum dialog_state state)
{
        dialog->state = state;
        dialog->suspended = true;
        MHD_suspend_connection(dialog->connection);
}

static void dialog_resume(struct dialog *dialog)
{
        dialog->suspended = false;
        MHD_resume_connection(dialog->connection);
}

static void on_asked(char *text, size_t n, const struct err *err, void *arg)
{
        struct dialog *dialog = arg;

        dialog->asked_text = text;
        dialog->asked_n = n;
        dialog->asked_err = *err;
        if (dialog->suspended) /* else it was dropped meanwhile */
                dialog_resume(dialog);
}

static enum MHD_Result dialog_ask(struct dialog *dialog, json_t *question)
{
        struct err err = { 0 };
        int r = question_ask(dialog->env.questions, dialog->call.peer.uid, question, on_asked,
                             dialog, &err);

        json_decref(question);
        if (r < 0)
                return send_error(dialog, view_status(err.code), &err, false);
        dialog_suspend(dialog, ASKED);
        return MHD_YES;
}

static enum MHD_Result dialog_answer(struct dialog *dialog)
{
        struct answer answer = { 0 };
        struct err err = { 0 };
        enum MHD_Result result;

        if (routes_answer(dialog->env.api, &dialog->call, &answer, &err) < 0)
                return send_error(dialog, view_status(err.code), &err, false);
        switch (answer.kind) {
        case ANSWER_WAIT:
                dialog->wait = answer;
                dialog_suspend(dialog, WAITING);
                return MHD_YES;
        case ANSWER_ASK:
                return dialog_ask(dialog, answer.json);
        case ANSWER_JSON:
        default:
                if (answer.text != NULL)
                        return send_text(dialog, answer.status, answer.type, answer.text,
                                         strlen(answer.text), false);
                result = send_json(dialog, answer.status, answer.json, false);
                json_decref(answer.json);
                return result;
        }
}

static enum MHD_Result asked_answer(struct dialog *dialog)
{
        if (dialog->asked_err.code != 0)
                return send_error(dialog, view_status(dialog->asked_err.code), &dialog->asked_err,
                                  false);
        return send_text(dialog, 200, NULL, STEAL(dialog->asked_text), dialog->asked_n, false);
}

enum MHD_Result dialog_continue(struct dialog *dialog, const char *data, size_t *n)
{
        struct err err = { 0 };

        if (dialog->dropped)
                return MHD_NO;
        if (!dialog->begun) {
                dialog->begun = true;
                return header_check(dialog);
        }
        if (*n > 0) {
                size_t got = *n;

                *n = 0;
                return body_take(dialog, data, got);
        }
        switch (dialog->state) {
        case READING:
                if (call_complete(dialog, &err) < 0)
                        return send_error(dialog, view_status(err.code), &err, false);
                return dialog_answer(dialog);
        case WAITING:
                return dialog_answer(dialog);
        case ASKED:
                return asked_answer(dialog);
        case ANSWERED:
        default:
                return MHD_YES;
        }
}

/* Marks come by the dozen within milliseconds.  That it is served and that it has ended is told at
 * once, what comes before at most every GATHER_USEC, so that following an operation does not cost
 * more than the operation. */
static bool has_news(const struct dialog *dialog, int64_t now_usec)
{
        struct catalog *catalog = dialog->env.api->catalog;

        return journal_seq(catalog, dialog->wait.op) != dialog->wait.seq &&
               (now_usec >= dialog->call.arrived_usec + GATHER_USEC ||
                (dialog->wait.answered ? !journal_is_open(catalog, dialog->wait.op)
                                       : journal_has_answer(catalog, dialog->wait.op)));
}

void dialog_look(struct dialog *dialog, int64_t now_usec)
{
        if (!dialog_waits(dialog))
                return;
        if (now_usec >= dialog->wait.until_usec || has_news(dialog, now_usec))
                dialog_resume(dialog);
}

void dialog_drop(struct dialog *dialog)
{
        dialog->dropped = true;
        if (dialog->suspended)
                dialog_resume(dialog);
}
