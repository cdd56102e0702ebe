/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "snapd/rewrite_php.h"

/*
 * Variables: $name = value, and places in them, whichever of the steps to the place stand left of
 * the = and whichever in nested array literals right of it.
 */

#define STEPS_MAX 16
#define KEY_MAX   512

/* "databases.default['a.b']->c" in pieces: the variable and the steps from it. */
struct place {
        char text[KEY_MAX + 8];
        char variable[KEY_MAX + 8]; /* with its $; empty for "return" */
        const char *steps[STEPS_MAX];
        size_t n;
};

/* A step without brackets; longer names go in brackets and quotes. */
static size_t name_length(const char *at)
{
        return strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
}

/* One step; the bytes of the place's own text become its string. */
static char *parse_step(struct place *place, char *at)
{
        char *end;

        if (place->n == STEPS_MAX)
                return NULL;
        if (at[0] == '[') {
                bool quoted = at[1] == '\'' || at[1] == '"';
                char *close = quoted ? strchr(at + 2, at[1]) : strchr(at, ']');

                if (close == NULL || close == at + 1 + quoted || (quoted && close[1] != ']'))
                        return NULL;
                place->steps[place->n++] = at + 1 + quoted;
                *close = '\0';
                return close + 1 + quoted;
        }
        if (at[0] == '-' && at[1] == '>')
                *at++ = '\0'; /* ends the step before */
        else if (at[0] != '.')
                return NULL;
        *at++ = '\0';
        end = at + name_length(at);
        if (end[0] == '>' && end > at && end[-1] == '-')
                end--;
        place->steps[place->n++] = at;
        return end > at ? end : NULL;
}

/* The variable ends at the first step; "return" without a $ stands for the file's own value. */
static bool parse_place(const char *key, struct place *place)
{
        char *at = place->text;
        size_t n;

        place->n = 0;
        (void)snprintf(place->text, sizeof(place->text), "%s", key + (key[0] == '$'));
        n = strcspn(at, ".-[");
        if (n == 0 ||
            n != strspn(at, "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789") ||
            (at[0] >= '0' && at[0] <= '9'))
                return false;
        (void)snprintf(place->variable, sizeof(place->variable), "$%.*s", (int)n, at);
        at += n;
        while (at != NULL && *at != '\0')
                at = parse_step(place, at);
        if (strcmp(place->variable, "$return") == 0 && key[0] != '$')
                place->variable[0] = '\0';
        return at != NULL;
}

static bool key_valid(const char *key)
{
        struct place place;

        return strlen(key) <= KEY_MAX && parse_place(key, &place);
}

/* ['step'], [STEP], [0]: does token i, a string, a constant or a number, say this step? */
static bool says(const struct php *php, size_t i, const char *step)
{
        return php_string_is(php, i, step) || php_is(php, i, PHP_WORD, step) ||
               php_is(php, i, PHP_NUMBER, step);
}

/* Follow the steps that stand behind a variable; the token after them. */
static size_t follow(const struct php *php, size_t i, const struct place *place, size_t *step)
{
        for (*step = 0; *step < place->n; ++*step) {
                const char *name = place->steps[*step];

                if (php_is(php, i, PHP_MARK, "[") && says(php, i + 1, name) &&
                    php_is(php, i + 2, PHP_MARK, "]"))
                        i += 3;
                else if ((php_is(php, i, PHP_MARK, "->") || php_is(php, i, PHP_MARK, "::")) &&
                         php_is(php, i + 1, PHP_WORD, name))
                        i += 2;
                else
                        break;
        }
        return i;
}

/* The bracket that closes the one at ${i}. */
static size_t closing(const struct php *php, size_t i)
{
        for (i = php_skip(php, i + 1);
             php_is(php, i, PHP_MARK, ",") || php_is(php, i, PHP_MARK, "=>");
             i = php_skip(php, i + 1))
                continue;
        return i;
}

struct search {
        const struct php *php;
        const struct place *place;
        struct rewrite_found *found;
        unsigned n_found;
};

/* Look for the steps from ${step} on in the value of the tokens first..end, if it is an array
 * literal; anything else holds nothing that can be replaced. */
static int search_literal(struct search *s, size_t first, size_t end, size_t step, struct err *err)
{
        const struct php *php = s->php;
        size_t value;

        if (step == s->place->n)
                return php_take(php, first, end, s->found, &s->n_found, err);
        if (php_is_word(php, first, "array") && php_is(php, first + 1, PHP_MARK, "("))
                first++;
        else if (!php_is(php, first, PHP_MARK, "["))
                return 0;
        /* The bracket has to be the whole value: of [...] + $more nobody knows what is in it. */
        if (end < first + 2 || closing(php, first) != end - 1)
                return 0;
        for (size_t i = first + 1; i < end - 1; i = value + 1) {
                value = php_skip(php, i);
                if (php_is(php, value, PHP_MARK, "=>")) {
                        size_t key = i;

                        i = value + 1;
                        value = php_skip(php, i);
                        if (i == key + 2 && says(php, key, s->place->steps[step]) &&
                            search_literal(s, i, value, step + 1, err) < 0)
                                return -1;
                }
                if (!php_is(php, value, PHP_MARK, ",") && value != end - 1)
                        return 0;
        }
        return 0;
}

/* An assignment to the place, or to something that holds it, whose value begins at first. */
static int take_assignment(struct search *s, size_t first, size_t step, struct err *err)
{
        const struct php *php = s->php;
        size_t end = php_skip(php, first), at = php->tokens[first].at;
        unsigned before = s->n_found, depth = 0;

        if (!php_is(php, end, PHP_MARK, ";") && !php_is(php, end, PHP_MARK, ",") &&
            php->tokens[end].type != PHP_CLOSE)
                return rewrite_fail(err, php->text, at, ERR_INVALID, "this statement has no end");
        for (size_t i = first; step == s->place->n && i < end; i++) {
                char c = php->text->data[php->tokens[i].at];

                if (php->tokens[i].type != PHP_MARK)
                        continue;
                depth += c == '(' || c == '[' || c == '{';
                depth -= c == ')' || c == ']' || c == '}';
                if (depth == 0 && php_is(php, i, PHP_MARK, "="))
                        return rewrite_fail(err, php->text, at, ERR_INVALID,
                                            "more than one thing is set by this statement");
        }
        if (search_literal(s, first, end, step, err) < 0)
                return -1;
        /* $a['x'] = 1; $a = []; leaves nothing of the first. */
        if (before > 0 && s->n_found == before)
                return rewrite_fail(err, php->text, at, ERR_INVALID,
                                    "what line %u sets is replaced here",
                                    rewrite_line(php->text, s->found->at));
        return 0;
}

/* A statement that begins with token i, if it sets the variable or something in it. */
static int search_statement(struct search *s, size_t i, struct err *err)
{
        static const char *const changes[] = { ".=", "?\?=", "+=", "-=", "|=", "&=", "*=", "/=" };
        const struct php *php = s->php;
        size_t step = 0, after;

        if (s->place->variable[0] == '\0')
                return php_is_word(php, i, "return") ? take_assignment(s, i + 1, 0, err) : 0;
        if (!php_is(php, i, PHP_VARIABLE, s->place->variable) ||
            (i > 0 && (php_is(php, i - 1, PHP_MARK, "$") || php_is(php, i - 1, PHP_MARK, "::"))))
                return 0;
        after = follow(php, i + 1, s->place, &step);
        if (php_is(php, after, PHP_MARK, "="))
                return take_assignment(s, after + 1, step, err);
        for (size_t c = 0; c < sizeof(changes) / sizeof(changes[0]); c++)
                if (php_is(php, after, PHP_MARK, changes[c]))
                        return rewrite_fail(err, php->text, php->tokens[i].at, ERR_INVALID,
                                            "it is changed by '%s' here, not just set", changes[c]);
        return 0;
}

static int find(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                struct err *err)
{
        CLEANUP(php_done) struct php php = { 0 };
        struct place place;
        struct search search = { &php, &place, ret, 0 };
        unsigned depth = 0;

        if (!parse_place(key, &place))
                return err_fail(err, ERR_INVALID, 0, "'%s' is no place", key);
        if (php_open(text, &php, err) < 0)
                return -1;
        /* Only what stands in no bracket is a statement: a parameter's default is not. */
        for (size_t i = 0; i < php.n; i++) {
                if (depth == 0 && search_statement(&search, i, err) < 0)
                        return -1;
                if (php_is(&php, i, PHP_MARK, "(") || php_is(&php, i, PHP_MARK, "["))
                        depth++;
                if (depth > 0 && (php_is(&php, i, PHP_MARK, ")") || php_is(&php, i, PHP_MARK, "]")))
                        depth--;
        }
        if (search.n_found == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "%s: '%s' is not set there", text->file,
                                key);
        return 0;
}

const struct rewrite_kind rewrite_php_assign = {
        .name = "php-assign",
        .key_form = "it is a variable and the steps from it, such as wgDBname, CFG->dbname or "
                    "databases.default.default.database",
        .key_valid = key_valid,
        .find = find,
        .put = php_put,
};
