/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/dumped.h"
#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/test.h"

/* Of a dump that a stranger wrote nothing is run that a dump has no use for. */

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

static const char begin_line[] = "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
#define CONTEXT(mode, charset)                                                                     \
        "SET sql_mode='" mode "', character_set_client='" charset                                  \
        "', collation_connection='" charset "_general_ci', time_zone=DEFAULT"

static void put(int fd, const char *kind, const char *text)
{
        dprintf(fd, "-- sitesnap:%s %zu\n%s;;\n", kind, strlen(text), text);
}

/* The constant beginning of a real one. */
static void put_head(struct db *db, int fd)
{
        static char head[4096];

        if (head[0] == '\0') {
                CLEANUP(closep) int real = dumped_make(driver, db, "live");
                char *end;

                ASSERT(pread(real, head, sizeof(head) - 1, 0) > 0);
                end = strstr(head, "-- sitesnap:");
                ASSERT(end != NULL);
                *end = '\0';
        }
        ASSERT(write(fd, head, strlen(head)) == (ssize_t)strlen(head));
}

#define GOOD_TABLE "CREATE TABLE `t` (`id` int, `b` text) ENGINE=InnoDB"

/* Each is one statement of a dump that is as good as any otherwise. */
static const struct {
        const char *kind, *text, *said, *context;
} hostile[] = {
        /* another schema */
        { "table", "CREATE TABLE `live`.`x` (`id` int)", "'.'" },
        { "table", "CREATE TABLE `x` (`id` int) SELECT * FROM live.counters", "'SELECT'" },
        { "table", "CREATE TABLE `x` (`id` int)\tAS WITH a AS (VALUES (1)) (sElEcT 1)", "'a'" },
        { "table",
          "CREATE TABLE `x` (`id` int, FOREIGN KEY (`id`) REFERENCES `live`.`counters` "
          "(`id`))",
          "'.'" },
        { "table", "CREATE TABLE `x` (`id` int) AS (sElEcT 1)", "'sElEcT'" },
        { "table", "CREATE TABLE `x` (`id` int) ENGINE=MRG_MyISAM UNION=(`live`.`counters`)",
          "'MRG_MyISAM'" },
        { "table", "CREATE TABLE `x` (`id` int) ENGINE=FEDERATED CONNECTION='mysql://a@b/c/d'",
          "'FEDERATED'" },
        { "table", "CREATE TABLE `x` (`id` int) ENGINE=InnoDB; DROP DATABASE live", "semicolon" },
        { "table", "CREATE TABLE `x` (`id` int) /*!50000 SELECT 1 */", "comment" },
        { "table", "CREATE OR REPLACE TABLE `x` (`id` int)", "'OR'" },
        { "table", "DROP TABLE `t`", "'DROP'" },
        { "table", "GRANT ALL ON *.* TO app@localhost", "'GRANT'" },
        /* files */
        { "table", "CREATE TABLE `x` (`id` int) DATA DIRECTORY='/tmp'", "'DATA'" },
        { "table", "CREATE TABLE `x` (`b` text DEFAULT (load_file('/etc/passwd')))",
          "'load_file'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (sleep(1000)))", "'sleep'" },
        { "rows", "INSERT INTO `t` (`b`) VALUES (load_file('/etc/passwd'))", "'load_file'" },
        { "rows", "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE `t`", "'LOAD'" },
        { "rows", "SELECT 1 INTO OUTFILE '/tmp/x'", "'SELECT'" },
        /* rows */
        { "rows", "INSERT INTO `live`.`counters` (`id`) VALUES (1)", "'.'" },
        { "rows", "INSERT INTO `t` (`id`) SELECT id FROM live.counters", "'SELECT'" },
        { "rows", "INSERT INTO `t` (`id`) VALUES ((SELECT 1))", "'('" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (1) ON DUPLICATE KEY UPDATE id=sleep(9)", "'ON'" },
        { "rows", "INSERT INTO `t` (`b`) VALUES ('a\\'), (load_file('x'))", "'x'" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (@@datadir)", "'@'" },
        { "value", "SET @v0='a', GLOBAL general_log=1", "','" },
        { "value", "SET GLOBAL general_log=1", "'GLOBAL'" },
        { "value", "SET @v0=load_file('/etc/passwd')", "'load_file'" },
        /* somebody else's rights */
        { "object", "CREATE DEFINER=`root`@`localhost` FUNCTION `f` RETURNS STRING SONAME 'x.so'",
          "'RETURNS'" },
        { "object", "CREATE DEFINER=`root`@`localhost` PROCEDURE `live`.`p`() SELECT 1", "'.'" },
        { "object", "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY 1 SECOND ENABLE DO DO 1",
          "'ENABLE'" },
        { "object", "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE AT (SELECT 1) DISABLE DO DO 1",
          "'('" },
        { "object", "CREATE DEFINER=`a`@`b` USER `u` IDENTIFIED BY ''", "'USER'" },
        { "object", "CREATE DEFINER=`a`@`b` VIEW `v` AS SELECT * FROM live.counters",
          "the view 'v' of the dump names the database 'live'" },
        { "object",
          "CREATE DEFINER=`a`@`b` TRIGGER `g` BEFORE INSERT ON `t` FOR EACH ROW DELETE "
          "FROM Live . counters",
          "names the database 'live'" },
        { "object",
          "CREATE DEFINER=`a`@`b` TRIGGER `g` BEFORE INSERT ON live.counters FOR EACH ROW "
          "DO 1",
          "names the database 'live'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM snap9_other.wp_users",
          "names the database 'snap9_other'" },
        /* a function by its name in quotes, or one that nobody has heard of */
        { "table", "CREATE TABLE `x` (`b` text DEFAULT (`load_file`('/etc/passwd')))",
          "'`load_file`'" },
        { "table", "CREATE TABLE `x` (`b` int, KEY `k` (`b`(5)), CHECK (`sleep`(9) = 0))",
          "'`sleep`'" },
        { "table", "CREATE TABLE `x` (`b` int, KEY `k` ((`sleep`(9))))", "'`sleep`'" },
        { "table", "CREATE TABLE `x` (`b` int CHECK (`SLEEP` (9) = 0))", "'`SLEEP`'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (`release_all_locks`()))",
          "'`release_all_locks`'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (wsrep_sync_wait_upto_gtid('0-1-1')))",
          "'wsrep_sync_wait_upto_gtid'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (spider_direct_sql('DROP TABLE t','','')))",
          "'spider_direct_sql'" },
        { "table", "CREATE TABLE `x` (`b` text DEFAULT (do_system('id')))", "'do_system'" },
        { "table", "CREATE TABLE `x` (`b` text DEFAULT (des_decrypt('x')))", "'des_decrypt'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (setval(`s`,5)))", "'setval'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (nextval(`live`.`s`)))", "'.'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (lastval(live . s)))", "'live'" },
        { "table", "CREATE TABLE `x` (`b` text DEFAULT (@@datadir))", "'@'" },
        { "table", "CREATE TABLE `x` (`b` text DEFAULT (_gbk'\xbf\\'', load_file('x')))",
          "'load_file'" },
        { "table", "CREATE TABLE `x` (`a``` int, `b` text DEFAULT ('\\\\', load_file('x')))",
          "'load_file'" },
        { "table", "CREATE TABLE `x` (`b` int DEFAULT (_utf8mb4 sleep(9)))", "'_utf8mb4'" },
        /* another schema whose name begins as a number, or in other quotes */
        { "table",
          "CREATE TABLE `x` (`id` int, FOREIGN KEY (`id`) REFERENCES 1live.counters (`id`))",
          "1live.counters" },
        { "table",
          "CREATE TABLE `x` (`id` int, FOREIGN KEY (`id`) REFERENCES `live`.1counters (`id`))",
          "'.'" },
        { "table",
          "CREATE TABLE `x` (`id` int, FOREIGN KEY (`id`) REFERENCES \"live\".\"counters\" "
          "(`id`))",
          "'.'" },
        { "table",
          "CREATE TABLE `x` (`id` int, FOREIGN KEY (`id`) REFERENCES live\n.\tcounters (`id`))",
          "'live'" },
        { "table", "CREATE TABLE `x` (LIKE `mysql`.`user`)", "'.'" },
        /* engines and files */
        { "table", "CREATE TABLE `x` (`id` int) ENGINE=CONNECT TABLE_TYPE=DOS", "'CONNECT'" },
        { "table", "CREATE TABLE `x` (`id` int) ENGINE 'SPIDER'", "'SPIDER'" },
        { "table", "CREATE TABLE `x` (`id` int) ENGINE=`FEDERATED`", "'`FEDERATED`'" },
        { "table",
          "CREATE TABLE `x` (`id` int) ENGINE=InnoDB PARTITION BY HASH (`id`) (PARTITION `p` "
          "ENGINE = SPIDER)",
          "'SPIDER'" },
        { "table",
          "CREATE TABLE `x` (`id` int) ENGINE=InnoDB PARTITION BY HASH (`id`) (PARTITION `p` "
          "DATA DIRECTORY = '/tmp')",
          "'DATA'" },
        { "table", "CREATE TABLE `x` (`id` int) INDEX DIRECTORY='/tmp'", "'DIRECTORY'" },
        { "table", "CREATE TABLE `x` (`id` int) TABLESPACE `mysql`", "'TABLESPACE'" },
        { "table", "CREATE TABLE `x` (`id` int) CONNECTION='mysql://a@b/c/d'", "'CONNECTION'" },
        { "table", "CREATE TABLE `x` (`id` int) UNION=(`t`)", "'UNION'" },
        { "table", "CREATE TABLE `x` (`id` int) AS TABLE `t`", "'TABLE'" },
        { "table", "CREATE TABLE `x` (`id` int) AS VALUES (1) INTO OUTFILE '/tmp/x'", "'INTO'" },
        /* comments */
        { "table", "CREATE TABLE `x` (`id` int) /*M! ENGINE=SPIDER */", "/*M!" },
        { "table", "CREATE TABLE `x` (`id` int /*M!100301 COMPRESSED*//*!, `b` int */)", "/*!," },
        { "table", "CREATE TABLE `x` (`id` int /*M!100301 COMPRESSED DEFAULT sleep(9)*/)",
          "COMPRESSED DEFAULT" },
        { "table", "CREATE TABLE `x` (`id` int) -- x\n ENGINE=SPIDER", "-- x" },
        { "table", "CREATE TABLE `x` (`id` int) # x", "# x" },
        { "table", "CREATE TABLE `x` (`id` int)\\! touch /tmp/x", "\\!" },
        /* statements of other kinds */
        { "table", "CREATE SERVER `s` FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')", "'SERVER'" },
        { "table", "CREATE FUNCTION `f` RETURNS STRING SONAME 'x.so'", "'FUNCTION'" },
        { "table", "CREATE TEMPORARY TABLE `x` (`id` int)", "'TEMPORARY'" },
        { "table", "INSTALL SONAME 'ha_spider'", "'INSTALL'" },
        { "table", "UNINSTALL PLUGIN `x`", "'UNINSTALL'" },
        { "table", "HANDLER `t` OPEN", "'HANDLER'" },
        { "table", "CALL `p`()", "'CALL'" },
        { "table", "EXECUTE IMMEDIATE 'DROP TABLE t'", "'EXECUTE'" },
        { "table", "BEGIN NOT ATOMIC DROP TABLE t; END", "'BEGIN'" },
        { "table", "CREATE SEQUENCE `live`.`s` ENGINE=InnoDB", "'.'" },
        { "table", "CREATE SEQUENCE `s` ENGINE=SPIDER", "'SPIDER'" },
        { "table", "CREATE SEQUENCE `s` ENGINE=InnoDB COMMENT='x'", "'COMMENT'" },
        { "rows", "PREPARE s FROM 'DROP TABLE t'", "'PREPARE'" },
        { "rows", "DELIMITER $$", "'DELIMITER'" },
        { "rows", "REPLACE INTO `t` (`id`) VALUES (1)", "'REPLACE'" },
        { "rows", "INSERT INTO \"live\".`counters` (`id`) VALUES (1)", "\"live\"" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (nextval(`live`.`s`))", "'nextval'" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (1live.f())", "1live.f" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (0x41.f())", "0x41.f" },
        { "rows", "INSERT INTO `t` (`b`) VALUES (_utf8mb4 load_file('x'))", "'load_file'" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (1) RETURNING `id`", "'RETURNING'" },
        { "rows", "INSERT INTO `t` (`id`) VALUES (`sleep`(9))", "'`sleep`'" },
        { "value", "SET @v0=@@version", "'@'" },
        { "value", "SET @v0=(SELECT 1)", "'('" },
        { "value", "SET @v0=CONCAT(@v0,'a',sleep(9))", "','" },
        { "value", "SET @v0='a' INTO OUTFILE '/tmp/x'", "'INTO'" },
        { "value", "SET STATEMENT max_statement_time=1 FOR SELECT 1", "'STATEMENT'" },
        { "value", "SET PASSWORD=''", "'PASSWORD'" },
        /* what waits for somebody to wake it */
        { "object",
          "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY '1\\' SECOND ENABLE COMMENT ' SECOND "
          "DISABLE DO DO 1 -- ' DO DELETE FROM t",
          "'ENABLE'", CONTEXT("NO_BACKSLASH_ESCAPES", "utf8mb4") },
        { "object",
          "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY \"1\" SECOND DISABLE DO DELETE FROM "
          "t",
          "\"1\"", CONTEXT("ANSI_QUOTES", "utf8mb4") },
        { "object", "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY 1 SECOND DO DO 1", "'DO'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM live -- x\n . counters",
          "names the database 'live'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM /*!live*/.counters",
          "names the database 'live'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM /*!50000live.counters*/",
          "names the database 'live'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM live/*M!.*/counters",
          "names the database 'live'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM \"live\".counters",
          "names the database 'live'", CONTEXT("ANSI_QUOTES", "utf8mb4") },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM `od``d`.t",
          "names the database 'od`d'" },
        { "object", "CREATE DEFINER=`a`@`b` PROCEDURE `p`() DELETE FROM n\xe4m.t",
          "names the database 'n\xc3\xa4m'", CONTEXT("", "latin1") },
        { "object",
          "CREATE DEFINER=`a`@`b` PROCEDURE `p`() SQL SECURITY INVOKER UPDATE mysql.global_priv "
          "SET Priv='{}'",
          "names the database 'mysql'" },
        { "object", "CREATE DEFINER=`a`@`b` SERVER `s` FOREIGN DATA WRAPPER mysql OPTIONS ()",
          "'SERVER'" },
        { "object", "CREATE DEFINER=`a`@`b` ROLE `r`", "'ROLE'" },
        { "object", "CREATE DEFINER=CURRENT_USER PROCEDURE `p`() DO 1", "'CURRENT_USER'" },
        { "object", "CREATE OR REPLACE DEFINER=`a`@`b` PROCEDURE `p`() DO 1", "'OR'" },
        { "object", "ALTER EVENT `e` ENABLE", "'ALTER'" },
        { "object", "CREATE DEFINER=`a`@`b` VIEW `v` AS SELECT 1 INTO OUTFILE '/tmp/x'", "INTO" },
        /* the server's settings */
        { "context",
          "SET sql_mode='', character_set_client='gbk', collation_connection='x', "
          "time_zone=DEFAULT",
          "'gbk'" },
        { "context", "SET sql_mode='', GLOBAL general_log=1", "'GLOBAL'" },
        { "schema", "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "two beginnings" },
        { "system", "touch /tmp/x", "unknown kind" },
};

/* A dump of one good table, and what comes then. */
static int begin_dump(struct db *db)
{
        int fd = memfd_create("dump", MFD_CLOEXEC);

        put_head(db, fd);
        put(fd, "schema", begin_line);
        put(fd, "table", GOOD_TABLE);
        put(fd, "rows", "INSERT INTO `t` (`id`,`b`) VALUES (1,'\\'; DROP'),(-2,NULL)");
        return fd;
}

/* Did the server get to read it?  Its log of every statement says so. */
static bool was_sent(const char *text)
{
        char sql[2048] = "SELECT COUNT(*) FROM mysql.general_log WHERE INSTR(CAST(argument AS "
                         "BINARY), x'";
        size_t n = strlen(sql);

        for (; *text != '\0'; text++)
                n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%02X", (unsigned char)*text);
        (void)snprintf(sql + n, sizeof(sql) - n, "')");
        return strcmp(mariadb_ask(sql), "0") != 0;
}

/* What is wrong, or NULL. */
static const char *wrong(size_t i, bool loaded)
{
        if (loaded)
                return "was loaded";
        if (strstr(err.msg, hostile[i].said) == NULL)
                return err.msg;
        /* What a view stands on, the server alone can tell; it is read there and not run. */
        return strstr(hostile[i].text, " VIEW ") == NULL && was_sent(hostile[i].text)
                       ? "was sent to the server"
                       : NULL;
}

TEST(a_dump_of_a_stranger_reaches_nothing)
{
        struct db *db = torture_begin_open(&conf);
        unsigned failed = 0;

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT) ENGINE=InnoDB;\n"
                      "INSERT INTO live.counters VALUES (1, 1);\n"
                      "CREATE DATABASE snap9_other;\nCREATE DATABASE `n\xc3\xa4m`;\n"
                      "CREATE DATABASE `od``d`;\nCREATE DATABASE 1live;\n"
                      "CREATE TABLE 1live.counters (id INT PRIMARY KEY);\n"
                      "CREATE TABLE snap9_other.wp_users (id INT);\n"
                      "GRANT ALL ON 1live.* TO sitesnap@localhost;\n"
                      "GRANT ALL ON `n\xc3\xa4m`.* TO sitesnap@localhost;\n"
                      "GRANT ALL ON `od``d`.* TO sitesnap@localhost;\n"
                      "SET GLOBAL log_output='TABLE';\nSET GLOBAL general_log=1");
        for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
                CLEANUP(closep) int fd = begin_dump(db);
                const char *what;

                if (strcmp(hostile[i].kind, "object") == 0)
                        put(fd, "context",
                            hostile[i].context == NULL ? CONTEXT("", "utf8mb4")
                                                       : hostile[i].context);
                put(fd, hostile[i].kind, hostile[i].text);
                dprintf(fd, "-- sitesnap:end %d %d %d\n",
                        1 + (strcmp(hostile[i].kind, "table") == 0),
                        2 + (strcmp(hostile[i].kind, "rows") == 0),
                        strcmp(hostile[i].kind, "object") == 0);
                mariadb_admin("TRUNCATE mysql.general_log");
                what = wrong(i, dumped_load(driver, db, TORTURE_COPY, fd, &err) == 0);
                if (what != NULL)
                        printf("# %u: '%s': %s\n", ++failed, hostile[i].text, what);
                if (what != NULL)
                        (void)!db_drop(driver, db, TORTURE_COPY, &err);
                torture_no_copy(driver, db);
        }
        ASSERT_EQ(failed, 0);
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM live.counters"), "1");
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA "
                               "IN ('live', 'snap9_other', '1live')"),
                   "3");
        driver->close(db);
}

/* Else a trigger would run for what is loaded behind it; and behind a NUL nobody would look. */
TEST(what_stands_in_the_wrong_place_is_refused)
{
        static const char trigger[] = "CREATE DEFINER=`a`@`b` TRIGGER `g` BEFORE INSERT ON `t` FOR "
                                      "EACH ROW SET @seen = SLEEP(100)";
        static const char hidden[] = "CREATE DEFINER=`a`@`b` PROCEDURE `p`() /* \0 */ DELETE FROM "
                                     "live.counters";
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = begin_dump(db);
        CLEANUP(closep) int second = begin_dump(db);

        put(fd, "context", CONTEXT("", "utf8mb4"));
        put(fd, "object", trigger);
        put(fd, "rows", "INSERT INTO `t` (`id`) VALUES (7)");
        dprintf(fd, "-- sitesnap:end 1 3 1\n");
        ASSERT_ERR(dumped_load(driver, db, TORTURE_COPY, fd, &err), ERR_CORRUPT,
                   "behind an object");
        torture_no_copy(driver, db);

        put(second, "context", CONTEXT("", "utf8mb4"));
        dprintf(second, "-- sitesnap:object %zu\n", sizeof(hidden) - 1);
        ASSERT(write(second, hidden, sizeof(hidden) - 1) == (ssize_t)sizeof(hidden) - 1);
        dprintf(second, ";;\n-- sitesnap:end 1 2 1\n");
        ASSERT_ERR(dumped_load(driver, db, TORTURE_COPY, second, &err), ERR_REFUSED, "a NUL");
        torture_no_copy(driver, db);
        driver->close(db);
}

TEST(a_dump_that_says_more_than_it_has_is_not_read_beyond_its_end)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = begin_dump(db);

        dprintf(fd, "-- sitesnap:rows %d\nINSERT", 64 << 20);
        ASSERT_ERR(dumped_load(driver, db, TORTURE_COPY, fd, &err), ERR_CORRUPT, "ends too early");
        torture_no_copy(driver, db);
        driver->close(db);
}

/* What a visitor wrote, in rows that the table does not take. */
static const struct {
        const char *table, *rows, *cause;
} untold[] = {
        { "CREATE TABLE `people` (`id` int, `mail` varchar(90), UNIQUE KEY `mails` (`mail`)) "
          "ENGINE=InnoDB",
          "(1,'visitor@example.org'),(2,'visitor@example.org')", "for key 'mails'" },
        { "CREATE TABLE `people` (`id` int, `mail` int) ENGINE=InnoDB", "(1,'visitor@example.org')",
          "`people`.`mail` at row 1" },
        { "CREATE TABLE `people` (`id` int, `mail` datetime) ENGINE=InnoDB",
          "(1,'visitor@example.org')", "`people`.`mail` at row 1" },
        { "CREATE TABLE `people` (`id` int, `mail` varchar(3)) ENGINE=InnoDB",
          "(1,'visitor@example.org')", "Data too long for column 'mail' at row 1" },
        { "CREATE TABLE `people` (`id` int, `mail` varchar(90) NOT NULL) ENGINE=InnoDB "
          "PARTITION BY LIST  COLUMNS(`mail`) (PARTITION `p` VALUES IN ('a') ENGINE = InnoDB)",
          "(1,'visitor@example.org')", "no partition" },
};

TEST(rows_that_are_refused_are_told_without_what_stands_in_them)
{
        struct db *db = torture_begin_open(&conf);
        char rows[300];

        for (size_t i = 0; i < sizeof(untold) / sizeof(untold[0]); i++) {
                CLEANUP(closep) int fd = begin_dump(db);

                put(fd, "table", untold[i].table);
                (void)snprintf(rows, sizeof(rows), "INSERT INTO `people` (`id`,`mail`) VALUES %s",
                               untold[i].rows);
                put(fd, "rows", rows);
                dprintf(fd, "-- sitesnap:end 2 4 0\n");
                ASSERT(dumped_load(driver, db, TORTURE_COPY, fd, &err) < 0);
                printf("# %s\n", err.msg);
                ASSERT(strstr(err.msg, "visitor") == NULL);
                ASSERT(strstr(err.msg, "'people'") != NULL);
                ASSERT(strstr(err.msg, untold[i].cause) != NULL);
                torture_no_copy(driver, db);
        }
        driver->close(db);
}
