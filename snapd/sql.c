/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <string.h>

#include "snapd/sql.h"

#define IDLE_MAX 64

int sql_fail(sqlite3 *db, struct err *err, const char *doing)
{
        int code = sqlite3_errcode(db);

        switch (code & 0xff) {
        case SQLITE_NOMEM:
                return err_oom(err);
        case SQLITE_FULL:
                return err_fail(err, ERR_NO_SPACE, 0,
                                "%s: no space left for the records of the daemon", doing);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return err_fail(err, ERR_BUSY, 0,
                                "%s: another process keeps the records locked, try again", doing);
        case SQLITE_CONSTRAINT:
                return err_fail(err, ERR_EXISTS, 0, "%s: %s", doing, sqlite3_errmsg(db));
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return err_fail(err, ERR_CORRUPT, 0, "%s: %s", doing, sqlite3_errmsg(db));
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
        case SQLITE_READONLY:
                /* A full btrfs shows up as an I/O error: only errno tells. */
                return err_fail(err, ERR_IO, sqlite3_system_errno(db), "%s: %s", doing,
                                sqlite3_errmsg(db));
        default:
                return err_fail(err, ERR_IO, 0, "%s: %s", doing, sqlite3_errmsg(db));
        }
}

int sql_script(sqlite3 *db, const char *text, struct err *err)
{
        if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
                return sql_fail(db, err, "the catalog");
        return 0;
}

static int bind_value(sqlite3_stmt *stmt, int i, const struct sql_value *value)
{
        if (value->type == SQL_INT)
                return sqlite3_bind_int64(stmt, i, value->number);
        if (value->type == SQL_BLOB)
                return sqlite3_bind_blob64(stmt, i, value->text, (uint64_t)value->number,
                                           SQLITE_TRANSIENT);
        if (value->text == NULL)
                return sqlite3_bind_null(stmt, i);
        return sqlite3_bind_text(stmt, i, value->text, -1, SQLITE_TRANSIENT);
}

/*
 * Statements that have been used and may be again.  Compiling costs several times what running
 * one does, and every mark of a step is the same few.  One that is in use is not in here, so the
 * same text within itself gets a second statement.
 */
static sqlite3_stmt *idle[IDLE_MAX];

static bool is_of(sqlite3_stmt *stmt, sqlite3 *db, const char *text)
{
        return stmt != NULL && sqlite3_db_handle(stmt) == db &&
               strcmp(sqlite3_sql(stmt), text) == 0;
}

static sqlite3_stmt *idle_take(sqlite3 *db, const char *text)
{
        for (size_t i = 0; i < IDLE_MAX; i++)
                if (is_of(idle[i], db, text))
                        return STEAL(idle[i]);
        return NULL;
}

/* Pragmas act when they are compiled, some of them only then: each is compiled anew. */
static bool worth_keeping(sqlite3_stmt *stmt)
{
        return sqlite3_strnicmp(sqlite3_sql(stmt), "PRAGMA", 6) != 0;
}

static int stmt_get(sqlite3 *db, const char *text, sqlite3_stmt **ret_stmt)
{
        *ret_stmt = idle_take(db, text);
        if (*ret_stmt != NULL)
                return SQLITE_OK;
        return sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);
}

int sql_prepare(sqlite3 *db, const char *text, const struct sql_value *args,
                sqlite3_stmt **ret_stmt, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;

        if (stmt_get(db, text, &stmt) != SQLITE_OK)
                return sql_fail(db, err, "the catalog");
        for (int i = 0; args != NULL && args[i].type != SQL_END; i++)
                if (bind_value(stmt, i + 1, &args[i]) != SQLITE_OK)
                        return sql_fail(db, err, "the catalog");
        *ret_stmt = STEAL(stmt);
        return 0;
}

void sql_done(sqlite3_stmt *stmt)
{
        if (stmt == NULL)
                return;
        (void)sqlite3_reset(stmt); /* repeats what sqlite3_step() said, as finalize does */
        (void)sqlite3_clear_bindings(stmt);
        for (size_t i = 0; i < IDLE_MAX && worth_keeping(stmt); i++)
                if (idle[i] == NULL) {
                        idle[i] = stmt;
                        return;
                }
        (void)sqlite3_finalize(stmt);
}

void sql_close(sqlite3 *db)
{
        for (size_t i = 0; i < IDLE_MAX; i++)
                if (idle[i] != NULL && sqlite3_db_handle(idle[i]) == db)
                        (void)sqlite3_finalize(STEAL(idle[i]));
        (void)sqlite3_close(db); /* a statement left open is our own mistake */
}

int sql_step(sqlite3_stmt *stmt, struct err *err)
{
        int code = sqlite3_step(stmt);

        if (code == SQLITE_ROW)
                return 1;
        if (code == SQLITE_DONE)
                return 0;
        return sql_fail(sqlite3_db_handle(stmt), err, "the catalog");
}

int sql_run(sqlite3 *db, const char *text, const struct sql_value *args, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(db, text, args, &stmt, err) < 0)
                return -1;
        do
                row = sql_step(stmt, err);
        while (row > 0);
        return row;
}

int sql_number(sqlite3 *db, const char *text, const struct sql_value *args, uint64_t *ret_number,
               struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        uint64_t number;
        int row;

        if (sql_prepare(db, text, args, &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row <= 0)
                return row;
        number = sql_column_u64(stmt, 0);

        /* A statement that also writes (RETURNING) has done so only at its end. */
        do
                row = sql_step(stmt, err);
        while (row > 0);
        if (row < 0)
                return -1;
        *ret_number = number;
        return 1;
}

uint64_t sql_column_u64(sqlite3_stmt *stmt, int i)
{
        return (uint64_t)sqlite3_column_int64(stmt, i);
}

int sql_column_copy(sqlite3_stmt *stmt, int i, char **ret_text, struct err *err)
{
        const unsigned char *text = sqlite3_column_text(stmt, i);
        char *copy;

        /* NULL is also what a failed conversion gives: an empty text is right for SQL's NULL only.
         */
        if (text == NULL && sqlite3_column_type(stmt, i) != SQLITE_NULL)
                return err_oom(err);
        copy = strdup(text == NULL ? "" : (const char *)text);
        if (copy == NULL)
                return err_oom(err);
        *ret_text = copy;
        return 0;
}
