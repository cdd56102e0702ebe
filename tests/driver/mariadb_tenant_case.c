/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/test.h"

/*
 * A tenant who puts a view in a table's place while we read it.  It calls a function of his with
 * the rights of whoever asks, and our account may write to every other tenant's copies.
 */

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

static void as_tenant(const char *const *statements, size_t n)
{
        MYSQL *mysql = mariadb_log_in(MARIADB_APP, MARIADB_APP_PASS, NULL);

        ASSERT(mysql != NULL);
        for (size_t i = 0; i < n; i++)
                if (mysql_query(mysql, statements[i]) != 0)
                        test_fail(__FILE__, __LINE__, "%s: %s", statements[i], mysql_error(mysql));
        mysql_close(mysql);
}
#define AS_TENANT(...)                                                                             \
        as_tenant((const char *const[]){ __VA_ARGS__ },                                            \
                  sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

#define VIEW(schema)                                                                               \
        "DROP TABLE " schema ".later",                                                             \
                "CREATE SQL SECURITY INVOKER VIEW " schema                                         \
                ".later AS SELECT live.evil() AS id, REPEAT('x', live.evil()) AS a FROM " schema   \
                ".first WHERE live.evil() = 1"

static struct db *begin(void)
{
        struct db *db = torture_begin_open(&conf);

        mariadb_admin("CREATE DATABASE snap3_other;\n"
                      "CREATE TABLE snap3_other.secrets (word CHAR(20)) ENGINE=MyISAM;\n"
                      "INSERT INTO snap3_other.secrets VALUES ('secret')");
        AS_TENANT("CREATE TABLE live.first (id INT PRIMARY KEY, a TEXT)",
                  "CREATE TABLE live.later (id INT PRIMARY KEY, a LONGTEXT)",
                  "INSERT INTO live.first VALUES (1, 'one'), (2, 'two')",
                  "INSERT INTO live.later SELECT * FROM live.first",
                  "CREATE FUNCTION live.evil() RETURNS INT MODIFIES SQL DATA SQL SECURITY INVOKER "
                  "BEGIN UPDATE snap3_other.secrets SET word = 'taken'; RETURN 1; END");
        return db;
}

static void expect_kept(void)
{
        ASSERT_STR(mariadb_ask("SELECT word FROM snap3_other.secrets"), "secret");
}

/* It does what it says, for whoever may. */
TEST(the_trap_works)
{
        struct db *db = begin();

        AS_TENANT(VIEW("live"));
        mariadb_admin("SELECT COUNT(*) FROM live.later");
        ASSERT_STR(mariadb_ask("SELECT word FROM snap3_other.secrets"), "taken");
        driver->close(db);
}

static int swap_at_row(const struct db_row_change *row, void *arg, struct err *swap_err)
{
        (void)row;
        (void)swap_err;
        if ((*(int *)arg)++ == 0)
                AS_TENANT(VIEW("live"));
        return 0;
}

TEST(no_view_is_read_where_rows_are_compared)
{
        struct db *db = begin();
        int rows = 0;

        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        AS_TENANT("UPDATE live.first SET a = 'changed'");
        ASSERT(driver->diff(db, TORTURE_COPY, "live", swap_at_row, &rows, &err) < 0);
        printf("# %s\n", err.msg);
        ASSERT(rows > 0);
        expect_kept();
        driver->close(db);
}

TEST(no_view_is_read_where_a_copy_is_verified)
{
        struct db *db = begin();

        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        AS_TENANT(VIEW(TORTURE_COPY));
        ASSERT(driver->verify(db, "live", TORTURE_COPY, &err) < 0);
        printf("# %s\n", err.msg);
        expect_kept();
        driver->close(db);
}

/* What is too large for a statement is read once more, behind the others. */
static int swap_behind_rows(const struct db_progress *progress, void *arg, struct err *swap_err)
{
        (void)swap_err;
        if (progress->rows_done >= 2 && !*(bool *)arg) {
                *(bool *)arg = true;
                AS_TENANT(VIEW("live"));
        }
        return 0;
}

TEST(no_view_is_read_where_large_rows_are_copied)
{
        struct db *db = begin();
        bool swapped = false;

        mariadb_admin("SET GLOBAL max_allowed_packet = 1048576");
        AS_TENANT("UPDATE live.later SET a = REPEAT('x', 900000) WHERE id = 1");
        driver->close(db);
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT(driver->copy(db, "live", TORTURE_COPY, swap_behind_rows, &swapped, &err) < 0);
        printf("# %s\n", err.msg);
        ASSERT(swapped);
        expect_kept();
        driver->close(db);
}

static int swap_at_bytes(const void *bytes, size_t n, void *arg, struct err *swap_err)
{
        (void)swap_err;
        if (!*(bool *)arg && memmem(bytes, n, "'one'", 5) != NULL) {
                *(bool *)arg = true;
                AS_TENANT(VIEW("live"));
        }
        return 0;
}

TEST(no_view_is_read_where_a_dump_is_made)
{
        struct db *db = begin();
        bool swapped = false;

        (void)(driver->dump(db, "live", swap_at_bytes, &swapped, &err) < 0);
        ASSERT(swapped);
        printf("# %s\n", err.msg);
        expect_kept();
        driver->close(db);
}
