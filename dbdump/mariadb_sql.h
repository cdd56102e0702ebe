/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_SQL_H
#define DBDUMP_MARIADB_SQL_H

/*
 * A statement that is being written.
 *
 *   CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
 *   mariadb_sql_add(&sql, "SELECT 1 FROM %I.%I WHERE name = %L", schema, table, name);
 *
 * What goes wrong on the way (no memory, a name that is none) is kept and said when the statement
 * is run, so that statements are put together without a test after each piece.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct mariadb_sql {
        char *text; /* with a NUL after ${n} bytes; NULL while empty */
        size_t n, size;
        bool failed;
        struct err why;
};

/* mariadb_sql_done(sql): Free the text, for CLEANUP(). */
void mariadb_sql_done(struct mariadb_sql *sql);

/* mariadb_sql_reset(sql): Empty again, with its room. */
void mariadb_sql_reset(struct mariadb_sql *sql);

/* mariadb_sql_add(sql, fmt, ...): Append.  %I an identifier in its quotes, %L a text literal in
 * its quotes (NULL is NULL), %s text as it is, %u an unsigned, %U an uint64_t, %% a percent
 * sign; nothing else. */
void mariadb_sql_add(struct mariadb_sql *sql, const char *fmt, ...);
void mariadb_sql_vadd(struct mariadb_sql *sql, const char *fmt, va_list ap);

/* mariadb_sql_bytes(sql, bytes, n): Append as it is. */
void mariadb_sql_bytes(struct mariadb_sql *sql, const void *bytes, size_t n);

/* mariadb_sql_value(sql, bytes, n): Append a literal of any bytes.  Escaped for sql_mode without
 * NO_BACKSLASH_ESCAPES and for a character set in which no byte of a character is a backslash or
 * quote but these themselves (utf8mb4, binary): every connection of ours has both. */
void mariadb_sql_value(struct mariadb_sql *sql, const char *bytes, size_t n);

/* mariadb_sql_shown(text, shown): Its beginning for a message, without what is in quotes: values of
 * rows, bodies and defaults are nothing that a log should have. */
#define MARIADB_SQL_SHOWN 121
void mariadb_sql_shown(const char *text, char shown[static MARIADB_SQL_SHOWN]);

#endif
