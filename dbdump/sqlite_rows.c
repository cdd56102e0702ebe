/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/dbdriver.h"
#include "dbdump/identifier.h"
#include "dbdump/sqlite_rows.h"

#define COLUMNS_MAX 1000 /* half of what SQLite allows: a comparison has each twice */
#define NAME_BYTES  512

static inline void finalizep(sqlite3_stmt **stmt)
{
        (void)sqlite3_finalize(*stmt);
}

static int fail(const struct sqlite_view *view, const char *what, struct err *err)
{
        return err_fail(err,
                        (sqlite3_errcode(view->reader) & 0xff) == SQLITE_CORRUPT ? ERR_CORRUPT
                                                                                 : ERR_UNSUPPORTED,
                        0, "the database '%s': %s: %s", view->name, what,
                        sqlite3_errmsg(view->reader));
}

static int open_out(int fd, FILE **ret_out, struct err *err)
{
        CLEANUP(closep) int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        *ret_out = own_fd < 0 ? NULL : fdopen(own_fd, "w");
        if (*ret_out == NULL)
                return err_fail(err, ERR_IO, errno, "cannot write what was found");
        (void)steal_fd(&own_fd);
        return 0;
}

/* A line stays one, and blanks that a person typed between words do not count. */
static void put_text(FILE *out, const unsigned char *text, bool squeeze)
{
        bool blank = false;

        for (; text != NULL && *text != '\0'; text++) {
                if (squeeze && strchr(" \t\r\n", *text) != NULL) {
                        blank = true;
                        continue;
                }
                if (blank)
                        (void)fputc(' ', out);
                blank = false;
                if (*text < 0x20 || *text == 0x7f || *text == '\\')
                        (void)fprintf(out, "\\x%02x", *text);
                else
                        (void)fputc(*text, out);
        }
}

static const char objects_sql[] =
        "SELECT type || ' ' || name || CASE WHEN type IN ('index', 'trigger')"
        "  THEN ' on ' || tbl_name ELSE '' END, sql FROM main.sqlite_schema"
        "  WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY type, name";
static const char columns_sql[] =
        "SELECT 'column ' || s.name || '.' || c.name || ' ' || c.type"
        "  || CASE WHEN c.\"notnull\" THEN ' not null' ELSE '' END"
        "  || CASE WHEN c.dflt_value IS NULL THEN '' ELSE ' default ' || c.dflt_value END"
        "  || CASE WHEN c.pk > 0 THEN ' key ' || c.pk ELSE '' END"
        "  || CASE c.hidden WHEN 0 THEN '' WHEN 1 THEN ' hidden' ELSE ' generated' END, NULL"
        "  FROM main.sqlite_schema AS s JOIN pragma_table_xinfo(s.name, 'main') AS c"
        "  WHERE s.type = 'table' AND s.rootpage > 0"
        "  AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.name, c.name";

static int put_lines(struct sqlite_view *view, const char *sql, FILE *out, struct err *err)
{
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(view->reader, sql, -1, &stmt, NULL);

        if (rc != SQLITE_OK)
                return fail(view, "cannot list its objects", err);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                put_text(out, (const unsigned char *)view->name, false);
                (void)fputs(": ", out);
                put_text(out, sqlite3_column_text(stmt, 0), false);
                if (sqlite3_column_text(stmt, 1) != NULL) {
                        (void)fputs(": ", out);
                        put_text(out, sqlite3_column_text(stmt, 1), true);
                }
                (void)fputc('\n', out);
        }
        return rc == SQLITE_DONE ? 0 : fail(view, "cannot list its objects", err);
}

int sqlite_rows_fingerprint(struct sqlite_view *view, int fd, struct err *err)
{
        CLEANUP(fclosep) FILE *out = NULL;

        if (open_out(fd, &out, err) < 0 || put_lines(view, columns_sql, out, err) < 0 ||
            put_lines(view, objects_sql, out, err) < 0)
                return -1;
        return fflush(out) == 0 ? 0 : err_fail(err, ERR_IO, errno, "cannot write what was found");
}

/* The comparison. */

struct rows {
        struct sqlite_view *view;
        FILE *out;
        char table[NAME_BYTES]; /* as SQLite has it, and quoted */
        char quoted[NAME_BYTES * 2];
        size_t n, n_key; /* the key's columns come first */
        char *columns[COLUMNS_MAX];
};

static void forget_columns(struct rows *rows)
{
        for (size_t i = 0; i < rows->n; i++)
                free(rows->columns[i]);
        rows->n = rows->n_key = 0;
}

static int add_column(struct rows *rows, const char *name, struct err *err)
{
        if (rows->n == COLUMNS_MAX)
                return err_fail(err, ERR_UNSUPPORTED, 0, "'%s' has more than %d columns",
                                rows->table, COLUMNS_MAX);
        rows->columns[rows->n] = strdup(name == NULL ? "" : name);
        if (rows->columns[rows->n] == NULL)
                return err_oom(err);
        rows->n++;
        return 0;
}

/* Columns that both sides have, the key first.  A table without a declared key is told apart by its
 * row numbers, which copies share and which only a VACUUM changes. */
static int find_columns(struct rows *rows, struct err *err)
{
        static const char sql[] =
                "SELECT a.name, a.pk FROM pragma_table_xinfo(?1, 'main') AS a"
                "  JOIN pragma_table_xinfo(?1, 'other') AS b USING (name)"
                "  WHERE a.hidden = 0 AND b.hidden = 0 ORDER BY a.pk = 0, a.pk, a.cid";
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(rows->view->reader, sql, -1, &stmt, NULL);

        forget_columns(rows);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(stmt, 1, rows->table, -1, SQLITE_STATIC);
        if (rc != SQLITE_OK)
                return fail(rows->view, "cannot list its columns", err);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                bool key = sqlite3_column_int(stmt, 1) > 0;

                if (!key && rows->n == 0) {
                        if (add_column(rows, "rowid", err) < 0)
                                return -1;
                        rows->n_key = 1;
                }
                if (add_column(rows, (const char *)sqlite3_column_text(stmt, 0), err) < 0)
                        return -1;
                rows->n_key += key;
        }
        return rc == SQLITE_DONE ? 0 : fail(rows->view, "cannot list its columns", err);
}

static int put_columns(const struct rows *rows, FILE *sql, const char *side, size_t from,
                       const char *before, struct err *err)
{
        char quoted[NAME_BYTES * 2];

        for (size_t i = from; i < rows->n; i++) {
                if (identifier_quote(&identifier_sqlite, rows->columns[i], quoted, sizeof(quoted),
                                     err) < 0)
                        return -1;
                (void)fprintf(sql, "%s%s.%s", i == from ? before : ", ", side, quoted);
        }
        return 0;
}

/* "a.k IS b.k AND ...": IS uses an index as = does, and keys of SQLite can be NULL. */
static int put_match(const struct rows *rows, FILE *sql, struct err *err)
{
        char quoted[NAME_BYTES * 2];

        for (size_t i = 0; i < rows->n_key; i++) {
                if (identifier_quote(&identifier_sqlite, rows->columns[i], quoted, sizeof(quoted),
                                     err) < 0)
                        return -1;
                (void)fprintf(sql, "%sa.%s IS b.%s", i == 0 ? "" : " AND ", quoted, quoted);
        }
        return 0;
}

/* By bytes: a collation may call two texts equal that are not. */
static int put_differ(const struct rows *rows, FILE *sql, struct err *err)
{
        char quoted[NAME_BYTES * 2];

        (void)fputs(" WHERE (0", sql);
        for (size_t i = rows->n_key; i < rows->n; i++) {
                if (identifier_quote(&identifier_sqlite, rows->columns[i], quoted, sizeof(quoted),
                                     err) < 0)
                        return -1;
                (void)fprintf(sql, " OR a.%s COLLATE BINARY IS NOT b.%s", quoted, quoted);
        }
        (void)fputs(")", sql);
        return 0;
}

static int make_sql(const struct rows *rows, enum db_change change, char **ret_sql, struct err *err)
{
        const char *t = rows->quoted;
        size_t n;
        FILE *sql = open_memstream(ret_sql, &n);
        int ret = 0;

        if (sql == NULL)
                return err_oom(err);
        if (change == DB_ROW_CHANGED) {
                ret = put_columns(rows, sql, "a", 0, "SELECT ", err);
                if (ret == 0)
                        ret = put_columns(rows, sql, "b", 0, ", ", err);
                (void)fprintf(sql, " FROM main.%s AS a JOIN other.%s AS b ON ", t, t);
                if (ret == 0)
                        ret = put_match(rows, sql, err);
                if (ret == 0)
                        ret = put_differ(rows, sql, err);
        } else {
                bool inserted = change == DB_ROW_INSERTED;

                ret = put_columns(rows, sql, inserted ? "b" : "a", 0, "SELECT ", err);
                (void)fprintf(sql,
                              " FROM %s.%s AS %s WHERE NOT EXISTS (SELECT 1 FROM %s.%s AS %s"
                              " WHERE ",
                              inserted ? "other" : "main", t, inserted ? "b" : "a",
                              inserted ? "main" : "other", t, inserted ? "a" : "b");
                if (ret == 0)
                        ret = put_match(rows, sql, err);
                (void)fputs(")", sql);
        }
        if (fclose(sql) != 0 && ret == 0)
                ret = err_oom(err);
        return ret;
}

static void put_u32(FILE *out, size_t number)
{
        uint32_t n = (uint32_t)number;

        (void)fwrite(&n, sizeof(n), 1, out);
}

static void put_name(FILE *out, const char *name)
{
        put_u32(out, strlen(name));
        (void)fputs(name, out);
}

static void put_table(const struct rows *rows)
{
        (void)fputc('T', rows->out);
        put_u32(rows->out, rows->n);
        put_u32(rows->out, rows->n_key);
        put_name(rows->out, rows->table);
        for (size_t i = 0; i < rows->n; i++)
                put_name(rows->out, rows->columns[i]);
}

static void put_value(FILE *out, sqlite3_stmt *stmt, int column)
{
        uint64_t n = SQLITE_ROWS_NULL;
        const void *bytes = NULL;

        if (sqlite3_column_type(stmt, column) != SQLITE_NULL) {
                bytes = sqlite3_column_type(stmt, column) == SQLITE_BLOB
                                ? sqlite3_column_blob(stmt, column)
                                : (const void *)sqlite3_column_text(stmt, column);
                n = (uint64_t)sqlite3_column_bytes(stmt, column);
        }
        (void)fwrite(&n, sizeof(n), 1, out);
        if (n != SQLITE_ROWS_NULL && n > 0 && bytes != NULL)
                (void)fwrite(bytes, 1, n, out);
}

static int put_rows(const struct rows *rows, enum db_change change, struct err *err)
{
        CLEANUP(freep) char *sql = NULL;
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        int rc;

        if (make_sql(rows, change, &sql, err) < 0)
                return -1;
        if (sqlite3_prepare_v2(rows->view->reader, sql, -1, &stmt, NULL) != SQLITE_OK)
                return fail(rows->view, "cannot compare it", err);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                (void)fputc('R', rows->out);
                put_u32(rows->out, change);
                for (int i = 0; i < sqlite3_column_count(stmt); i++)
                        put_value(rows->out, stmt, i);
                if (ferror(rows->out) != 0)
                        return err_fail(err, ERR_REFUSED, 0, "nobody reads on");
        }
        return rc == SQLITE_DONE ? 0 : fail(rows->view, "cannot compare it", err);
}

static int compare_table(struct rows *rows, struct err *err)
{
        static const enum db_change changes[] = { DB_ROW_INSERTED, DB_ROW_CHANGED, DB_ROW_DELETED };

        if (identifier_quote(&identifier_sqlite, rows->table, rows->quoted, sizeof(rows->quoted),
                             err) < 0 ||
            find_columns(rows, err) < 0)
                return -1;
        if (rows->n_key == 0) /* no column in common */
                return 0;
        put_table(rows);
        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
                if (put_rows(rows, changes[i], err) < 0)
                        return err_wrap(err, "the table '%s'", rows->table);
        return 0;
}

/* Tables with rows of their own on both sides; those in which a virtual table keeps its rows are
 * its business. */
static int compare_all(struct rows *rows, struct err *err)
{
        static const char sql[] =
                "SELECT a.name FROM pragma_table_list AS a JOIN pragma_table_list AS b"
                "  ON a.name = b.name AND a.schema = 'main' AND b.schema = 'other'"
                "  WHERE a.type = 'table' AND b.type = 'table'"
                "  AND a.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY a.name";
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        int rc;

        if (sqlite3_prepare_v2(rows->view->reader, sql, -1, &stmt, NULL) != SQLITE_OK)
                return fail(rows->view, "cannot list its tables", err);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                (void)snprintf(rows->table, sizeof(rows->table), "%s",
                               sqlite3_column_text(stmt, 0));
                if (compare_table(rows, err) < 0)
                        return -1;
        }
        return rc == SQLITE_DONE ? 0 : fail(rows->view, "cannot list its tables", err);
}

static int attach(const struct sqlite_view *view, int other_fd, struct err *err)
{
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        char path[NAME_MAX + 64];

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", other_fd, view->name);
        if (sqlite3_prepare_v2(view->reader, "ATTACH ?1 AS other", -1, &stmt, NULL) != SQLITE_OK ||
            sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC) != SQLITE_OK ||
            sqlite3_step(stmt) != SQLITE_DONE)
                return fail(view, "cannot open its other version", err);
        return 0;
}

int sqlite_rows_diff(struct sqlite_view *view, int other_fd, int to_fd, struct err *err)
{
        static struct rows rows; /* too large for a stack, and there is one in a process */
        CLEANUP(fclosep) FILE *out = NULL;
        int ret;

        if (open_out(to_fd, &out, err) < 0)
                return -1;
        rows.view = view;
        rows.out = out;
        /* The view's transaction ends: each statement has its own instant. */
        sqlite_view_back_off(view);
        if (attach(view, other_fd, err) < 0)
                return -1;
        ret = compare_all(&rows, err);
        forget_columns(&rows);
        if (sqlite3_exec(view->reader, "DETACH other", NULL, NULL, NULL) != SQLITE_OK && ret == 0)
                ret = fail(view, "cannot close its other version", err);
        if (fflush(out) != 0 && ret == 0)
                ret = err_fail(err, ERR_REFUSED, 0, "nobody reads on");
        return ret;
}
