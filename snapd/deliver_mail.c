/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/deliver_net.h"
#include "snapd/notice.h"

#define PREFIX       "[sitesnap] "
#define SUBJECT_MAX  200
#define ENCODED_STEP 42 /* bytes of text in one encoded word, which has at most 75 (RFC 2047) */

static void curl_slistp(struct curl_slist **list)
{
        curl_slist_free_all(*list);
}

static void curl_mimep(curl_mime **mime)
{
        curl_mime_free(*mime);
}

static const json_t *notice_of(const json_t *message, size_t i)
{
        return json_array_get(json_object_get(message, "notices"), i);
}

static size_t notices_in(const json_t *message)
{
        return json_array_size(json_object_get(message, "notices"));
}

static bool is_ascii(const char *text)
{
        for (; *text != '\0'; text++)
                if ((unsigned char)*text >= 0x80)
                        return false;
        return true;
}

/* Encoded words, each of whole characters, a line each. */
static void encode(FILE *out, const char *text)
{
        unsigned char word[ENCODED_STEP * 2];
        size_t n;

        for (size_t i = 0; *text != '\0'; text += n, i++) {
                n = strlen(text) < ENCODED_STEP ? strlen(text) : ENCODED_STEP;
                while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
                        n--;
                (void)EVP_EncodeBlock(word, (const unsigned char *)text, (int)n);
                (void)fprintf(out, "%s=?UTF-8?B?%s?=", i == 0 ? "" : "\r\n ", (const char *)word);
        }
}

int deliver_mail_subject(const json_t *message, char **ret_subject, struct err *err)
{
        const char *subject = json_get_string(notice_of(message, 0), "subject");
        CLEANUP(freep) char *plain = NULL;
        CLEANUP(freep) char *clean = NULL;
        CLEANUP(freep) char *encoded = NULL;
        CLEANUP(fclosep) FILE *out = NULL;
        size_t n = notices_in(message);
        int r;

        r = n == 1 ? asprintf(&plain, PREFIX "%s", subject == NULL ? "a notice" : subject)
                   : asprintf(&plain, PREFIX "%zu notices", n);
        if (r < 0) {
                plain = NULL;
                return err_oom(err);
        }
        /* It was cleaned when it was put; a header is worth doing so again. */
        if (notice_clean(plain, SUBJECT_MAX, &clean, err) < 0)
                return -1;
        if (is_ascii(clean)) {
                *ret_subject = STEAL(clean);
                return 0;
        }
        out = open_memstream(&encoded, &n);
        if (out == NULL)
                return err_oom(err);
        encode(out, clean);
        if (fclose(STEAL(out)) != 0)
                return err_oom(err);
        *ret_subject = STEAL(encoded);
        return 0;
}

int deliver_mail_text(const json_t *message, char **ret_text, struct err *err)
{
        CLEANUP(freep) char *all = NULL;
        CLEANUP(fclosep) FILE *out = NULL;
        size_t n;

        if (notices_in(message) == 1)
                return notice_text(notice_of(message, 0), ret_text, err);
        out = open_memstream(&all, &n);
        if (out == NULL)
                return err_oom(err);
        for (size_t i = 0; i < notices_in(message); i++)
                (void)fprintf(out, "%2zu. %s\n", i + 1,
                              json_get_string(notice_of(message, i), "subject"));
        for (size_t i = 0; i < notices_in(message); i++) {
                CLEANUP(freep) char *text = NULL;

                if (notice_text(notice_of(message, i), &text, err) < 0)
                        return -1;
                (void)fprintf(out, "\n--- %zu ---\n\n%s", i + 1, text);
        }
        if (fclose(STEAL(out)) != 0)
                return err_oom(err);
        *ret_text = STEAL(all);
        return 0;
}

PRINTF(3, 4)
static int header_add(struct curl_slist **list, struct err *err, const char *fmt, ...)
{
        CLEANUP(freep) char *line = NULL;
        struct curl_slist *more;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&line, fmt, ap);
        va_end(ap);
        if (r < 0) {
                line = NULL;
                return err_oom(err);
        }
        more = curl_slist_append(*list, line);
        if (more == NULL)
                return err_oom(err);
        *list = more;
        return 0;
}

/* The date of RFC 5322; the process has the C locale, so the names are English. */
static int date_add(struct curl_slist **list, struct err *err)
{
        time_t now = (time_t)(clock_wall_usec() / USEC_PER_SEC);
        char date[64];
        struct tm tm;

        if (gmtime_r(&now, &tm) == NULL ||
            strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm) == 0)
                return 0; /* the server adds one */
        return header_add(list, err, "Date: %s", date);
}

/* An address a line: they may be many. */
static int to_add(struct curl_slist **list, const json_t *to, struct err *err)
{
        CLEANUP(freep) char *all = NULL;
        CLEANUP(fclosep) FILE *out = NULL;
        json_t *one;
        size_t i, n;

        out = open_memstream(&all, &n);
        if (out == NULL)
                return err_oom(err);
        json_array_foreach ((json_t *)to, i, one)
                (void)fprintf(out, "%s%s", i == 0 ? "" : ",\r\n ", json_string_value(one));
        if (fclose(STEAL(out)) != 0)
                return err_oom(err);
        return header_add(list, err, "To: %s", all);
}

static int headers_make(const json_t *job, const json_t *message, struct curl_slist **list,
                        struct err *err)
{
        CLEANUP(freep) char *subject = NULL;
        const char *site = json_get_string(notice_of(message, 0), "site");

        if (deliver_mail_subject(message, &subject, err) < 0 || date_add(list, err) < 0 ||
            header_add(list, err, "From: sitesnap <%s>", json_get_string(job, "from")) < 0 ||
            to_add(list, json_object_get(job, "to"), err) < 0 ||
            header_add(list, err, "Subject: %s", subject) < 0 ||
            header_add(list, err, "Message-ID: <%s@%s>", json_get_string(message, "id"),
                       json_get_string(message, "host")) < 0 ||
            header_add(list, err, "Auto-Submitted: auto-generated") < 0 ||
            header_add(list, err, "X-Sitesnap-Id: %s", json_get_string(message, "id")) < 0)
                return -1;
        return site == NULL || notices_in(message) != 1
                       ? 0
                       : header_add(list, err, "X-Sitesnap-Site: %s", site);
}

static int recipients_make(const json_t *job, struct curl_slist **list, struct err *err)
{
        json_t *one;
        size_t i;

        json_array_foreach (json_object_get(job, "to"), i, one)
                if (header_add(list, err, "<%s>", json_string_value(one)) < 0)
                        return -1;
        return 0;
}

static const struct {
        const char *name;
        long use;
} tls[] = { { "required", CURLUSESSL_ALL }, { "try", CURLUSESSL_TRY }, { "no", CURLUSESSL_NONE } };

static int server_set(CURL *curl, const json_t *job, struct err *err)
{
        const char *starttls = json_get_string(job, "starttls"),
                   *user = json_get_string(job, "user");
        CLEANUP(freep) char *from = NULL;
        long use = CURLUSESSL_ALL;

        for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++)
                if (starttls != NULL && strcmp(tls[i].name, starttls) == 0)
                        use = tls[i].use;
        if (asprintf(&from, "<%s>", json_get_string(job, "from")) < 0) {
                from = NULL;
                return err_oom(err);
        }
        (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
        (void)curl_easy_setopt(curl, CURLOPT_USE_SSL, use);
        if (curl_easy_setopt(curl, CURLOPT_URL, json_get_string(job, "server")) != CURLE_OK ||
            curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from) != CURLE_OK)
                return err_oom(err);
        if (user != NULL &&
            (curl_easy_setopt(curl, CURLOPT_USERNAME, user) != CURLE_OK ||
             curl_easy_setopt(curl, CURLOPT_PASSWORD, json_get_string(job, "secret")) != CURLE_OK))
                return err_oom(err);
        return 0;
}

static int mail_send(CURL *curl, const json_t *job, const json_t *message, struct err *err)
{
        CLEANUP(curl_slistp) struct curl_slist *headers = NULL;
        CLEANUP(curl_slistp) struct curl_slist *recipients = NULL;
        CLEANUP(curl_mimep) curl_mime *mime = NULL;
        CLEANUP(freep) char *text = NULL;
        curl_mimepart *part;

        if (deliver_mail_text(message, &text, err) < 0 ||
            headers_make(job, message, &headers, err) < 0 ||
            recipients_make(job, &recipients, err) < 0 || server_set(curl, job, err) < 0)
                return -1;
        mime = curl_mime_init(curl);
        part = mime == NULL ? NULL : curl_mime_addpart(mime);
        if (part == NULL || curl_mime_data(part, text, CURL_ZERO_TERMINATED) != CURLE_OK ||
            curl_mime_type(part, "text/plain; charset=utf-8") != CURLE_OK ||
            curl_mime_encoder(part, "quoted-printable") != CURLE_OK ||
            curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
            curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients) != CURLE_OK ||
            curl_easy_setopt(curl, CURLOPT_MIMEPOST, mime) != CURLE_OK)
                return err_oom(err);
        return deliver_perform(curl, err);
}

const struct deliver_kind deliver_mail = { .name = "mail", .send = mail_send };
