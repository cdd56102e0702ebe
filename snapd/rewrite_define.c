/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "snapd/rewrite_php.h"

/* Constants: define('NAME', value) and const NAME = value. */

/* A constant may stand in a namespace. */
static bool key_valid(const char *key)
{
        for (; *key != '\0'; key++)
                if (!((*key >= 'a' && *key <= 'z') || (*key >= 'A' && *key <= 'Z') ||
                      (*key >= '0' && *key <= '9') || *key == '_' || *key == '\\'))
                        return false;
        return true;
}

/* define as the function, not a method or a declaration of that name. */
static bool is_call(const struct php *php, size_t i)
{
        static const char *const before[] = { "->", "?->", "::" };

        if (!php_is_word(php, i, "define") || !php_is(php, i + 1, PHP_MARK, "("))
                return false;
        for (size_t b = 0; i > 0 && b < sizeof(before) / sizeof(before[0]); b++)
                if (php_is(php, i - 1, PHP_MARK, before[b]))
                        return false;
        return i == 0 || !(php_is_word(php, i - 1, "function") || php_is_word(php, i - 1, "new"));
}

/* The value's first token and the one behind it; false when token i begins no such constant. */
static bool at_constant(const struct php *php, size_t i, const char *key, unsigned braces,
                        size_t *first, size_t *end)
{
        if (is_call(php, i) && php_string_is(php, i + 2, key) &&
            php_is(php, i + 3, PHP_MARK, ",")) {
                *first = i + 4;
                *end = php_skip(php, *first);
                return php_is(php, *end, PHP_MARK, ")") || php_is(php, *end, PHP_MARK, ",");
        }
        /* Inside braces it is a class's. */
        if (braces == 0 && php_is_word(php, i, "const") && php_is(php, i + 1, PHP_WORD, key) &&
            php_is(php, i + 2, PHP_MARK, "=")) {
                *first = i + 3;
                *end = php_skip(php, *first);
                return php_is(php, *end, PHP_MARK, ";");
        }
        return false;
}

/* All of them, as a second definition has to be found. */
static int find_in(const struct php *php, const char *key, struct rewrite_found *ret,
                   struct err *err)
{
        unsigned n_found = 0, braces = 0;
        size_t first, end;

        for (size_t i = 0; i < php->n; i++) {
                if (php_is(php, i, PHP_MARK, "{"))
                        braces++;
                if (php_is(php, i, PHP_MARK, "}") && braces > 0)
                        braces--;
                if (at_constant(php, i, key, braces, &first, &end) &&
                    php_take(php, first, end, ret, &n_found, err) < 0)
                        return -1;
        }
        if (n_found == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "%s: no constant '%s' is defined there",
                                php->text->file, key);
        return 0;
}

static int find(const struct rewrite_text *text, const char *key, struct rewrite_found *ret,
                struct err *err)
{
        CLEANUP(php_done) struct php php = { 0 };

        if (php_open(text, &php, err) < 0)
                return -1;
        return find_in(&php, key, ret, err);
}

const struct rewrite_kind rewrite_php_define = {
        .name = "php-define",
        .key_form = "it is the name of a constant, such as DB_NAME",
        .key_valid = key_valid,
        .find = find,
        .put = php_put,
};
