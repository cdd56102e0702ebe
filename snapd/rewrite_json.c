/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "snapd/rewrite_kind.h"

/*
 * JSON.  The library says whether the file is valid and what it means; the scan here only counts
 * its way through valid text to the place, so that the file keeps its looks.
 */

#define STEPS_MAX 16

struct steps {
        char text[520];
        const char *names[STEPS_MAX];
        size_t n;
};

/* Empty steps would be members named "", which nobody means. */
static bool parse_steps(const char *key, struct steps *steps)
{
        char *at = steps->text;

        (void)snprintf(steps->text, sizeof(steps->text), "%s", key);
        steps->n = 0;
        for (;;) {
                size_t n = strcspn(at, ".");

                if (n == 0 || steps->n == STEPS_MAX)
                        return false;
                steps->names[steps->n++] = at;
                if (at[n] == '\0')
                        return true;
                at[n] = '\0';
                at += n + 1;
        }
}

static bool key_valid(const char *key)
{
        struct steps steps;

        return strlen(key) < sizeof(steps.text) && parse_steps(key, &steps);
}

/* The place in what the library read; NULL when there is none. */
static json_t *walk(json_t *json, const struct steps *steps, size_t n)
{
        for (size_t i = 0; i < n && json != NULL; i++) {
                char *end;
                unsigned long index = strtoul(steps->names[i], &end, 10);

                if (json_is_array(json))
                        json = *end == '\0' ? json_array_get(json, index) : NULL;
                else
                        json = json_object_get(json, steps->names[i]);
        }
        return json;
}

/* In valid JSON: behind the string that begins at ${at}. */
static size_t skip_string(const char *data, size_t at)
{
        for (at++; data[at] != '"'; at++)
                at += data[at] == '\\';
        return at + 1;
}

static size_t skip_blank(const char *data, size_t at)
{
        return at + strspn(data + at, " \t\r\n");
}

/* Behind the value that begins at ${at}. */
static size_t skip_value(const char *data, size_t at)
{
        unsigned depth = 0;

        if (data[at] == '"')
                return skip_string(data, at);
        if (data[at] != '{' && data[at] != '[')
                return at + strcspn(data + at, ",]} \t\r\n");
        do {
                if (data[at] == '"') {
                        at = skip_string(data, at);
                        continue;
                }
                depth += data[at] == '{' || data[at] == '[';
                depth -= data[at] == '}' || data[at] == ']';
                at++;
        } while (depth > 0);
        return at;
}

/* A key can be written with escapes; the library reads it. */
static bool key_is(const char *data, size_t at, size_t end, const char *name)
{
        CLEANUP(json_decrefp) json_t *key = json_loadb(data + at, end - at, JSON_DECODE_ANY, NULL);

        return key != NULL && strcmp(json_string_value(key), name) == 0;
}

/* Where the member or element ${name} of the value at ${at} begins; the library has seen that it
 * is there, so the scan arrives. */
static size_t enter(const char *data, size_t at, const char *name)
{
        unsigned long index = strtoul(name, NULL, 10);
        bool array = data[at] == '[';

        for (at = skip_blank(data, at + 1);; at = skip_blank(data, at)) {
                size_t key = at;

                if (!array) {
                        size_t end = skip_string(data, at);

                        at = skip_blank(data, skip_blank(data, end) + 1);
                        if (key_is(data, key, end, name))
                                return at;
                } else if (index-- == 0) {
                        return at;
                }
                at = skip_blank(data, skip_value(data, at)) + 1;
        }
}

static int find(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                struct err *err)
{
        CLEANUP(json_decrefp) json_t *json = NULL;
        const json_t *place;
        struct steps steps;
        size_t at;

        if (!parse_steps(key, &steps))
                return err_fail(err, ERR_INVALID, 0, "'%s' is no place", key);
        if (json_parse(text->data, text->n, &json, err) < 0)
                return err_wrap(err, "%s", text->file);
        place = walk(json, &steps, steps.n);
        if (place == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "%s: '%s' is not set there", text->file,
                                key);
        at = skip_blank(text->data, 0);
        for (size_t i = 0; i < steps.n; i++)
                at = enter(text->data, at, steps.names[i]);
        if (json_is_object(place) || json_is_array(place))
                return rewrite_fail(err, text, at, ERR_INVALID, "it has settings of its own");
        ret->at = at;
        ret->n = skip_value(text->data, at) - at;
        ret->number = json_is_integer(place);
        if (json_is_string(place))
                ret->value = strdup(json_string_value(place));
        else if (!json_is_null(place))
                ret->value = strndup(text->data + at, ret->n);
        else
                return 0;
        return ret->value == NULL ? err_oom(err) : 0;
}

/* As the library writes a value; a number stays one, if the new value is one. */
static int put(const struct rewrite_found *found, const char *value, char *out, struct err *err)
{
        CLEANUP(json_decrefp) json_t *json = NULL;
        CLEANUP(freep) char *literal = NULL;

        if (found->number && rewrite_number(value))
                json = json_integer(strtol(value, NULL, 10));
        else
                json = json_string(value);
        literal = json == NULL ? NULL : json_dumps(json, JSON_ENCODE_ANY);
        if (literal == NULL)
                return err_fail(err, ERR_INVALID, 0, "'%s' is not valid UTF-8", value);
        (void)snprintf(out, REWRITE_LITERAL_MAX, "%s", literal);
        return 0;
}

/* Set the value in what was read before: then both files must mean the same. */
static int compare(const struct rewrite_text *before, const struct rewrite_text *after,
                   const char *key, const char *value, struct err *err)
{
        CLEANUP(json_decrefp) json_t *was = NULL;
        CLEANUP(json_decrefp) json_t *is = NULL;
        struct steps steps;
        json_t *parent, *wanted;

        (void)value;
        if (!parse_steps(key, &steps) || json_parse(before->data, before->n, &was, err) < 0 ||
            json_parse(after->data, after->n, &is, err) < 0)
                return -1;
        parent = walk(was, &steps, steps.n - 1);
        wanted = walk(is, &steps, steps.n);
        if (json_is_array(parent))
                (void)json_array_set(parent, strtoul(steps.names[steps.n - 1], NULL, 10), wanted);
        else
                (void)json_object_set(parent, steps.names[steps.n - 1], wanted);
        if (!json_equal(was, is))
                return err_fail(err, ERR_INVALID, 0, "%s: other settings would change with it",
                                before->file);
        return 0;
}

const struct rewrite_kind rewrite_json = {
        .name = "json",
        .key_form = "it is a path such as db.name, with numbers for places in arrays",
        .key_valid = key_valid,
        .find = find,
        .put = put,
        .compare = compare,
};
