/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/driver/db_conformance.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/root.h"
#include "tests/lib/tenant.h"

/*
 * An application on PostgreSQL, with the rights of its own role.  The build says DB_DATABASE: the
 * database whose schemas we look at, or NULL for databases, and DB_WAY.  Our role is no superuser.
 */

static void start(struct db_conf *conf)
{
        root_begin();
        pg_begin();
        if (DB_DATABASE != NULL)
                pg_do("postgres", "postgres", "CREATE DATABASE site OWNER shop");
        if (DB_DATABASE != NULL)
                pg_do("postgres", "postgres", "GRANT CREATE ON DATABASE site TO sitesnap");
        *conf = (struct db_conf){
                .root_fd = -1,
                .owner_uid = TENANT,
                .owner_gid = TENANT,
                .socket_path = pg_socket(),
                .port = PG_PORT,
                .user = "sitesnap",
                .secret_fd = -1,
                .timeout_msec = 20000,
                .database = DB_DATABASE,
                .app_user = "shop",
                .way = DB_WAY,
        };
}

static void provision(const struct db_conf *conf, const char *schema)
{
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
                       conf->database == NULL ? "CREATE DATABASE %s OWNER shop"
                                              : "CREATE SCHEMA %s AUTHORIZATION shop",
                       schema);
        pg_do("postgres", conf->database == NULL ? "postgres" : conf->database, sql);
}

static int run(PGconn *conn, const char *sql)
{
        PGresult *result = PQexec(conn, sql);
        bool good = PQresultStatus(result) == PGRES_COMMAND_OK ||
                    PQresultStatus(result) == PGRES_TUPLES_OK;

        PQclear(result);
        return !good;
}

static void *connect_app(const struct db_conf *conf, const char *schema)
{
        PGconn *conn = pg_connect("shop", conf->database == NULL ? schema : conf->database);
        char sql[200];

        (void)snprintf(sql, sizeof(sql), "SET search_path = %s, public", schema);
        if (conn != NULL && conf->database != NULL && run(conn, sql) != 0)
                return NULL;
        return conn;
}

static int create(const struct db_conf *conf, const char *schema, unsigned rows)
{
        PGconn *conn = connect_app(conf, schema);
        char sql[2048];

        (void)snprintf(sql, sizeof(sql),
                       "BEGIN; CREATE TYPE mood AS ENUM ('new', 'old');"
                       "CREATE TABLE lefts (id bigint PRIMARY KEY, text text, now mood NOT NULL "
                       "DEFAULT 'new', number serial);"
                       "CREATE TABLE rights (id bigint PRIMARY KEY, text text, size int GENERATED "
                       "ALWAYS AS (length(text)) STORED, CHECK (id > 0));"
                       "CREATE INDEX by_text ON rights (lower(text));"
                       "CREATE VIEW seen AS SELECT l.id, r.text FROM lefts l JOIN rights r USING "
                       "(id); CREATE FUNCTION last() RETURNS bigint LANGUAGE sql AS "
                       "'SELECT max(id) FROM lefts';"
                       "INSERT INTO lefts SELECT i, md5(i::text) || md5('x' || i) FROM "
                       "generate_series(1, %u) i;"
                       "INSERT INTO rights SELECT id, text FROM lefts; COMMIT",
                       rows);
        return conn == NULL || run(conn, sql);
}

static int append_once(PGconn *conn, uint64_t number, int tree_fd)
{
        char sql[300];

        (void)snprintf(sql, sizeof(sql),
                       "BEGIN; INSERT INTO lefts VALUES (%" PRIu64 ", 'new'); "
                       "INSERT INTO rights VALUES (%" PRIu64 ", 'new')",
                       number, number);
        if (conn == NULL)
                return 1;
        if (run(conn, sql) || pwrite(tree_fd, &number, sizeof(number), 0) != sizeof(number) ||
            run(conn, "COMMIT")) {
                (void)run(conn, "ROLLBACK");
                return 2;
        }
        return 0;
}

/* Where sessions are ended, whose was connects again, as an application does with its next request:
 * and finds what he had committed. */
static int append(void *connection, uint64_t number, int tree_fd)
{
        PGconn *conn = connection;
        char sql[100];

        (void)snprintf(sql, sizeof(sql), "SELECT 1 / count(*) FROM lefts WHERE id = %" PRIu64,
                       number);
        for (int tries = 0; tries < 2000; tries++) {
                if (append_once(conn, number, tree_fd) == 0)
                        return 0;
                if (DB_WAY != DB_WAY_FILES || conn == NULL || PQstatus(conn) == CONNECTION_OK)
                        return 2;
                PQreset(conn);
                if (PQstatus(conn) == CONNECTION_OK && run(conn, sql) == 0)
                        return 0;
                (void)usleep(10000);
        }
        return 3;
}

static int linger(void *connection)
{
        return connection == NULL ||
               run(connection, "BEGIN; DELETE FROM lefts; DELETE FROM rights");
}

static int number_of(PGconn *conn, const char *sql, uint64_t *ret_number)
{
        PGresult *result = PQexec(conn, sql);
        bool good = PQresultStatus(result) == PGRES_TUPLES_OK;

        if (good)
                *ret_number = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
        return !good;
}

static int read_app(const struct db_conf *conf, const char *schema, struct db_counts *ret_counts)
{
        PGconn *conn = connect_app(conf, schema);
        int r = conn == NULL || run(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ") ||
                number_of(conn, "SELECT count(*) FROM lefts", &ret_counts->left) ||
                number_of(conn, "SELECT count(*) FROM rights", &ret_counts->right) ||
                number_of(conn, "SELECT last()", &ret_counts->last);

        PQfinish(conn);
        return r;
}

static int damage(const struct db_conf *conf, const char *schema)
{
        PGconn *conn = connect_app(conf, schema);

        return conn == NULL || run(conn, "DELETE FROM rights WHERE id = 7");
}

const struct db_factory db_factory = {
        .driver = &db_driver_postgres,
        .costly = true,
        .start = start,
        .provision = provision,
        .create = create,
        .connect = connect_app,
        .append = append,
        .linger = linger,
        .read = read_app,
        .damage = damage,
};
