/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/driver/db_conformance.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/mariadb_files.h"
#include "tests/lib/root.h"

/*
 * An application on MariaDB, as PHP would be: it logs in by the socket with a password and has
 * rights on its own database.  The build says the engine of the second table (DB_ENGINE), and for
 * the way of files the file system (DB_FILES, else NULL: rows).
 */

static void start(struct db_conf *conf)
{
        if (DB_FILES == NULL) {
                mariadb_begin(NULL, conf);
                return;
        }
        root_begin();
        mariadb_begin(root_fs(DB_FILES, 700), conf);
        mariadb_files_allow();
        conf->way = DB_WAY_FILES;
}

static void provision(const struct db_conf *conf, const char *schema)
{
        char sql[1024];

        (void)conf;
        (void)snprintf(sql, sizeof(sql),
                       "CREATE DATABASE `%s`;\n"
                       "GRANT ALL PRIVILEGES ON `%s`.* TO " MARIADB_APP "@localhost;\n"
                       "GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `%s`.*"
                       " TO sitesnap@localhost",
                       schema, schema, schema);
        mariadb_admin(sql);
}

static MYSQL *open_app(const char *schema)
{
        return mariadb_log_in(MARIADB_APP, MARIADB_APP_PASS, schema);
}

static int run(MYSQL *mysql, const char *sql)
{
        if (mysql_query(mysql, sql) != 0) {
                fprintf(stderr, "# %s: %s\n", sql, mysql_error(mysql));
                return 1;
        }
        mysql_free_result(mysql_store_result(mysql));
        return 0;
}

static int create(const struct db_conf *conf, const char *schema, unsigned rows)
{
        MYSQL *mysql = open_app(schema);
        char fill[256];

        (void)conf;
        (void)snprintf(fill, sizeof(fill),
                       "INSERT INTO lefts SELECT seq, SHA2(seq, 512) FROM seq_1_to_%u", rows);
        return mysql == NULL ||
               run(mysql, "CREATE TABLE lefts (id BIGINT PRIMARY KEY, text TEXT)"
                          " ENGINE=InnoDB") ||
               run(mysql, "CREATE TABLE rights (id BIGINT PRIMARY KEY, text TEXT,"
                          " KEY by_text (text(20))) ENGINE=" DB_ENGINE) ||
               run(mysql, "CREATE VIEW seen AS SELECT id FROM lefts") || run(mysql, fill) ||
               run(mysql, "INSERT INTO rights SELECT * FROM lefts");
}

static void *connect_app(const struct db_conf *conf, const char *schema)
{
        (void)conf;
        return open_app(schema);
}

/* The tree is written with the locks in hand.  A table without transactions is written under
 * LOCK TABLES, as such applications do. */
static int append(void *connection, uint64_t number, int tree_fd)
{
        MYSQL *mysql = connection;
        bool in_view = strcmp(DB_ENGINE, "InnoDB") == 0;
        char left[128], right[128];
        int r;

        (void)snprintf(left, sizeof(left), "INSERT INTO lefts VALUES (%" PRIu64 ", 'new')", number);
        (void)snprintf(right, sizeof(right), "INSERT INTO rights VALUES (%" PRIu64 ", 'new')",
                       number);
        if (mysql == NULL ||
            run(mysql, in_view ? "BEGIN" : "LOCK TABLES lefts WRITE, rights WRITE"))
                return 1;
        r = run(mysql, left) || run(mysql, right) ||
            pwrite(tree_fd, &number, sizeof(number), 0) != sizeof(number);
        if (run(mysql, !in_view ? "UNLOCK TABLES" : r ? "ROLLBACK" : "COMMIT"))
                return 2;
        return r;
}

static int linger(void *connection)
{
        if (strcmp(DB_ENGINE, "InnoDB") != 0)
                return run(connection, "LOCK TABLES lefts WRITE, rights WRITE");
        return run(connection, "BEGIN") || run(connection, "DELETE FROM lefts") ||
               run(connection, "DELETE FROM rights");
}

static uint64_t number_of(MYSQL *mysql, const char *sql, int *failed)
{
        MYSQL_RES *result;
        MYSQL_ROW row;
        uint64_t number = 0;

        if (mysql_query(mysql, sql) != 0 || (result = mysql_store_result(mysql)) == NULL) {
                fprintf(stderr, "# %s: %s\n", sql, mysql_error(mysql));
                *failed = 1;
                return 0;
        }
        row = mysql_fetch_row(result);
        if (row != NULL && row[0] != NULL)
                number = strtoull(row[0], NULL, 10);
        mysql_free_result(result);
        return number;
}

static int read_app(const struct db_conf *conf, const char *schema, struct db_counts *ret_counts)
{
        MYSQL *mysql = open_app(schema);
        int failed = 0;

        (void)conf;
        if (mysql == NULL || run(mysql, "START TRANSACTION WITH CONSISTENT SNAPSHOT"))
                return 1;
        ret_counts->left = number_of(mysql, "SELECT COUNT(*) FROM lefts", &failed);
        ret_counts->right = number_of(mysql, "SELECT COUNT(*) FROM rights", &failed);
        ret_counts->last = number_of(mysql, "SELECT MAX(id) FROM seen", &failed);
        mysql_close(mysql);
        return failed;
}

static int damage(const struct db_conf *conf, const char *schema)
{
        MYSQL *mysql = open_app(schema);

        (void)conf;
        return mysql == NULL || run(mysql, "DELETE FROM rights WHERE id = 7");
}

const struct db_factory db_factory = {
        .driver = DB_FILES == NULL ? &db_driver_mariadb : &mariadb_files_driver,
        .costly = DB_FILES != NULL,
        .start = start,
        .provision = provision,
        .create = create,
        .connect = connect_app,
        .append = append,
        .linger = linger,
        .read = read_app,
        .damage = damage,
};
