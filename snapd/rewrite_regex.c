/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "snapd/rewrite_kind.h"

/*
 * A regular expression.  The pattern is the administrator's and the text a tenant's, who may have
 * written it to make the pattern backtrack for ever.  PCRE2's own limits begin anew at every
 * byte of the text, so a callout at every step of the match watches the time as well.
 */

#define MATCH_LIMIT 1000000
#define HEAP_KBYTES 8192
#define TIME_USEC   500000
#define PATTERN_FLAGS                                                                              \
        (PCRE2_MULTILINE | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |           \
         PCRE2_AUTO_CALLOUT)

static inline void codep(pcre2_code **code)
{
        pcre2_code_free(*code);
}

static inline void datap(pcre2_match_data **data)
{
        pcre2_match_data_free(*data);
}

static inline void contextp(pcre2_match_context **context)
{
        pcre2_match_context_free(*context);
}

/* NULL for whatever is no pattern with one group. */
static pcre2_code *compile(const char *pattern)
{
        PCRE2_SIZE where;
        uint32_t groups = 0;
        int code;
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PATTERN_FLAGS,
                                       &code, &where, NULL);

        if (re != NULL &&
            (pcre2_pattern_info(re, PCRE2_INFO_CAPTURECOUNT, &groups) != 0 || groups != 1)) {
                pcre2_code_free(re);
                return NULL;
        }
        return re;
}

static bool key_valid(const char *key)
{
        CLEANUP(codep) pcre2_code *re = compile(key);

        return re != NULL;
}

/* What a search may take of the processor; a busy machine does not count. */
struct budget {
        unsigned calls;
        int64_t until_usec;
};

static int64_t used_usec(void)
{
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (int64_t)now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

/* Called by the library at every item of the pattern it tries, between two of which it reads the
 * text once at the most. */
static int watch(pcre2_callout_block *block, void *arg)
{
        struct budget *budget = arg;

        (void)block;
        return ++budget->calls % 64 == 0 && used_usec() > budget->until_usec
                       ? PCRE2_ERROR_MATCHLIMIT
                       : 0;
}

/* One match from ${from} on: 1 and the group, 0 for none, -1. */
static int match(const struct rewrite_text *text, const pcre2_code *re,
                 pcre2_match_context *context, size_t from, size_t span[static 4], struct err *err)
{
        CLEANUP(datap) pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
        const PCRE2_SIZE *at;
        int rc;

        if (data == NULL)
                return err_oom(err);
        rc = pcre2_match(re, (PCRE2_SPTR)text->data, text->n, from, PCRE2_NOTEMPTY, data, context);
        if (rc == PCRE2_ERROR_NOMATCH)
                return 0;
        if (rc < 0)
                return rewrite_fail(err, text, from, ERR_INVALID,
                                    "the pattern takes too long on this text; it has to be more "
                                    "exact");
        at = pcre2_get_ovector_pointer(data);
        if (rc < 2 || at[2] == PCRE2_UNSET)
                return rewrite_fail(err, text, at[0], ERR_INVALID,
                                    "the pattern matches here without its group");
        memcpy(span, at, 4 * sizeof(span[0]));
        return 1;
}

/* A second match has to be looked for: the value is to be in one place. */
static int find_all(const struct rewrite_text *text, const pcre2_code *re,
                    pcre2_match_context *context, struct rewrite_found *ret, struct err *err)
{
        unsigned n_found = 0;
        size_t from = 0, span[4];
        int r;

        while ((r = match(text, re, context, from, span, err)) > 0) {
                if (rewrite_take(text, ret, &n_found, span[2], span[3] - span[2], err) < 0)
                        return -1;
                from = span[1] > from ? span[1] : from + 1;
                if (from > text->n)
                        break;
        }
        if (r < 0)
                return -1;
        if (n_found == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "%s: the pattern matches nowhere",
                                text->file);
        ret->value = strndup(text->data + ret->at, ret->n);
        return ret->value == NULL ? err_oom(err) : 0;
}

static int find(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                struct err *err)
{
        CLEANUP(codep) pcre2_code *re = compile(key);
        CLEANUP(contextp) pcre2_match_context *context = pcre2_match_context_create(NULL);
        struct budget budget = { 0, used_usec() + TIME_USEC };

        if (re == NULL)
                return err_fail(err, ERR_INVALID, 0, "no pattern with one group");
        if (context == NULL)
                return err_oom(err);
        (void)pcre2_set_match_limit(context, MATCH_LIMIT);
        (void)pcre2_set_heap_limit(context, HEAP_KBYTES);
        (void)pcre2_set_callout(context, watch, &budget);
        return find_all(text, re, context, ret, err);
}

/* What the value may hold is known to who wrote the pattern alone; that it is read back the same
 * is checked. */
static int put(const struct rewrite_found *found, const char *value, char *out, struct err *err)
{
        (void)found;
        (void)err;
        (void)snprintf(out, REWRITE_LITERAL_MAX, "%s", value);
        return 0;
}

const struct rewrite_kind rewrite_regex = {
        .name = "regex",
        .key_form = "it is a PCRE2 pattern with exactly one group",
        .key_valid = key_valid,
        .find = find,
        .put = put,
};
