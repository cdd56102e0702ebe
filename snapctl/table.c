/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "snapctl/cell.h"
#include "snapctl/grid.h"
#include "snapctl/table.h"
#include "snapctl/text.h"

static const struct column *column_by_key(const struct table *table, const char *key, size_t n)
{
        for (size_t i = 0; i < table->n_columns; i++)
                if (strlen(table->columns[i].key) == n &&
                    memcmp(table->columns[i].key, key, n) == 0)
                        return &table->columns[i];
        return NULL;
}

static int no_such_column(const struct table *table, const char *key, size_t n, struct err *err)
{
        char known[400] = "";

        for (size_t i = 0; i < table->n_columns; i++) {
                size_t at = strlen(known);

                (void)snprintf(known + at, sizeof(known) - at, "%s%s", i > 0 ? ", " : "",
                               table->columns[i].key);
        }
        return err_fail(err, ERR_INVALID, 0, "no column '%.*s': there are %s", (int)n, key, known);
}

/* The columns of --columns in its order; else the usual ones, or all of them. */
static int choose_columns(const struct table *table, const char *asked, bool all,
                          struct layout *layout, struct err *err)
{
        layout->n = 0;
        for (size_t i = 0; asked == NULL && i < table->n_columns; i++)
                if (all || (table->columns[i].flags & COLUMN_EXTRA) == 0)
                        layout->columns[layout->n++] = &table->columns[i];
        while (asked != NULL) {
                size_t n = strcspn(asked, ",");
                const struct column *column = column_by_key(table, asked, n);

                if (column == NULL)
                        return no_such_column(table, asked, n, err);
                if (layout->n == COLUMNS_MAX)
                        return err_fail(err, ERR_INVALID, 0, "more than %d columns", COLUMNS_MAX);
                layout->columns[layout->n++] = column;
                asked = asked[n] == ',' ? asked + n + 1 : NULL;
        }
        return 0;
}

/* RFC 4180: quotes around what holds a comma, a quote, a line end or outer blanks; a quote inside
 * is doubled.  A terminal gets no control characters, a file gets the text as it is. */
static void put_csv(const char *text, const struct term *term)
{
        size_t n = strlen(text);
        bool quote = strpbrk(text, ",\"\r\n") != NULL ||
                     (n > 0 && (text[0] == ' ' || text[n - 1] == ' '));
        FILE *out = term->stream;

        if (quote)
                (void)fputc('"', out);
        while (*text != '\0') {
                size_t part = quote ? strcspn(text, "\"") : strlen(text);

                if (term->terminal)
                        text_put_lines(out, text, part);
                else
                        (void)fwrite(text, 1, part, out);
                text += part;
                if (*text == '"') {
                        (void)fputs("\"\"", out);
                        text++;
                }
        }
        if (quote)
                (void)fputc('"', out);
}

static void put_csv_row(const json_t *row, const struct look *look, const struct layout *layout)
{
        char buf[CELL_MAX];

        for (size_t c = 0; c < layout->n; c++) {
                const json_t *value = grid_value(layout, row, c);

                if (c > 0)
                        (void)fputc(',', look->term.stream);
                put_csv(cell_machine(value, buf), &look->term);
        }
        (void)fputc('\n', look->term.stream);
}

static void put_csv_header(const struct look *look, const struct layout *layout)
{
        for (size_t c = 0; !look->no_headers && c < layout->n; c++)
                (void)fprintf(look->term.stream, "%s%s", layout->columns[c]->key,
                              c + 1 == layout->n ? "\n" : ",");
}

/* Only the chosen members of an object; a new reference. */
static json_t *chosen_members(const json_t *row, const struct layout *layout)
{
        json_t *chosen = json_object();

        for (size_t c = 0; c < layout->n; c++) {
                json_t *value = (json_t *)grid_value(layout, row, c);

                if (json_object_set_new(chosen, layout->columns[c]->key,
                                        value != NULL ? json_incref(value) : json_null()) < 0) {
                        json_decref(chosen);
                        return NULL;
                }
        }
        return chosen;
}

int json_print(const json_t *json, const struct term *term, struct err *err)
{
        size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY | (term->terminal ? JSON_ENSURE_ASCII : 0);

        if (json_dumpf(json, term->stream, flags) < 0 || fputc('\n', term->stream) == EOF)
                return err_fail(err, ERR_IO, 0, "cannot write the output");
        return 0;
}

/* The whole answer, with its list cut to the chosen columns when some were asked for. */
static int print_json(const struct table *table, const json_t *answer, const json_t *rows,
                      const struct look *look, const struct layout *layout, struct err *err)
{
        CLEANUP(json_decrefp) json_t *copy = NULL;
        json_t *list, *row;
        size_t i;

        if (look->columns == NULL)
                return json_print(answer, &look->term, err);
        copy = json_copy((json_t *)answer);
        list = json_array();
        if (copy == NULL || json_object_set_new(copy, table->member, list) < 0)
                return err_oom(err);
        json_array_foreach ((json_t *)rows, i, row)
                if (json_array_append_new(list, chosen_members(row, layout)) < 0)
                        return err_oom(err);
        return json_print(copy, &look->term, err);
}

/* Where the values are in rows that are lists. */
static void find_values(const struct table *table, const json_t *members, struct layout *layout)
{
        const json_t *name;
        size_t i;

        layout->look_at = SIZE_MAX;
        for (size_t c = 0; c < layout->n; c++)
                layout->at[c] = SIZE_MAX;
        json_array_foreach ((json_t *)members, i, name) {
                const char *key = json_is_string(name) ? json_string_value(name) : "";

                if (table->look_member != NULL && strcmp(key, table->look_member) == 0)
                        layout->look_at = i;
                for (size_t c = 0; c < layout->n; c++)
                        if (strcmp(key, layout->columns[c]->key) == 0)
                                layout->at[c] = i;
        }
}

int table_members(const struct table *table, const struct look *look, const char *also, char *buf,
                  size_t size, struct err *err)
{
        struct layout layout;
        bool there = false;
        size_t n = 0;

        buf[0] = '\0';
        if (choose_columns(table, look->columns, look->verbose || look->format == FORMAT_CSV,
                           &layout, err) < 0)
                return -1;
        if (look->format == FORMAT_JSON && look->columns == NULL)
                return 0;
        for (size_t c = 0; c < layout.n && n < size; c++) {
                n += (size_t)snprintf(buf + n, size - n, "%s%s", n > 0 ? "," : "",
                                      layout.columns[c]->key);
                there |= strcmp(layout.columns[c]->key, also) == 0;
        }
        if (!there && n < size)
                n += (size_t)snprintf(buf + n, size - n, ",%s", also);
        if (n >= size)
                return err_fail(err, ERR_INVALID, 0, "too many columns");
        return 0;
}

int table_print(const struct table *table, const json_t *answer, const struct look *look,
                struct err *err)
{
        const json_t *rows = json_object_get(answer, table->member), *row;
        struct layout layout;
        size_t i;

        if (!json_is_array(rows))
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no list '%s'",
                                table->member);
        if (choose_columns(table, look->columns, look->verbose || look->format == FORMAT_CSV,
                           &layout, err) < 0)
                return -1;
        find_values(table, json_object_get(answer, "members"), &layout);
        if (look->format == FORMAT_JSON)
                return print_json(table, answer, rows, look, &layout, err);
        if (look->format == FORMAT_CSV) {
                put_csv_header(look, &layout);
                json_array_foreach ((json_t *)rows, i, row)
                        put_csv_row(row, look, &layout);
                return 0;
        }
        return grid_print(table, rows, look, &layout, err);
}

int table_print_object(const struct table *table, const json_t *object, const struct look *look,
                       struct err *err)
{
        CLEANUP(json_decrefp) json_t *chosen = NULL;
        unsigned width = 0;
        struct layout layout;
        char buf[CELL_MAX];

        if (choose_columns(table, look->columns, true, &layout, err) < 0)
                return -1;
        if (look->format == FORMAT_JSON && look->columns == NULL)
                return json_print(object, &look->term, err);
        if (look->format == FORMAT_JSON) {
                chosen = chosen_members(object, &layout);
                return chosen != NULL ? json_print(chosen, &look->term, err) : err_oom(err);
        }
        if (look->format == FORMAT_CSV) {
                put_csv_header(look, &layout);
                put_csv_row(object, look, &layout);
                return 0;
        }
        for (size_t c = 0; c < layout.n; c++)
                if (text_width(layout.columns[c]->title) > width)
                        width = text_width(layout.columns[c]->title);
        for (size_t c = 0; c < layout.n; c++) {
                const char *text = cell_human(layout.columns[c]->cell,
                                              grid_value(&layout, object, c), look, buf);

                if (*text == '\0' && look->columns == NULL)
                        continue;
                if (!look->no_headers)
                        (void)fprintf(look->term.stream, "%*s: ", (int)width,
                                      layout.columns[c]->title);
                (void)text_put(look->term.stream, text, UINT_MAX - 1);
                (void)fputc('\n', look->term.stream);
        }
        return 0;
}
