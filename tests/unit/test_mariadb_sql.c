/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_names.h"
#include "dbdump/mariadb_said.h"
#include "dbdump/mariadb_sql.h"
#include "tests/lib/test.h"

TEST(a_statement_is_put_together_from_names_and_values)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        mariadb_sql_add(&sql, "SELECT %I FROM %I.%I WHERE a = %L AND b = %u LIMIT %U%%", "a`b", "x",
                        "y", "it's \\ 1", 7u, UINT64_MAX);
        ASSERT(!sql.failed);
        ASSERT_STR(sql.text, "SELECT `a``b` FROM `x`.`y` WHERE a = 'it\\'s \\\\ 1' AND b = 7"
                             " LIMIT 18446744073709551615%");
        mariadb_sql_reset(&sql);
        mariadb_sql_add(&sql, "%L", (const char *)NULL);
        ASSERT_STR(sql.text, "NULL");
}

TEST(a_value_of_any_bytes_does_not_end_its_quotes)
{
        static const char bytes[] = "a\0b'c\\d\ne\rf\032g\"h\xc3";
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        mariadb_sql_value(&sql, bytes, sizeof(bytes) - 1);
        ASSERT_STR(sql.text, "'a\\0b\\'c\\\\d\\ne\\rf\\Zg\"h\xc3'");
        mariadb_sql_reset(&sql);
        for (size_t i = 0; i < 5000; i++)
                mariadb_sql_value(&sql, "'", 1);
        ASSERT_EQ(sql.n, 20000);
}

TEST(a_name_that_is_none_spoils_the_statement)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        mariadb_sql_add(&sql, "DROP TABLE %I", "");
        ASSERT(sql.failed);
        ASSERT_EQ(sql.why.code, ERR_INVALID);
        mariadb_sql_add(&sql, "; and more");
        ASSERT(sql.failed);
}

TEST(a_message_shows_no_text_of_a_statement)
{
        char shown[MARIADB_SQL_SHOWN];

        mariadb_sql_shown("SELECT `a` FROM t WHERE k='se\\'cret' AND `b`", shown);
        ASSERT_STR(shown, "SELECT `a` FROM t WHERE k='?'");
        mariadb_sql_shown("SELECT `a` FROM t WHERE k='se\\ncret' AND j=\"se''cret\" AND 'it''s'",
                          shown);
        ASSERT_STR(shown, "SELECT `a` FROM t WHERE k='?' AND j=\"?\" AND '?''?'");
        mariadb_sql_shown("RETURN 'secret that does not end", shown);
        ASSERT_STR(shown, "RETURN '?'");
        mariadb_sql_shown("", shown);
        ASSERT_STR(shown, "");
        for (size_t n = 100; n < 200; n++) {
                char text[201] = "";

                memset(text, '\'', n);
                mariadb_sql_shown(text, shown);
                ASSERT(strlen(shown) < MARIADB_SQL_SHOWN);
        }
}

TEST(a_body_that_names_its_schema_is_seen)
{
        static const char *const reaching[] = {
                "DELETE FROM live.t",
                "DELETE FROM `live`.t",
                "delete from LIVE . t",
                "x;live/* */.t",
                "SELECT 'INSERT live.t'",
                "\"live\".t",
                "BEGIN UPDATE a, live.b",
                "live.t",
                "`live` /* a */ /* b */ . `t`",
                "live-- x\n.t",
                "live # x\n # y\n.t",
                "/*! live */.t",
                "/*!50000live*/ . t",
                "/*M!100100 `live`.*/t",
                "live/*!.t*/",
                "live/*!50000 . */ t",
                "/*M!live.t*/",
        };
        static const char *const harmless[] = {
                "DELETE FROM t", "alive.t", "live_.t", "x.live.t",
                "`x`.`live`.t",  "live",    "live;",   "SELECT 'to live'",
                "oblive.t",      "liver.t", "",
        };

        for (size_t i = 0; i < sizeof(reaching) / sizeof(reaching[0]); i++)
                if (!mariadb_names_reaches(reaching[i], "live"))
                        test_fail(__FILE__, __LINE__, "not seen: %s", reaching[i]);
        for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
                if (mariadb_names_reaches(harmless[i], "live"))
                        test_fail(__FILE__, __LINE__, "seen: %s", harmless[i]);
        ASSERT(mariadb_names_reaches("DELETE FROM `li``ve`.t", "li`ve"));
        ASSERT(mariadb_names_reaches("DELETE FROM \"li\"\"ve\".t", "li\"ve"));
        ASSERT(!mariadb_names_reaches("DELETE FROM `li``ve2`.t", "li`ve"));
}

TEST(what_a_view_or_a_default_calls_is_repointed)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        mariadb_names_repoint(
                &sql,
                "select `live`.`f`(`a`.`id`) AS `live`,'`live`.`f`(' AS `x``live`,"
                "`live`.`id`,nextval(`live`.`seq`),`y`.`live`.`f`(1),'it\\'s `live`.`f`('",
                "live", "snap7_live");
        ASSERT_STR(
                sql.text,
                "select `snap7_live`.`f`(`a`.`id`) AS `live`,'`live`.`f`(' AS `x``live`,"
                "`live`.`id`,nextval(`snap7_live`.`seq`),`y`.`live`.`f`(1),'it\\'s `live`.`f`('");
        ASSERT(mariadb_names_qualifies("select `live`.`a` from `b`", "live"));
        ASSERT(!mariadb_names_qualifies("select '`live`.`a`',`b`.`live`.`c`,`live` from `b`",
                                        "live"));
        ASSERT(mariadb_names_qualifies("select `li``ve`.`a`", "li`ve"));
}

TEST(the_line_that_only_one_fingerprint_has_is_told)
{
        char line[40] = "";

        ASSERT(!mariadb_fingerprint_differs("a\nb\n", "a\nb\n", line, sizeof(line)));
        ASSERT(mariadb_fingerprint_differs("a\nb\nc\n", "a\nc\n", line, sizeof(line)));
        ASSERT_STR(line, "b");
        ASSERT(mariadb_fingerprint_differs("a\n", "a\nc d\n", line, sizeof(line)));
        ASSERT_STR(line, "c d");
        ASSERT(mariadb_fingerprint_differs("a x\n", "a y\n", line, sizeof(line)));
        ASSERT_STR(line, "a x");
}

/* As the servers write them, with a visitor's value in each that has one. */
static const struct {
        unsigned number;
        const char *state, *text, *said;
} messages[] = {
        { 1062, "23000", "Duplicate entry 'visitor' for key 'email'",
          "Duplicate entry (its value is not told) for key 'email'" },
        { 1062, "23000", "Duplicate entry 'x' for key 'visitor' for key 'email'",
          "Duplicate entry (its value is not told) for key 'email'" },
        { 1586, "23000", "Duplicate entry 'visitor' for key 'PRIMARY'",
          "Duplicate entry (its value is not told) for key 'PRIMARY'" },
        { 1366, "22007", "Incorrect integer value: 'visitor' for column `shop`.`t`.`n` at row 3",
          "Incorrect integer value: (its value is not told) for column `shop`.`t`.`n` at row 3" },
        { 1366, "HY000", "Incorrect string value: '\\xF0visitor' for column 'n' at row 1",
          "Incorrect string value: (its value is not told) for column 'n' at row 1" },
        { 1292, "22007", "Truncated incorrect DOUBLE value: 'visitor for column x'",
          "Truncated incorrect DOUBLE value: (its value is not told)" },
        { 1292, "22007", "Incorrect datetime value: 'visitor' for column `shop`.`t`.`d` at row 1",
          "Incorrect datetime value: (its value is not told) for column `shop`.`t`.`d` at row 1" },
        { 1525, "HY000", "Incorrect DATE value: 'visitor'",
          "Incorrect DATE value: (its value is not told)" },
        { 1411, "HY000", "Incorrect datetime value: 'visitor' for function str_to_date",
          "Incorrect datetime value: (its value is not told)" },
        { 1526, "HY000", "Table has no partition for value visitor",
          "Table has no partition for (its value is not told)" },
        { 1690, "22003", "BIGINT value is out of range in '(`shop`.`t`.`visitor` * 2)'",
          "BIGINT value is out of range in (its value is not told)" },
        { 1300, "HY000", "Invalid utf8mb4 character string: 'visitor'",
          "Invalid utf8mb4 character string: (its value is not told)" },
        { 1761, "23000",
          "Foreign key constraint for table 'c', record 'visitor' would lead to a duplicate entry "
          "in table 'p', key 'k'",
          "Foreign key constraint for table 'c', (its value is not told)" },
        { 1064, "42000", "You have an error in your SQL syntax; near ''visitor'' at line 1",
          "You have an error in your SQL syntax;" },
        { 1644, "45000", "visitor may not", "a row, or a routine of the database, is refused" },
        { 1644, "HY000", "visitor may not", "a row, or a routine of the database, is refused" },
        { 9999, "22018", "what a later server says of visitor",
          "a row, or a routine of the database, is refused" },
        { 1406, "22001", "Data too long for column 'name' at row 1",
          "Data too long for column 'name' at row 1" },
        { 1048, "23000", "Column 'name' cannot be null", "Column 'name' cannot be null" },
        { 4025, "23000", "CONSTRAINT `c` failed for `shop`.`t`",
          "CONSTRAINT `c` failed for `shop`.`t`" },
        { 1452, "23000", "Cannot add or update a child row: a foreign key constraint fails (`a`)",
          "Cannot add or update a child row: a foreign key constraint fails (`a`)" },
        { 1146, "42S02", "Table 'shop.t' doesn't exist", "Table 'shop.t' doesn't exist" },
        { 1045, "28000", "Access denied for user 'app'@'localhost'",
          "Access denied for user 'app'@'localhost'" },
};

TEST(a_servers_message_is_told_without_a_rows_values)
{
        char said[MARIADB_SAID_MAX];

        for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
                mariadb_said(messages[i].number, messages[i].state, messages[i].text, said);
                ASSERT(strstr(said, "visitor") == NULL);
                ASSERT_STR(said, messages[i].said);
        }
}
