/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/dbdriver.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

static struct err err;
static struct db_conf conf;
static const struct db_driver *const driver = &db_driver_sqlite;

static struct db *begin(void)
{
        struct db *db;

        tenant_begin(NULL, 0, &conf);
        tenant_dir("shop");
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

static void sql(const char *file, const char *text)
{
        int rc = tenant_sql(TENANT, file, text);

        if (rc != SQLITE_OK)
                test_fail(__FILE__, __LINE__, "%s: %s: %s", file, text, sqlite3_errstr(rc));
}

static void has(const char *text, const char *line)
{
        if (strstr(text, line) == NULL)
                test_fail(__FILE__, __LINE__, "no '%s' in:\n%s", line, text);
}

TEST(a_fingerprint_is_the_same_wherever_the_schema_lies_and_however_it_was_typed)
{
        struct db *db = begin();
        char *a = NULL, *b = NULL;

        sql("shop/x.db", "CREATE TABLE posts (id INTEGER PRIMARY KEY,  title TEXT NOT NULL\n"
                         " DEFAULT 'a b', \"odd\ncolumn\" BLOB);"
                         "CREATE INDEX by_title ON posts (title); CREATE VIEW v AS SELECT 1;"
                         "CREATE TABLE keys (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;"
                         "CREATE TRIGGER t AFTER INSERT ON posts BEGIN SELECT 1; END");
        ASSERT_OK(driver->fingerprint(db, "shop", &a, &err));
        has(a, "x.db: column posts.title TEXT not null default 'a b'\n");
        has(a, "x.db: column posts.odd\\x0acolumn BLOB\n");
        has(a, "x.db: column keys.b  not null key 1\n");
        has(a, "x.db: index by_title on posts: CREATE INDEX by_title ON posts (title)\n");
        has(a,
            "x.db: table posts: CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT NOT NULL");
        has(a, "x.db: trigger t on posts: CREATE TRIGGER t");
        has(a, "x.db: view v: CREATE VIEW v");
        ASSERT_OK(driver->copy(db, "shop", "snap1_shop", NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, "snap1_shop", false, &err));
        ASSERT_OK(driver->fingerprint(db, "snap1_shop", &b, &err));
        ASSERT_STR(a, b);
        free(b);
        sql("shop/x.db", "INSERT INTO posts (title) VALUES ('rows do not count')");
        ASSERT_OK(driver->fingerprint(db, "shop", &b, &err));
        ASSERT_STR(a, b);
        free(b);
        sql("shop/x.db", "ALTER TABLE posts ADD COLUMN more INT");
        ASSERT_OK(driver->fingerprint(db, "shop", &b, &err));
        ASSERT(strcmp(a, b) != 0);
        free(a);
        free(b);
        driver->close(db);
}

struct found {
        char text[4000];
        unsigned rows;
        unsigned stop_at;
};

static void show(struct found *found, const char *name, const struct db_value *value)
{
        size_t n = strlen(found->text);

        if (value->bytes == NULL)
                (void)snprintf(found->text + n, sizeof(found->text) - n, " %s=NULL", name);
        else
                (void)snprintf(found->text + n, sizeof(found->text) - n, " %s=%.*s", name,
                               (int)value->size, value->bytes);
}

static int see(const struct db_row_change *row, void *arg, struct err *why)
{
        static const char *const words[] = { "+", "~", "-" };
        struct found *found = arg;
        size_t n = strlen(found->text);

        found->rows++;
        ASSERT((row->from == NULL) == (row->change == DB_ROW_INSERTED));
        ASSERT((row->to == NULL) == (row->change == DB_ROW_DELETED));
        (void)snprintf(found->text + n, sizeof(found->text) - n, "%s%s(%zu)", words[row->change],
                       row->table, row->n_key);
        for (size_t i = 0; row->from != NULL && i < row->n_columns; i++)
                show(found, row->columns[i], &row->from[i]);
        for (size_t i = 0; row->to != NULL && i < row->n_columns; i++)
                show(found, row->columns[i], &row->to[i]);
        n = strlen(found->text);
        (void)snprintf(found->text + n, sizeof(found->text) - n, "\n");
        return found->rows != found->stop_at ? 0 : err_fail(why, ERR_NOTHING, 0, "seen enough");
}

TEST(rows_that_differ_are_reported_and_no_others)
{
        struct db *db = begin();
        struct found found = { 0 };

        sql("shop/x.db",
            "CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT COLLATE NOCASE, data BLOB);"
            "CREATE TABLE \"a\"\"b\" (k TEXT, j INT, v, PRIMARY KEY (k, j)) WITHOUT ROWID;"
            "CREATE TABLE loose (v); CREATE TABLE gone (v);"
            "CREATE VIRTUAL TABLE found USING fts5 (text);"
            "INSERT INTO posts VALUES (1, 'one', NULL), (2, 'two', x'00ff'), (3, 'three', 'c');"
            "INSERT INTO \"a\"\"b\" VALUES ('x', 1, 'same'), ('x', 2, 'old');"
            "INSERT INTO loose VALUES ('first'), ('second'); INSERT INTO found VALUES ('x')");
        ASSERT_OK(driver->copy(db, "shop", "snap1_shop", NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, "snap1_shop", false, &err));
        sql("shop/x.db",
            "UPDATE posts SET title = 'ONE' WHERE id = 1; DELETE FROM posts WHERE id = 2;"
            "INSERT INTO posts VALUES (9, 'nine', ''); UPDATE \"a\"\"b\" SET v = 'new' WHERE j = 2;"
            "INSERT INTO loose VALUES ('third'); INSERT INTO found VALUES ('y'); DROP TABLE gone;"
            "ALTER TABLE posts ADD COLUMN later DEFAULT 7; CREATE TABLE fresh (v)");
        ASSERT_OK(driver->diff(db, "snap1_shop", "shop", see, &found, &err));
        ASSERT_STR(found.text, "~a\"b(2) k=x j=2 v=old k=x j=2 v=new\n"
                               "+loose(1) rowid=3 v=third\n"
                               "+posts(1) id=9 title=nine data=\n"
                               "~posts(1) id=1 title=one data=NULL id=1 title=ONE data=NULL\n"
                               "-posts(1) id=2 title=two data=\n");
        found = (struct found){ .stop_at = 2 };
        ASSERT_ERR(driver->diff(db, "snap1_shop", "shop", see, &found, &err), ERR_NOTHING,
                   "seen enough");
        ASSERT_EQ(found.rows, 2);
        driver->close(db);
}

static int count_row(const struct db_row_change *row, void *arg, struct err *why)
{
        (void)row;
        (void)why;
        ++*(unsigned *)arg;
        return 0;
}

TEST(many_rows_need_no_more_memory_than_one)
{
        struct db *db = begin();
        unsigned rows = 0;

        sql("shop/x.db",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 200000)"
            " INSERT INTO t SELECT i, printf('%0100d', i) FROM n");
        ASSERT_OK(driver->copy(db, "shop", "snap1_shop", NULL, NULL, &err));
        sql("shop/x.db", "UPDATE t SET text = 'changed' WHERE id % 2 = 0");
        ASSERT_OK(driver->diff(db, "snap1_shop", "shop", count_row, &rows, &err));
        ASSERT_EQ(rows, 100000);
        driver->close(db);
}

TEST(a_forecast_says_how_and_how_long)
{
        struct db *db = begin();
        struct db_forecast forecast;

        sql("shop/x.db", "PRAGMA journal_mode=WAL; CREATE TABLE a(b)");
        ASSERT_OK(driver->forecast(db, "shop", &forecast, &err));
        ASSERT(forecast.way == DB_WAY_SNAPSHOT || forecast.way == DB_WAY_FILES);
        ASSERT(forecast.stall_msec <= 50 && forecast.why[0] != '\0');
        ASSERT_ERR(driver->forecast(db, "nothing", &forecast, &err), ERR_NOT_FOUND, "nothing");
        driver->close(db);
}

static int see_name(const char *name, void *arg, struct err *why)
{
        (void)why;
        ASSERT_STR(name, "snap1_shop");
        ++*(unsigned *)arg;
        return 0;
}

TEST(copies_are_listed_and_nothing_else)
{
        struct db *db = begin();
        unsigned n = 0;

        sql("shop/x.db", "CREATE TABLE a(b)");
        tenant_dir("snap2_shop.partial");
        ASSERT_OK(driver->copy(db, "shop", "snap1_shop", NULL, NULL, &err));
        ASSERT_OK(driver->list(db, see_name, &n, &err));
        ASSERT_EQ(n, 1);
        driver->close(db);
}
