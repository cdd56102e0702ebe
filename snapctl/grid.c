/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "snapctl/cell.h"
#include "snapctl/grid.h"
#include "snapctl/text.h"

#define WIDTH_LEAST 8 /* a column is not cut below it */

const json_t *grid_value(const struct layout *layout, const json_t *row, size_t c)
{
        return json_is_array(row) ? json_array_get(row, layout->at[c])
                                  : json_object_get(row, layout->columns[c]->key);
}

struct row_look grid_look(const struct table *table, const struct layout *layout, const json_t *row)
{
        return table->look(json_is_array(row) ? json_array_get(row, layout->look_at)
                                              : json_object_get(row, table->look_member));
}

/* Every cell's text, made harmless, once: they are measured before the first is printed. */
struct cells {
        char *text;
        size_t n_text;
        size_t *starts; /* in the text; row by row */
        unsigned *widths;
};

static void cells_done(struct cells *cells)
{
        free(cells->text);
        free(cells->starts);
        free(cells->widths);
}

static int cells_make(const json_t *rows, const struct look *look, const struct layout *layout,
                      struct cells *cells, struct err *err)
{
        size_t n = json_array_size(rows) * layout->n, at = 0, i;
        FILE *out = open_memstream(&cells->text, &cells->n_text);
        char buf[CELL_MAX];
        const json_t *row;

        cells->starts = calloc(n + 1, sizeof(*cells->starts));
        cells->widths = calloc(n + 1, sizeof(*cells->widths));
        if (out == NULL || cells->starts == NULL || cells->widths == NULL) {
                if (out != NULL)
                        (void)fclose(out);
                return err_oom(err);
        }
        json_array_foreach ((json_t *)rows, i, row)
                for (size_t c = 0; c < layout->n; c++, at++) {
                        const char *text = cell_human(layout->columns[c]->cell,
                                                      grid_value(layout, row, c), look, buf);

                        cells->starts[at] = (size_t)ftello(out);
                        cells->widths[at] = text_put(out, text, UINT_MAX - 1);
                        (void)fputc('\0', out);
                }
        return fclose(out) == EOF ? err_oom(err) : 0;
}

static bool right_aligned(const struct column *column)
{
        return column->cell == CELL_NUMBER || column->cell == CELL_BYTES;
}

/* Make columns as wide as their widest cell, then cut flexible ones until all fit. */
static void measure(const struct cells *cells, size_t n_rows, bool marks, const struct look *look,
                    struct layout *layout)
{
        unsigned sum = marks ? 2 : 0;

        for (size_t c = 0; c < layout->n; c++) {
                unsigned width = look->no_headers ? 0 : text_width(layout->columns[c]->title);

                for (size_t i = 0; i < n_rows; i++)
                        if (cells->widths[i * layout->n + c] > width)
                                width = cells->widths[i * layout->n + c];
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

static void put_blanks(FILE *out, unsigned n)
{
        static const char blanks[] = "                                ";

        for (unsigned part; n > 0; n -= part) {
                part = n < sizeof(blanks) - 1 ? n : sizeof(blanks) - 1;
                (void)fwrite(blanks, 1, part, out);
        }
}

/* Print a cell of ${full} columns in ${width}.  ${owed} is how many blanks belong before it: they
 * are printed only when more text follows, so that no line ends in blanks. */
static void put_cell(const char *text, unsigned full, unsigned width, bool right, unsigned *owed,
                     const struct look *look)
{
        FILE *out = look->term.stream;
        unsigned pad = full < width ? width - full : 0;

        *owed += right ? pad : 0;
        if (full > 0 && width > 0) {
                put_blanks(out, *owed);
                *owed = 0;
        }
        if (full <= width) {
                (void)fputs(text, out);
        } else if (width > 0) {
                pad = width - 1 - text_put(out, text, width - 1);
                (void)fputs(look->term.utf8 ? "\u2026" : "~", out);
        }
        *owed += (right ? 0 : pad) + 2;
}

static void put_header(const struct table *table, const struct look *look,
                       const struct layout *layout)
{
        FILE *out = look->term.stream;
        unsigned owed = 0;

        (void)fprintf(out, "%s%s", term_colour(&look->term, COLOUR_BOLD),
                      table->look != NULL ? "  " : "");
        for (size_t c = 0; c < layout->n; c++) {
                const char *title = layout->columns[c]->title;

                put_cell(title, text_width(title), layout->widths[c],
                         right_aligned(layout->columns[c]), &owed, look);
        }
        (void)fprintf(out, "%s\n", term_colour(&look->term, COLOUR_NONE));
}

/* ${first} is the row's first cell. */
static void put_row(const struct table *table, const json_t *row, const struct cells *cells,
                    size_t first, const struct look *look, const struct layout *layout)
{
        struct row_look row_look = { ' ', COLOUR_NONE };
        FILE *out = look->term.stream;
        unsigned owed = 0;

        if (table->look != NULL) {
                row_look = grid_look(table, layout, row);
                if (row_look.colour != COLOUR_NONE)
                        (void)fputs(term_colour(&look->term, row_look.colour), out);
                (void)fputc(row_look.mark, out);
                (void)fputc(' ', out);
        }
        for (size_t c = 0; c < layout->n; c++)
                put_cell(cells->text + cells->starts[first + c], cells->widths[first + c],
                         layout->widths[c], right_aligned(layout->columns[c]), &owed, look);
        if (row_look.colour != COLOUR_NONE)
                (void)fputs(term_colour(&look->term, COLOUR_NONE), out);
        (void)fputc('\n', out);
}

int grid_print(const struct table *table, const json_t *rows, const struct look *look,
               struct layout *layout, struct err *err)
{
        CLEANUP(cells_done) struct cells cells = { 0 };
        const json_t *row;
        size_t i;

        if (json_array_size(rows) == 0) {
                if (table->empty != NULL && !look->no_headers)
                        (void)fprintf(look->term.stream, "%s\n", table->empty);
                return 0;
        }
        if (cells_make(rows, look, layout, &cells, err) < 0)
                return -1;
        measure(&cells, json_array_size(rows), table->look != NULL, look, layout);
        if (!look->no_headers)
                put_header(table, look, layout);
        json_array_foreach ((json_t *)rows, i, row)
                put_row(table, row, &cells, i * layout->n, look, layout);
        return 0;
}
