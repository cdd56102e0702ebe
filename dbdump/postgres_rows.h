/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_ROWS_H
#define DBDUMP_POSTGRES_ROWS_H

/*
 * Rows into the tables of a copy, by some workers at once, the largest table first.
 *
 * Within a database the server moves them itself, INSERT ... SELECT with the rights of the table's
 * owner, and a table's keys and indexes are made right after its rows.  Into another database they
 * go through this process, COPY to COPY; nobody but us can connect to that database, and it has
 * nothing yet that a row could set off.  So that it stays so, no expression of a tenant's is
 * evaluated before all tables' rows were sent: keys and indexes, and the rows of tables with
 * generated columns or with an expression as partition key, which wait in side tables, come then.
 */

#include "dbdump/postgres_build.h"
#include "dbdump/postgres_view.h"

struct postgres_rows {
        const struct postgres_server *server;
        const char *from_database, *to_database;
        const char *to_schema; /* NULL: COPY, each table to its namesake */
        const struct postgres_place *place;
        const struct postgres_objects *objects;
        struct postgres_view *view;
        unsigned streams;
        db_report report;
        void *arg;
        struct db_progress progress;
};

/* postgres_rows_copy(rows, err): All tables; view->tables[].rows is what was copied.  Stops with
 * what report() says. */
int postgres_rows_copy(struct postgres_rows *rows, struct err *err) MUST_CHECK;

#endif
