/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/deliver_net.h"

static void curl_slistp(struct curl_slist **list)
{
        curl_slist_free_all(*list);
}

int deliver_signature(const char *secret, int64_t seconds, const char *body,
                      char buf[static DELIVER_SIGNATURE_MAX], struct err *err)
{
        unsigned char mac[EVP_MAX_MD_SIZE];
        CLEANUP(freep) char *text = NULL;
        unsigned n = 0;
        size_t used;

        /* The time is signed too: an old message that somebody recorded is not taken for a new one.
         */
        if (asprintf(&text, "%" PRId64 ".%s", seconds, body) < 0) {
                text = NULL;
                return err_oom(err);
        }
        if (HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text,
                 strlen(text), mac, &n) == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "cannot sign with HMAC-SHA256");
        used = (size_t)snprintf(buf, DELIVER_SIGNATURE_MAX, "t=%" PRId64 ",v1=", seconds);
        for (unsigned i = 0; i < n && used < DELIVER_SIGNATURE_MAX; i++)
                used += (size_t)snprintf(buf + used, DELIVER_SIGNATURE_MAX - used, "%02x", mac[i]);
        return 0;
}

static int header_add(struct curl_slist **list, const char *name, const char *value,
                      struct err *err)
{
        CLEANUP(freep) char *line = NULL;
        struct curl_slist *more;

        if (asprintf(&line, "%s: %s", name, value) < 0) {
                line = NULL;
                return err_oom(err);
        }
        more = curl_slist_append(*list, line);
        if (more == NULL)
                return err_oom(err);
        *list = more;
        return 0;
}

static int headers_make(const json_t *job, const json_t *message, const char *body,
                        struct curl_slist **list, struct err *err)
{
        const char *secret = json_get_string(job, "secret");
        char signature[DELIVER_SIGNATURE_MAX];

        if (header_add(list, "Content-Type", "application/json", err) < 0 ||
            header_add(list, "Expect", "", err) < 0 ||
            header_add(list, "Sitesnap-Id", json_get_string(message, "id"), err) < 0)
                return -1;
        if (secret == NULL)
                return 0;
        if (deliver_signature(secret, clock_wall_usec() / USEC_PER_SEC, body, signature, err) < 0)
                return -1;
        return header_add(list, "Sitesnap-Signature", signature, err);
}

static int webhook_send(CURL *curl, const json_t *job, const json_t *message, struct err *err)
{
        CLEANUP(freep) char *body = json_dumps(message, JSON_COMPACT);
        CLEANUP(curl_slistp) struct curl_slist *headers = NULL;
        long status = 0;

        if (body == NULL)
                return err_oom(err);
        if (headers_make(job, message, body, &headers, err) < 0)
                return -1;
        (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "sitesnap/" SITESNAP_VERSION);
        (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        if (curl_easy_setopt(curl, CURLOPT_URL, json_get_string(job, "url")) != CURLE_OK ||
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body) != CURLE_OK)
                return err_oom(err);
        if (deliver_perform(curl, err) < 0)
                return -1;
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && status <= 299)
                return 0;
        return err_fail(err, ERR_IO, 0, "the receiver answered with status %ld%s", status,
                        status >= 300 && status <= 399 ? "; redirects are not followed" : "");
}

const struct deliver_kind deliver_webhook = { .name = "webhook", .send = webhook_send };
