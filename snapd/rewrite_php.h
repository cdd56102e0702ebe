/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REWRITE_PHP_H
#define SNAPD_REWRITE_PHP_H

/*
 * PHP source as tokens, as far as configuration files need it: what is code and what is a comment,
 * a string, a heredoc or text outside of <?php.  Comments and blanks are no tokens.
 */

#include <stdbool.h>
#include <stddef.h>

#include "snapd/rewrite_kind.h"

enum php_type {
        PHP_END,
        PHP_VARIABLE, /* $name */
        PHP_WORD,     /* name, \name\of\it, keyword */
        PHP_STRING,   /* with nothing to be filled in */
        PHP_TEMPLATE, /* "..$x..", a heredoc, `...` */
        PHP_NUMBER,
        PHP_MARK,  /* an operator: its bytes */
        PHP_CLOSE, /* ?> */
};

struct php_token {
        enum php_type type;
        size_t at, n;
};

struct php {
        const struct rewrite_text *text;
        struct php_token *tokens; /* the last is PHP_END */
        size_t n;
};

/* php_open(text, php, err): Take ${text} apart.  ERR_INVALID: a string or a comment does not end,
 * or it is unreasonably much.  Give it to php_done(), on failure too. */
int php_open(const struct rewrite_text *text, struct php *php, struct err *err) MUST_CHECK;

/* php_done(php): Free the tokens. */
void php_done(struct php *php);

/* php_is(php, i, type, text): Is token ${i} of this type and these bytes? */
bool php_is(const struct php *php, size_t i, enum php_type type, const char *text);

/* php_is_word(php, i, word): Is it this word, in any case, as keywords and functions are? */
bool php_is_word(const struct php *php, size_t i, const char *word);

/* php_string(php, i): What a PHP_STRING token means, or a PHP_NUMBER as it stands; NULL for others
 * and for want of memory.  The caller frees it. */
char *php_string(const struct php *php, size_t i);

/* php_string_is(php, i, text): Does token ${i}, a string, mean ${text}? */
bool php_string_is(const struct php *php, size_t i, const char *text);

/* php_skip(php, i): The token after the expression that begins at ${i}: a comma, a semicolon, a
 * closing bracket that was not opened in it, => or the end. */
size_t php_skip(const struct php *php, size_t i);

/* php_take(php, first, end, found, n_found, err): rewrite_take() of the expression of the tokens
 * from ${first} to before ${end}, with its value when it is one plain token. */
int php_take(const struct php *php, size_t first, size_t end, struct rewrite_found *found,
             unsigned *n_found, struct err *err) MUST_CHECK;

/* php_put(found, value, out, err): The put() of both PHP kinds. */
int php_put(const struct rewrite_found *found, const char *value, char *out,
            struct err *err) MUST_CHECK;

#endif
