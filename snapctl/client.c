/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapctl/client.h"

/* `diff` of a whole site may name every file in it; 64 MiB are about half a million names. */
#define ANSWER_MAX (64u << 20)

/* A unix socket holds about 200 KiB; in curl's usual 16 KiB a long list takes ten times the calls.
 */
#define RECEIVE_BYTES (256l << 10)

struct client {
        CURL *easy;
        CURLM *multi;
        struct curl_slist *headers;
        char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
        long timeout_msec;
        int wake_fd;
        bool woken;
        bool lost;

        char *answer;
        size_t n, room;
        bool too_long;
};

static size_t receive(char *data, size_t size, size_t n, void *arg)
{
        struct client *client = arg;

        n *= size;
        if (client->n + n > ANSWER_MAX) {
                client->too_long = true;
                return 0;
        }
        if (client->n + n + 1 > client->room) {
                size_t room = (client->n + n + 1) * 2;
                char *more = realloc(client->answer, room);

                if (more == NULL)
                        return 0;
                client->answer = more;
                client->room = room;
        }
        memcpy(client->answer + client->n, data, n);
        client->n += n;
        client->answer[client->n] = '\0';
        return n;
}

int client_open(const char *socket_path, struct client **ret_client, struct err *err)
{
        CLEANUP(client_closep) struct client *client = calloc(1, sizeof(*client));
        struct curl_slist *headers;

        if (client == NULL)
                return err_oom(err);
        client->wake_fd = -1;
        client->timeout_msec = CLIENT_TIMEOUT_MSEC;
        if (strlen(socket_path) >= sizeof(client->socket_path))
                return err_fail(err, ERR_INVALID, 0,
                                "the path of a socket has at most %zu bytes: '%s'",
                                sizeof(client->socket_path) - 1, socket_path);
        (void)snprintf(client->socket_path, sizeof(client->socket_path), "%s", socket_path);

        /* Without SSL there is nothing global to set up, and it would cost milliseconds.  curl sets
         * up OpenSSL all the same; its file of settings would be a third of that. */
        if (setenv("OPENSSL_CONF", "", 1) < 0)
                return err_oom(err);
        if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
                return err_oom(err);
        client->easy = curl_easy_init();
        client->multi = curl_multi_init();
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        if (client->easy == NULL || client->multi == NULL || headers == NULL)
                return err_oom(err);
        client->headers = headers;

        /* "Expect: 100-continue" would wait a second on a body above 1 MiB. */
        headers = curl_slist_append(client->headers, "Expect:");
        if (headers == NULL)
                return err_oom(err);
        *ret_client = STEAL(client);
        return 0;
}

void client_close(struct client *client)
{
        if (client == NULL)
                return;
        curl_multi_cleanup(client->multi);
        curl_easy_cleanup(client->easy);
        curl_slist_free_all(client->headers);
        free(client->answer);
        free(client);
        curl_global_cleanup();
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

static int prepare(struct client *client, const char *method, const char *path, const char *body,
                   struct err *err)
{
        char url[CLIENT_PATH_MAX + 32];
        CURL *easy = client->easy;
        int n = snprintf(url, sizeof(url), "http://localhost%s", path);

        if (n < 0 || (size_t)n >= sizeof(url))
                return err_fail(err, ERR_INVALID, 0, "the request is too long");
        client->n = 0;
        client->too_long = client->woken = client->lost = false;

        /* Resetting keeps the connection, which serves the next call. */
        curl_easy_reset(easy);
        if (curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket_path) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, client->timeout_msec) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_WRITEDATA, client) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) != CURLE_OK)
                return err_oom(err);
        if (body != NULL && (curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body) != CURLE_OK))
                return err_oom(err);
        return 0;
}

/* Run the transfer; CURLE_ABORTED_BY_CALLBACK when the wake descriptor ended it. */
static CURLcode perform(struct client *client)
{
        struct curl_waitfd wake = { .fd = client->wake_fd, .events = CURL_WAIT_POLLIN };
        CURLcode result = CURLE_ABORTED_BY_CALLBACK;
        struct CURLMsg *message;
        int running = 1, left;

        if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK)
                return CURLE_OUT_OF_MEMORY;
        while (running > 0 && !client->woken) {
                if (curl_multi_perform(client->multi, &running) != CURLM_OK)
                        break;
                if (running > 0 && curl_multi_poll(client->multi, &wake, client->wake_fd >= 0, 1000,
                                                   NULL) != CURLM_OK)
                        break;
                client->woken =
                        client->wake_fd >= 0 &&
                        poll(&(struct pollfd){ .fd = client->wake_fd, .events = POLLIN }, 1, 0) > 0;
        }
        while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
                if (message->msg == CURLMSG_DONE) {
                        result = message->data.result;
                        client->woken = false;
                }
        (void)curl_multi_remove_handle(client->multi, client->easy);
        return result;
}

/* Why there was no answer, and what to do about it. */
static int transfer_error(struct client *client, CURLcode result, struct err *err)
{
        const char *path = client->socket_path;
        long os = 0;

        client->lost = true;
        (void)curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &os);
        if (result == CURLE_COULDNT_CONNECT && (os == EACCES || os == EPERM)) {
                client->lost = false;
                return err_fail(err, ERR_DENIED, 0,
                                "you may not open the daemon's socket '%s' (%s): ask its "
                                "administrator",
                                path, strerror((int)os));
        }
        if (result == CURLE_COULDNT_CONNECT)
                return err_fail(err, ERR_IO, 0,
                                "sitesnap's daemon does not answer at '%s' (%s): start it with "
                                "'systemctl start sitesnap'; the sites go on serving",
                                path, os != 0 ? strerror((int)os) : curl_easy_strerror(result));
        if (client->too_long)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer is longer than %u MiB",
                                ANSWER_MAX >> 20);
        if (client->woken)
                return err_fail(err, ERR_TIMEOUT, 0, "interrupted");
        if (result == CURLE_OPERATION_TIMEDOUT)
                return err_fail(err, ERR_TIMEOUT, 0,
                                "sitesnap's daemon at '%s' did not answer within %.1f s: see "
                                "'systemctl status sitesnap'; the sites go on serving",
                                path, (double)client->timeout_msec / 1000);
        return err_fail(err, ERR_IO, 0, "the daemon's answer at '%s' broke off: %s", path,
                        curl_easy_strerror(result));
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
static int take_answer(struct client *client, json_t **ret_answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *error;
        long status = 0;

        (void)curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
        if (json_parse(client->n > 0 ? client->answer : "", client->n, &answer, err) < 0) {
                err->code = ERR_CORRUPT;
                return err_wrap(err, "the daemon's answer (HTTP status %ld)", status);
        }
        error = json_object_get(answer, "error");
        if (status >= 400 && json_is_object(error))
                return client_error(error, err);
        if (status < 200 || status > 299)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon answered with HTTP status %ld",
                                status);
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
        CURLcode result;

        if (body != NULL) {
                text = json_dumps(body, JSON_COMPACT);
                if (text == NULL)
                        return err_fail(err, ERR_INVALID, 0,
                                        "an argument is not valid UTF-8, which the daemon needs");
        } else if (strcmp(method, "GET") != 0) {
                text = strdup("{}");
                if (text == NULL)
                        return err_oom(err);
        }
        if (prepare(client, method, path, text, err) < 0)
                return -1;
        result = perform(client);
        if (result != CURLE_OK)
                return transfer_error(client, result, err);
        return take_answer(client, ret_answer, err);
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
