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
};

/* grid_print(table, rows, look, layout, err): Print header and rows; widths are set here. */
int grid_print(const struct table *table, const json_t *rows, const struct look *look,
               struct layout *layout, struct err *err) MUST_CHECK;

#endif
