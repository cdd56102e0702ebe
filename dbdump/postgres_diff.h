/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_DIFF_H
#define DBDUMP_POSTGRES_DIFF_H

/*
 * The rows in which two schemas differ: each table is read from both sides in the order of its key
 * and merged, a row of each at a time.  The server sorts them in a temporary table, on its disk
 * where it has to.
 */

#include "dbdump/postgres_objects.h"

struct postgres_side {
        struct postgres_link *link;    /* may be restricted: nothing but tables is read */
        struct postgres_link *scratch; /* to the same database, for temporary tables */
        const struct postgres_scope *scope;
};

/* postgres_diff(from, to, report, arg, err): Tables and columns that both have, but for generated
 * columns.  A table without a primary key is compared by whole rows. */
int postgres_diff(const struct postgres_side *from, const struct postgres_side *to,
                  db_row_report report, void *arg, struct err *err) MUST_CHECK;

#endif
