/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

/*
 * A line of words, as in a command: separated by blanks; a word with blanks in it stands in double
 * quotes, where \" and \\ are a quote and a backslash.  There is no shell: no variables, no
 * patterns, no other escapes, and a backslash outside quotes is a backslash.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/* words_split(line, ret_words, ret_n, err): Take ${line} apart.  ${ret_words} is NULL-terminated
 * and goes to words_free(); ${ret_n} may be NULL.  ERR_INVALID: a quote without its other half,
 * or something that touches one. */
int words_split(const char *line, char ***ret_words, size_t *ret_n, struct err *err) MUST_CHECK;

/* words_program(line, ret_words, ret_n, err): ... into a program and its arguments.  ERR_INVALID
 * also when the program is not named by its absolute path. */
int words_program(const char *line, char ***ret_words, size_t *ret_n, struct err *err) MUST_CHECK;

/* words_join(words, ret_line, err): The line that words_split() takes apart into these words.
 * The caller frees it.  A newline in a word becomes one in the line: where that matters the
 * caller looks for it. */
int words_join(const char *const *words, char **ret_line, struct err *err) MUST_CHECK;

/* words_copy(words, n, ret_words, err): A NULL-terminated copy of the first ${n}. */
int words_copy(const char *const *words, size_t n, char ***ret_words, struct err *err) MUST_CHECK;

/* words_free(words): NULL is fine. */
void words_free(char **words);

/* words_equal(a, b): The same words in the same order; NULL equals only NULL. */
bool words_equal(char *const *a, char *const *b);

static inline void words_freep(char ***words)
{
        words_free(*words);
}

/* words_list(words, buf, size): "'smtp', 'smtps'" of a list that ends with NULL, for an error; what
 * does not fit is cut. */
void words_list(const char *const *words, char *buf, size_t size);

#endif
