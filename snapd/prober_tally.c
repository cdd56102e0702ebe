/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "snapd/prober_tally.h"

#define EXCERPT_MAX 400
#define URL_MAX     300

void tally_begin(struct sample *sample)
{
        json_decref(sample->examples);
        *sample = (struct sample){ .from_usec = clock_boot_usec() };
}

void tally_end(struct sample *sample)
{
        sample->to_usec = clock_boot_usec();
        sample->wall_usec = clock_wall_usec();
}

void tally_done(struct sample *sample)
{
        json_decref(sample->examples);
        sample->examples = NULL;
}

enum probe_verdict tally_verdict(const struct sample *sample)
{
        if (sample->bad > 0)
                return PROBE_BAD;
        return sample->unknown > 0 || sample->good == 0 ? PROBE_UNKNOWN : PROBE_GOOD;
}

/* How many bytes the UTF-8 character at ${data} has, 0 when there is none that can be shown. */
static size_t utf8_length(const unsigned char *data, size_t n)
{
        size_t want = data[0] < 0x80                      ? 1
                      : data[0] >= 0xc2 && data[0] < 0xe0 ? 2
                      : data[0] >= 0xe0 && data[0] < 0xf0 ? 3
                                                          : 0;

        if (want == 0 || want > n || data[0] < 0x20 || data[0] == 0x7f)
                return 0;
        for (size_t i = 1; i < want; i++)
                if ((data[i] & 0xc0) != 0x80)
                        return 0;
        /* Controls of the second half, surrogates and what is longer than it must be. */
        if ((want == 2 && data[0] == 0xc2 && data[1] < 0xa0) ||
            (want == 3 && data[0] == 0xe0 && data[1] < 0xa0) ||
            (want == 3 && data[0] == 0xed && data[1] >= 0xa0) ||
            (want == 3 && data[0] == 0xe2 && (data[1] == 0x80 || data[1] == 0x81)))
                return 0;
        return want;
}

void tally_clean(char *buf, size_t size, const char *data, size_t n)
{
        size_t used = 0;

        for (size_t i = 0; i < n && used + 4 < size;) {
                const unsigned char *at = (const unsigned char *)data + i;
                size_t length = utf8_length(at, n - i);

                if (strchr(" \t\r\n", *at) != NULL && *at != '\0') {
                        if (used > 0 && buf[used - 1] != ' ')
                                buf[used++] = ' ';
                        i++;
                } else if (length == 0) {
                        buf[used++] = '?';
                        i++;
                } else {
                        memcpy(buf + used, at, length);
                        used += length;
                        i += length;
                }
        }
        buf[used] = '\0';
}

static json_t *example_make(const struct tally_answer *answer)
{
        char what[TALLY_WHAT_MAX], url[URL_MAX], excerpt[EXCERPT_MAX];

        tally_clean(what, sizeof(what), answer->what, strlen(answer->what));
        tally_clean(url, sizeof(url), answer->url, answer->url == NULL ? 0 : strlen(answer->url));
        tally_clean(excerpt, sizeof(excerpt), answer->excerpt, answer->n_excerpt);
        return json_pack("{s:s, s:s, s:s*, s:I, s:s*}", "verdict",
                         probe_verdict_name(answer->verdict), "what", what, "url",
                         url[0] == '\0' ? NULL : url, "status", (json_int_t)answer->status,
                         "excerpt", excerpt[0] == '\0' ? NULL : excerpt);
}

static bool example_is_bad(const json_t *example)
{
        const char *verdict = json_get_string(example, "verdict");

        return verdict != NULL && strcmp(verdict, probe_verdict_name(PROBE_BAD)) == 0;
}

/* Bad ones stand first, in the order in which they came. */
static void example_add(struct sample *sample, const struct tally_answer *answer)
{
        size_t n, at = 0;

        if (sample->examples == NULL && (sample->examples = json_array()) == NULL)
                return;
        n = json_array_size(sample->examples);
        while (at < n && (answer->verdict != PROBE_BAD ||
                          example_is_bad(json_array_get(sample->examples, at))))
                at++;
        if (at == SAMPLE_EXAMPLES_MAX)
                return;
        if (n == SAMPLE_EXAMPLES_MAX)
                (void)json_array_remove(sample->examples, n - 1);
        (void)json_array_insert_new(sample->examples, at, example_make(answer));
}

void tally_add(struct sample *sample, const struct tally_answer *answer)
{
        uint32_t *counts[] = { &sample->good, &sample->bad, &sample->unknown };
        unsigned bucket = 0;

        ++*counts[answer->verdict];
        if (answer->verdict != PROBE_UNKNOWN && answer->usec >= 0) {
                uint64_t usec = (uint64_t)answer->usec, edge = 1000000;

                if (usec > 1000000000)
                        usec = 1000000000;
                /* ms >= 2^(i/2) is usec^2 >= 10^6 * 2^i */
                while (bucket < SAMPLE_BUCKETS - 1 && usec * usec >= edge << bucket)
                        bucket++;
                sample->latency[bucket]++;
        }
        if (answer->what[0] != '\0')
                example_add(sample, answer);
}
