/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/json.h"
#include "snapd/deliver_net.h"
#include "snapd/notice.h"
#include "tests/lib/test.h"

static struct err err;

static json_t *message_of(const char *const *subjects)
{
        json_t *message = json_pack("{s:s, s:[]}", "id", "sitesnap-1-1", "notices");

        for (; *subjects != NULL; subjects++)
                (void)json_array_append_new(
                        json_object_get(message, "notices"),
                        json_pack("{s:s, s:s}", "subject", *subjects, "what", "It happened."));
        return message;
}

static const char *subject_of(const char *subject)
{
        static char *text;
        json_t *message = message_of((const char *const[]){ subject, NULL });

        free(text);
        ASSERT_OK(deliver_mail_subject(message, &text, &err));
        json_decref(message);
        return text;
}

TEST(a_subject_is_a_header_and_nothing_more)
{
        ASSERT_STR(subject_of("wiki: upgrade failed"), "[sitesnap] wiki: upgrade failed");
        ASSERT_STR(subject_of("a\r\nBcc: x@example.org\r\n\r\nbody"),
                   "[sitesnap] a  Bcc: x@example.org    body");
}

/* RFC 2047: words of at most 75 characters, each of whole characters, on lines of their own. */
TEST(a_subject_that_is_not_ascii_is_encoded_in_words)
{
        char longer[300] = "";
        const char *subject;
        size_t n = 0;

        ASSERT_STR(subject_of("\xC3\xA4"), "=?UTF-8?B?W3NpdGVzbmFwXSDDpA==?=");
        while (n < 240)
                n += (size_t)snprintf(longer + n, sizeof(longer) - n, "\xE2\x82\xAC");
        subject = subject_of(longer);
        for (size_t words = 0; *subject != '\0'; words++) {
                size_t length = strcspn(subject, "\r");

                ASSERT(length <= 76 && strncmp(subject + (words > 0), "=?UTF-8?B?", 10) == 0);
                ASSERT(strncmp(subject + length - 2, "?=", 2) == 0);
                subject += length;
                ASSERT(*subject == '\0' || strncmp(subject, "\r\n ", 3) == 0);
                subject += *subject == '\0' ? 0 : 2;
        }
}

TEST(a_digest_counts_and_lists_its_notices)
{
        static const char *const subjects[] = { "one", "two", NULL };
        CLEANUP(json_decrefp) json_t *message = message_of(subjects);
        CLEANUP(freep) char *subject = NULL;
        CLEANUP(freep) char *text = NULL;

        ASSERT_OK(deliver_mail_subject(message, &subject, &err));
        ASSERT_STR(subject, "[sitesnap] 2 notices");
        ASSERT_OK(deliver_mail_text(message, &text, &err));
        ASSERT(strncmp(text, " 1. one\n 2. two\n\n--- 1 ---\n\nIt happened.\n", 40) == 0);
        ASSERT(strstr(text, "--- 2 ---\n\nIt happened.\n") != NULL);
}

/* The value was computed by another implementation: openssl dgst -sha256 -hmac Jefe. */
TEST(a_signature_is_hmac_sha256_of_time_and_body)
{
        char buf[DELIVER_SIGNATURE_MAX];

        ASSERT_OK(deliver_signature("Jefe", 1700000000, "{\"id\":1}", buf, &err));
        ASSERT_STR(
                buf,
                "t=1700000000,v1=05b728475104591e6ba9301ccd86c0f18c79ea7330ef9b9869435607a745d2bf");
}
