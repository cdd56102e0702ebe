/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/test.h"

/* Dumps of MariaDB: everything comes back, anybody's client reads them, and nothing of one that a
 * stranger wrote is run that a dump has no use for. */

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

static int out(const void *bytes, size_t n, void *arg, struct err *sink_err)
{
        return file_write_all(*(int *)arg, bytes, n, sink_err);
}

/* Pieces of odd sizes, so that lines and statements are cut everywhere. */
static ssize_t in(void *bytes, size_t n, void *arg, struct err *source_err)
{
        static size_t next = 1;
        ssize_t r;

        next = next * 7 % 65521 + 1;
        r = read(*(int *)arg, bytes, n < next ? n : next);
        return r < 0 ? err_fail(source_err, ERR_IO, errno, "the dump") : r;
}

static int dumped(struct db *db)
{
        int fd = memfd_create("dump", MFD_CLOEXEC);

        ASSERT(fd >= 0);
        ASSERT_OK(driver->dump(db, "live", out, &fd, &err));
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

TEST(everything_in_a_schema_comes_back_from_its_dump)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(freep) char *live = NULL;
        CLEANUP(freep) char *copy = NULL;
        CLEANUP(closep) int fd = -1;

        torture_fill();
        fd = dumped(db);
        ASSERT_OK(driver->load(db, TORTURE_COPY, in, &fd, &err));
        torture_compare("live", TORTURE_COPY);
        ASSERT_OK(driver->fingerprint(db, "live", &live, &err));
        ASSERT_OK(driver->fingerprint(db, TORTURE_COPY, &copy, &err));
        ASSERT_STR(copy, live);
        ASSERT(torture_unlocked());
        /* Events sleep until the copy is active. */
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA ="
                               " '" TORTURE_COPY "' AND STATUS = 'ENABLED'"),
                   "0");
        /* It works on itself alone. */
        mariadb_admin("INSERT INTO " TORTURE_COPY ".child VALUES (50, 1, 1);\n"
                      "INSERT INTO " TORTURE_COPY ".drawn (v) VALUES (9);\n"
                      "CALL " TORTURE_COPY ".`proc``edure`(0, @n)");
        ASSERT_STR(mariadb_ask("SELECT next_not_cached_value FROM live.tickets"), "37");
        driver->close(db);
}

TEST(a_copy_by_the_way_of_a_dump_is_one_as_any)
{
        struct db_forecast forecast;
        struct db *db = torture_begin_open(&conf);

        torture_fill();
        driver->close(db);
        conf.way = DB_WAY_DUMP;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_DUMP);
        ASSERT(forecast.copy_msec > 0 && forecast.disk_bytes > 0);
        ASSERT_OK(driver->hold(db, "live", 20000, &err));
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->release(db, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        torture_compare("live", TORTURE_COPY);
        driver->close(db);
}

/* In a table without a key such a row is found by its place: an index that has one column's values
 * has them in another order. */
TEST(the_long_row_of_a_table_without_a_key_stays_together)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = -1;

        mariadb_admin("CREATE TABLE live.keyless (a INT, b LONGTEXT, c INT, KEY (a), KEY (c, a)) "
                      "ENGINE=InnoDB;\nUSE live;\n"
                      "INSERT INTO keyless SELECT 1000 - seq, REPEAT('x', IF(seq IN (400, 500),"
                      " 5000000, 10)), seq * 7 % 1000 FROM seq_1_to_1000;\n"
                      "ANALYZE TABLE keyless");
        fd = dumped(db);
        ASSERT_OK(driver->load(db, TORTURE_COPY, in, &fd, &err));
        ASSERT_STR(mariadb_ask("SELECT GROUP_CONCAT(a, ' ', c ORDER BY a) FROM " TORTURE_COPY
                               ".keyless WHERE LENGTH(b) = 5000000"),
                   "500 500,600 800");
        driver->close(db);
}

/* Without sitesnap: the server's own client. */
TEST(a_dump_is_read_by_the_servers_own_client)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = -1;
        int status;
        pid_t pid;

        torture_fill();
        fd = dumped(db);
        mariadb_admin("CREATE DATABASE byhand CHARACTER SET utf8mb4;\n"
                      "GRANT ALL PRIVILEGES ON byhand.* TO app@localhost");
        pid = fork();
        if (pid == 0) {
                (void)dup2(fd, STDIN_FILENO);
                (void)execlp("mariadb", "mariadb", "--no-defaults", "--binary-mode", "-u", "root",
                             "--max-allowed-packet=1G", "-S", mariadb_socket(), "byhand", NULL);
                _exit(127);
        }
        ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
        ASSERT_EQ(status, 0);
        torture_compare("live", "byhand");
        driver->close(db);
}

static const char begin_line[] = "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
static const char context[] = "SET sql_mode='', character_set_client='utf8mb4', "
                              "collation_connection='utf8mb4_general_ci', time_zone=DEFAULT";

static void put(int fd, const char *kind, const char *text)
{
        dprintf(fd, "-- sitesnap:%s %zu\n%s;;\n", kind, strlen(text), text);
}

/* The constant beginning of a real one. */
static void put_head(struct db *db, int fd)
{
        CLEANUP(closep) int real = dumped(db);
        char bytes[4096];
        ssize_t n = read(real, bytes, sizeof(bytes) - 1);
        const char *end;

        ASSERT(n > 0);
        bytes[n] = '\0';
        end = strstr(bytes, "-- sitesnap:");
        ASSERT(end != NULL && write(fd, bytes, (size_t)(end - bytes)) == end - bytes);
}

#define GOOD_TABLE "CREATE TABLE `t` (`id` int, `b` text) ENGINE=InnoDB"

/* Each is one statement of a dump that is as good as any otherwise. */
static const struct {
        const char *kind, *text, *said;
} hostile[] = {
        /* another schema */
        { "table", "CREATE TABLE `live`.`x` (`id` int)", "'.'" },
        { "table", "CREATE TABLE `x` (`id` int) SELECT * FROM live.counters", "'SELECT'" },
        { "table", "CREATE TABLE `x` (`id` int)\tAS WITH a AS (VALUES (1)) (sElEcT 1)",
          "'sElEcT'" },
        { "table",
          "CREATE TABLE `x` (`id` int, FOREIGN KEY (`id`) REFERENCES `live`.`counters` "
          "(`id`))",
          "'.'" },
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
        { "table", "CREATE TABLE `x` (`id` int) DATA DIRECTORY='/tmp'", "'DIRECTORY'" },
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
        { "rows", "INSERT INTO `t` (`id`) VALUES (@@datadir)", "'datadir'" },
        { "value", "SET @v0='a', GLOBAL general_log=1", "','" },
        { "value", "SET GLOBAL general_log=1", "'general_log'" },
        { "value", "SET @v0=load_file('/etc/passwd')", "'load_file'" },
        /* somebody else's rights */
        { "object", "CREATE DEFINER=`root`@`localhost` FUNCTION `f` RETURNS STRING SONAME 'x.so'",
          "'RETURNS'" },
        { "object", "CREATE DEFINER=`root`@`localhost` PROCEDURE `live`.`p`() SELECT 1", "'.'" },
        { "object", "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY 1 SECOND ENABLE DO DO 1",
          "'ON'" },
        { "object", "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE AT (SELECT 1) DISABLE DO DO 1",
          "'ON'" },
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
        /* the server's settings */
        { "context",
          "SET sql_mode='', character_set_client='gbk', collation_connection='x', "
          "time_zone=DEFAULT",
          "'gbk'" },
        { "context", "SET sql_mode='', GLOBAL general_log=1", "'GLOBAL'" },
        { "schema", "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "two beginnings" },
        { "system", "touch /tmp/x", "unknown kind" },
};

TEST(a_dump_of_a_stranger_reaches_nothing)
{
        struct db *db = torture_begin_open(&conf);

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT) ENGINE=InnoDB;\n"
                      "INSERT INTO live.counters VALUES (1, 1);\n"
                      "CREATE DATABASE snap9_other;\n"
                      "CREATE TABLE snap9_other.wp_users (id INT)");
        for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
                CLEANUP(closep) int fd = memfd_create("dump", MFD_CLOEXEC);

                put_head(db, fd);
                put(fd, "schema", begin_line);
                put(fd, "table", GOOD_TABLE);
                put(fd, "rows", "INSERT INTO `t` (`id`,`b`) VALUES (1,'\\'; DROP'),(-2,NULL)");
                if (strcmp(hostile[i].kind, "object") == 0)
                        put(fd, "context", context);
                put(fd, hostile[i].kind, hostile[i].text);
                dprintf(fd, "-- sitesnap:end %d %d %d\n",
                        1 + (strcmp(hostile[i].kind, "table") == 0),
                        2 + (strcmp(hostile[i].kind, "rows") == 0),
                        strcmp(hostile[i].kind, "object") == 0);
                ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
                if (driver->load(db, TORTURE_COPY, in, &fd, &err) == 0)
                        test_fail(__FILE__, __LINE__, "'%s' was loaded", hostile[i].text);
                if (strstr(err.msg, hostile[i].said) == NULL)
                        test_fail(__FILE__, __LINE__, "'%s': %s", hostile[i].text, err.msg);
                torture_no_copy(driver, db);
        }
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM live.counters"), "1");
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA "
                               "IN ('live', 'snap9_other')"),
                   "2");
        driver->close(db);
}

/* What the dump says of whom it belongs to is not believed. */
TEST(what_is_loaded_belongs_to_the_sites_user)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = -1;

        mariadb_admin("CREATE TABLE live.t (id INT);\n"
                      "CREATE DEFINER=root@localhost VIEW live.v AS SELECT id FROM live.t;\n"
                      "CREATE DEFINER=root@localhost PROCEDURE live.p() DELETE FROM t;\n"
                      "CREATE DEFINER=root@localhost TRIGGER live.g BEFORE INSERT ON live.t FOR "
                      "EACH ROW SET NEW.id = 7");
        fd = dumped(db);
        ASSERT_OK(driver->load(db, TORTURE_COPY, in, &fd, &err));
        ASSERT_STR(mariadb_ask("SELECT GROUP_CONCAT(DISTINCT DEFINER) FROM (SELECT DEFINER FROM"
                               " information_schema.VIEWS WHERE TABLE_SCHEMA = '" TORTURE_COPY
                               "' UNION ALL SELECT DEFINER FROM information_schema.ROUTINES WHERE"
                               " ROUTINE_SCHEMA = '" TORTURE_COPY "' UNION ALL SELECT DEFINER FROM"
                               " information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '" TORTURE_COPY
                               "') all_of_them"),
                   "app@localhost");
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        driver->close(db);

        /* Where nobody is named whose it could be, it is nobody's, and never ours. */
        conf.app_user = NULL;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        ASSERT_ERR(driver->load(db, TORTURE_COPY, in, &fd, &err), ERR_DENIED, "app_user");
        torture_no_copy(driver, db);
        driver->close(db);
}

/* The process goes in the middle, as by a crash: what it left is nobody's copy, and in nobody's
 * way. */
TEST(a_load_that_is_killed_leaves_nothing_that_counts)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = -1;
        bool there;

        torture_fill();
        fd = dumped(db);
        driver->close(db);
        for (unsigned msec = 20; msec < 700; msec += 120) {
                pid_t pid = fork();

                ASSERT(pid >= 0);
                if (pid == 0) {
                        struct db *own = NULL;

                        (void)lseek(fd, 0, SEEK_SET);
                        if (driver->open(&conf, &own, &err) == 0)
                                (void)!driver->load(own, TORTURE_COPY, in, &fd, &err);
                        for (;;)
                                (void)pause();
                }
                (void)usleep(msec * 1000);
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
                ASSERT_OK(driver->open(&conf, &db, &err));
                ASSERT_OK(driver->exists(db, TORTURE_COPY, &there, &err));
                printf("# after %u ms it is %s\n", msec, there ? "whole" : "not there");
                if (there)
                        torture_compare("live", TORTURE_COPY);
                ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
                torture_no_copy(driver, db);
                driver->close(db);
        }
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        ASSERT_OK(driver->load(db, TORTURE_COPY, in, &fd, &err));
        torture_compare("live", TORTURE_COPY);
        driver->close(db);
}
