/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "snapd/rewrite_php.h"

#define TOKENS_MAX 200000

/* Longest first. */
static const char *const marks[] = {
        "<=>", "**=", "...", "<<=", ">>=", "===", "!==", "?\?=", "?->", "=>", "->", "::",
        "==",  "!=",  "<>",  "<=",  ">=",  "&&",  "||",  "??",   "++",  "--", "+=", "-=",
        "*=",  "/=",  ".=",  "%=",  "&=",  "|=",  "^=",  "<<",   ">>",  "**",
};

/* Where the tokenizer is. */
struct cursor {
        const char *data;
        size_t at, n;
};

/* Keywords and tags are of any case. */
static bool starts(const struct cursor *c, const char *what)
{
        size_t n = strlen(what);

        return c->n - c->at >= n && strncasecmp(c->data + c->at, what, n) == 0;
}

static bool name_byte(char c)
{
        /* Bytes from 0x80 are letters in PHP. */
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || (unsigned char)c >= 0x80;
}

static bool digit(char c)
{
        return c >= '0' && c <= '9';
}

/* "$1" is no variable: of a name's bytes a digit is not the first. */
static bool name_first(char c)
{
        return name_byte(c) && !digit(c);
}

static bool blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* Skip text outside of PHP.  <? alone is code only with short_open_tag, which nobody can tell. */
static void skip_html(struct cursor *c)
{
        for (; c->at < c->n; c->at++) {
                if (starts(c, "<?=")) {
                        c->at += 3;
                        return;
                }
                if (starts(c, "<?php") && (c->at + 5 == c->n || blank(c->data[c->at + 5]))) {
                        c->at += 5;
                        return;
                }
        }
}

/* Skip blanks and comments; -1: a comment does not end. */
static int skip_blank(struct cursor *c)
{
        while (c->at < c->n) {
                if (blank(c->data[c->at])) {
                        c->at++;
                } else if (starts(c, "/*")) {
                        const char *end = memmem(c->data + c->at + 2, c->n - c->at - 2, "*/", 2);

                        if (end == NULL)
                                return -1;
                        c->at = (size_t)(end - c->data) + 2;
                } else if (starts(c, "//") || (starts(c, "#") && !starts(c, "#["))) {
                        /* Such a comment ends with its line or with the code. */
                        while (c->at < c->n && c->data[c->at] != '\n' && c->data[c->at] != '\r' &&
                               !starts(c, "?>"))
                                c->at++;
                } else {
                        break;
                }
        }
        return 0;
}

/* From an opening quote to behind the closing one.  In double quotes a $ before a name, and {$,
 * fill something in. */
static int scan_quotes(struct cursor *c, struct php_token *token)
{
        char quote = c->data[c->at++];

        token->type = quote == '`' ? PHP_TEMPLATE : PHP_STRING;
        for (; c->at < c->n; c->at++) {
                char now = c->data[c->at], next = c->at + 1 < c->n ? c->data[c->at + 1] : '\0';

                if (now == quote) {
                        c->at++;
                        return 0;
                }
                if (now == '\\')
                        c->at++;
                else if (quote == '"' && ((now == '$' && (name_first(next) || next == '{')) ||
                                          (now == '{' && next == '$')))
                        token->type = PHP_TEMPLATE;
        }
        return -1;
}

/* <<<NAME, <<<'NAME' or <<<"NAME", up to a line that begins, after blanks, with NAME. */
static int scan_heredoc(struct cursor *c, struct php_token *token)
{
        size_t name_at, name_n;
        char quote = '\0';

        token->type = PHP_TEMPLATE;
        c->at += 3;
        while (c->at < c->n && (c->data[c->at] == ' ' || c->data[c->at] == '\t'))
                c->at++;
        if (c->at < c->n && (c->data[c->at] == '\'' || c->data[c->at] == '"'))
                quote = c->data[c->at++];
        name_at = c->at;
        while (c->at < c->n && name_byte(c->data[c->at]))
                c->at++;
        name_n = c->at - name_at;
        if (name_n == 0 || (quote != '\0' && (c->at == c->n || c->data[c->at] != quote)))
                return -1;
        for (;;) {
                const char *line = memchr(c->data + c->at, '\n', c->n - c->at);

                if (line == NULL)
                        return -1;
                c->at = (size_t)(line - c->data) + 1;
                while (c->at < c->n && (c->data[c->at] == ' ' || c->data[c->at] == '\t'))
                        c->at++;
                if (c->n - c->at >= name_n &&
                    memcmp(c->data + c->at, c->data + name_at, name_n) == 0 &&
                    (c->n - c->at == name_n || !name_byte(c->data[c->at + name_n]))) {
                        c->at += name_n;
                        return 0;
                }
        }
}

/* The longest operator that stands here, or one byte. */
static void scan_mark(struct cursor *c)
{
        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
                if (starts(c, marks[i])) {
                        c->at += strlen(marks[i]);
                        return;
                }
        c->at++;
}

/* A word may be qualified; a variable is $ and a name; a number is all that hangs together. */
static void scan_name(struct cursor *c, struct php_token *token)
{
        char first = c->data[c->at];

        if (first == '$')
                c->at++;
        token->type = first == '$' ? PHP_VARIABLE : digit(first) ? PHP_NUMBER : PHP_WORD;
        while (c->at < c->n &&
               (name_byte(c->data[c->at]) || (token->type == PHP_WORD && c->data[c->at] == '\\') ||
                (token->type == PHP_NUMBER && c->data[c->at] == '.')))
                c->at++;
}

/* One token; the cursor stands on its first byte. */
static int scan(struct cursor *c, struct php_token *token)
{
        char first = c->data[c->at], next = c->at + 1 < c->n ? c->data[c->at + 1] : '\0';
        int r = 0;

        token->at = c->at;
        token->type = PHP_MARK;
        if (starts(c, "?>")) {
                token->type = PHP_CLOSE;
                c->at += 2;
        } else if (first == '\'' || first == '"' || first == '`') {
                r = scan_quotes(c, token);
        } else if (starts(c, "<<<")) {
                r = scan_heredoc(c, token);
        } else if (name_byte(first) || (first == '$' && name_first(next)) ||
                   (first == '\\' && name_first(next))) {
                scan_name(c, token);
        } else {
                scan_mark(c);
        }
        token->n = c->at - token->at;
        return r;
}

/* A limit on tokens, not on nesting: nothing here recurses. */
int php_open(const struct rewrite_text *text, struct php *php, struct err *err)
{
        struct cursor c = { text->data, 0, text->n };
        size_t room = 0;

        memset(php, 0, sizeof(*php));
        php->text = text;
        skip_html(&c);
        for (;;) {
                struct php_token *token;

                if (php->n == room) {
                        struct php_token *more;

                        room = room == 0 ? 256 : room * 2;
                        if (room > TOKENS_MAX * 2)
                                return rewrite_fail(err, text, c.at, ERR_INVALID,
                                                    "more code than a configuration file has");
                        more = realloc(php->tokens, room * sizeof(more[0]));
                        if (more == NULL)
                                return err_oom(err);
                        php->tokens = more;
                }
                token = &php->tokens[php->n];
                if (skip_blank(&c) < 0)
                        return rewrite_fail(err, text, c.at, ERR_INVALID,
                                            "a comment begins here and does not end");
                *token = (struct php_token){ PHP_END, c.at, 0 };
                if (c.at < c.n && scan(&c, token) < 0)
                        return rewrite_fail(err, text, token->at, ERR_INVALID,
                                            "a string begins here and does not end");
                php->n++;
                if (token->type == PHP_END)
                        return 0;
                /* Nothing behind this is code. */
                if (php_is_word(php, php->n - 1, "__halt_compiler"))
                        c.at = c.n;
                if (token->type == PHP_CLOSE)
                        skip_html(&c);
        }
}

void php_done(struct php *php)
{
        free(php->tokens);
        php->tokens = NULL;
}

bool php_is(const struct php *php, size_t i, enum php_type type, const char *text)
{
        return i < php->n && php->tokens[i].type == type && php->tokens[i].n == strlen(text) &&
               memcmp(php->text->data + php->tokens[i].at, text, php->tokens[i].n) == 0;
}

bool php_is_word(const struct php *php, size_t i, const char *word)
{
        const char *data;
        size_t n;

        if (i >= php->n || php->tokens[i].type != PHP_WORD)
                return false;
        data = php->text->data + php->tokens[i].at;
        n = php->tokens[i].n;
        /* \define is define. */
        if (data[0] == '\\') {
                data++;
                n--;
        }
        return n == strlen(word) && strncasecmp(data, word, n) == 0;
}

/* \u{...} in double quotes. */
static size_t put_utf8(unsigned long code, char *out)
{
        if (code < 0x80) {
                out[0] = (char)code;
                return 1;
        }
        if (code < 0x800) {
                out[0] = (char)(0xc0 | (code >> 6));
                out[1] = (char)(0x80 | (code & 0x3f));
                return 2;
        }
        if (code < 0x10000) {
                out[0] = (char)(0xe0 | (code >> 12));
                out[1] = (char)(0x80 | ((code >> 6) & 0x3f));
                out[2] = (char)(0x80 | (code & 0x3f));
                return 3;
        }
        out[0] = (char)(0xf0 | ((code >> 18) & 0x07));
        out[1] = (char)(0x80 | ((code >> 12) & 0x3f));
        out[2] = (char)(0x80 | ((code >> 6) & 0x3f));
        out[3] = (char)(0x80 | (code & 0x3f));
        return 4;
}

/* The digits after \, \x or \u{ ; no more than ${most} of the base. */
static unsigned long digits(const char **at, const char *end, int base, int most)
{
        static const char all[] = "0123456789abcdef";
        unsigned long code = 0;

        for (; *at < end && most > 0; (*at)++, most--) {
                int low = **at >= 'A' && **at <= 'F' ? **at - 'A' + 'a' : **at;
                const char *place = low == '\0' ? NULL : strchr(all, low);

                if (place == NULL || place - all >= base)
                        break;
                code = code * (unsigned)base + (unsigned long)(place - all);
        }
        return code;
}

/* An escape of double quotes; *at stands behind the backslash. */
static size_t unescape(const char **at, const char *end, char *out)
{
        static const char from[] = "nrtvef\\$\"", to[] = "\n\r\t\v\033\f\\$\"";
        const char *place = strchr(from, **at);

        if (**at != '\0' && place != NULL) {
                out[0] = to[place - from];
                (*at)++;
                return 1;
        }
        if (**at >= '0' && **at <= '7') {
                out[0] = (char)digits(at, end, 8, 3);
                return 1;
        }
        if (**at == 'x' && *at + 1 < end && strchr("0123456789abcdefABCDEF", (*at)[1]) != NULL) {
                (*at)++;
                out[0] = (char)digits(at, end, 16, 2);
                return 1;
        }
        if (**at == 'u' && *at + 1 < end && (*at)[1] == '{') {
                unsigned long code;

                *at += 2;
                code = digits(at, end, 16, 6);
                if (*at < end && **at == '}')
                        (*at)++;
                return put_utf8(code, out);
        }
        out[0] = '\\';
        return 1;
}

char *php_string(const struct php *php, size_t i)
{
        const struct php_token *token = &php->tokens[i];
        const char *at = php->text->data + token->at, *end = at + token->n;
        CLEANUP(freep) char *out = malloc(token->n + 8);
        size_t n = 0;

        if (out == NULL || (token->type != PHP_STRING && token->type != PHP_NUMBER))
                return NULL;
        if (token->type == PHP_NUMBER) {
                memcpy(out, at, token->n);
                out[token->n] = '\0';
                return STEAL(out);
        }
        end--;
        for (char quote = *at++; at < end;) {
                if (*at != '\\') {
                        out[n++] = *at++;
                } else if (quote == '"') {
                        at++;
                        n += unescape(&at, end, out + n);
                } else {
                        /* In single quotes only \\ and \' are escapes. */
                        if (at[1] == '\\' || at[1] == '\'')
                                at++;
                        out[n++] = *at++;
                }
        }
        out[n] = '\0';
        return STEAL(out);
}

/* By meaning: a key can be written in either quotes. */
bool php_string_is(const struct php *php, size_t i, const char *text)
{
        CLEANUP(freep) char *value = NULL;

        if (i >= php->n || php->tokens[i].type != PHP_STRING)
                return false;
        value = php_string(php, i);
        return value != NULL && strcmp(value, text) == 0;
}

size_t php_skip(const struct php *php, size_t i)
{
        unsigned depth = 0;

        for (; php->tokens[i].type != PHP_END && php->tokens[i].type != PHP_CLOSE; i++) {
                char c = php->text->data[php->tokens[i].at];

                if (php->tokens[i].type != PHP_MARK)
                        continue;
                if (depth == 0 && (c == ',' || c == ';' || php_is(php, i, PHP_MARK, "=>")))
                        break;
                if (c == '(' || c == '[' || c == '{')
                        depth++;
                if (c != ')' && c != ']' && c != '}')
                        continue;
                if (depth == 0)
                        break;
                depth--;
        }
        return i;
}

int php_take(const struct php *php, size_t first, size_t end, struct rewrite_found *found,
             unsigned *n_found, struct err *err)
{
        const struct php_token *a = &php->tokens[first], *b;

        if (end == first)
                return rewrite_fail(err, php->text, a->at, ERR_INVALID, "there is no value");
        b = &php->tokens[end - 1];
        if (rewrite_take(php->text, found, n_found, a->at, b->at + b->n - a->at, err) < 0)
                return -1;
        if (end == first + 1) {
                found->value = php_string(php, first);
                found->number = found->value != NULL && a->type == PHP_NUMBER;
        }
        return 0;
}

/* Single quotes, in which nothing but a backslash and a quote means anything. */
int php_put(const struct rewrite_found *found, const char *value, char *out, struct err *err)
{
        (void)err;
        if (found->number && rewrite_number(value))
                (void)snprintf(out, REWRITE_LITERAL_MAX, "%s", value);
        else
                rewrite_escape(value, "\\'", '\'', out);
        return 0;
}
