/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_LOAD_ROWS_H
#define DBDUMP_POSTGRES_LOAD_ROWS_H

/*
 * Rows of a dump into a table that the dump has made.
 *
 * COPY into it would run what it has, types, partition keys and defaults of a stranger's, with our
 * rights.  So they go into a table of text columns, and from there with the rights of the role.
 */

#include "dbdump/postgres_build.h"

struct postgres_load_rows {
        const struct postgres_place *place;
        const char *role;
        bool open;
        uint32_t table; /* its number in the dump */
        char name[DB_NAME_MAX];
        uint64_t rows;  /* that were written, after the end */
        char *insert;
};

/* postgres_load_rows_begin(rows, table, schema, name, columns, err): ERR_CORRUPT: there is no such
 * table, or it has not as many columns to fill.
 * postgres_load_rows_put(rows, bytes, n, err): The next bytes, as COPY has them.
 * postgres_load_rows_end(rows, err): All are in the table. */
int postgres_load_rows_begin(struct postgres_load_rows *rows, uint32_t table, const char *schema,
                             const char *name, uint64_t columns, struct err *err) MUST_CHECK;
int postgres_load_rows_put(struct postgres_load_rows *rows, const char *bytes, size_t n,
                           struct err *err) MUST_CHECK;
int postgres_load_rows_end(struct postgres_load_rows *rows, struct err *err) MUST_CHECK;
void postgres_load_rows_done(struct postgres_load_rows *rows);

/* postgres_load_run(link, sql, err): A transaction of postgres_tenant_sql(), of which everything
 * has to succeed. */
int postgres_load_run(struct postgres_link *link, const char *sql, struct err *err) MUST_CHECK;

#endif
