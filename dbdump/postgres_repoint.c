/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbdump/identifier.h"
#include "dbdump/postgres_repoint.h"

static void code_freep(pcre2_code **code)
{
        pcre2_code_free(*code); /* NULL is fine */
}

/* A bare name is folded to lower case by the server; only such a one can be written without its
 * quotes. */
static int compile(int written, const char *pattern, pcre2_code **ret_code, struct err *err)
{
        PCRE2_SIZE at;
        int number;

        if (written < 0)
                return err_oom(err);
        *ret_code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_CASELESS,
                                  &number, &at, NULL);
        return *ret_code == NULL ? err_fail(err, ERR_INVALID, 0,
                                            "the expression '%.100s': error %d", pattern, number)
                                 : 0;
}

/* The expression is written as by printf(). */
#define COMPILE(code, err, ...)                                                                    \
        __extension__({                                                                            \
                char *pattern_ = NULL;                                                             \
                int n_ = asprintf(&pattern_, __VA_ARGS__);                                         \
                int r_ = compile(n_, pattern_, code, err);                                         \
                if (n_ >= 0)                                                                       \
                        free(pattern_);                                                            \
                r_;                                                                                \
        })

static int replace(const pcre2_code *code, const char *text, const char *with, char **ret_text,
                   struct err *err)
{
        PCRE2_SIZE n = strlen(text) * 2 + strlen(with) * 64 + 1024;
        CLEANUP(freep) char *out = NULL;
        int r;

        for (int tries = 0; tries < 2; tries++) {
                PCRE2_SIZE size = n;
                char *more = realloc(out, size);

                if (more == NULL)
                        return err_oom(err);
                out = more;
                r = pcre2_substitute(code, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0,
                                     PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH,
                                     NULL, NULL, (PCRE2_SPTR)with, PCRE2_ZERO_TERMINATED,
                                     (PCRE2_UCHAR *)out, &size);
                if (r != PCRE2_ERROR_NOMEMORY)
                        break;
                n = size;
        }
        if (r < 0)
                return err_fail(err, ERR_IO, 0, "cannot replace a name in a text: %d", r);
        *ret_text = STEAL(out);
        return 0;
}

static bool found(const pcre2_code *code, const char *text)
{
        pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
        int r = match == NULL ? PCRE2_ERROR_NOMEMORY
                              : pcre2_match(code, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, 0,
                                            match, NULL);

        pcre2_match_data_free(match);
        return r != PCRE2_ERROR_NOMATCH; /* when in doubt it is there */
}

/* In a word boundary of SQL: letters of other scripts and $ belong to names. */
#define BEFORE "(?<![\\w$\\x80-\\xff.])"
#define AFTER  "(?![\\w$\\x80-\\xff])"

int postgres_repoint(const char *text, const char *from, const char *to, const char *what,
                     char **ret_text, struct err *err)
{
        CLEANUP(code_freep) pcre2_code *qualified = NULL;
        CLEANUP(code_freep) pcre2_code *path = NULL;
        CLEANUP(code_freep) pcre2_code *left = NULL;
        CLEANUP(freep) char *once = NULL;
        CLEANUP(freep) char *twice = NULL;
        char quoted[132], with[280];

        /* \Q...\E takes anything but itself, which no sane name has. */
        if (strstr(from, "\\E") != NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the schema's name '%s' has a '\\E'",
                                from);
        /* A copy's name needs no quotes; without them a body reads as it did. */
        if (to[strspn(to, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0')
                (void)snprintf(quoted, sizeof(quoted), "%s", to);
        else if (identifier_quote(&identifier_postgres, to, quoted, sizeof(quoted), err) < 0)
                return -1;
        if (COMPILE(&qualified, err,
                    BEFORE "(?:\"(?-i:\\Q%1$s\\E)\"|(?<!\")\\Q%1$s\\E)(?=\\s*\\.\\s*[\\w\"%%])",
                    from) < 0 ||
            COMPILE(&path, err, "(?m)(^ SET search_path TO .*?)(?:'\\Q%1$s\\E'|\"\\Q%1$s\\E\")",
                    from) < 0 ||
            COMPILE(&left, err, BEFORE "\\Q%s\\E" AFTER, from) < 0)
                return -1;
        if (replace(qualified, text, quoted, &once, err) < 0)
                return -1;
        (void)snprintf(with, sizeof(with), "$1'%s'", to);
        if (replace(path, once, with, &twice, err) < 0)
                return -1;
        if (found(left, twice))
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "%s says the name of the schema '%s' in a way that cannot be made "
                                "to mean the copy; qualify names as '%s.NAME', or leave it out",
                                what, from, from);
        *ret_text = STEAL(twice);
        return 0;
}
