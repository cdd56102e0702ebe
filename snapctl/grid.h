/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_GRID_H
#define SNAPCTL_GRID_H

/*
 * A table for people, with columns as wide as what stands in them.
 */

#include "snapctl/table.h"

#define COLUMNS_MAX 32

struct layout { /* which columns are printed, and how wide */
        const struct column *columns[COLUMNS_MAX];
        unsigned widths[COLUMNS_MAX];
        size_t n;

        /* Where a row that is a list has them; beyond its end: it has not. */
        size_t at[COLUMNS_MAX], look_at;
};

/* grid_value(layout, row, c), grid_look(table, layout, row): The value of a column, and how the row
 * stands out. */
const json_t *grid_value(const struct layout *layout, const json_t *row, size_t c);
struct row_look grid_look(const struct table *table, const struct layout *layout,
                          const json_t *row);

/* grid_print(table, rows, look, layout, err): Print header and rows; widths are set here. */
int grid_print(const struct table *table, const json_t *rows, const struct look *look,
               struct layout *layout, struct err *err) MUST_CHECK;

#endif
