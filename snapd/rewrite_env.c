/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "snapd/rewrite_kind.h"

/*
 * Environment files: KEY=value a line, as shells and the dotenv libraries read them.  They differ
 * in what a backslash means, so a value is written in the form that all of them read alike.
 */

static bool name_byte(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '.';
}

static bool key_valid(const char *key)
{
        if (key[0] >= '0' && key[0] <= '9')
                return false;
        for (; *key != '\0'; key++)
                if (!name_byte(*key))
                        return false;
        return true;
}

/* The value at ${at}: up to behind its closing quote, or to a comment or the end of the line.
 * NULL: a quote without its other half. */
static const char *value_end(const char *at, const char *end)
{
        const char *stop;
        char quote = at < end ? *at : '\0';

        if (quote == '"' || quote == '\'') {
                for (at++; at < end && *at != quote; at++)
                        if (*at == '\\' && quote == '"' && at + 1 < end)
                                at++;
                return at < end ? at + 1 : NULL;
        }
        stop = memchr(at, '\n', (size_t)(end - at));
        end = stop == NULL ? end : stop;
        for (stop = at; stop < end; stop++)
                if (*stop == '#' && (stop == at || stop[-1] == ' ' || stop[-1] == '\t'))
                        end = stop;
        while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
                end--;
        return end;
}

/* What is in the quotes; is_plain() has seen that every reader reads it so. */
static char *unquote(const char *at, size_t n)
{
        char *out = malloc(n + 1);
        size_t o = 0;

        if (out == NULL)
                return NULL;
        if (n < 2 || (at[0] != '"' && at[0] != '\'')) {
                memcpy(out, at, n);
                out[n] = '\0';
                return out;
        }
        for (size_t i = 1; i < n - 1; i++) {
                if (at[0] == '"' && at[i] == '\\' && i + 1 < n - 1 &&
                    strchr("\\\"$`", at[i + 1]) != NULL)
                        i++;
                out[o++] = at[i];
        }
        out[o] = '\0';
        return out;
}

/* Does a program read something else there than what is written? */
static bool is_plain(const char *at, size_t n)
{
        bool bare = n == 0 || (at[0] != '"' && at[0] != '\'');

        for (size_t i = 0; i < n; i++) {
                if (at[i] == '\\' && at[0] == '"') {
                        /* Shells and libraries agree on these escapes alone. */
                        if (i + 1 == n || strchr("\\\"$`", at[i + 1]) == NULL)
                                return false;
                        i++;
                } else if (at[0] != '\'' && (at[i] == '$' || at[i] == '`')) {
                        return false;
                }
                if (bare && (at[i] == '\\' || at[i] == '"' || at[i] == '\'' || at[i] == ' '))
                        return false;
        }
        return true;
}

/* Behind "export" and blanks. */
static const char *skip_export(const char *at, const char *end)
{
        const char *after = at + 6;

        if (end - at < 7 || memcmp(at, "export", 6) != 0 || (*after != ' ' && *after != '\t'))
                return at;
        while (after < end && (*after == ' ' || *after == '\t'))
                after++;
        return after;
}

/* One line, or more when a quoted value has more; where the next begins, NULL on failure. */
static const char *scan_line(const struct rewrite_text *text, const char *at, const char *key,
                             struct rewrite_found *ret, unsigned *n_found, struct err *err)
{
        const char *end = text->data + text->n, *name, *name_end, *value, *after;

        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
                at++;
        name = name_end = skip_export(at, end);
        while (name_end < end && name_byte(*name_end))
                name_end++;
        value = name_end;
        while (value < end && (*value == ' ' || *value == '\t'))
                value++;
        after = value;
        if (name_end > name && value < end && *value == '=') {
                for (value++; value < end && (*value == ' ' || *value == '\t'); value++)
                        continue;
                after = value_end(value, end);
                if (after == NULL) {
                        (void)rewrite_fail(err, text, (size_t)(value - text->data), ERR_INVALID,
                                           "a quote begins here and does not end");
                        return NULL;
                }
                if ((size_t)(name_end - name) == strlen(key) &&
                    memcmp(name, key, strlen(key)) == 0 &&
                    rewrite_take(text, ret, n_found, (size_t)(value - text->data),
                                 (size_t)(after - value), err) < 0)
                        return NULL;
        }
        after = memchr(after, '\n', (size_t)(end - after));
        return after == NULL ? end : after + 1;
}

/* A quoted value with something glued to it is a shell's concatenation. */
static bool stands_alone(const struct rewrite_text *text, const struct rewrite_found *found)
{
        const char *after = text->data + found->at + found->n;

        return found->at + found->n == text->n || strchr(" \t\r\n", *after) != NULL;
}

static int find(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                struct err *err)
{
        const char *at = text->data;
        unsigned n_found = 0;

        while (at != NULL && at < text->data + text->n)
                at = scan_line(text, at, key, ret, &n_found, err);
        if (at == NULL)
                return -1;
        if (n_found == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "%s: '%s' is not set there", text->file,
                                key);
        if (!stands_alone(text, ret))
                return rewrite_fail(err, text, ret->at, ERR_INVALID,
                                    "something is glued to the quoted value");
        at = text->data + ret->at;
        ret->quoted = ret->n > 0 && (at[0] == '"' || at[0] == '\'');
        if (!is_plain(at, ret->n))
                return 0;
        ret->value = unquote(at, ret->n);
        return ret->value == NULL ? err_oom(err) : 0;
}

/* Bare where nothing in it means anything; in single quotes, where nothing can; else in double
 * quotes with the escapes that all readers know. */
static int put(const struct rewrite_found *found, const char *value, char *out, struct err *err)
{
        (void)err;
        if (!found->quoted && rewrite_plain(value))
                (void)snprintf(out, REWRITE_LITERAL_MAX, "%s", value);
        else if (strpbrk(value, "'\\") == NULL)
                rewrite_escape(value, "", '\'', out);
        else
                rewrite_escape(value, "\\\"$`", '"', out);
        return 0;
}

const struct rewrite_kind rewrite_env = {
        .name = "env",
        .key_form = "it is a variable's name, such as DB_DATABASE",
        .key_valid = key_valid,
        .find = find,
        .put = put,
};
