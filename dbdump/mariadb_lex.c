/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "dbdump/mariadb_lex.h"

static bool in_word(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80) != 0;
}

/* Where the quoted thing that begins at ${at} ends, or NULL. */
static const char *skip_quoted(const char *at, const char *end, bool plain_backslash)
{
        char quote = *at++;

        while (at < end) {
                if (*at == '\\' && quote != '`' && !plain_backslash)
                        at++;
                else if (*at == quote && at + 1 < end && at[1] == quote)
                        at++;
                else if (*at == quote)
                        return at + 1;
                at++;
        }
        return NULL;
}

static const char *skip_digits(const char *at, const char *end, int (*is_digit)(int c))
{
        while (at < end && is_digit((unsigned char)*at))
                at++;
        return at;
}

/* Digits, a point, an exponent with its sign; hexadecimal too.  A name may begin with digits, and
 * none is taken for a number: NULL. */
static const char *skip_number(const char *at, const char *end)
{
        if (end - at > 2 && at[0] == '0' && ((at[1] | 0x20) == 'x' || (at[1] | 0x20) == 'b')) {
                at = skip_digits(at + 2, end, isxdigit);
        } else {
                at = skip_digits(at, end, isdigit);
                if (at < end && *at == '.')
                        at = skip_digits(at + 1, end, isdigit);
                if (at < end && (*at == 'e' || *at == 'E')) {
                        at++;
                        if (at < end && (*at == '+' || *at == '-'))
                                at++;
                        at = skip_digits(at, end, isdigit);
                }
        }
        return at < end && (in_word(*at) || *at == '.') ? NULL : at;
}

static bool is_compressed(const char *at, const char *end)
{
        const size_t n = strlen(MARIADB_LEX_COMPRESSED);

        return (size_t)(end - at) >= n && memcmp(at, MARIADB_LEX_COMPRESSED, n) == 0;
}

static enum mariadb_lex_kind kind_at(const char *at, const char *end)
{
        char c = *at, next = at + 1 < end ? at[1] : '\0';

        if (c == '`')
                return MARIADB_LEX_NAME;
        if (c == '\'' || c == '"')
                return MARIADB_LEX_STRING;
        if (isdigit((unsigned char)c))
                return MARIADB_LEX_NUMBER;
        if (in_word(c) || is_compressed(at, end))
                return MARIADB_LEX_WORD;
        /* Two minus signs begin a comment only where a blank follows. */
        if (c == '\0' || c == '#' || c == ';' || c == '\\' || (c == '/' && next == '*') ||
            (c == '*' && next == '/') ||
            (c == '-' && next == '-' && (end - at < 3 || (unsigned char)at[2] <= ' ')))
                return MARIADB_LEX_BAD;
        return MARIADB_LEX_SYMBOL;
}

void mariadb_lex_begin(struct mariadb_lex *lex, const char *text, size_t n)
{
        *lex = (struct mariadb_lex){ .at = text, .end = text + n };
        mariadb_lex_next(lex);
}

void mariadb_lex_next(struct mariadb_lex *lex)
{
        const char *at = lex->at, *behind;

        if (lex->kind == MARIADB_LEX_BAD)
                return;
        while (at < lex->end && isspace((unsigned char)*at))
                at++;
        lex->text = at;
        lex->kind = at == lex->end ? MARIADB_LEX_END : kind_at(at, lex->end);
        behind = at + 1;
        switch (lex->kind) {
        case MARIADB_LEX_NAME:
        case MARIADB_LEX_STRING:
                behind = skip_quoted(at, lex->end, lex->plain_backslash);
                break;
        case MARIADB_LEX_NUMBER:
                behind = skip_number(at, lex->end);
                break;
        case MARIADB_LEX_WORD:
                if (is_compressed(at, lex->end))
                        behind = at + strlen(MARIADB_LEX_COMPRESSED);
                while (behind < lex->end && in_word(*behind))
                        behind++;
                break;
        case MARIADB_LEX_END:
                behind = at;
                break;
        default:
                break;
        }
        if (behind == NULL || lex->kind == MARIADB_LEX_BAD) {
                lex->kind = MARIADB_LEX_BAD;
                behind = lex->end;
        }
        lex->n = (size_t)(behind - at);
        lex->at = behind;
}

bool mariadb_lex_is(const struct mariadb_lex *lex, const char *word)
{
        return (lex->kind == MARIADB_LEX_WORD || lex->kind == MARIADB_LEX_SYMBOL) &&
               strlen(word) == lex->n && strncasecmp(lex->text, word, lex->n) == 0;
}

bool mariadb_lex_take(struct mariadb_lex *lex, const char *word)
{
        if (!mariadb_lex_is(lex, word))
                return false;
        mariadb_lex_next(lex);
        return true;
}

bool mariadb_lex_name(struct mariadb_lex *lex, bool double_quotes, char *name, size_t size)
{
        size_t n = 0;

        if (lex->kind != MARIADB_LEX_NAME &&
            !(double_quotes && lex->kind == MARIADB_LEX_STRING && lex->text[0] == '"'))
                return false;
        for (const char *at = lex->text + 1; at < lex->text + lex->n - 1; at++) {
                if (n + 1 >= size || *at == '\0')
                        return false;
                name[n++] = *at;
                at += *at == lex->text[0]; /* doubled */
        }
        name[n] = '\0';
        mariadb_lex_next(lex);
        return n > 0;
}

bool mariadb_lex_string(struct mariadb_lex *lex, char *text, size_t size)
{
        size_t n = lex->n < 2 ? 0 : lex->n - 2;

        if (lex->kind != MARIADB_LEX_STRING || n >= size ||
            memchr(lex->text, '\\', lex->n) != NULL || memchr(lex->text, '\0', lex->n) != NULL ||
            memchr(lex->text + 1, lex->text[0], n) != NULL)
                return false;
        memcpy(text, lex->text + 1, n);
        text[n] = '\0';
        mariadb_lex_next(lex);
        return true;
}
