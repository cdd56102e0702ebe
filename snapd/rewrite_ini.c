/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "snapd/rewrite_kind.h"

/*
 * INI.  The library says what the file means, our scan says where it stands, and the two must
 * agree; after a change the library reads the result, and all else must be as before.
 */

#define PAIRS_MAX 20000

static bool key_valid(const char *key)
{
        return strchr(key, '\n') == NULL && key[strlen(key) - 1] != '.';
}

/* "section.key", or the key alone before the first section. */
static bool names(const char *section, const char *name, const char *key)
{
        size_t n = strlen(section);

        if (n == 0)
                return strcmp(name, key) == 0;
        return strncmp(key, section, n) == 0 && key[n] == '.' && strcmp(key + n + 1, name) == 0;
}

/* Everything the library found, as "section NUL name NUL value NUL" one after the other, with our
 * setting's value left out. */
struct reading {
        const char *key;
        char *value; /* of our setting */
        unsigned n_key;
        FILE *rest;
        unsigned pairs;
};

/* Called by the library for every setting, in the order of the file. */
static int take_pair(void *arg, const char *section, const char *name, const char *value)
{
        struct reading *reading = arg;
        bool ours = names(section, name, reading->key);

        if (++reading->pairs > PAIRS_MAX)
                return 0;
        if (ours) {
                free(reading->value);
                reading->value = strdup(value == NULL ? "" : value);
                reading->n_key++;
        }
        return fprintf(reading->rest, "%s%c%s%c%s%c", section, 0, name, 0,
                       ours || value == NULL ? "" : value, 0) >= 0;
}

struct source {
        const char *at, *end;
};

/* A line for the library. */
static char *next_line(char *line, int size, void *arg)
{
        struct source *source = arg;
        const char *end;
        size_t n;

        if (source->at == source->end)
                return NULL;
        end = memchr(source->at, '\n', (size_t)(source->end - source->at));
        n = (size_t)((end == NULL ? source->end : end + 1) - source->at);
        if (n > (size_t)size - 1)
                n = (size_t)size - 1;
        memcpy(line, source->at, n);
        line[n] = '\0';
        source->at += n;
        return line;
}

/* The library cuts lines that are too long for it; the scan does not, and then they disagree. */
static int read_all(const struct rewrite_text *text, struct reading *reading, char **ret_rest,
                    size_t *ret_n, struct err *err)
{
        struct source source = { text->data, text->data + text->n };
        int bad;

        reading->rest = open_memstream(ret_rest, ret_n);
        if (reading->rest == NULL)
                return err_oom(err);
        /* These are the library's globals; who else uses it sets his own. */
        ini_allow_multiline = false;
        ini_allow_inline_comments = true;
        ini_max_line = 8192;
        ini_use_stack = false;
        bad = ini_parse_stream(next_line, &source, take_pair, reading);
        if (fclose(reading->rest) != 0)
                return err_oom(err);
        if (bad < 0)
                return err_oom(err);
        if (bad > 0)
                return err_fail(err, ERR_INVALID, 0, "%s:%d: this is no INI line", text->file, bad);
        return 0;
}

static bool blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The bytes from a to b without blanks at either end. */
static void trim(const char **a, const char **b)
{
        while (*a < *b && blank(**a))
                ++*a;
        while (*b > *a && blank((*b)[-1]))
                --*b;
}

/* Where a value ends: before a comment, which is " ;" for the library. */
static const char *value_end(const char *a, const char *end)
{
        if (a < end && *a == ';')
                return a;
        for (const char *at = a; at + 1 < end; at++)
                if (blank(at[0]) && at[1] == ';')
                        return at;
        return end;
}

struct scan {
        char section[512];
        unsigned n_found;
};

/* A line as the library sees it: a section, a comment, or a name, the first = or :, a value. */
static int scan_line(const struct rewrite_text *text, struct scan *scan, const char *a,
                     const char *b, const char *key, struct rewrite_found *ret, struct err *err)
{
        const char *split, *name_end, *value, *end = b;
        char name[512];

        trim(&a, &end);
        if (a == end || *a == ';' || *a == '#')
                return 0;
        if (*a == '[') {
                const char *close = memchr(a, ']', (size_t)(end - a));

                if (close != NULL)
                        (void)snprintf(scan->section, sizeof(scan->section), "%.*s",
                                       (int)(close - a - 1), a + 1);
                return 0;
        }
        for (split = a; split < end && *split != '=' && *split != ':'; split++)
                continue;
        if (split == end)
                return 0;
        name_end = split;
        trim(&a, &name_end);
        (void)snprintf(name, sizeof(name), "%.*s", (int)(name_end - a), a);
        if (!names(scan->section, name, key))
                return 0;
        value = split + 1;
        end = value_end(value, b);
        trim(&value, &end);
        return rewrite_take(text, ret, &scan->n_found, (size_t)(value - text->data),
                            (size_t)(end - value), err);
}

/* Readers that know continuation lines would add the next line to the value. */
static int check_no_continuation(const struct rewrite_text *text, const struct rewrite_found *found,
                                 struct err *err)
{
        const char *end = text->data + text->n;
        const char *line =
                memchr(text->data + found->at + found->n, '\n', text->n - found->at - found->n);
        size_t n;

        if (line == NULL || ++line == end || (*line != ' ' && *line != '\t'))
                return 0;
        n = strcspn(line, "\n");
        if (strspn(line, " \t\r") >= n || memchr(line, '=', n) != NULL ||
            memchr(line, ':', n) != NULL || memchr(line, '[', n) != NULL ||
            memchr(line, ';', n) != NULL || memchr(line, '#', n) != NULL)
                return 0;
        return rewrite_fail(err, text, (size_t)(line - text->data), ERR_INVALID,
                            "the value seems to go on in this line");
}

/* Where the setting stands. */
static int locate(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                  struct err *err)
{
        struct scan scan = { "", 0 };
        const char *end = text->data + text->n;

        for (const char *line = text->data; line < end;) {
                const char *stop = memchr(line, '\n', (size_t)(end - line));

                stop = stop == NULL ? end : stop;
                /* A byte order mark is part of no name. */
                if (line == text->data && stop - line >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
                        line += 3;
                if (scan_line(text, &scan, line, stop, key, ret, err) < 0)
                        return -1;
                line = stop == end ? end : stop + 1;
        }
        if (scan.n_found == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "%s: '%s' is not set there", text->file,
                                key);
        return check_no_continuation(text, ret, err);
}

static int find(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                struct err *err)
{
        struct reading reading = { .key = key };
        CLEANUP(freep) char *rest = NULL;
        CLEANUP(freep) char *value = NULL;
        const char *at;
        size_t n;
        int r = read_all(text, &reading, &rest, &n, err);

        value = reading.value;
        if (r < 0 || locate(text, key, ret, err) < 0)
                return -1;
        at = text->data + ret->at;
        if (reading.n_key != 1 || value == NULL || strlen(value) != ret->n ||
            memcmp(value, at, ret->n) != 0)
                return rewrite_fail(err, text, ret->at, ERR_INVALID,
                                    "where this value begins and ends depends on who reads it");
        /* Quotes belong to the writing; the value is what is in them. */
        if (ret->n >= 2 && (at[0] == '"' || at[0] == '\'') && at[ret->n - 1] == at[0]) {
                ret->quoted = true;
                ret->value = strndup(at + 1, ret->n - 2);
        } else {
                ret->value = strndup(at, ret->n);
        }
        return ret->value == NULL ? err_oom(err) : 0;
}

/* Nobody agrees on escapes in INI files, so there are none. */
static int put(const struct rewrite_found *found, const char *value, char *out, struct err *err)
{
        if (!found->quoted && rewrite_plain(value)) {
                rewrite_escape(value, "", '"', out);
                memmove(out, out + 1, strlen(value));
                out[strlen(value)] = '\0';
                return 0;
        }
        if (strpbrk(value, "\"\\") != NULL || strstr(value, " ;") != NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' cannot be written in an INI file so that every reader "
                                "reads the same",
                                value);
        rewrite_escape(value, "", '"', out);
        return 0;
}

/* Everything but the one value, in order. */
static int compare(const struct rewrite_text *before, const struct rewrite_text *after,
                   const char *key, const char *value, struct err *err)
{
        struct reading a = { .key = key }, b = { .key = key };
        CLEANUP(freep) char *was = NULL;
        CLEANUP(freep) char *is = NULL;
        size_t n_was = 0, n_is = 0;
        int r = read_all(before, &a, &was, &n_was, err);

        (void)value;
        if (r == 0)
                r = read_all(after, &b, &is, &n_is, err);
        free(a.value);
        free(b.value);
        if (r < 0)
                return -1;
        if (n_was != n_is || memcmp(was, is, n_is) != 0)
                return err_fail(err, ERR_INVALID, 0, "%s: other settings would change with it",
                                before->file);
        return 0;
}

const struct rewrite_kind rewrite_ini = {
        .name = "ini",
        .key_form = "it is section.key, or the key alone before the first section",
        .key_valid = key_valid,
        .find = find,
        .put = put,
        .compare = compare,
};
