/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/* Names and rows that nobody would think of, in MariaDB. */

#define LONG_NAME "a123456789b123456789c123456789d123456789e123456789f123456789g123"

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

static void copy_checked(struct db *db, const char *from, const char *to)
{
        ASSERT_OK(driver->copy(db, from, to, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, from, to, &err));
}

static const struct {
        const char *name, *quoted, *granted; /* where a backslash takes the meaning of % */
} names[] = {
        { LONG_NAME, LONG_NAME, LONG_NAME },
        { "we`ird'\"\\ n\xc3\xa4me;--", "we``ird'\"\\ n\xc3\xa4me;--",
          "we``ird'\"\\\\ n\xc3\xa4me;--" },
        { "snap", "snap", "snap" },
        { "a_b%c", "a_b%c", "a\\_b\\%c" },
};

/* A copy's name is within what the engine allows and the catalog tells apart, whatever the
 * original's is. */
TEST(a_schema_of_any_name_is_copied_under_a_name_that_fits)
{
        struct db *db = torture_begin_open(&conf);

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char sql[2000], copy[DB_NAME_MAX], other[DB_NAME_MAX];
                const char *name = names[i].quoted;

                db_copy_name(names[i].name, UINT64_MAX, copy);
                db_copy_name(names[i].name, UINT64_MAX - 1, other);
                ASSERT(strlen(copy) < DB_NAME_MAX && db_is_copy_name(copy));
                ASSERT(strcmp(copy, other) != 0);
                (void)snprintf(sql, sizeof(sql),
                               "CREATE DATABASE `%s`;\nGRANT SELECT, LOCK TABLES, SHOW VIEW, "
                               "TRIGGER, EVENT, EXECUTE ON `%s`.* TO sitesnap@localhost;\n"
                               "CREATE TABLE `%s`.t (id INT PRIMARY KEY) ENGINE=InnoDB;\n"
                               "INSERT INTO `%s`.t VALUES (1), (2);\n"
                               "CREATE VIEW `%s`.v AS SELECT id FROM `%s`.t",
                               name, names[i].granted, name, name, name, name);
                mariadb_admin(sql);
                copy_checked(db, names[i].name, copy);
                (void)snprintf(sql, sizeof(sql),
                               "DELETE FROM `%s`.t;\nINSERT INTO `%s`.t VALUES (7)", name, name);
                mariadb_admin(sql);
                (void)snprintf(sql, sizeof(sql), "SELECT SUM(id) FROM `%s`.v", copy);
                ASSERT_STR(mariadb_ask(sql), "3");
                ASSERT_OK(db_drop(driver, db, copy, &err));
        }
        driver->close(db);
}

/* Bytes that are no UTF-8 get into a column of text by an import alone: it is of another type when
 * they are written. */
static void make_no_text(void)
{
        char from[400], to[400];

        mariadb_admin(
                "CREATE TABLE live.bytes (id INT PRIMARY KEY, v VARBINARY(40)) ENGINE=InnoDB;\n"
                "INSERT INTO live.bytes VALUES (1, x'C328FF00'), (2, 'text'), (3, x'E282');\n"
                "CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT);\n"
                "CREATE TABLE live.texts (id INT PRIMARY KEY, v VARCHAR(10) CHARACTER SET utf8mb4"
                " COLLATE utf8mb4_bin) ENGINE=InnoDB;\n"
                "ALTER TABLE live.texts DISCARD TABLESPACE;\nFLUSH TABLES live.bytes FOR EXPORT");
        (void)snprintf(from, sizeof(from), "%s/live/bytes.ibd", mariadb_datadir());
        (void)snprintf(to, sizeof(to), "%s/live/texts.ibd", mariadb_datadir());
        ASSERT_EQ(root_run((const char *const[]){ "cp", "-p", from, to, NULL }), 0);
        mariadb_admin("UNLOCK TABLES;\nALTER TABLE live.texts IMPORT TABLESPACE");
        ASSERT_STR(mariadb_ask("SELECT HEX(v) FROM live.texts WHERE id = 1"), "C328FF00");
}

TEST(text_that_is_no_utf8_is_named_and_never_changed_in_silence)
{
        struct db *db = torture_begin_open(&conf);

        make_no_text();
        ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err), ERR_INVALID,
                   "'texts'");
        printf("# %s\n", err.msg);
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME"
                               " = '" TORTURE_COPY "'"),
                   "0");
        ASSERT(torture_unlocked());
        mariadb_admin("UPDATE live.texts SET v = 'put right' WHERE id <> 2");
        copy_checked(db, "live", TORTURE_COPY);
        driver->close(db);
}

/* Larger than any statement may be, and than what we keep in memory. */
TEST(a_row_that_no_statement_takes_is_copied)
{
        unsigned mbytes = getenv("SITESNAP_TEST_ALL") != NULL ? 1000 : 70;
        struct db *db;
        char sql[400];

        torture_begin(&conf);
        (void)snprintf(sql, sizeof(sql), "SET GLOBAL max_allowed_packet = %u", (mbytes + 8) << 20);
        mariadb_admin(sql);
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO live.large VALUES (1, REPEAT('\\'\\0', %u)), (2, 'small')",
                       mbytes << 19);
        mariadb_admin("CREATE TABLE live.large (id INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB");
        {
                MYSQL *mysql = mariadb_log_in("root", NULL, NULL);

                ASSERT(mysql != NULL);
                if (mysql_query(mysql, sql) != 0)
                        test_fail(__FILE__, __LINE__, "%s", mysql_error(mysql));
                mysql_close(mysql);
        }
        mariadb_admin("SET GLOBAL max_allowed_packet = 16777216");
        ASSERT_OK(driver->open(&conf, &db, &err));
        copy_checked(db, "live", TORTURE_COPY);
        (void)snprintf(sql, sizeof(sql),
                       "SELECT GROUP_CONCAT(MD5(b) ORDER BY id) = (SELECT "
                       "GROUP_CONCAT(MD5(b) ORDER BY id) FROM live.large) FROM " TORTURE_COPY
                       ".large");
        ASSERT_STR(mariadb_ask(sql), "1");
        (void)snprintf(sql, sizeof(sql), "%u", mbytes << 20);
        ASSERT_STR(mariadb_ask("SELECT MAX(LENGTH(b)) FROM " TORTURE_COPY ".large"), sql);
        driver->close(db);
}
