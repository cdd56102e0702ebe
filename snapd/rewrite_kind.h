/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REWRITE_KIND_H
#define SNAPD_REWRITE_KIND_H

/*
 * What a kind of configuration file is to rewrite.c: how a setting is found in it and how a value
 * is written.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"

struct rewrite_text {
        const char *file; /* for messages */
        const char *data; /* no NUL in it, one behind it */
        size_t n;
};

/* A place: the bytes that are replaced, and what they mean. */
struct rewrite_found {
        size_t at, n;
        char *value; /* NULL when it is no plain value */
        bool number; /* written without quotes, where that is a difference */
        bool quoted;
};

struct rewrite_kind {
        const char *name;
        const char *key_form; /* for people */

        /* Is the key well-formed? */
        bool (*key_valid)(const char *key);

        /* Find the one place.  ERR_NOT_FOUND, ERR_INVALID as rewrite.h says. */
        int (*find)(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                    struct err *err);

        /* Write ${value} as it stands in such a file at ${found} into ${out}, which has room for
         * REWRITE_LITERAL_MAX bytes.  ERR_INVALID: it cannot be written there. */
        int (*put)(const struct rewrite_found *found, const char *value, char *out,
                   struct err *err);

        /* Has nothing but this setting changed?  NULL: the comparison of the bytes around it,
         * which rewrite.c makes for all, is enough. */
        int (*compare)(const struct rewrite_text *before, const struct rewrite_text *after,
                       const char *key, const char *value, struct err *err);
};

#define REWRITE_LITERAL_MAX (4 * 4096 + 64)

extern const struct rewrite_kind rewrite_php_define, rewrite_php_assign, rewrite_ini, rewrite_env,
        rewrite_json, rewrite_regex;

static inline void rewrite_found_done(struct rewrite_found *found)
{
        free(found->value);
        found->value = NULL;
}

/* rewrite_fail(text, at, code, fmt, ...): err_fail() with "FILE:LINE: " before it. */
int rewrite_fail(struct err *err, const struct rewrite_text *text, size_t at, enum err_code code,
                 const char *fmt, ...) PRINTF(5, 6);

/* rewrite_line(text, at): The number of the line that holds the byte ${at}. */
unsigned rewrite_line(const struct rewrite_text *text, size_t at);

/* rewrite_take(text, found, n_found, at, n, err): Note a place; the second one fails and names
 * both lines.  ${n_found} counts them. */
int rewrite_take(const struct rewrite_text *text, struct rewrite_found *found, unsigned *n_found,
                 size_t at, size_t n, struct err *err) MUST_CHECK;

/* rewrite_plain(value): Is it of letters, digits and _ . / : @ % + , - alone, so that no format
 * sees anything else in it? */
bool rewrite_plain(const char *value);

/* rewrite_number(value): Is it a decimal integer as every language writes it? */
bool rewrite_number(const char *value);

/* rewrite_escape(value, special, quote, out): ${value} in quotes, with a backslash before every
 * byte of ${special}. */
void rewrite_escape(const char *value, const char *special, char quote, char *out);

#endif
