/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_LEX_H
#define DBDUMP_MARIADB_LEX_H

/*
 * The words of a statement, as a session of ours reads them: UTF-8 or bytes, a backslash escapes in
 * strings, double quotes are strings.  What a dump has no use for and what hides something is bad:
 * comments of every kind, statements behind a semicolon, a NUL, quotes that do not end.
 */

#include <stdbool.h>
#include <stddef.h>

enum mariadb_lex_kind {
        MARIADB_LEX_END,
        MARIADB_LEX_WORD,   /* without quotes; and MARIADB_LEX_COMPRESSED */
        MARIADB_LEX_NAME,   /* in backticks */
        MARIADB_LEX_STRING, /* in single or double quotes */
        MARIADB_LEX_NUMBER,
        MARIADB_LEX_SYMBOL, /* one byte */
        MARIADB_LEX_BAD,
};

/* How a server shows that a column is compressed: the one comment that stands in a definition. */
#define MARIADB_LEX_COMPRESSED "/*M!100301 COMPRESSED*/"

struct mariadb_lex {
        const char *at, *end; /* what is left */
        bool plain_backslash; /* it escapes nothing: the session is in NO_BACKSLASH_ESCAPES */
        enum mariadb_lex_kind kind;
        const char *text; /* the word, with its quotes */
        size_t n;
};

/* mariadb_lex_begin(lex, text, n), mariadb_lex_next(lex): The first word, the next one.  Behind the
 * end and behind what is bad nothing else comes. */
void mariadb_lex_begin(struct mariadb_lex *lex, const char *text, size_t n);
void mariadb_lex_next(struct mariadb_lex *lex);

/* mariadb_lex_is(lex, word): The current word is ${word}, in whatever case: one without quotes, or
 * a symbol.  mariadb_lex_take(lex, word): The same, and the next one is current then. */
bool mariadb_lex_is(const struct mariadb_lex *lex, const char *word);
bool mariadb_lex_take(struct mariadb_lex *lex, const char *word);

/* mariadb_lex_name(lex, name, size): A name, as it is without its quotes, in backticks, or with
 * ${double_quotes} in those; then the next word is current. */
bool mariadb_lex_name(struct mariadb_lex *lex, bool double_quotes, char *name, size_t size);

/* mariadb_lex_string(lex, text, size): A string without escapes in it, as it is without quotes. */
bool mariadb_lex_string(struct mariadb_lex *lex, char *text, size_t size);

#endif
