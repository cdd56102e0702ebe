/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/deliver_net.h"

#define JOB_MAX       (8 << 20)
#define CONNECT_MSEC  10000L
#define TRANSFER_MSEC 30000L
#define ANSWER_MAX    65536L

DEFINE_CLEANUP(CURL *, curl_easy_cleanup);

static const struct deliver_kind *const kinds[] = { &deliver_mail, &deliver_webhook, NULL };

/* What a server answers with is of no use to anybody: only its status is told. */
static size_t drop(char *data, size_t size, size_t n, void *arg)
{
        size_t *left = arg;

        (void)data;
        if (size * n > *left)
                return 0;
        *left -= size * n;
        return size * n;
}

/* libcurl's codes that are about one message and not about the server. */
static bool is_of_message(CURLcode code)
{
        return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_WRITE_ERROR ||
               code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_GOT_NOTHING;
}

int deliver_perform(CURL *curl, struct err *err)
{
        char what[CURL_ERROR_SIZE] = "";
        size_t left = ANSWER_MAX;
        CURLcode code;

        (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, what);
        (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
        (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &left);
        code = curl_easy_perform(curl);
        (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
        if (code == CURLE_OK)
                return 0;
        return err_fail(err,
                        code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT
                        : is_of_message(code)            ? ERR_IO
                                                         : ERR_DENIED,
                        0, "%s%s%s", curl_easy_strerror(code), what[0] == '\0' ? "" : ": ", what);
}

static int settings(CURL *curl, const json_t *job, int64_t left_msec, struct err *err)
{
        const char *ca = json_get_string(job, "ca");
        struct curl_blob blob = { .data = (void *)ca, .flags = CURL_BLOB_COPY };

        curl_easy_reset(curl);
        (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MSEC);
        (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                               left_msec < TRANSFER_MSEC ? (long)left_msec : TRANSFER_MSEC);
        if (ca == NULL)
                return 0;
        blob.len = strlen(ca);
        if (curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob) != CURLE_OK)
                return err_fail(err, ERR_UNSUPPORTED, 0, "this libcurl cannot take certificates");
        return 0;
}

static int answer(int fd, size_t index, const struct err *why, struct err *err)
{
        struct deliver_answer record = { .index = (uint32_t)index, .failed = why->code != 0 };

        (void)snprintf(record.why, sizeof(record.why), "%.*s", (int)sizeof(record.why) - 1,
                       why->code == 0 ? "" : why->msg);
        return file_write_all(fd, &record, sizeof(record), err);
}

static int send_all(const struct deliver_kind *kind, CURL *curl, const json_t *job, int out_fd,
                    struct err *err)
{
        int64_t until = clock_boot_usec() + (int64_t)json_get_u64(job, "limit_msec") * 1000;
        struct err why = { 0 };
        json_t *message;
        size_t i;

        json_array_foreach (json_object_get(job, "messages"), i, message) {
                int64_t left = (until - clock_boot_usec()) / 1000;

                /* A server that does not answer is not asked about each message. */
                if (why.code == 0 || why.code == ERR_IO) {
                        why.code = 0;
                        if (left < 1000)
                                return 0; /* the rest stays due */
                        if (settings(curl, job, left, err) < 0)
                                return -1;
                        (void)!kind->send(curl, job, message, &why);
                }
                if (answer(out_fd, i, &why, err) < 0)
                        return -1;
        }
        return 0;
}

int deliver_run(int in_fd, int out_fd, const void *arg, struct err *err)
{
        CLEANUP(json_decrefp) json_t *job = NULL;
        CLEANUP(freep) char *text = NULL;
        CLEANUP(curl_easy_cleanupp) CURL *curl = NULL;
        const char *name;
        size_t n;

        (void)arg;
        if (file_read_fd(in_fd, JOB_MAX, &text, &n, err) < 0 || json_parse(text, n, &job, err) < 0)
                return -1;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (curl = curl_easy_init()) == NULL)
                return err_oom(err);
        name = json_get_string(job, "kind");
        for (size_t i = 0; kinds[i] != NULL; i++)
                if (name != NULL && strcmp(kinds[i]->name, name) == 0)
                        return send_all(kinds[i], curl, job, out_fd, err);
        return err_fail(err, ERR_INVALID, 0, "a job without a known kind");
}
