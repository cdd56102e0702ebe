/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/words.h"

#define BLANKS " \t"

void words_free(char **words)
{
        if (words == NULL)
                return;
        for (char **word = words; *word != NULL; word++)
                free(*word);
        free(words);
}

bool words_equal(char *const *a, char *const *b)
{
        size_t i = 0;

        if (a == NULL || b == NULL)
                return a == b;
        while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0)
                i++;
        return a[i] == NULL && b[i] == NULL;
}

int words_copy(const char *const *words, size_t n, char ***ret_words, struct err *err)
{
        CLEANUP(words_freep) char **copy = calloc(n + 1, sizeof(*copy));

        if (copy == NULL)
                return err_oom(err);
        for (size_t i = 0; i < n; i++)
                if ((copy[i] = strdup(words[i])) == NULL)
                        return err_oom(err);
        *ret_words = STEAL(copy);
        return 0;
}

/* One word from *line into ${to}, which has room for the rest of the line; *line is moved behind
 * it. */
static int word_take(const char **line, char *to, struct err *err)
{
        const char *at = *line;
        size_t n = strcspn(at, BLANKS);

        if (*at != '"') {
                if (memchr(at, '"', n) != NULL)
                        return err_fail(err, ERR_INVALID, 0,
                                        "a quote inside the word '%.*s': put the whole word "
                                        "in quotes and write \\\" for the quote",
                                        (int)n, at);
                memcpy(to, at, n);
                to[n] = '\0';
                *line = at + n;
                return 0;
        }
        for (at++; *at != '"'; at++) {
                if (at[0] == '\\' && (at[1] == '"' || at[1] == '\\'))
                        at++;
                if (*at == '\0')
                        return err_fail(err, ERR_INVALID, 0, "a quote without its other half");
                *to++ = *at;
        }
        *to = '\0';
        at++;
        if (*at != '\0' && strchr(BLANKS, *at) == NULL)
                return err_fail(err, ERR_INVALID, 0, "no blank after the closing quote, but '%s'",
                                at);
        *line = at;
        return 0;
}

int words_split(const char *line, char ***ret_words, size_t *ret_n, struct err *err)
{
        size_t room = strlen(line), n = 0;
        /* A word needs a byte and a blank, so there are at most this many. */
        CLEANUP(words_freep) char **words = calloc(room / 2 + 2, sizeof(*words));
        CLEANUP(freep) char *word = malloc(room + 1);

        if (words == NULL || word == NULL)
                return err_oom(err);
        for (line += strspn(line, BLANKS); *line != '\0'; line += strspn(line, BLANKS)) {
                if (word_take(&line, word, err) < 0)
                        return -1;
                if ((words[n++] = strdup(word)) == NULL)
                        return err_oom(err);
        }
        *ret_words = STEAL(words);
        if (ret_n != NULL)
                *ret_n = n;
        return 0;
}

/* Does the word read back as itself without quotes? */
static bool word_is_plain(const char *word)
{
        return word[0] != '\0' && word[strcspn(word, BLANKS "\"")] == '\0';
}

int words_join(const char *const *words, char **ret_line, struct err *err)
{
        size_t room = 1;
        char *line, *to;

        for (size_t i = 0; words[i] != NULL; i++)
                room += 2 * strlen(words[i]) + 3;
        line = to = malloc(room);
        if (line == NULL)
                return err_oom(err);
        for (size_t i = 0; words[i] != NULL; i++) {
                bool plain = word_is_plain(words[i]);

                if (i > 0)
                        *to++ = ' ';
                if (!plain)
                        *to++ = '"';
                for (const char *c = words[i]; *c != '\0'; c++) {
                        if (!plain && (*c == '"' || *c == '\\'))
                                *to++ = '\\';
                        *to++ = *c;
                }
                if (!plain)
                        *to++ = '"';
        }
        *to = '\0';
        *ret_line = line;
        return 0;
}

void words_list(const char *const *words, char *buf, size_t size)
{
        size_t used = 0;

        buf[0] = '\0';
        for (; *words != NULL && used < size; words++)
                used += (size_t)snprintf(buf + used, size - used, "%s'%s'", used == 0 ? "" : ", ",
                                         *words);
}

int words_program(const char *line, char ***ret_words, size_t *ret_n, struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n;

        if (words_split(line, &words, &n, err) < 0)
                return -1;
        if (n == 0 || words[0][0] != '/')
                return err_fail(err, ERR_INVALID, 0,
                                "a program is named by its absolute path; there is no shell and no "
                                "PATH");
        *ret_words = STEAL(words);
        *ret_n = n;
        return 0;
}
