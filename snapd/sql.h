/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SQL_H
#define SNAPD_SQL_H

/*
 * SQLite statements with our errors.
 *
 *   CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
 *   if (sql_prepare(db, "SELECT n FROM t WHERE s = ?", SQL_ARGS(sql_text(s)), &stmt, err) < 0)
 *           return -1;
 *   while ((row = sql_step(stmt, err)) > 0)
 *           ...
 *
 * Codes: a full disk is ERR_NO_SPACE, a lock that another process keeps is ERR_BUSY, a broken rule
 * of the schema is ERR_EXISTS, a broken file is ERR_CORRUPT, the rest is ERR_IO.
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"

/* What a '?' of a statement stands for. */
struct sql_value {
        enum { SQL_END, SQL_INT, SQL_TEXT, SQL_BLOB } type;
        int64_t number; /* of a blob: its bytes */
        const void *text;
};

static inline struct sql_value sql_int(int64_t number)
{
        return (struct sql_value){ .type = SQL_INT, .number = number };
}

/* sql_uint(number): Numbers of ours stay below 2^63. */
static inline struct sql_value sql_uint(uint64_t number)
{
        return sql_int((int64_t)number);
}

/* sql_text(text): NULL is SQL's NULL. */
static inline struct sql_value sql_text(const char *text)
{
        return (struct sql_value){ .type = SQL_TEXT, .text = text };
}

/* sql_blob(data, n): Bytes. */
static inline struct sql_value sql_blob(const void *data, size_t n)
{
        return (struct sql_value){ .type = SQL_BLOB, .number = (int64_t)n, .text = data };
}

/* SQL_ARGS(...): The values of a statement in order; NULL stands for none. */
#define SQL_ARGS(...) ((const struct sql_value[]){ __VA_ARGS__, { .type = SQL_END } })

/* sql_fail(db, err, doing): Fill ${err} from the connection's last error and return -1. */
int sql_fail(sqlite3 *db, struct err *err, const char *doing);

/* sql_script(db, text, err): Run statements without values, separated by ';'. */
int sql_script(sqlite3 *db, const char *text, struct err *err) MUST_CHECK;

/* sql_close(db): Close a connection that sql_prepare() has been used on; NULL is fine. */
void sql_close(sqlite3 *db);

/* sql_prepare(db, text, args, ret_stmt, err): Prepare one statement and bind all its values, which
 * are copied.  The caller gives the statement to sql_done(), which ends it and keeps it for the
 * next time. */
int sql_prepare(sqlite3 *db, const char *text, const struct sql_value *args,
                sqlite3_stmt **ret_stmt, struct err *err) MUST_CHECK;
void sql_done(sqlite3_stmt *stmt);
DEFINE_CLEANUP(sqlite3_stmt *, sql_done);

/* sql_step(stmt, err): 1 when there is a row to read, 0 at the end, -1. */
int sql_step(sqlite3_stmt *stmt, struct err *err) MUST_CHECK;

/* sql_run(db, text, args, err): One statement, to its end, its rows dropped. */
int sql_run(sqlite3 *db, const char *text, const struct sql_value *args,
            struct err *err) MUST_CHECK;

/* sql_number(db, text, args, ret_number, err): The first column of the first row.  1 when there is
 * one, 0 when there is no row (${ret_number} is left), -1. */
int sql_number(sqlite3 *db, const char *text, const struct sql_value *args, uint64_t *ret_number,
               struct err *err) MUST_CHECK;

/* sql_column_u64(stmt, i), sql_column_copy(stmt, i, ret_text, err): A column of the row.  NULL
 * reads as 0 and as "".  The copy is the caller's to free. */
uint64_t sql_column_u64(sqlite3_stmt *stmt, int i);
int sql_column_copy(sqlite3_stmt *stmt, int i, char **ret_text, struct err *err) MUST_CHECK;

#endif
