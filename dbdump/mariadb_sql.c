/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/identifier.h"
#include "dbdump/mariadb_sql.h"

#define SIZE_MIN 1024
/* 192 bytes at most, each doubled, and the quotes. */
#define NAME_QUOTED_MAX 512

void mariadb_sql_done(struct mariadb_sql *sql)
{
        free(sql->text);
        *sql = (struct mariadb_sql){ 0 };
}

void mariadb_sql_reset(struct mariadb_sql *sql)
{
        sql->n = 0;
        sql->failed = false;
        if (sql->text != NULL)
                sql->text[0] = '\0';
}

/* Room for n more bytes and a NUL. */
static bool grow(struct mariadb_sql *sql, size_t n)
{
        size_t size = sql->size < SIZE_MIN ? SIZE_MIN : sql->size;
        char *text;

        if (sql->failed)
                return false;
        if (sql->n + n + 1 <= sql->size)
                return true;
        while (size < sql->n + n + 1)
                size += size / 2;
        text = realloc(sql->text, size);
        if (text == NULL) {
                (void)err_oom(&sql->why);
                sql->failed = true;
                return false;
        }
        sql->text = text;
        sql->size = size;
        return true;
}

void mariadb_sql_bytes(struct mariadb_sql *sql, const void *bytes, size_t n)
{
        if (!grow(sql, n))
                return;
        memcpy(sql->text + sql->n, bytes, n);
        sql->n += n;
        sql->text[sql->n] = '\0';
}

/* What has to stand behind a backslash, and as what. */
static const char escaped_as[256] = {
        ['\0'] = '0', ['\n'] = 'n', ['\r'] = 'r', ['\\'] = '\\', ['\''] = '\'', ['\032'] = 'Z',
};
static const bool is_escaped[256] = {
        ['\0'] = true, ['\n'] = true, ['\r'] = true, ['\\'] = true, ['\''] = true, ['\032'] = true,
};

void mariadb_sql_value(struct mariadb_sql *sql, const char *bytes, size_t n)
{
        char *at;

        if (!grow(sql, 2 * n + 2))
                return;
        at = sql->text + sql->n;
        *at++ = '\'';
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)bytes[i];

                if (is_escaped[c]) {
                        *at++ = '\\';
                        *at++ = escaped_as[c];
                } else {
                        *at++ = (char)c;
                }
        }
        *at++ = '\'';
        *at = '\0';
        sql->n = (size_t)(at - sql->text);
}

static void add_identifier(struct mariadb_sql *sql, const char *name)
{
        char quoted[NAME_QUOTED_MAX];

        if (sql->failed)
                return;
        if (identifier_quote(&identifier_mariadb, name, quoted, sizeof(quoted), &sql->why) < 0)
                sql->failed = true;
        else
                mariadb_sql_bytes(sql, quoted, strlen(quoted));
}

static void add_number(struct mariadb_sql *sql, uint64_t number)
{
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRIu64, number);
        mariadb_sql_bytes(sql, text, strlen(text));
}

static void add_literal(struct mariadb_sql *sql, const char *text)
{
        if (text == NULL)
                mariadb_sql_bytes(sql, "NULL", 4);
        else
                mariadb_sql_value(sql, text, strlen(text));
}

void mariadb_sql_vadd(struct mariadb_sql *sql, const char *fmt, va_list ap)
{
        while (*fmt != '\0') {
                size_t plain = strcspn(fmt, "%");
                const char *text;

                mariadb_sql_bytes(sql, fmt, plain);
                fmt += plain;
                if (*fmt == '\0')
                        return;
                switch (fmt[1]) {
                case 'I':
                        add_identifier(sql, va_arg(ap, const char *));
                        break;
                case 'L':
                        add_literal(sql, va_arg(ap, const char *));
                        break;
                case 's':
                        text = va_arg(ap, const char *);
                        mariadb_sql_bytes(sql, text, strlen(text));
                        break;
                case 'u':
                        add_number(sql, va_arg(ap, unsigned));
                        break;
                case 'U':
                        add_number(sql, va_arg(ap, uint64_t));
                        break;
                case '%':
                        mariadb_sql_bytes(sql, "%", 1);
                        break;
                default:
                        abort(); /* our own mistake */
                }
                fmt += 2;
        }
}

void mariadb_sql_add(struct mariadb_sql *sql, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        mariadb_sql_vadd(sql, fmt, ap);
        va_end(ap);
}

void mariadb_sql_shown(const char *text, char shown[static MARIADB_SQL_SHOWN])
{
        size_t n = 0;

        while (*text != '\0' && n < MARIADB_SQL_SHOWN - 4) {
                char quote = *text++;

                shown[n++] = quote;
                if (quote != '\'' && quote != '"')
                        continue;
                /* Where it ends behind a backslash depends on the mode: nothing more is shown. */
                while (*text != '\0' && *text != quote)
                        text += *text == '\\' && text[1] == quote ? strlen(text) : 1;
                text += *text != '\0';
                shown[n++] = '?';
                shown[n++] = quote;
        }
        shown[n] = '\0';
}
