/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_names.h"
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
