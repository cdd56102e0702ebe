/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/prober_task.h"

/* An expression that takes longer on 64 KiB is one that never ends on some page. */
#define MATCH_LIMIT 1000000
#define DEPTH_LIMIT 10000
#define HEAP_KIB    4096

struct pattern {
        pcre2_code *code;
        pcre2_match_data *data;
        pcre2_match_context *context;
        char text[];
};

static void pattern_close(struct pattern *pattern)
{
        pcre2_code_free(pattern->code);
        pcre2_match_data_free(pattern->data);
        pcre2_match_context_free(pattern->context);
        free(pattern);
}

void patterns_close(struct pattern **patterns)
{
        for (size_t i = 0; patterns != NULL && patterns[i] != NULL; i++)
                pattern_close(patterns[i]);
        free(patterns);
}

DEFINE_CLEANUP(struct pattern **, patterns_close);

static struct pattern *pattern_open(const char *text)
{
        struct pattern *pattern = calloc(1, sizeof(*pattern) + strlen(text) + 1);
        PCRE2_SIZE at;
        int code;

        if (pattern == NULL)
                return NULL;
        memcpy(pattern->text, text, strlen(text));
        pattern->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_MULTILINE,
                                      &code, &at, NULL);
        pattern->context = pcre2_match_context_create(NULL);
        if (pattern->code != NULL)
                pattern->data = pcre2_match_data_create_from_pattern(pattern->code, NULL);
        if (pattern->data == NULL || pattern->context == NULL) {
                pattern_close(pattern);
                return NULL;
        }
        (void)pcre2_set_match_limit(pattern->context, MATCH_LIMIT);
        (void)pcre2_set_depth_limit(pattern->context, DEPTH_LIMIT);
        (void)pcre2_set_heap_limit(pattern->context, HEAP_KIB);
        return pattern;
}

int patterns_open(char *const *texts, struct pattern ***ret_patterns, struct err *err)
{
        CLEANUP(patterns_closep) struct pattern **patterns = NULL;
        size_t n = 0;

        while (texts != NULL && texts[n] != NULL)
                n++;
        patterns = calloc(n + 1, sizeof(struct pattern *));
        if (patterns == NULL)
                return err_oom(err);
        for (size_t i = 0; i < n; i++)
                if ((patterns[i] = pattern_open(texts[i])) == NULL)
                        return err_fail(err, ERR_INVALID, 0, "'%.100s' is no expression", texts[i]);
        *ret_patterns = STEAL(patterns);
        return 0;
}

/* What applications show while they, or whoever worked on them, have closed them.  Words of a page
 * count with the status that goes with them, so that a page about maintenance is none. */
static const struct {
        unsigned status; /* 0: any */
        const char *text, *what;
} markers[] = {
        { 503, "Briefly unavailable for scheduled maintenance",
          "WordPress's maintenance mode is on: the file .maintenance was left behind" },
        { 503, "Site under maintenance", "Drupal's maintenance mode is on" },
        { 503, "is currently under maintenance. We should be back shortly",
          "Drupal's maintenance mode is on" },
        { 0, "undergoing maintenance and is currently not available",
          "Moodle's maintenance mode is on" },
        { 503, "currently in maintenance mode", "Nextcloud's maintenance mode is on" },
        { 200, "\"maintenance\":true", "Nextcloud's maintenance mode is on" },
        { 503, "This wiki is currently locked", "MediaWiki is locked" },
        { 503, "ll be right back", "Ghost's maintenance mode is on" }, /* its apostrophe is bent */
};

static const char *marker_of(const struct fetch_answer *answer)
{
        if (answer->maintenance != NULL && strcmp(answer->maintenance, "1") == 0)
                return "Nextcloud's maintenance mode is on";
        for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++)
                if ((markers[i].status == 0 || markers[i].status == answer->status) &&
                    memmem(answer->body, answer->n_body, markers[i].text,
                           strlen(markers[i].text)) != NULL)
                        return markers[i].what;
        return NULL;
}

PRINTF(3, 4)
static void say(struct tally_answer *ret, enum probe_verdict verdict, const char *fmt, ...)
{
        va_list ap;

        ret->verdict = verdict;
        va_start(ap, fmt);
        (void)vsnprintf(ret->what, sizeof(ret->what), fmt, ap);
        va_end(ap);
}

static bool status_judge(const struct site_probe *probe, const struct fetch_answer *answer,
                         struct tally_answer *ret)
{
        unsigned status = answer->status;

        if (probe->status != NULL) {
                if (!probe_status_in(probe->status, status))
                        say(ret, PROBE_BAD, "status %u instead of %s", status, probe->status);
                return probe_status_in(probe->status, status);
        }
        if (status >= 500)
                say(ret, PROBE_BAD, "status %u", status);
        else if (status >= 400)
                say(ret, PROBE_UNKNOWN, "status %u may be the fault of who asks", status);
        return status < 400;
}

/* 1: it matches; 0: it does not; -1: it takes too long. */
static int pattern_match(const struct pattern *pattern, const struct fetch_answer *answer)
{
        int r = pcre2_match(pattern->code, (PCRE2_SPTR)answer->body, answer->n_body, 0, 0,
                            pattern->data, pattern->context);

        return r >= 0 ? 1 : r == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static bool texts_judge(const struct site_probe *probe, const struct fetch_answer *answer,
                        struct tally_answer *ret)
{
        for (char **text = probe->expect; text != NULL && *text != NULL; text++)
                if (memmem(answer->body, answer->n_body, *text, strlen(*text)) == NULL) {
                        say(ret, PROBE_BAD, "'%.100s' is not in the page", *text);
                        return false;
                }
        for (char **text = probe->reject; text != NULL && *text != NULL; text++)
                if (memmem(answer->body, answer->n_body, *text, strlen(*text)) != NULL) {
                        say(ret, PROBE_BAD, "'%.100s' is in the page", *text);
                        return false;
                }
        return true;
}

static bool patterns_judge(struct pattern *const *patterns, bool wanted,
                           const struct fetch_answer *answer, struct tally_answer *ret)
{
        for (; patterns != NULL && *patterns != NULL; patterns++) {
                int matches = pattern_match(*patterns, answer);

                if (matches == (wanted ? 1 : 0))
                        continue;
                if (matches < 0)
                        say(ret, PROBE_UNKNOWN, "'%.100s' takes too long on this page",
                            (*patterns)->text);
                else
                        say(ret, PROBE_BAD,
                            wanted ? "'%.100s' does not match the page"
                                   : "'%.100s' matches the page",
                            (*patterns)->text);
                return false;
        }
        return true;
}

static bool content_judge(const struct site_probe *probe, const struct judge_patterns *patterns,
                          const struct fetch_answer *answer, struct tally_answer *ret)
{
        return texts_judge(probe, answer, ret) &&
               patterns_judge(patterns->expect, true, answer, ret) &&
               patterns_judge(patterns->reject, false, answer, ret);
}

void judge_page(const struct site_probe *probe, const struct judge_patterns *patterns,
                const struct fetch_answer *answer, bool held, struct tally_answer *ret)
{
        const char *marker = marker_of(answer);

        *ret = (struct tally_answer){ .usec = answer->usec,
                                      .status = answer->status,
                                      .excerpt = answer->body,
                                      .n_excerpt = answer->n_body };
        if (held && answer->status == 503 && answer->retry_after)
                say(ret, PROBE_UNKNOWN, "closed while we work on it");
        else if (answer->cached != NULL)
                say(ret, PROBE_UNKNOWN, "out of a cache, says its header %s", answer->cached);
        else if (marker != NULL)
                say(ret, PROBE_BAD, "%s", marker);
        else if (status_judge(probe, answer, ret) && content_judge(probe, patterns, answer, ret) &&
                 probe->slow_msec != 0 && answer->usec > (int64_t)probe->slow_msec * 1000)
                say(ret, PROBE_BAD, "%lld ms, more than %u", (long long)(answer->usec / 1000),
                    probe->slow_msec);
        if (ret->what[0] == '\0')
                ret->verdict = PROBE_GOOD;
}
