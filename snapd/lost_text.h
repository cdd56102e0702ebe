/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_LOST_TEXT_H
#define SNAPD_LOST_TEXT_H

/*
 * Rows as text: statements that bring "from" to what "to" has, or a line a value.
 */

#include <stdio.h>

#include "dbdump/dbdriver.h"

/* lost_text_sql(out, engine, row, err): One statement and a newline. */
int lost_text_sql(FILE *out, const char *engine, const struct db_row_change *row,
                  struct err *err) MUST_CHECK;

/* lost_text_csv(out, row): A line for each value that differs: table, change, key, column, from,
 * to.  lost_text_csv_head(out): their names. */
void lost_text_csv_head(FILE *out);
void lost_text_csv(FILE *out, const struct db_row_change *row);

#endif
