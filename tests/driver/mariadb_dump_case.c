/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/dumped.h"
#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/* Dumps of MariaDB: everything comes back, and anybody's client reads them. */

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

TEST(everything_in_a_schema_comes_back_from_its_dump)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(freep) char *live = NULL;
        CLEANUP(freep) char *copy = NULL;
        CLEANUP(closep) int fd = -1;

        torture_fill();
        fd = dumped_make(driver, db, "live");
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
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

/* What a definition may hold besides what the torture has: its reader knows the words by a list. */
static const char definitions[] =
        "USE live;\nCREATE SEQUENCE q;\n"
        "CREATE TABLE versions (a TEXT, b VARCHAR(10) COMPRESSED DEFAULT 'x', c INT INVISIBLE,"
        " d INT WITHOUT SYSTEM VERSIONING DEFAULT 3, e TIMESTAMP(6) NOT NULL DEFAULT"
        " CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), KEY k (c) USING BTREE COMMENT 'x'"
        " IGNORED, f JSON, g UUID DEFAULT UUID(), h INT AS (c*2) PERSISTENT, l BLOB COMPRESSED)"
        " WITH SYSTEM VERSIONING ROW_FORMAT=DYNAMIC STATS_PERSISTENT=1 MIN_ROWS=3 MAX_ROWS=5"
        " COMMENT='c' PARTITION BY SYSTEM_TIME INTERVAL 1 DAY STARTS '2026-01-01' AUTO PARTITIONS"
        " 2;\n"
        "CREATE TABLE periods (a INT, s DATE, e DATE, PERIOD FOR p(s,e), UNIQUE KEY (a, p WITHOUT"
        " OVERLAPS), x INT DEFAULT(NEXTVAL(q)), y INT DEFAULT (LASTVAL(q)));\n"
        "CREATE TABLE computed (a INT, x INT, c VARCHAR(100) AS (CONCAT_WS('', CAST(a AS CHAR"
        " CHARSET latin1), TRIM(LEADING 'x' FROM 'xy'), X'41', B'1', DATE'2020-01-01' + INTERVAL"
        " '3:1' DAY_HOUR, EXTRACT(YEAR FROM '2020-01-01'), 'a' RLIKE 'b', 'a' LIKE 'b' ESCAPE '!',"
        " IF(a<=>NULL,1,2), JSON_VALUE('{}','$.a'), BINARY 'x', NOT a, ~a, a<<1,"
        " TIMESTAMP'2020-01-01 00:00:00', CHAR(65 USING latin1), TIMESTAMPDIFF(DAY,'2020-01-01',"
        "'2020-01-02'), a SOUNDS LIKE 'b', a NOT IN (1,2), a NOT BETWEEN 1 AND 2, CAST(a AS"
        " UNSIGNED), CAST(a AS DECIMAL(3,2)), -(-a), ST_X(POINT(1,2)), INTERVAL(1,2,3),"
        " 'x\\\\y''z', INSERT('a',1,2,'b'), MOD(3,2), SHA2('a',256), CASE WHEN a BETWEEN 1 AND 3"
        " THEN 1 WHEN a IS NOT TRUE THEN 2 ELSE a DIV 3 XOR 7 END, 0x41, 1.5e-7)));\n"
        "CREATE TABLE defaults (c VARCHAR(100) DEFAULT (USER()), e INT DEFAULT(CONNECTION_ID()), g"
        " TIMESTAMP DEFAULT (NOW() + INTERVAL 1 DAY), h VARCHAR(9) DEFAULT (ELT(1, 'x', e)), k"
        " VARCHAR(100) DEFAULT (WEIGHT_STRING('a' AS CHAR(3))), l VARCHAR(9) DEFAULT"
        " (GET_FORMAT(DATE,'USA')), m VARCHAR(100) DEFAULT (DEFAULT(c)), p DATETIME DEFAULT"
        " (UTC_TIMESTAMP()), r DOUBLE DEFAULT (RAND()), v INT DEFAULT (CRC32(NULL) - -3), w"
        " VARCHAR(9) DEFAULT (COLUMN_GET(COLUMN_CREATE('a',1),'a' AS INT)));\n"
        "CREATE TABLE lists (a INT, b INT) PARTITION BY LIST COLUMNS (a,b) (PARTITION p0 VALUES IN"
        " ((1,2),(NULL,3)) COMMENT='x' MAX_ROWS=3);\n"
        "CREATE TABLE parted (a INT) PARTITION BY LINEAR KEY ALGORITHM=1 (a) PARTITIONS 3;\n"
        "CREATE TABLE isam (a INT AUTO_INCREMENT, b VARCHAR(3), PRIMARY KEY (b,a), KEY z(b)"
        " KEY_BLOCK_SIZE=1024) ENGINE=MyISAM DELAY_KEY_WRITE=1 CHECKSUM=1 PACK_KEYS=1"
        " AVG_ROW_LENGTH=3 ROW_FORMAT=FIXED INSERT_METHOD=LAST;\n"
        "CREATE TABLE aria (a INT) ENGINE=Aria TRANSACTIONAL=1 PAGE_CHECKSUM=1;\n"
        "CREATE TABLE packed (a INT UNIQUE, b TEXT, UNIQUE (b)) PAGE_COMPRESSED=1"
        " PAGE_COMPRESSION_LEVEL=3;\n"
        "CREATE TABLE types (a BIT(3), c DOUBLE(3,2), h INET4, i GEOMETRY NOT NULL,"
        " j MULTIPOINT, m MULTIPOLYGON, n GEOMETRYCOLLECTION, r NATIONAL VARCHAR(3), s INT UNSIGNED"
        " ZEROFILL, u ENUM('a') CHARACTER SET utf8mb3, y YEAR, SPATIAL KEY (i), d INT UNIQUE"
        " AUTO_INCREMENT COMMENT 'x')";

TEST(every_definition_that_the_server_writes_is_read)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(freep) char *live = NULL;
        CLEANUP(freep) char *copy = NULL;
        CLEANUP(closep) int fd = -1;

        mariadb_admin(definitions);
        fd = dumped_make(driver, db, "live");
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
        ASSERT_OK(driver->fingerprint(db, "live", &live, &err));
        ASSERT_OK(driver->fingerprint(db, TORTURE_COPY, &copy, &err));
        ASSERT_STR(copy, live);
        driver->close(db);
}

/* In the mode and the character set that it was written in, which need not be ours. */
static void make_foreign(void)
{
        MYSQL *mysql = mariadb_log_in("root", NULL, "live");
        static const char *const statements[] = {
                "SET NAMES latin1",
                "SET sql_mode='NO_BACKSLASH_ESCAPES'",
                "CREATE EVENT e ON SCHEDULE EVERY 1 DAY COMMENT 'it''s a \\ \xe4' DO DELETE FROM t "
                "WHERE v = '\\'",
                "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = '\xe4\\'",
                "CREATE FUNCTION f() RETURNS VARCHAR(9) CHARSET utf8mb4 DETERMINISTIC RETURN "
                "'\xe4\\'",
                "CREATE VIEW v AS SELECT '\xe4\\' AS \xe4",
        };

        ASSERT(mysql != NULL);
        mariadb_admin("CREATE TABLE live.t (v VARCHAR(9) CHARACTER SET utf8mb4)");
        for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
                if (mysql_query(mysql, statements[i]) != 0)
                        test_fail(__FILE__, __LINE__, "%s: %s", statements[i], mysql_error(mysql));
        mysql_close(mysql);
}

/* Asked of both, with the schema for $. */
static void expect_both(const char *sql, const char *expected)
{
        static const char *const schemas[] = { "live", TORTURE_COPY };
        const char *at = strchr(sql, '$');

        ASSERT(at != NULL);
        for (size_t i = 0; i < 2; i++) {
                char asked[400];

                (void)snprintf(asked, sizeof(asked), "%.*s%s%s", (int)(at - sql), sql, schemas[i],
                               at + 1);
                if (strcmp(mariadb_ask(asked), expected) != 0)
                        test_fail(__FILE__, __LINE__, "%s: '%s', not '%s'", asked,
                                  mariadb_ask(asked), expected);
        }
}

static void expect_foreign(void)
{
        expect_both("SELECT `$`.f()", "\xc3\xa4\\");
        expect_both("SELECT `\xc3\xa4` FROM `$`.v", "\xc3\xa4\\");
        expect_both("SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA "
                    "= '$'",
                    "SET NEW.v = '\xc3\xa4\\'");
        mariadb_admin("DELETE FROM live.t;\nINSERT INTO live.t VALUES ('x');\n"
                      "DELETE FROM " TORTURE_COPY ".t;\nINSERT INTO " TORTURE_COPY
                      ".t VALUES ('x')");
        expect_both("SELECT v FROM `$`.t", "\xc3\xa4\\");
        expect_both("SELECT CONCAT(EVENT_COMMENT, EVENT_DEFINITION, CHARACTER_SET_CLIENT, SQL_MODE)"
                    " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '$'",
                    "it's a \\ \xc3\xa4"
                    "DELETE FROM t WHERE v = '\\'latin1NO_BACKSLASH_ESCAPES");
}

TEST(what_was_written_in_another_character_set_and_mode_is_the_same_there)
{
        struct db *db = torture_begin_open(&conf);
        CLEANUP(closep) int fd = -1;

        make_foreign();
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        expect_foreign();
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        mariadb_admin("DELETE FROM live.t");
        fd = dumped_make(driver, db, "live");
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
        expect_foreign();
        driver->close(db);
}

/* A literal, with bytes that are none of the character set of the statement that it is in: what an
 * introducer says of them counts. */
static const struct {
        const char *client, *literal, *hex;
} literals[] = {
        { "utf8mb4", "_latin1'\xc3\xa4'", "C3A4" },
        { "utf8mb4", "_latin1 'it''s \xc3\xa4'", "69742773C3A4" },
        { "latin1", "_latin1'\xe4'", "E4" },
        { "latin1", "_utf8mb4'\xc3\xa4'", "C3A4" },
        { "utf8mb4", "N'\xc3\xa4'", "C3A4" },
        { "latin1", "n'\xe4'", "C3A4" },
        { "utf8mb4", "x'E4FF00'", "E4FF00" },
        { "utf8mb4", "_latin1 x'E4FF'", "E4FF" },
        { "utf8mb4", "_ucs2 x'20AC'", "20AC" },
        { "utf8mb4", "_ucs2'  '", "2020" },
        { "utf8mb4", "_binary'\xc3\xa4'", "C3A4" },
        { "utf8mb4", "_binary'\xe4\xff'", "E4FF" },
        { "binary", "'\xe4\xff'", "E4FF" },
        { "binary", "_latin1'\xe4'", "E4" },
        { "latin1", "_binary'\xe4\xff\x81'", "E4FF81" },
        { "utf8mb4", "_cp1251'\xd0\x96'", "D096" },
        { "utf8mb4", "0xE4FF", "E4FF" },
        { "utf8mb4", "b'11100100'", "E4" },
        { "cp932", "'\x83\x5c'", "835C" },
        { "gbk", "'\xbf\x5c'", "BF5C" },
};

/* In each kind of body: what is told in hexadecimal is the same, or the object is refused. */
static const struct {
        const char *make, *ask; /* %: the literal; $: the schema */
} bodies[] = {
        { "CREATE FUNCTION thing() RETURNS VARCHAR(90) DETERMINISTIC RETURN HEX(%)",
          "SELECT `$`.thing()" },
        { "CREATE TRIGGER thing BEFORE INSERT ON t FOR EACH ROW SET NEW.v = HEX(%)", NULL },
        { "CREATE VIEW thing AS SELECT HEX(%) AS v", "SELECT v FROM `$`.thing" },
        { "CREATE EVENT thing ON SCHEDULE EVERY 1 DAY DISABLE DO INSERT INTO t VALUES (HEX(%))",
          "SELECT HEX(body) FROM mysql.event WHERE db = '$'" },
        { "CREATE TABLE thing (v VARCHAR(90) DEFAULT (HEX(%)), i INT)",
          "INSERT INTO `$`.thing (i) VALUES (1) RETURNING v" },
};

static const char *told(const char *ask, const char *schema)
{
        char sql[300];
        const char *at;

        if (ask == NULL) {
                (void)snprintf(sql, sizeof(sql),
                               "DELETE FROM `%s`.t;\nINSERT INTO `%s`.t VALUES ('')", schema,
                               schema);
                mariadb_admin(sql);
                ask = "SELECT v FROM `$`.t";
        }
        at = strchr(ask, '$');
        (void)snprintf(sql, sizeof(sql), "%.*s%s%s", (int)(at - ask), ask, schema, at + 1);
        return mariadb_ask(sql);
}

static bool is_made(const char *make, const char *client, const char *literal)
{
        MYSQL *mysql = mariadb_log_in("root", NULL, "live");
        char sql[300];
        int r;

        ASSERT(mysql != NULL);
        (void)snprintf(sql, sizeof(sql), "SET NAMES %s", client);
        ASSERT(mysql_query(mysql, sql) == 0);
        (void)snprintf(sql, sizeof(sql), "%.*s%s%s", (int)strcspn(make, "%"), make, literal,
                       strchr(make, '%') + 1);
        r = mysql_query(mysql, sql);
        mysql_close(mysql);
        return r == 0;
}

TEST(literals_of_another_character_set_say_the_same_there_or_are_refused)
{
        struct db *db = torture_begin_open(&conf);
        unsigned wrong = 0, same = 0, refused = 0, none = 0;

        mariadb_admin("CREATE TABLE live.t (v VARCHAR(90))");
        for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++)
                for (size_t j = 0; j < sizeof(bodies) / sizeof(bodies[0]); j++)
                        for (int dump = 0; dump < (i % 3 == 0 ? 2 : 1); dump++) {
                                /* A table's own text of this the server shows with a '?'. */
                                bool lost = j == 4 && literals[i].literal[0] == 'n';
                                CLEANUP(freep) char *live = NULL;
                                CLEANUP(closep) int fd = -1;
                                char drop[90];

                                if (lost || !is_made(bodies[j].make, literals[i].client,
                                                     literals[i].literal)) {
                                        none++;
                                        continue;
                                }
                                live = strdup(told(bodies[j].ask, "live"));
                                ASSERT(live != NULL);
                                memset(&err, 0, sizeof(err));
                                if (dump != 0)
                                        fd = dumped_try(driver, db, "live", &err);
                                if ((dump == 0 ? driver->copy(db, "live", TORTURE_COPY, NULL, NULL,
                                                              &err) < 0 ||
                                                         driver->verify(db, "live", TORTURE_COPY,
                                                                        &err) < 0
                                               : fd < 0 || dumped_load(driver, db, TORTURE_COPY, fd,
                                                                       &err) < 0)) {
                                        refused++;
                                        printf("# %zu/%zu/%d: %s\n", i, j, dump, err.msg);
                                        wrong += strstr(err.msg, "'thing'") == NULL;
                                } else if (strcmp(told(bodies[j].ask, TORTURE_COPY), live) != 0) {
                                        printf("# %zu/%zu/%d: %s, not %s\n", i, j, dump,
                                               told(bodies[j].ask, TORTURE_COPY), live);
                                        wrong++;
                                } else {
                                        same++;
                                }
                                ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
                                (void)snprintf(drop, sizeof(drop), "DROP %.*s live.thing",
                                               (int)strcspn(bodies[j].make + 7, " "),
                                               bodies[j].make + 7);
                                mariadb_admin(drop);
                        }
        printf("# same %u, refused %u, wrong %u, not to be made %u\n", same, refused, wrong, none);
        ASSERT_EQ(wrong, 0);
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
        fd = dumped_make(driver, db, "live");
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
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
        fd = dumped_make(driver, db, "live");
        mariadb_admin("CREATE DATABASE byhand CHARACTER SET utf8mb4;\n"
                      "GRANT ALL PRIVILEGES ON byhand.* TO app@localhost");
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
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
        fd = dumped_make(driver, db, "live");
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
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
        ASSERT_ERR(dumped_load(driver, db, TORTURE_COPY, fd, &err), ERR_DENIED, "app_user");
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
        fd = dumped_make(driver, db, "live");
        driver->close(db);
        for (unsigned msec = 20; msec < 700; msec += 120) {
                dumped_load_killed(driver, &conf, TORTURE_COPY, fd, msec);
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
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
        torture_compare("live", TORTURE_COPY);
        driver->close(db);
}

/* The disk is full when so much has been read. */
struct filling {
        const char *disk;
        int fd;
        off_t at;
};

static ssize_t fill_at(void *bytes, size_t n, void *arg, struct err *source_err)
{
        struct filling *filling = arg;

        (void)source_err;
        if (filling->at > 0 && lseek(filling->fd, 0, SEEK_CUR) >= filling->at) {
                filling->at = 0;
                torture_no_room(filling->disk);
        }
        return read(filling->fd, bytes, n < 65536 ? n : 65536);
}

TEST(a_server_without_room_for_a_dump_says_so)
{
        static const char sum[] = "CHECKSUM TABLE live.big EXTENDED";
        struct filling filling;
        CLEANUP(closep) int fd = -1;
        char before[100];
        struct db *db;

        root_begin();
        filling.disk = root_fs("ext4", 300);
        torture_begin_at(filling.disk, &conf);
        ASSERT_OK(driver->open(&conf, &db, &err));
        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT);\n"
                      "CREATE TABLE live.big (id INT PRIMARY KEY AUTO_INCREMENT, a CHAR(64), b"
                      " VARCHAR(500), KEY (a)) ENGINE=InnoDB;\nUSE live;\n"
                      "INSERT INTO big (a, b) SELECT SHA2(seq, 256), REPEAT(SHA2(seq, 512), 3)"
                      " FROM seq_1_to_40000");
        (void)snprintf(before, sizeof(before), "%s", mariadb_ask(sum));
        filling.fd = fd = dumped_make(driver, db, "live");
        filling.at = lseek(fd, 0, SEEK_END) / 3;
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        ASSERT_ERR(driver->load(db, TORTURE_COPY, fill_at, &filling, &err), ERR_NO_SPACE, "'big'");
        printf("# %s\n", err.msg);
        ASSERT_EQ(filling.at, 0);
        torture_no_copy(driver, db);
        torture_room(filling.disk);
        ASSERT(torture_unlocked());
        ASSERT_STR(mariadb_ask(sum), before);
        ASSERT_OK(dumped_load(driver, db, TORTURE_COPY, fd, &err));
        ASSERT_STR(mariadb_ask("CHECKSUM TABLE " TORTURE_COPY ".big EXTENDED"), before);
        driver->close(db);
}
