/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_TABLE_H
#define DBDUMP_MARIADB_TABLE_H

/*
 * How the rows of a table are read and written so that nothing is changed on the way, whatever
 * the column's type and character set: as the bytes that the server keeps, never through a
 * character set of ours.
 */

#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_hold.h"

enum mariadb_literal {
        MARIADB_RAW,   /* digits, as they come */
        MARIADB_BYTES, /* a string of bytes */
        MARIADB_TEXT,  /* a string that the server has to read as text: UUIDs, addresses, JSON */
};

struct mariadb_column {
        char *name;
        enum mariadb_literal literal;
        bool real; /* FLOAT and DOUBLE: read as name * 1e0, else digits are lost */
        bool enumerated;
        bool long_;   /* may hold more than 64 kB */
        unsigned key; /* 1.. in the key that tells rows apart; 0: not in it */
};

struct mariadb_key {
        char *name;
        char *definition; /* "KEY `name` (`a`, `b`(10)) COMMENT '...'" */
};

struct mariadb_layout {
        struct mariadb_column *columns; /* those that are stored, generated ones are not */
        size_t n;
        size_t n_key; /* columns of the key; 0: rows have none */
        bool has_long, has_enum;
        struct mariadb_key *keys; /* plain secondary keys, which are quicker made afterwards */
        size_t n_keys;
};

/* mariadb_layout_read(conn, schema, table, ret_layout, err): ERR_NOT_FOUND: no such table.
 * mariadb_layout_done() frees. */
int mariadb_layout_read(struct mariadb_conn *conn, const char *schema,
                        const struct mariadb_table *table, struct mariadb_layout *ret_layout,
                        struct err *err) MUST_CHECK;
void mariadb_layout_done(struct mariadb_layout *layout);

/* mariadb_definition(conn, schema, table, ret_text, err): What SHOW CREATE TABLE says, which waits
 * for nobody.  The caller frees.  ERR_UNSUPPORTED: it does not say what the table is. */
int mariadb_definition(struct mariadb_conn *conn, const char *schema, const char *table,
                       char **ret_text, struct err *err) MUST_CHECK;

/* mariadb_layout_select(layout, sql, schema, table, large): The statement that reads every row.
 * Where a row's long columns have more than ${large} bytes together they come as NULL, and the
 * column after the last one is 1. */
void mariadb_layout_select(const struct mariadb_layout *layout, struct mariadb_sql *sql,
                           const char *schema, const struct mariadb_table *table, size_t large);

/* mariadb_layout_insert(layout, sql, table): "INSERT INTO table (...) VALUES", to which
 * mariadb_layout_row() appends rows. */
void mariadb_layout_insert(const struct mariadb_layout *layout, struct mariadb_sql *sql,
                           const char *table);
void mariadb_layout_row(const struct mariadb_layout *layout, struct mariadb_sql *sql, char **values,
                        const unsigned long *sizes);

/* mariadb_layout_literal(sql, column, value, size): One value; NULL is NULL. */
void mariadb_layout_literal(struct mariadb_sql *sql, const struct mariadb_column *column,
                            const char *value, size_t size);

#endif
