/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "dbdump/mariadb_files.h"
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_mark.h"
#include "dbdump/mariadb_verify.h"

static int check_objects(struct mariadb_conn *conn, const struct mariadb_hold *hold,
                         const char *copy, const char *prefix, struct err *err)
{
        CLEANUP(freep) char *objects = NULL;
        char line[200];

        if (mariadb_fingerprint(conn, copy, prefix, &objects, err) < 0)
                return -1;
        if (!mariadb_fingerprint_differs(hold->objects, objects, line, sizeof(line)))
                return 0;
        return err_fail(err, ERR_CORRUPT, 0, "'%s' differs from '%s': only one of them has '%s'",
                        copy, hold->schema, line);
}

/* Table, Op, Msg_type, Msg_text: the last line is the status, those before it say what is wrong. */
static int take_status(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)sizes;
        if (strcmp(values[2], "error") == 0 || strcmp(values[2], "Error") == 0 ||
            (strcmp(values[2], "status") == 0 && strcmp(values[3], "OK") != 0 &&
             strcmp(values[3], "Table is already up to date") != 0))
                return err_fail(err, ERR_CORRUPT, 0, "the table '%s' is damaged: %s",
                                (const char *)arg, values[3]);
        return 0;
}

static int check_table(struct mariadb_conn *conn, const struct mariadb_hold *hold, const char *copy,
                       struct mariadb_table *table, struct err *err)
{
        uint64_t rows;

        if (table->kind == MARIADB_SEQUENCE)
                return 0;
        if (table->by_file && mariadb_files_count(hold, table, err) < 0)
                return -1;
        if (mariadb_number(conn, &rows, err, "SELECT COUNT(*) FROM %I.%I%s" MARIADB_NO_VIEW, copy,
                           table->name,
                           table->kind == MARIADB_VERSIONED ? " FOR SYSTEM_TIME ALL" : "") < 0)
                return err_wrap(err, "the table '%s'", table->name);
        if (rows != table->copied)
                return err_fail(err, ERR_CORRUPT, 0,
                                "'%s' differs from '%s': the table '%s' has %" PRIu64
                                " rows, and had %" PRIu64,
                                copy, hold->schema, table->name, rows, table->copied);
        return mariadb_each(conn, take_status, table->name, err, "CHECK TABLE %I.%I", copy,
                            table->name);
}

struct searches {
        struct mariadb_sql sql;
        const char *copy;
};

/* TABLE_NAME and its columns in backticks, made by the server. */
static int add_search(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct searches *searches = arg;

        (void)sizes;
        (void)err;
        mariadb_sql_add(
                &searches->sql,
                "%sSELECT COUNT(*) FROM %I.%I" MARIADB_NO_VIEW " WHERE MATCH(%s) AGAINST('a')",
                searches->sql.n == 0 ? "" : " UNION ALL ", searches->copy, values[0], values[1]);
        return 0;
}

/* One whose files went wrong passes CHECK TABLE and fails when it is asked. */
static int check_fulltext(struct mariadb_conn *conn, const char *copy, struct err *err)
{
        struct searches searches = { .copy = copy };
        int r = mariadb_each(conn, add_search, &searches, err,
                             "SELECT TABLE_NAME, GROUP_CONCAT('`', REPLACE(COLUMN_NAME, '`', '``'),"
                             " '`' ORDER BY SEQ_IN_INDEX) FROM information_schema.STATISTICS"
                             " WHERE TABLE_SCHEMA = %L AND INDEX_TYPE = 'FULLTEXT'"
                             " GROUP BY TABLE_NAME, INDEX_NAME",
                             copy);

        if (r == 0 && searches.sql.n > 0)
                r = mariadb_run_sql(conn, &searches.sql, MARIADB_NO_LIMIT, err);
        mariadb_sql_done(&searches.sql);
        return r < 0 ? err_wrap(err, "the FULLTEXT indexes of '%s'", copy) : 0;
}

int mariadb_verify(const struct mariadb_login *login, const struct mariadb_hold *hold,
                   const char *copy, const char *prefix, struct err *err)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *conn = NULL;

        if (mariadb_conn_open(login, &conn, err) < 0 || mariadb_mark_need(conn, copy, err) < 0)
                return -1;
        /* It reads every page. */
        conn->limit_msec = MARIADB_NO_LIMIT;
        if (check_objects(conn, hold, copy, prefix, err) < 0)
                return -1;
        for (size_t i = 0; i < hold->tables.n; i++)
                if (check_table(conn, hold, copy, &hold->tables.all[i], err) < 0)
                        return -1;
        return check_fulltext(conn, copy, err);
}
