/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/driver/db_conformance.h"
#include "tests/lib/tenant.h"

/*
 * An application on SQLite, as PHP would be: it opens files by their path and knows nothing of
 * us.  Two databases, as MediaWiki has several: "left" and "right" lie in different files and are
 * written in one transaction by ATTACH.  The build says the journal mode (DB_MODE) and the file
 * system (DB_FS, NULL for the one below /var/tmp).
 */

static void start(struct db_conf *conf)
{
        tenant_begin(DB_FS, 400, conf);
}

static void provision(const struct db_conf *conf, const char *schema)
{
        (void)conf;
        tenant_dir(schema);
}

static sqlite3 *open_at(const char *schema)
{
        char path[256], sql[512];
        sqlite3 *db = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s/site.sqlite", tenant_root(), schema);
        if (sqlite3_open(path, &db) != SQLITE_OK)
                return NULL;
        (void)sqlite3_busy_timeout(db, 20000);
        (void)snprintf(sql, sizeof(sql), "ATTACH '%s/%s/.ht.sqlite' AS more", tenant_root(),
                       schema);
        return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? db : NULL;
}

static int create(const struct db_conf *conf, const char *schema, unsigned rows)
{
        sqlite3 *db = open_at(schema);
        char sql[2048];

        (void)conf;
        if (db == NULL)
                return 2;
        (void)snprintf(sql, sizeof(sql),
                       "PRAGMA main.journal_mode=%s; PRAGMA more.journal_mode=%s;"
                       "PRAGMA main.synchronous=NORMAL; PRAGMA more.synchronous=NORMAL;"
                       "BEGIN; CREATE TABLE main.lefts(id INTEGER PRIMARY KEY, text TEXT);"
                       "CREATE TABLE more.rights(id INTEGER PRIMARY KEY, text TEXT);"
                       "CREATE INDEX more.by_text ON rights(text);"
                       "CREATE VIEW main.seen AS SELECT id FROM lefts;"
                       "CREATE VIRTUAL TABLE main.found USING fts5(text);"
                       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT %u)"
                       " INSERT INTO lefts SELECT i, hex(randomblob(200)) FROM n;"
                       "INSERT INTO rights SELECT * FROM lefts; COMMIT",
                       DB_MODE, DB_MODE, rows);
        return sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK ||
               sqlite3_close(db) != SQLITE_OK;
}

static void *connect_app(const struct db_conf *conf, const char *schema)
{
        (void)conf;
        return open_at(schema);
}

static int run(sqlite3 *db, const char *sql, uint64_t number)
{
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(stmt, 1, (sqlite3_int64)number);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(stmt);
        (void)sqlite3_finalize(stmt);
        return rc != SQLITE_DONE;
}

/* BEGIN IMMEDIATE locks all that is attached; the tree is written with the locks in hand. */
static int append(void *connection, uint64_t number, int tree_fd)
{
        sqlite3 *db = connection;

        if (db == NULL || sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
                return 1;
        if (run(db, "INSERT INTO lefts VALUES (?, 'new')", number) ||
            run(db, "INSERT INTO rights VALUES (?, 'new')", number) ||
            pwrite(tree_fd, &number, sizeof(number), 0) != sizeof(number) ||
            sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
                return 2;
        }
        return 0;
}

static int linger(void *connection)
{
        return connection == NULL ||
               sqlite3_exec(connection, "BEGIN IMMEDIATE; DELETE FROM lefts; DELETE FROM rights",
                            NULL, NULL, NULL) != SQLITE_OK;
}

static int number_of(sqlite3 *db, const char *sql, uint64_t *ret_number)
{
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW)
                *ret_number = (uint64_t)sqlite3_column_int64(stmt, 0);
        (void)sqlite3_finalize(stmt);
        return rc != SQLITE_ROW;
}

static int read_app(const struct db_conf *conf, const char *schema, struct db_counts *ret_counts)
{
        sqlite3 *db = open_at(schema);
        int r;

        (void)conf;
        r = db == NULL || sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
            number_of(db, "SELECT count(*) FROM lefts", &ret_counts->left) ||
            number_of(db, "SELECT count(*) FROM rights", &ret_counts->right) ||
            number_of(db, "SELECT max(id) FROM lefts", &ret_counts->last);
        (void)sqlite3_close(db);
        return r;
}

static int damage(const struct db_conf *conf, const char *schema)
{
        sqlite3 *db = connect_app(conf, schema);
        int r = db == NULL || run(db, "DELETE FROM rights WHERE id = ?", 7);

        return r || sqlite3_close(db) != SQLITE_OK;
}

const struct db_factory db_factory = {
        .driver = &db_driver_sqlite,
        .start = start,
        .provision = provision,
        .create = create,
        .connect = connect_app,
        .append = append,
        .linger = linger,
        .read = read_app,
        .damage = damage,
};
