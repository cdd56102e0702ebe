/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "dbdump/mariadb_mark.h"

#define LEFTOVER_TRIES 100
#define LEFTOVER_USEC  20000

int mariadb_mark_set(struct mariadb_conn *conn, const char *name, struct err *err)
{
        struct err first;

        if (mariadb_run(conn, &first, "CREATE TABLE IF NOT EXISTS %I.%I (unused INT) ENGINE=InnoDB",
                        MARIADB_MARKS, name) == 0)
                return 0;
        if (mariadb_run(conn, err, "CREATE DATABASE IF NOT EXISTS %I", MARIADB_MARKS) < 0 ||
            mariadb_run(conn, err, "CREATE TABLE IF NOT EXISTS %I.%I (unused INT) ENGINE=InnoDB",
                        MARIADB_MARKS, name) < 0)
                return err_wrap(err, "marking '%s' as not whole", name);
        return 0;
}

int mariadb_mark_clear(struct mariadb_conn *conn, const char *name, struct err *err)
{
        if (mariadb_run(conn, err, "DROP TABLE IF EXISTS %I.%I", MARIADB_MARKS, name) < 0)
                return err_wrap(err, "marking '%s' as whole", name);
        return 0;
}

int mariadb_mark_schema(struct mariadb_conn *conn, const char *name, bool *ret_there,
                        bool *ret_whole, struct err *err)
{
        uint64_t there, marked;

        if (mariadb_number(conn, &there, err,
                           "SELECT COUNT(*) FROM information_schema.SCHEMATA"
                           " WHERE SCHEMA_NAME = %L",
                           name) < 0 ||
            mariadb_number(conn, &marked, err,
                           "SELECT COUNT(*) FROM information_schema.TABLES"
                           " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L",
                           MARIADB_MARKS, name) < 0)
                return -1;
        *ret_there = there != 0;
        *ret_whole = there != 0 && marked == 0;
        return 0;
}

int mariadb_mark_need(struct mariadb_conn *conn, const char *name, struct err *err)
{
        bool there, whole;

        if (mariadb_mark_schema(conn, name, &there, &whole, err) < 0)
                return -1;
        if (whole)
                return 0;
        if (there)
                return err_fail(err, ERR_NOT_FOUND, 0,
                                "the database '%s' is not whole: it was being made or dropped",
                                name);
        return err_fail(err, ERR_NOT_FOUND, 0,
                        "there is no database '%s', or no grant that lets us see it", name);
}

static int end_one(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)sizes;
        struct err ignored;

        (void)err;
        /* It may have ended by itself since. */
        if (mariadb_run(arg, &ignored, "KILL CONNECTION %s", values[0]) < 0)
                return 0;
        return 0;
}

/* A killed process of ours leaves at most one statement running for each of its connections; only
 * sessions of our own user are seen without PROCESS, and with it only they are looked for. */
static int end_leftovers(struct mariadb_conn *conn, const char *name, struct err *err)
{
        for (int i = 0; i < LEFTOVER_TRIES; i++) {
                uint64_t n;

                if (mariadb_number(conn, &n, err,
                                   "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                                   " WHERE DB = %L AND ID <> CONNECTION_ID()"
                                   " AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
                                   name) < 0)
                        return -1;
                if (n == 0)
                        return 0;
                if (i % 10 == 0 && mariadb_each(conn, end_one, conn, err,
                                                "SELECT ID FROM information_schema.PROCESSLIST"
                                                " WHERE DB = %L AND ID <> CONNECTION_ID()"
                                                " AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
                                                name) < 0)
                        return -1;
                (void)usleep(LEFTOVER_USEC);
        }
        return err_fail(err, ERR_BUSY, 0,
                        "'%s' is still written to by an earlier connection of ours", name);
}

int mariadb_mark_remove(struct mariadb_conn *conn, const char *name, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        if (end_leftovers(conn, name, err) < 0)
                return -1;
        /* Thousands of files take their time. */
        mariadb_sql_add(&sql, "DROP DATABASE IF EXISTS %I", name);
        if (mariadb_run_sql(conn, &sql, MARIADB_NO_LIMIT, err) < 0)
                return err_wrap(err, "dropping '%s'", name);
        return mariadb_mark_clear(conn, name, err);
}
