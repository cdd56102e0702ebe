/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <inttypes.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "common/units.h"
#include "common/words.h"
#include "snapd/probe_values.h"

#define LIST_MAX 32

typedef int (*value_visit)(const char *text, void *arg, struct err *err);
typedef int (*text_check)(const char *text, struct err *err);

/* One word out of a list, kept as its number. */

static int word_read(struct site_probe *probe, const struct probe_key *key, const char *text,
                     struct err *err)
{
        char list[120] = "";
        size_t used = 0;

        for (unsigned i = 0; key->words[i] != NULL; i++) {
                if (strcmp(key->words[i], text) == 0) {
                        *PROBE_FIELD(probe, key, unsigned) = i;
                        return 0;
                }
                if (used < sizeof(list))
                        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s'%s'",
                                                 used == 0 ? "" : ", ", key->words[i]);
        }
        return err_fail(err, ERR_INVALID, 0, "'%.60s' is none of %s", text, list);
}

static int word_write(const struct site_probe *probe, const struct probe_key *key,
                      value_visit visit, void *arg, struct err *err)
{
        return visit(key->words[PROBE_VALUE(probe, key, unsigned)], arg, err);
}

const struct probe_value_kind probe_value_word = { word_read, word_write, NULL };

/* Texts */

static int no_check(const char *text, struct err *err)
{
        (void)text;
        (void)err;
        return 0;
}

static int text_set(struct site_probe *probe, const struct probe_key *key, const char *text,
                    text_check check, struct err *err)
{
        char *copy;

        if (check(text, err) < 0)
                return -1;
        copy = strdup(text);
        if (copy == NULL)
                return err_oom(err);
        free(*PROBE_FIELD(probe, key, char *));
        *PROBE_FIELD(probe, key, char *) = copy;
        return 0;
}

static int text_write(const struct site_probe *probe, const struct probe_key *key,
                      value_visit visit, void *arg, struct err *err)
{
        const char *text = PROBE_VALUE(probe, key, char *);

        return text == NULL ? 0 : visit(text, arg, err);
}

static void text_done(struct site_probe *probe, const struct probe_key *key)
{
        free(*PROBE_FIELD(probe, key, char *));
}

static int list_add(struct site_probe *probe, const struct probe_key *key, const char *text,
                    text_check check, struct err *err)
{
        char **list = *PROBE_FIELD(probe, key, char **), **more;
        size_t n = 0;

        while (list != NULL && list[n] != NULL)
                n++;
        if (n == LIST_MAX)
                return err_fail(err, ERR_INVALID, 0, "more than %d of them", LIST_MAX);
        if (check(text, err) < 0)
                return -1;
        more = reallocarray(list, n + 2, sizeof(*more));
        if (more == NULL)
                return err_oom(err);
        *PROBE_FIELD(probe, key, char **) = more;
        more[n + 1] = NULL;
        more[n] = strdup(text);
        return more[n] == NULL ? err_oom(err) : 0;
}

static int list_write(const struct site_probe *probe, const struct probe_key *key,
                      value_visit visit, void *arg, struct err *err)
{
        char *const *list = PROBE_VALUE(probe, key, char **);

        for (; list != NULL && *list != NULL; list++)
                if (visit(*list, arg, err) < 0)
                        return -1;
        return 0;
}

static void list_done(struct site_probe *probe, const struct probe_key *key)
{
        words_free(*PROBE_FIELD(probe, key, char **));
}

static int path_check(const char *text, struct err *err)
{
        if (text[0] != '/' || safepath_valid(text + 1, err) < 0)
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is not a plain absolute path", text);
        return 0;
}

static int url_check(const char *text, struct err *err)
{
        return probe_url_valid(text, true, err);
}

static int header_check(const char *text, struct err *err)
{
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

        if (n == 0 || text[n] != ':')
                return err_fail(err, ERR_INVALID, 0, "'NAME: VALUE' is expected");
        return 0;
}

static int regex_check(const char *text, struct err *err)
{
        PCRE2_SIZE at = 0;
        PCRE2_UCHAR why[120] = "";
        int code = 0;
        pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                                             PCRE2_MULTILINE, &code, &at, NULL);

        if (compiled == NULL) {
                (void)pcre2_get_error_message(code, why, sizeof(why));
                return err_fail(err, ERR_INVALID, 0, "the expression is wrong at character %zu: %s",
                                at + 1, (const char *)why);
        }
        pcre2_code_free(compiled);
        return 0;
}

/* One reader for each sort of text; what is different is the check. */
#define TEXT_READER(name, add, check)                                                              \
        static int name(struct site_probe *probe, const struct probe_key *key, const char *text,   \
                        struct err *err)                                                           \
        {                                                                                          \
                return add(probe, key, text, check, err);                                          \
        }                                                                                          \
        struct text_reader_needs_a_semicolon

TEXT_READER(text_read, text_set, no_check);
TEXT_READER(path_read, text_set, path_check);
TEXT_READER(address_read, text_set, probe_address_valid);
TEXT_READER(status_read, text_set, probe_status_valid);
TEXT_READER(url_one_read, text_set, url_check);
TEXT_READER(texts_read, list_add, no_check);
TEXT_READER(url_read, list_add, url_check);
TEXT_READER(header_read, list_add, header_check);
TEXT_READER(regex_read, list_add, regex_check);

const struct probe_value_kind probe_value_text = { text_read, text_write, text_done };
const struct probe_value_kind probe_value_path = { path_read, text_write, text_done };
const struct probe_value_kind probe_value_address = { address_read, text_write, text_done };
const struct probe_value_kind probe_value_status = { status_read, text_write, text_done };
const struct probe_value_kind probe_value_url_one = { url_one_read, text_write, text_done };
const struct probe_value_kind probe_value_texts = { texts_read, list_write, list_done };
const struct probe_value_kind probe_value_url = { url_read, list_write, list_done };
const struct probe_value_kind probe_value_header = { header_read, list_write, list_done };
const struct probe_value_kind probe_value_regex = { regex_read, list_write, list_done };

/* A program and its arguments */

static int argv_read(struct site_probe *probe, const struct probe_key *key, const char *text,
                     struct err *err)
{
        CLEANUP(words_freep) char **words = NULL;
        size_t n = 0;

        if (words_program(text, &words, &n, err) < 0)
                return -1;
        if (n > LIST_MAX)
                return err_fail(err, ERR_INVALID, 0, "more than %d words", LIST_MAX);
        words_free(*PROBE_FIELD(probe, key, char **));
        *PROBE_FIELD(probe, key, char **) = STEAL(words);
        return 0;
}

static int argv_write(const struct site_probe *probe, const struct probe_key *key,
                      value_visit visit, void *arg, struct err *err)
{
        char *const *words = PROBE_VALUE(probe, key, char **);
        CLEANUP(freep) char *line = NULL;

        if (words == NULL)
                return 0;
        if (words_join((const char *const *)words, &line, err) < 0)
                return -1;
        return visit(line, arg, err);
}

const struct probe_value_kind probe_value_argv = { argv_read, argv_write, list_done };

/* Numbers */

typedef int (*number_parse)(const char *text, uint64_t *ret_number, struct err *err);
typedef void (*number_print)(uint64_t number, char buf[static UNITS_MAX]);

static int count_parse(const char *text, uint64_t *ret_count, struct err *err)
{
        char *end;

        errno = 0;
        *ret_count = strtoul(text, &end, 10);
        if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9')
                return err_fail(err, ERR_INVALID, 0, "'%.40s' is not a number", text);
        return 0;
}

static void count_print(uint64_t count, char buf[static UNITS_MAX])
{
        (void)snprintf(buf, UNITS_MAX, "%" PRIu64, count);
}

static int number_read(struct site_probe *probe, const struct probe_key *key, const char *text,
                       number_parse parse, number_print print, struct err *err)
{
        char min[UNITS_MAX], max[UNITS_MAX];
        uint64_t number;

        if (parse(text, &number, err) < 0)
                return -1;
        if (number < key->min || number > key->max) {
                print(key->min, min);
                print(key->max, max);
                return err_fail(err, ERR_INVALID, 0, "from %s to %s are possible", min, max);
        }
        if (key->size == sizeof(unsigned))
                *PROBE_FIELD(probe, key, unsigned) = (unsigned)number;
        else
                *PROBE_FIELD(probe, key, uint64_t) = number;
        return 0;
}

static int number_write(const struct site_probe *probe, const struct probe_key *key,
                        number_print print, value_visit visit, void *arg, struct err *err)
{
        char text[UNITS_MAX];

        print(key->size == sizeof(unsigned) ? PROBE_VALUE(probe, key, unsigned)
                                            : PROBE_VALUE(probe, key, uint64_t),
              text);
        return visit(text, arg, err);
}

#define NUMBER_KIND(name, parse, print)                                                            \
        static int name##_read(struct site_probe *probe, const struct probe_key *key,              \
                               const char *text, struct err *err)                                  \
        {                                                                                          \
                return number_read(probe, key, text, parse, print, err);                           \
        }                                                                                          \
        static int name##_write(const struct site_probe *probe, const struct probe_key *key,       \
                                value_visit visit, void *arg, struct err *err)                     \
        {                                                                                          \
                return number_write(probe, key, print, visit, arg, err);                           \
        }                                                                                          \
        const struct probe_value_kind probe_value_##name = { name##_read, name##_write, NULL }

NUMBER_KIND(duration, units_duration, units_duration_print);
NUMBER_KIND(count, count_parse, count_print);
NUMBER_KIND(size, units_size, units_size_print);
