/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "dbdump/identifier.h"
#include "snapd/lost_text.h"

#define NAME_BYTES 1024

static const char *const change_words[] = {
        [DB_ROW_INSERTED] = "inserted",
        [DB_ROW_CHANGED] = "changed",
        [DB_ROW_DELETED] = "deleted",
};

static const struct identifier_dialect *dialect_of(const char *engine)
{
        return strcmp(engine, "mariadb") == 0    ? &identifier_mariadb
               : strcmp(engine, "postgres") == 0 ? &identifier_postgres
                                                 : &identifier_sqlite;
}

/* Can it stand between quotes and mean itself, on every engine and in every mode of it? */
static bool is_plain(const struct db_value *value)
{
        for (size_t i = 0; i < value->size; i++) {
                unsigned char c = (unsigned char)value->bytes[i];

                if (c == '\\' || c == 0x7f || (c < 0x20 && c != '\n' && c != '\t'))
                        return false;
        }
        return true;
}

/* Bytes above 0x7f that make no UTF-8 would end in an error or as other characters. */
static bool is_utf8(const struct db_value *value)
{
        const unsigned char *at = (const unsigned char *)value->bytes, *end = at + value->size;

        while (at < end) {
                int more = *at < 0x80                  ? 0
                           : *at >= 0xc2 && *at < 0xe0 ? 1
                           : *at >= 0xe0 && *at < 0xf0 ? 2
                           : *at >= 0xf0 && *at < 0xf5 ? 3
                                                       : -1;

                if (more < 0 || end - at <= more)
                        return false;
                for (at++; more > 0; more--, at++)
                        if ((*at & 0xc0) != 0x80)
                                return false;
        }
        return true;
}

static void put_hex(FILE *out, const struct db_value *value)
{
        for (size_t i = 0; i < value->size; i++)
                (void)fprintf(out, "%02x", (unsigned char)value->bytes[i]);
}

static void put_quoted(FILE *out, const struct db_value *value, bool backslashes)
{
        (void)fputc('\'', out);
        for (size_t i = 0; i < value->size; i++) {
                if (value->bytes[i] == '\'' || (backslashes && value->bytes[i] == '\\'))
                        (void)fputc(value->bytes[i], out);
                (void)fputc(value->bytes[i], out);
        }
        (void)fputc('\'', out);
}

static void put_literal(FILE *out, const struct identifier_dialect *dialect,
                        const struct db_value *value)
{
        if (value->bytes == NULL) {
                (void)fputs("NULL", out);
        } else if (is_plain(value) && is_utf8(value)) {
                put_quoted(out, value, false);
        } else if (dialect == &identifier_postgres && is_utf8(value)) {
                (void)fputc('E', out);
                put_quoted(out, value, true);
        } else if (dialect == &identifier_postgres) {
                (void)fputs("decode('", out);
                put_hex(out, value);
                (void)fputs("', 'hex')", out);
        } else if (dialect == &identifier_sqlite && is_utf8(value)) {
                (void)fputs("CAST(X'", out);
                put_hex(out, value);
                (void)fputs("' AS TEXT)", out);
        } else {
                (void)fputs("X'", out);
                put_hex(out, value);
                (void)fputs("'", out);
        }
}

static int put_name(FILE *out, const struct identifier_dialect *dialect, const char *name,
                    struct err *err)
{
        char quoted[NAME_BYTES];

        if (identifier_quote(dialect, name, quoted, sizeof(quoted), err) < 0)
                return -1;
        (void)fputs(quoted, out);
        return 0;
}

/* "a = 1 AND b IS NULL": by the key, or by everything where there is none. */
static int put_where(FILE *out, const struct identifier_dialect *dialect,
                     const struct db_row_change *row, struct err *err)
{
        size_t n = row->n_key > 0 && !row->whole ? row->n_key : row->n_columns;

        (void)fputs(" WHERE ", out);
        for (size_t i = 0; i < n; i++) {
                (void)fputs(i == 0 ? "" : " AND ", out);
                if (put_name(out, dialect, row->columns[i], err) < 0)
                        return -1;
                (void)fputs(row->from[i].bytes == NULL ? " IS " : " = ", out);
                put_literal(out, dialect, &row->from[i]);
        }
        return 0;
}

static int put_insert(FILE *out, const struct identifier_dialect *dialect,
                      const struct db_row_change *row, struct err *err)
{
        (void)fputs(" (", out);
        for (size_t i = 0; i < row->n_columns; i++) {
                (void)fputs(i == 0 ? "" : ", ", out);
                if (put_name(out, dialect, row->columns[i], err) < 0)
                        return -1;
        }
        (void)fputs(") VALUES (", out);
        for (size_t i = 0; i < row->n_columns; i++) {
                (void)fputs(i == 0 ? "" : ", ", out);
                put_literal(out, dialect, &row->to[i]);
        }
        (void)fputc(')', out);
        return 0;
}

static bool value_same(const struct db_value *a, const struct db_value *b)
{
        if (a->bytes == NULL || b->bytes == NULL)
                return a->bytes == b->bytes;
        return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static int put_update(FILE *out, const struct identifier_dialect *dialect,
                      const struct db_row_change *row, struct err *err)
{
        const char *between = " SET ";

        for (size_t i = row->n_key; i < row->n_columns; i++) {
                if (value_same(&row->from[i], &row->to[i]))
                        continue;
                (void)fputs(between, out);
                if (put_name(out, dialect, row->columns[i], err) < 0)
                        return -1;
                (void)fputs(" = ", out);
                put_literal(out, dialect, &row->to[i]);
                between = ", ";
        }
        return 0;
}

int lost_text_sql(FILE *out, const char *engine, const struct db_row_change *row, struct err *err)
{
        static const char *const begin[] = {
                [DB_ROW_INSERTED] = "INSERT INTO ",
                [DB_ROW_CHANGED] = "UPDATE ",
                [DB_ROW_DELETED] = "DELETE FROM ",
        };
        const struct identifier_dialect *dialect = dialect_of(engine);

        (void)fputs(begin[row->change], out);
        if (put_name(out, dialect, row->table, err) < 0 ||
            (row->change == DB_ROW_INSERTED && put_insert(out, dialect, row, err) < 0) ||
            (row->change == DB_ROW_CHANGED && put_update(out, dialect, row, err) < 0) ||
            (row->change != DB_ROW_INSERTED && put_where(out, dialect, row, err) < 0))
                return -1;
        (void)fputs(";\n", out);
        return 0;
}

static void put_field(FILE *out, const char *bytes, size_t n)
{
        (void)fputc('"', out);
        for (size_t i = 0; i < n; i++) {
                if (bytes[i] == '"')
                        (void)fputc('"', out);
                (void)fputc(bytes[i] == '\0' ? ' ' : bytes[i], out);
        }
        (void)fputc('"', out);
}

/* NULL is an empty field without quotes, which an empty text is not. */
static void put_value(FILE *out, const struct db_value *values, size_t i)
{
        (void)fputc(',', out);
        if (values == NULL || values[i].bytes == NULL)
                return;
        if (is_utf8(&values[i])) {
                put_field(out, values[i].bytes, values[i].size);
                return;
        }
        (void)fputs("\"0x", out);
        put_hex(out, &values[i]);
        (void)fputc('"', out);
}

void lost_text_csv_head(FILE *out)
{
        (void)fputs("table,change,key,column,from,to\r\n", out);
}

void lost_text_csv(FILE *out, const struct db_row_change *row)
{
        const struct db_value *has = row->from != NULL ? row->from : row->to;

        for (size_t i = 0; i < row->n_columns; i++) {
                if (row->change == DB_ROW_CHANGED && value_same(&row->from[i], &row->to[i]))
                        continue;
                put_field(out, row->table, strlen(row->table));
                (void)fprintf(out, ",%s,\"", change_words[row->change]);
                for (size_t k = 0; k < row->n_key; k++)
                        for (size_t c = 0; has[k].bytes != NULL && c <= has[k].size; c++) {
                                char byte = c < has[k].size ? has[k].bytes[c] : ' ';

                                if (c == has[k].size && k + 1 == row->n_key)
                                        break;
                                if (byte == '"')
                                        (void)fputc('"', out);
                                (void)fputc(byte == '\0' ? ' ' : byte, out);
                        }
                (void)fputs("\",", out);
                put_field(out, row->columns[i], strlen(row->columns[i]));
                put_value(out, row->from, i);
                put_value(out, row->to, i);
                (void)fputs("\r\n", out);
        }
}
