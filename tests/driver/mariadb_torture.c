/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/test.h"

/* 64 characters, quotes of every kind, and a newline that looks like a definition. */
#define LONG_NAME "a123456789b123456789c123456789d123456789e123456789f123456789g123"
#define ODD_NAME  "we``ird'\"\\ n\xc3\xa4me;"

static const char tables[] =
        "SET sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO';\n"
        "CREATE TABLE counters (id INT AUTO_INCREMENT PRIMARY KEY, beat INT NOT NULL) "
        "ENGINE=InnoDB;\n"
        "INSERT INTO counters (beat) VALUES (1);\n"
        "CREATE TABLE numbers (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, t TINYINT, u SMALLINT"
        " UNSIGNED ZEROFILL, m MEDIUMINT, d DECIMAL(65,30), f FLOAT, g FLOAT(10,2), r DOUBLE, b "
        "BIT(64),"
        " o BOOL, y YEAR, KEY by_many (t, u DESC, d), UNIQUE KEY one (f, r)) AUTO_INCREMENT=100000"
        " COMMENT='It''s \\\\ a \\n comment';\n"
        "INSERT INTO numbers (t,u,m,d,f,g,r,b,o,y) VALUES"
        " (-128,65535,-8388608,-12345678901234567890123456789012345.123456789012345678901234567891,"
        "  1.17549435e-38,65536.01,-2.2250738585072014e-308,b'1111',1,1901),"
        " (127,0,8388607,0.000000000000000000000000000001,3.40282347e+38,99999999,"
        "  1.7976931348623157e308,0xFFFFFFFFFFFFFFFF,0,0000),"
        " (NULL,NULL,NULL,NULL,0.1,NULL,'-0',NULL,NULL,2155), (0,0,0,0,'-0',0,0,b'0',0,1970);\n"
        "INSERT INTO numbers (id, t) VALUES (0, 5);\n"
        "DELETE FROM numbers WHERE t = 127;\n"
        "CREATE TABLE times (id INT PRIMARY KEY, d DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL,"
        " t TIME(6), KEY (d)) ENGINE=InnoDB;\n"
        "INSERT INTO times VALUES (1,'0000-00-00','0000-00-00 00:00:00','1970-01-01 00:00:01',"
        "'-838:59:59.999999'), (2,'2020-02-31','2020-00-00 00:00:00.000001',NULL,'00:00:00'),"
        " (3,'9999-12-31','9999-12-31 23:59:59.999999','2026-10-25 01:30:00.123','838:59:59');\n"
        "CREATE TABLE strings (id INT PRIMARY KEY, a VARCHAR(200) CHARACTER SET latin1, b "
        "VARCHAR(200)"
        " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, c CHAR(20) CHARACTER SET utf16, d TEXT "
        "CHARACTER"
        " SET cp1251, e BLOB, f LONGTEXT, g VARBINARY(300), h BINARY(7), i "
        "ENUM('x','y','\xc3\xa4'),"
        " j SET('p','q','r'), k VARCHAR(50) INVISIBLE DEFAULT 'hid''den', l JSON, m UUID, n INET6,"
        " KEY by_b (b(10)), KEY by_e (e(30)), FULLTEXT KEY words (f)) DEFAULT CHARSET=utf8mb4;\n"
        "INSERT INTO strings (id,a,b,c,d,e,f,g,h,i,j,k,l,m,n) VALUES "
        "(1,'\xc3\xa4\xc3\xb6','\xf0\x9f\x98\x80 smile',"
        "'\xc3\xa9t\xc3\xa9','\xd0\xbf\xd1\x80\xd0\xb8',0x00FF1A0D0A275C22,'the quick brown "
        "fox',0x00,0x01,'y','p,r',"
        "NULL,'{\"a\":[1,2]}','123e4567-e89b-12d3-a456-426614174000','2001:db8::ff00:42:8329'),"
        "(2,'','','','','','','','',3,'',DEFAULT,'null',NULL,'::ffff:1.2.3.4'),"
        "(3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);\n"
        "INSERT INTO strings (id, i) VALUES (4, 'not in the list');\n"
        "CREATE TABLE generated (a INT PRIMARY KEY, b INT AS (a * 2) VIRTUAL, c INT AS (a + b) "
        "STORED,"
        " d INT DEFAULT (a + 1), CHECK (a > 0), CONSTRAINT small CHECK (a < 100), KEY by_c (c));\n"
        "INSERT INTO generated (a) VALUES (1),(2),(3);\n"
        "SET check_constraint_checks=0;\n"
        "INSERT INTO generated (a) VALUES (1000);\n"
        "SET check_constraint_checks=1;\n"
        "CREATE TABLE `" ODD_NAME "` (`" LONG_NAME "` INT, `b``c` INT, `new\nline, KEY x (y)` INT,"
        " KEY `i``x'` (`b``c`));\n"
        "INSERT INTO `" ODD_NAME "` VALUES (1,2,3),(1,2,3),(1,2,3);\n"
        "CREATE TABLE `" LONG_NAME "` (id INT PRIMARY KEY);\n"
        "CREATE TABLE parent (id INT PRIMARY KEY, other INT, KEY (other)) ENGINE=InnoDB;\n"
        "CREATE TABLE child (id INT PRIMARY KEY, p INT, q INT, CONSTRAINT `fk``1` FOREIGN KEY (p)"
        " REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL, CONSTRAINT self FOREIGN KEY "
        "(q)"
        " REFERENCES child (id)) ENGINE=InnoDB;\n"
        "ALTER TABLE parent ADD CONSTRAINT circle FOREIGN KEY (other) REFERENCES child (id);\n"
        "SET foreign_key_checks=0;\n"
        "INSERT INTO parent VALUES (1, 1), (2, NULL);\n"
        "INSERT INTO child VALUES (1, 1, 1), (2, 2, 1), (3, 77, NULL);\n"
        "SET foreign_key_checks=1;\n"
        "CREATE TABLE parts (id INT, y INT, PRIMARY KEY (id, y)) PARTITION BY RANGE (y) "
        "SUBPARTITION BY"
        " HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (2000) COMMENT = 'old', "
        "PARTITION p1"
        " VALUES LESS THAN MAXVALUE);\n"
        "INSERT INTO parts SELECT seq, 1990 + seq % 20 FROM seq_1_to_500;\n"
        "CREATE TABLE places (id INT PRIMARY KEY, p POINT NOT NULL, g GEOMETRY, SPATIAL KEY (p))"
        " ENGINE=InnoDB;\n"
        "INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1 2)', 4326), NULL), (2,"
        " ST_GeomFromText('POINT(-1.5 2)'), ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))'));\n"
        "CREATE SEQUENCE tickets START WITH 7 INCREMENT BY 3 MAXVALUE 100000 CACHE 10;\n"
        "DO NEXT VALUE FOR tickets;\n"
        "CREATE TABLE drawn (id INT PRIMARY KEY DEFAULT (NEXT VALUE FOR tickets), v INT);\n"
        "INSERT INTO drawn (v) VALUES (1), (2);\n"
        "CREATE TABLE many (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(100), b INT, c "
        "MEDIUMTEXT, KEY"
        " by_a (a) COMMENT 'k''ey', KEY by_b (b, a(5)), FULLTEXT KEY (c)) ENGINE=InnoDB;\n"
        "INSERT INTO many (a, b, c) SELECT SHA2(seq, 256), seq % 100, REPEAT(SHA2(seq, 512), 2) "
        "FROM"
        " seq_1_to_12000;\n"
        "CREATE TABLE large (id INT PRIMARY KEY, b LONGBLOB, KEY (b(9))) ENGINE=InnoDB;\n"
        "INSERT INTO large VALUES (1, REPEAT('\\'\\0', 3000000)), (2, 'small'), (3, REPEAT('x', "
        "7000000));\n"
        "CREATE TABLE keyless (b LONGBLOB, t VARCHAR(10)) ENGINE=InnoDB;\n"
        "INSERT INTO keyless VALUES ('a','1'), (REPEAT('\\\\', 6000000),'2'), ('b','3'),"
        " (REPEAT('z', 5000000),'4')";

static const char objects[] =
        "CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;\n"
        "CREATE PROCEDURE `proc``edure`(IN a INT, OUT b INT) COMMENT 'it''s' SQL SECURITY INVOKER"
        " BEGIN SELECT COUNT(*) + a INTO b FROM parent; END;\n"
        "CREATE VIEW z_first AS SELECT id, twice(id) AS double_id, 'live.x' AS text FROM parent;\n"
        "CREATE VIEW a_second AS SELECT z.id FROM z_first z JOIN child c ON c.id = z.id WITH CHECK "
        "OPTION;\n"
        "CREATE SQL SECURITY INVOKER VIEW `odd``view` (`a``b`) AS SELECT 1;\n"
        "CREATE TRIGGER beats BEFORE INSERT ON child FOR EACH ROW UPDATE counters SET beat = beat "
        "+ 1;\n"
        "CREATE TRIGGER `after``beats` AFTER DELETE ON child FOR EACH ROW BEGIN DECLARE n INT;"
        " SET n = 1; UPDATE counters SET beat = beat + 100; END;\n"
        "CREATE TRIGGER beats2 BEFORE INSERT ON child FOR EACH ROW FOLLOWS beats UPDATE counters "
        "SET"
        " beat = beat * 2;\n"
        "CREATE EVENT tick ON SCHEDULE EVERY 1 HOUR STARTS '2026-01-01 00:00:00' COMMENT 'tic''k' "
        "DO"
        " UPDATE counters SET beat = 0;\n"
        "CREATE EVENT asleep ON SCHEDULE EVERY '1:30' HOUR_MINUTE ON COMPLETION PRESERVE DISABLE DO"
        " DELETE FROM counters;\n"
        "CREATE EVENT once ON SCHEDULE AT '2037-01-01 00:00:00' DO DO 1";

void torture_begin(struct db_conf *ret_conf)
{
        torture_begin_at(NULL, ret_conf);
}

void torture_begin_at(const char *directory, struct db_conf *ret_conf)
{
        mariadb_begin(directory, ret_conf);
        mariadb_admin("CREATE DATABASE live CHARACTER SET latin1 COLLATE latin1_german2_ci;\n"
                      "GRANT ALL PRIVILEGES ON live.* TO app@localhost;\n"
                      "GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON live.* TO"
                      " sitesnap@localhost");
}

struct db *torture_begin_open(struct db_conf *ret_conf)
{
        struct db *db = NULL;
        struct err err;

        torture_begin(ret_conf);
        ASSERT_OK(db_driver_mariadb.open(ret_conf, &db, &err));
        return db;
}

/* As the application, so that it owns what it makes. */
static void run_as_app(const char *sql)
{
        MYSQL *mysql = mariadb_log_in(MARIADB_APP, MARIADB_APP_PASS, "live");

        ASSERT(mysql != NULL);
        while (*sql != '\0') {
                const char *end = strstr(sql, ";\n");
                size_t n = end == NULL ? strlen(sql) : (size_t)(end - sql);

                if (mysql_real_query(mysql, sql, n) != 0)
                        test_fail(__FILE__, __LINE__, "%.*s: %s", (int)n, sql, mysql_error(mysql));
                mysql_free_result(mysql_store_result(mysql));
                sql += end == NULL ? n : n + 2;
        }
        mysql_close(mysql);
}

void torture_fill(void)
{
        run_as_app(tables);
        run_as_app(objects);
}

/* What the one query answers for both, with the schema's name as $. */
static void compare(const char *from, const char *to, const char *sql, const char *what)
{
        char texts[2][1 << 15], query[2][4096];
        const char *schemas[] = { from, to };

        for (int i = 0; i < 2; i++) {
                const char *in = sql;
                size_t at = 0;

                for (; *in != '\0' && at + 80 < sizeof(query[i]); in++)
                        if (*in == '$')
                                at += (size_t)snprintf(query[i] + at, sizeof(query[i]) - at, "%s",
                                                       schemas[i]);
                        else
                                query[i][at++] = *in;
                query[i][at] = '\0';
                (void)snprintf(texts[i], sizeof(texts[i]), "%s", mariadb_ask(query[i]));
        }
        if (strcmp(texts[0], texts[1]) != 0)
                test_fail(__FILE__, __LINE__, "%s: '%s' and '%s'", what, texts[0], texts[1]);
}

static void compare_table(const char *from, const char *to, const char *table)
{
        char sql[1024], quoted[300];
        size_t n = 0;

        for (const char *at = table; *at != '\0'; at++) {
                if (*at == '`')
                        quoted[n++] = '`';
                quoted[n++] = *at;
        }
        quoted[n] = '\0';
        (void)snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM `$`.`%s`", quoted);
        compare(from, to, sql, table);
        (void)snprintf(sql, sizeof(sql), "CHECKSUM TABLE `$`.`%s` EXTENDED", quoted);
        compare(from, to, sql, table);
}

static const char *const questions[] = {
        "SELECT CONCAT(DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME) FROM"
        " information_schema.SCHEMATA WHERE SCHEMA_NAME = '$'",
        "SELECT GROUP_CONCAT(TABLE_NAME, IFNULL(AUTO_INCREMENT, '') ORDER BY TABLE_NAME) FROM"
        " information_schema.TABLES WHERE TABLE_SCHEMA = '$'",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', TRIGGER_NAME, DEFINER, ACTION_ORDER, SQL_MODE) ORDER BY"
        " TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '$'",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', ROUTINE_NAME, DEFINER, ROUTINE_COMMENT, "
        "ROUTINE_DEFINITION)"
        " ORDER BY ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '$'",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', TABLE_NAME, DEFINER, SECURITY_TYPE, CHECK_OPTION,"
        " REPLACE(VIEW_DEFINITION, '`$`.', '')) ORDER BY TABLE_NAME) FROM information_schema.VIEWS"
        " WHERE TABLE_SCHEMA = '$'",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', EVENT_NAME, DEFINER, EVENT_TYPE, EXECUTE_AT, "
        "INTERVAL_VALUE,"
        " INTERVAL_FIELD, STARTS, ENDS, ON_COMPLETION, EVENT_COMMENT, EVENT_DEFINITION) ORDER BY"
        " EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '$'",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', next_not_cached_value, minimum_value, maximum_value,"
        " start_value, increment, cache_size, cycle_option)) FROM `$`.tickets",
        "SELECT GROUP_CONCAT(id, double_id, text) FROM `$`.z_first",
        "SELECT GROUP_CONCAT(id) FROM `$`.strings WHERE MATCH (f) AGAINST ('quick')",
        "SELECT GROUP_CONCAT(id) FROM `$`.places WHERE MBRContains(ST_GeomFromText("
        "'POLYGON((0 0,0 5,5 5,5 0,0 0))'), p)",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', PARTITION_NAME, SUBPARTITION_NAME, PARTITION_COMMENT)"
        " ORDER BY 1) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = '$' AND"
        " PARTITION_NAME IS NOT NULL",
        /* Counted: TABLE_ROWS is an estimate of InnoDB's, of whenever it last looked. */
        "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM `$`.parts PARTITION (p0sp0)), (SELECT COUNT(*)"
        " FROM `$`.parts PARTITION (p0sp1)), (SELECT COUNT(*) FROM `$`.parts PARTITION (p1sp0)),"
        " (SELECT COUNT(*) FROM `$`.parts PARTITION (p1sp1)))",
        "SELECT `$`.twice(21)",
};

void torture_compare(const char *from, const char *to)
{
        char names[4096], sql[512], *save = NULL;

        mariadb_admin("SET SESSION group_concat_max_len = 1000000");
        for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
                compare(from, to, questions[i], questions[i]);
        (void)snprintf(
                sql, sizeof(sql),
                "SELECT GROUP_CONCAT(TABLE_NAME SEPARATOR '|') FROM information_schema.TABLES"
                " WHERE TABLE_SCHEMA = '%s' AND TABLE_TYPE = 'BASE TABLE'",
                from);
        (void)snprintf(names, sizeof(names), "%s", mariadb_ask(sql));
        for (char *name = strtok_r(names, "|", &save); name != NULL;
             name = strtok_r(NULL, "|", &save))
                compare_table(from, to, name);
}

bool torture_unlocked(void)
{
        MYSQL *mysql = mariadb_log_in(MARIADB_APP, MARIADB_APP_PASS, "live");
        bool done = mysql != NULL && mysql_query(mysql, "SET lock_wait_timeout=1") == 0 &&
                    mysql_query(mysql, "UPDATE counters SET beat = beat + 1") == 0;

        mysql_close(mysql);
        return done;
}

void torture_no_copy(const struct db_driver *driver, struct db *db)
{
        bool there = true;
        struct err err;

        ASSERT_OK(driver->exists(db, TORTURE_COPY, &there, &err));
        ASSERT(!there);
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME"
                               " = '" TORTURE_COPY "'"),
                   "0");
}

void torture_no_room(const char *disk)
{
        static const char zeros[1 << 16];
        struct statvfs vfs;
        char path[400];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/ballast", disk);
        fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(fd >= 0 && fstatvfs(fd, &vfs) == 0);
        ASSERT(fallocate(fd, 0, 0, (off_t)(vfs.f_bavail * vfs.f_bsize * 95 / 100)) == 0);
        ASSERT(lseek(fd, 0, SEEK_END) > 0);
        while (write(fd, zeros, sizeof(zeros)) > 0)
                continue;
        (void)close(fd);
}

void torture_room(const char *disk)
{
        char path[400];

        (void)snprintf(path, sizeof(path), "%s/ballast", disk);
        ASSERT(unlinkat(AT_FDCWD, path, 0) == 0);
}
