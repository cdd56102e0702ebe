/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "snapd/rewrite.h"
#include "snapd/rewrite_kind.h"

static const struct rewrite_kind *const kinds[] = {
        &rewrite_php_define, &rewrite_php_assign, &rewrite_ini, &rewrite_env,
        &rewrite_json,       &rewrite_regex,      NULL,
};

unsigned rewrite_line(const struct rewrite_text *text, size_t at)
{
        unsigned line = 1;

        for (size_t i = 0; i < at && i < text->n; i++)
                line += text->data[i] == '\n';
        return line;
}

int rewrite_fail(struct err *err, const struct rewrite_text *text, size_t at, enum err_code code,
                 const char *fmt, ...)
{
        char what[400];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);

        /* What is quoted is a tenant's and goes to a terminal. */
        for (char *c = what; *c != '\0'; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = ' ';
        return err_fail(err, code, 0, "%s:%u: %s", text->file, rewrite_line(text, at), what);
}

int rewrite_take(const struct rewrite_text *text, struct rewrite_found *found, unsigned *n_found,
                 size_t at, size_t n, struct err *err)
{
        if ((*n_found)++ > 0)
                return rewrite_fail(err, text, at, ERR_INVALID,
                                    "it is set here and in line %u too; one of them has to go",
                                    rewrite_line(text, found->at));
        found->at = at;
        found->n = n;
        return 0;
}

bool rewrite_plain(const char *value)
{
        return value[0] != '\0' &&
               strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "_./:@%+,-") == strlen(value);
}

bool rewrite_number(const char *value)
{
        size_t n = strlen(value);

        return n > 0 && n < 10 && strspn(value, "0123456789") == n && (value[0] != '0' || n == 1);
}

void rewrite_escape(const char *value, const char *special, char quote, char *out)
{
        *out++ = quote;
        for (; *value != '\0'; value++) {
                if (strchr(special, *value) != NULL)
                        *out++ = '\\';
                *out++ = *value;
        }
        *out++ = quote;
        *out = '\0';
}

/* The table above is the only place that knows all kinds. */
static const struct rewrite_kind *kind_by_name(const char *name)
{
        for (size_t i = 0; kinds[i] != NULL; i++)
                if (strcmp(kinds[i]->name, name) == 0)
                        return kinds[i];
        return NULL;
}

/* What can be said without a file, so that a mistake in a rule is found when it is written. */
int rewrite_check_rule(const char *kind_name, const char *key, struct err *err)
{
        const struct rewrite_kind *kind = kind_by_name(kind_name);

        if (kind == NULL)
                return err_fail(err, ERR_INVALID, 0, "there is no kind of file '%s'", kind_name);
        if (key[0] == '\0' || strlen(key) > 512 || !kind->key_valid(key))
                return err_fail(err, ERR_INVALID, 0, "'%s' is no key of a %s rule; %s", key,
                                kind->name, kind->key_form);
        return 0;
}

/* Values are names and paths.  A line break in one would be another line of the file. */
static int check_value(const char *value, struct err *err)
{
        if (strlen(value) > REWRITE_VALUE_MAX)
                return err_fail(err, ERR_INVALID, 0, "the value is longer than %d bytes",
                                REWRITE_VALUE_MAX);
        for (; *value != '\0'; value++)
                if ((unsigned char)*value < 0x20 || *value == 0x7f)
                        return err_fail(err, ERR_INVALID, 0,
                                        "the value has a control character in it");
        return 0;
}

/* A NUL would end the text for one reader and not for another. */
static int check_text(const struct rewrite_text *text, struct err *err)
{
        const char *nul = memchr(text->data, '\0', text->n);

        if (text->n > REWRITE_FILE_MAX)
                return err_fail(err, ERR_INVALID, 0, "%s is larger than %d bytes", text->file,
                                REWRITE_FILE_MAX);
        if (nul != NULL)
                return rewrite_fail(err, text, (size_t)(nul - text->data), ERR_INVALID,
                                    "a NUL byte: this is no text");
        return 0;
}

/* The text around the place is the same, and the setting now has the value. */
static int check_result(const struct rewrite_kind *kind, const struct rewrite_text *before,
                        const struct rewrite_text *after, const struct rewrite_found *was,
                        size_t n_literal, const struct rewrite_rule *rule, struct err *err)
{
        CLEANUP(rewrite_found_done) struct rewrite_found is = { 0 };

        if (kind->find(after, rule->key, &is, err) < 0)
                return err_wrap(err, "read again");
        if (is.at != was->at || is.n != n_literal || is.value == NULL ||
            strcmp(is.value, rule->value) != 0)
                return rewrite_fail(err, before, was->at, ERR_INVALID,
                                    "'%s' cannot be written here so that it is read the same",
                                    rule->value);
        return kind->compare == NULL ? 0
                                     : kind->compare(before, after, rule->key, rule->value, err);
}

/* Find, write, put together, find again. */
static int apply_one(const struct rewrite_text *text, const struct rewrite_rule *rule,
                     char **ret_out, size_t *ret_n, struct err *err)
{
        const struct rewrite_kind *kind = kind_by_name(rule->kind);
        CLEANUP(rewrite_found_done) struct rewrite_found found = { 0 };
        CLEANUP(freep) char *literal = malloc(REWRITE_LITERAL_MAX);
        CLEANUP(freep) char *out = NULL;
        struct rewrite_text after = *text;
        size_t n, tail;

        if (literal == NULL)
                return err_oom(err);
        if (kind->find(text, rule->key, &found, err) < 0 ||
            kind->put(&found, rule->value, literal, err) < 0)
                return -1;
        n = strlen(literal);
        /* The bytes before and behind the place are copied as they are. */
        tail = found.at + found.n;
        after.n = text->n - found.n + n;
        out = malloc(after.n + 1);
        if (out == NULL)
                return err_oom(err);
        memcpy(out, text->data, found.at);
        memcpy(out + found.at, literal, n);
        memcpy(out + found.at + n, text->data + tail, text->n - tail);
        out[after.n] = '\0';
        after.data = out;
        if (check_result(kind, text, &after, &found, n, rule, err) < 0)
                return -1;
        *ret_out = STEAL(out);
        *ret_n = after.n;
        return 0;
}

int rewrite_apply(const char *file, const char *in, size_t n, const struct rewrite_rule *rules,
                  size_t n_rules, char **ret_out, size_t *ret_n, struct err *err)
{
        CLEANUP(freep) char *copy = malloc(n + 1);
        struct rewrite_text text = { file, copy, n };

        if (copy == NULL)
                return err_oom(err);
        memcpy(copy, in, n);
        copy[n] = '\0';
        if (check_text(&text, err) < 0)
                return -1;
        for (size_t i = 0; i < n_rules; i++) {
                char *out = NULL;

                if (rewrite_check_rule(rules[i].kind, rules[i].key, err) < 0 ||
                    check_value(rules[i].value, err) < 0 ||
                    apply_one(&text, &rules[i], &out, &text.n, err) < 0)
                        return err_wrap(err, "the rule %s %s", rules[i].kind, rules[i].key);
                free(copy);
                text.data = copy = out;
        }
        /* A later rule may have met what an earlier one wrote. */
        for (size_t i = 0; i < n_rules; i++) {
                CLEANUP(freep) char *value = NULL;

                if (rewrite_read(file, text.data, text.n, rules[i].kind, rules[i].key, &value,
                                 err) < 0)
                        return -1;
                if (strcmp(value, rules[i].value) != 0)
                        return err_fail(err, ERR_INVALID, 0,
                                        "%s: the rule %s %s is undone by a later rule", file,
                                        rules[i].kind, rules[i].key);
        }
        *ret_out = STEAL(copy);
        *ret_n = text.n;
        return 0;
}

int rewrite_read(const char *file, const char *in, size_t n, const char *kind_name, const char *key,
                 char **ret_value, struct err *err)
{
        CLEANUP(rewrite_found_done) struct rewrite_found found = { 0 };
        const struct rewrite_text text = { file, in, n };
        const struct rewrite_kind *kind = kind_by_name(kind_name);

        if (rewrite_check_rule(kind_name, key, err) < 0)
                return -1;
        if (check_text(&text, err) < 0 || kind->find(&text, key, &found, err) < 0)
                return err_wrap(err, "%s %s", kind_name, key);
        if (found.value == NULL)
                return rewrite_fail(err, &text, found.at, ERR_UNSUPPORTED,
                                    "%s is not a plain value but '%.*s'", key,
                                    found.n > 100 ? 100 : (int)found.n, text.data + found.at);
        *ret_value = STEAL(found.value);
        return 0;
}
