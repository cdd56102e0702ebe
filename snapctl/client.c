/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/client.h"
#include "snapctl/transfer.h"

/* `diff` of a whole site may name every file in it; 64 MiB are about half a million names. */
#define ANSWER_MAX (64u << 20)

struct client {
        struct transfer *transfer;
        const char *socket_path;
        long timeout_msec;
        int wake_fd;
        bool woken;
        bool lost;
};

int client_open(const char *socket_path, struct client **ret_client, struct err *err)
{
        CLEANUP(client_closep) struct client *client = calloc(1, sizeof(*client));

        if (client == NULL)
                return err_oom(err);
        *client = (struct client){ .socket_path = socket_path,
                                   .timeout_msec = CLIENT_TIMEOUT_MSEC,
                                   .wake_fd = -1 };
        if (transfer_open(socket_path, ANSWER_MAX, &client->transfer, err) < 0)
                return -1;
        *ret_client = STEAL(client);
        return 0;
}

void client_close(struct client *client)
{
        if (client == NULL)
                return;
        transfer_close(client->transfer);
        free(client);
}

void client_closep(struct client **client)
{
        client_close(*client);
}

void client_set_timeout(struct client *client, long msec)
{
        client->timeout_msec = msec;
}

void client_set_wake(struct client *client, int fd)
{
        client->wake_fd = fd;
}

bool client_woken(const struct client *client)
{
        return client->woken;
}

bool client_lost(const struct client *client)
{
        return client->lost;
}

/* Why there was no answer, and what to do about it. */
static int transfer_error(const struct client *client, enum transfer_end end, struct err *err)
{
        const char *path = client->socket_path;
        int os = transfer_os(client->transfer);

        switch (end) {
        case TRANSFER_UNCONNECTED:
                if (os == EACCES || os == EPERM)
                        return err_fail(err, ERR_DENIED, 0,
                                        "you may not open the daemon's socket '%s' (%s): ask its "
                                        "administrator",
                                        path, strerror(os));
                return err_fail(err, ERR_IO, 0,
                                "sitesnap's daemon does not answer at '%s' (%s): start it with "
                                "'systemctl start sitesnap'; the sites go on serving",
                                path, strerror(os));
        case TRANSFER_TOO_LONG:
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer is longer than %u MiB",
                                ANSWER_MAX >> 20);
        case TRANSFER_WOKEN:
                return err_fail(err, ERR_TIMEOUT, 0, "interrupted");
        case TRANSFER_LATE:
                return err_fail(err, ERR_TIMEOUT, 0,
                                "sitesnap's daemon at '%s' did not answer within %.1f s: see "
                                "'systemctl status sitesnap'; the sites go on serving",
                                path, (double)client->timeout_msec / 1000);
        case TRANSFER_BROKEN:
        case TRANSFER_DONE:
                break;
        }
        return err_fail(err, ERR_IO, 0, "the daemon's answer at '%s' broke off: %s", path,
                        transfer_why(client->transfer));
}

int client_error(const json_t *error, struct err *err)
{
        /* For a code of a later version of the daemon: the nearest of ours by exit status. */
        static const enum err_code by_exit[] = {
                [2] = ERR_INVALID,     [3] = ERR_BUSY, [4] = ERR_REFUSED, [5] = ERR_NO_SPACE,
                [6] = ERR_ROLLED_BACK, [7] = ERR_HELD, [8] = ERR_NOTHING,
        };
        const char *name = json_get_string(error, "code");
        const char *message = json_get_string(error, "message");
        uint64_t status = json_get_u64(error, "exit");
        enum err_code code = name != NULL ? err_by_name(name) : 0;

        if (code == 0 && status < sizeof(by_exit) / sizeof(*by_exit))
                code = by_exit[status];
        return err_fail(err, code != 0 ? code : ERR_IO, 0, "%s",
                        message != NULL ? message : "the daemon gives no reason");
}

/* The answer of a finished transfer: an object, or an error of the daemon's. */
static int take_answer(const struct transfer_answer *got, json_t **ret_answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *error;

        if (json_parse(got->body, got->n, &answer, err) < 0) {
                err->code = ERR_CORRUPT;
                return err_wrap(err, "the daemon's answer (HTTP status %u)", got->status);
        }
        error = json_object_get(answer, "error");
        if (got->status >= 400 && json_is_object(error))
                return client_error(error, err);
        if (got->status < 200 || got->status > 299)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon answered with HTTP status %u",
                                got->status);
        if (!json_is_object(answer))
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer is not a JSON object");
        if (ret_answer != NULL)
                *ret_answer = STEAL(answer);
        return 0;
}

int client_call(struct client *client, const char *method, const char *path, const json_t *body,
                json_t **ret_answer, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        struct transfer_request request = { .method = method,
                                            .path = path,
                                            .timeout_msec = client->timeout_msec,
                                            .wake_fd = client->wake_fd };
        struct transfer_answer answer;
        enum transfer_end end;

        if (body != NULL) {
                text = json_dumps(body, JSON_COMPACT);
                if (text == NULL)
                        return err_fail(err, ERR_INVALID, 0,
                                        "an argument is not valid UTF-8, which the daemon needs");
                request.body = text;
        } else if (strcmp(method, "GET") != 0) {
                request.body = "{}";
        }
        client->woken = client->lost = false;
        if (transfer_run(client->transfer, &request, &end, &answer, err) < 0)
                return -1;
        if (end == TRANSFER_DONE)
                return take_answer(&answer, ret_answer, err);
        client->woken = end == TRANSFER_WOKEN;
        (void)transfer_error(client, end, err);
        client->lost = err->code != ERR_DENIED;
        return -1;
}

int client_get(struct client *client, json_t **ret_answer, struct err *err, const char *fmt, ...)
{
        char path[CLIENT_PATH_MAX];
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(path, sizeof(path), fmt, ap);
        va_end(ap);
        if (n < 0 || (size_t)n >= sizeof(path))
                return err_fail(err, ERR_INVALID, 0, "the request is too long");
        return client_call(client, "GET", path, NULL, ret_answer, err);
}

int answer_u64(const json_t *answer, const char *key, uint64_t *ret_value, struct err *err)
{
        uint64_t value = json_get_u64(answer, key);

        if (value == 0)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no '%s'", key);
        *ret_value = value;
        return 0;
}

int answer_array(const json_t *answer, const char *key, const json_t **ret_array, struct err *err)
{
        const json_t *array = json_object_get(answer, key);

        if (!json_is_array(array))
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no list '%s'", key);
        *ret_array = array;
        return 0;
}
