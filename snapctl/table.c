/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "snapctl/table.h"
#include "snapctl/text.h"

#define COLUMNS_MAX 32
#define CELL_MAX    4096
#define WIDTH_LEAST 8 /* a column is not cut below it */

/* Which columns are printed, and how wide. */
struct layout {
        const struct column *columns[COLUMNS_MAX];
        unsigned widths[COLUMNS_MAX];
        size_t n;
};

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

/* "a, b" of a list of strings. */
static const char *join(const json_t *list, const char *between, char buf[static CELL_MAX])
{
        size_t at = 0, i;
        json_t *item;

        buf[0] = '\0';
        json_array_foreach((json_t *)list, i, item) {
                const char *text = json_string_value(item);

                if (text == NULL || at >= CELL_MAX - 1)
                        continue;
                (void)snprintf(buf + at, CELL_MAX - at, "%s%s", at > 0 ? between : "", text);
                at = strlen(buf);
        }
        return buf;
}

/* What machines get: numbers and times as they came, "" for null. */
static const char *machine_text(const json_t *value, char buf[static CELL_MAX])
{
        buf[0] = '\0';
        if (json_is_string(value))
                return json_string_value(value);
        if (json_is_integer(value))
                (void)snprintf(buf, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
                (void)snprintf(buf, CELL_MAX, "%g", json_real_value(value));
        else if (json_is_boolean(value))
                (void)snprintf(buf, CELL_MAX, "%s", json_is_true(value) ? "true" : "false");
        else if (json_is_array(value))
                return join(value, ",", buf);
        return buf;
}

static const char *time_text(const char *iso, const struct look *look, char buf[static CELL_MAX])
{
        char text[TEXT_TIME_MAX > CLOCK_ISO_MAX ? TEXT_TIME_MAX : CLOCK_ISO_MAX];
        int64_t usec;

        if (iso == NULL || !text_parse_time(iso, &usec))
                return iso == NULL ? "" : iso;
        if (look->term.terminal && !look->utc && !look->verbose)
                text_ago(usec, clock_wall_usec(), text);
        else
                clock_iso(usec, look->utc, text);
        (void)snprintf(buf, CELL_MAX, "%s", text);
        return buf;
}

/* What people get; still with what strangers put in. */
static const char *human_text(const struct column *column, const json_t *row,
                              const struct look *look, char buf[static CELL_MAX])
{
        const json_t *value = json_object_get(row, column->key);

        switch (column->cell) {
        case CELL_BYTES:
                if (!json_is_integer(value))
                        return "-";
                text_size(json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0,
                          buf);
                return buf;
        case CELL_TIME:
                return time_text(json_string_value(value), look, buf);
        case CELL_LIST:
                return join(value, ", ", buf);
        case CELL_BOOL:
                return json_is_true(value) ? "yes" : "no";
        case CELL_NUMBER:
        case CELL_TEXT:
                break;
        }
        return machine_text(value, buf);
}

static bool right_aligned(const struct column *column)
{
        return column->cell == CELL_NUMBER || column->cell == CELL_BYTES;
}

/* Make columns as wide as their widest cell, then cut flexible ones until all fit. */
static void measure(const struct table *table, const json_t *rows, const struct look *look,
                    struct layout *layout)
{
        unsigned sum = table->look != NULL ? 2 : 0;
        char buf[CELL_MAX];
        const json_t *row;
        size_t i;

        for (size_t c = 0; c < layout->n; c++) {
                unsigned width = look->no_headers ? 0 : text_width(layout->columns[c]->title);

                json_array_foreach((json_t *)rows, i, row) {
                        unsigned cell = text_width(human_text(layout->columns[c], row, look, buf));

                        width = cell > width ? cell : width;
                }
                layout->widths[c] = width;
                sum += width + (c > 0 ? 2 : 0);
        }
        for (size_t c = layout->n; c-- > 0 && sum > look->term.width;) {
                unsigned over = sum - look->term.width, width = layout->widths[c], cut;

                if ((layout->columns[c]->flags & COLUMN_FLEXIBLE) == 0 || width <= WIDTH_LEAST)
                        continue;
                cut = width - WIDTH_LEAST < over ? width - WIDTH_LEAST : over;
                layout->widths[c] -= cut;
                sum -= cut;
        }
}

/* Print a cell.  ${owed} is how many blanks belong before it: they are printed only when more
 * text follows, so that no line ends in blanks. */
static void put_cell(const char *text, unsigned width, bool right, unsigned *owed,
                     const struct look *look)
{
        FILE *out = look->term.stream;
        unsigned full = text_width(text);
        unsigned pad = full < width ? width - full : 0;

        *owed += right ? pad : 0;
        if (full > 0 && width > 0) {
                (void)fprintf(out, "%*s", (int)*owed, "");
                *owed = 0;
        }
        if (full <= width) {
                (void)text_put(out, text, width);
        } else if (width > 0) {
                pad = width - 1 - text_put(out, text, width - 1);
                (void)fputs(look->term.utf8 ? "\u2026" : "~", out);
        }
        *owed += right ? 0 : pad;
}

static void put_row(const struct table *table, const json_t *row, const struct look *look,
                    const struct layout *layout)
{
        struct row_look row_look = { ' ', COLOUR_NONE };
        FILE *out = look->term.stream;
        unsigned owed = 0;
        char buf[CELL_MAX];

        if (table->look != NULL) {
                row_look = table->look(row);
                if (row_look.colour != COLOUR_NONE)
                        (void)fputs(term_colour(&look->term, row_look.colour), out);
                (void)fprintf(out, "%c ", row_look.mark);
        }
        for (size_t c = 0; c < layout->n; c++) {
                const struct column *column = layout->columns[c];

                put_cell(human_text(column, row, look, buf), layout->widths[c],
                         right_aligned(column), &owed, look);
                owed += 2;
        }
        if (row_look.colour != COLOUR_NONE)
                (void)fputs(term_colour(&look->term, COLOUR_NONE), out);
        (void)fputc('\n', out);
}

static void print_table(const struct table *table, const json_t *rows, const struct look *look,
                        struct layout *layout)
{
        FILE *out = look->term.stream;
        const json_t *row;
        unsigned owed = 0;
        size_t i;

        if (json_array_size(rows) == 0) {
                if (table->empty != NULL && !look->no_headers)
                        (void)fprintf(out, "%s\n", table->empty);
                return;
        }
        measure(table, rows, look, layout);
        if (!look->no_headers) {
                (void)fprintf(out, "%s%s", term_colour(&look->term, COLOUR_BOLD),
                              table->look != NULL ? "  " : "");
                for (size_t c = 0; c < layout->n; c++) {
                        put_cell(layout->columns[c]->title, layout->widths[c],
                                 right_aligned(layout->columns[c]), &owed, look);
                        owed += 2;
                }
                (void)fprintf(out, "%s\n", term_colour(&look->term, COLOUR_NONE));
        }
        json_array_foreach((json_t *)rows, i, row)
                put_row(table, row, look, layout);
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
                const json_t *value = json_object_get(row, layout->columns[c]->key);

                if (c > 0)
                        (void)fputc(',', look->term.stream);
                put_csv(machine_text(value, buf), &look->term);
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
                json_t *value = json_object_get(row, layout->columns[c]->key);

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
        json_array_foreach((json_t *)rows, i, row)
                if (json_array_append_new(list, chosen_members(row, layout)) < 0)
                        return err_oom(err);
        return json_print(copy, &look->term, err);
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
        if (look->format == FORMAT_JSON)
                return print_json(table, answer, rows, look, &layout, err);
        if (look->format == FORMAT_CSV) {
                put_csv_header(look, &layout);
                json_array_foreach((json_t *)rows, i, row)
                        put_csv_row(row, look, &layout);
                return 0;
        }
        print_table(table, rows, look, &layout);
        return 0;
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
                const char *text = human_text(layout.columns[c], object, look, buf);

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
