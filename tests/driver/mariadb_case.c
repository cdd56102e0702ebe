/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define BIG_ROWS 60000

/* What only MariaDB has: everything that a schema can hold, and everything that can go wrong. */

static struct err err;
static const struct db_driver *const driver = &db_driver_mariadb;
static struct db_conf conf;

static void copy_and_compare(struct db *db)
{
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        torture_compare("live", TORTURE_COPY);
}

/* No half-made copy, no mark that stays without one, no lock, and the next attempt works. */
static void expect_clean(struct db *db)
{
        torture_no_copy(driver, db);
        ASSERT(torture_unlocked());
}

TEST(everything_in_a_schema_is_in_its_copy)
{
        struct db *db = torture_begin_open(&conf);
        char *live = NULL, *copy = NULL;
        int64_t before;

        torture_fill();
        ASSERT_OK(driver->check(db, "live", &err));
        before = clock_boot_usec();
        copy_and_compare(db);
        printf("# %d ms\n", (int)((clock_boot_usec() - before) / 1000));
        ASSERT_OK(driver->fingerprint(db, "live", &live, &err));
        ASSERT_OK(driver->fingerprint(db, TORTURE_COPY, &copy, &err));
        ASSERT_STR(live, copy);
        free(live);
        free(copy);
        driver->close(db);
}

TEST(the_copys_objects_work_on_the_copy_alone)
{
        struct db *db = torture_begin_open(&conf);

        torture_fill();
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        mariadb_admin("UPDATE live.counters SET beat = 1;\n"
                      "UPDATE " TORTURE_COPY ".counters SET beat = 1;\n"
                      "INSERT INTO " TORTURE_COPY ".child VALUES (50, 1, 1);\n"
                      "DELETE FROM " TORTURE_COPY ".child WHERE id = 50;\n"
                      "INSERT INTO " TORTURE_COPY ".drawn (v) VALUES (9);\n"
                      "CALL " TORTURE_COPY ".`proc``edure`(0, @n)");
        ASSERT_STR(mariadb_ask("SELECT beat FROM live.counters"), "1");
        ASSERT_STR(mariadb_ask("SELECT beat FROM " TORTURE_COPY ".counters"), "104");
        ASSERT_STR(mariadb_ask("SELECT next_not_cached_value FROM live.tickets"), "37");
        /* Foreign keys hold there, and lead nowhere else. */
        mariadb_admin("DELETE FROM " TORTURE_COPY ".child WHERE id = 2;\n"
                      "DELETE FROM " TORTURE_COPY ".parent WHERE id = 2");
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM live.child"), "3");
        /* Events sleep until the copy is active. */
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA ="
                               " '" TORTURE_COPY "' AND STATUS = 'ENABLED'"),
                   "0");
        ASSERT_OK(driver->set_writable(db, TORTURE_COPY, true, &err));
        ASSERT_STR(mariadb_ask("SELECT GROUP_CONCAT(EVENT_NAME ORDER BY 1) FROM"
                               " information_schema.EVENTS WHERE EVENT_SCHEMA = '" TORTURE_COPY
                               "' AND STATUS = 'ENABLED'"),
                   "once,tick");
        ASSERT_OK(driver->set_writable(db, TORTURE_COPY, false, &err));
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA ="
                               " '" TORTURE_COPY "' AND STATUS = 'ENABLED'"),
                   "0");
        driver->close(db);
}

/* Each makes the copy fail, is named in the message, and can be put right. */
static const struct {
        const char *make, *code_text, *undo;
        enum err_code code;
} refused[] = {
        { "CREATE TABLE live.x (a INT);\nCREATE VIEW live.broken AS SELECT a FROM live.x;\n"
          "DROP TABLE live.x",
          "broken", "DROP VIEW live.broken", ERR_NOT_FOUND },
        { "CREATE USER gone;\nGRANT ALL ON live.* TO gone;\n"
          "CREATE DEFINER=gone EVENT live.orphan ON SCHEDULE EVERY 1 DAY DO DO 1;\nDROP USER gone",
          "event 'orphan' belongs to gone@%", "DROP EVENT live.orphan", ERR_REFUSED },
        { "CREATE PROCEDURE live.reaches() DELETE FROM `live`.counters",
          "'reaches' names its schema", "DROP PROCEDURE live.reaches", ERR_REFUSED },
        { "CREATE TRIGGER live.reacher BEFORE DELETE ON live.counters FOR EACH ROW INSERT INTO "
          "Live . "
          "numbers (t) VALUES (1)",
          "'reacher' names its schema", "DROP TRIGGER live.reacher", ERR_REFUSED },
        { "CREATE DATABASE other;\nCREATE TABLE other.p (id INT PRIMARY KEY) ENGINE=InnoDB;\n"
          "CREATE TABLE live.c (id INT, CONSTRAINT outward FOREIGN KEY (id) REFERENCES other.p "
          "(id))"
          " ENGINE=InnoDB",
          "'outward'", "DROP TABLE live.c", ERR_REFUSED },
        { "CREATE DATABASE more;\nCREATE TABLE more.t (id INT);\n"
          "GRANT ALL ON more.* TO sitesnap@localhost;\n"
          "CREATE VIEW live.joins AS SELECT t.id FROM more.t JOIN live.counters",
          "'joins' names", "DROP VIEW live.joins", ERR_REFUSED },
        { "CREATE TABLE live.merged (id INT) ENGINE=MRG_MyISAM", "'merged' is of the engine",
          "DROP TABLE live.merged", ERR_UNSUPPORTED },
};

TEST(what_cannot_be_copied_is_refused_by_name)
{
        struct db *db = torture_begin_open(&conf);

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT) ENGINE=InnoDB;\n"
                      "CREATE TABLE live.numbers (t INT)");
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                mariadb_admin(refused[i].make);
                ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err),
                           refused[i].code, refused[i].code_text);
                printf("# %s\n", err.msg);
                expect_clean(db);
                mariadb_admin(refused[i].undo);
                ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
                ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        }
        driver->close(db);
}

/* Do something when so much is done. */
struct interruption {
        void (*act)(void);
        unsigned percent;
        bool acted;
};

static int interrupt(const struct db_progress *progress, void *arg, struct err *stop_err)
{
        struct interruption *interruption = arg;

        (void)stop_err;
        if (!interruption->acted && progress->rows_done * 100 >= BIG_ROWS * interruption->percent) {
                interruption->acted = true;
                interruption->act();
        }
        return 0;
}

static void kill_writer(void)
{
        mariadb_admin("KILL USER sitesnap@localhost");
}

static void change_table(void)
{
        mariadb_admin("ALTER TABLE live.later ADD COLUMN b INT");
}

static void make_big(void)
{
        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT);\n"
                      "CREATE TABLE live.big (id INT PRIMARY KEY AUTO_INCREMENT, a CHAR(64), b"
                      " VARCHAR(500), KEY (a)) ENGINE=InnoDB;\n"
                      "USE live;\nINSERT INTO live.big (a, b) SELECT SHA2(seq, 256), "
                      "REPEAT(SHA2(seq, 512), 3)"
                      " FROM seq_1_to_60000;\n"
                      "CREATE TABLE live.later (id INT PRIMARY KEY);\n"
                      "INSERT INTO live.later VALUES (1);\nANALYZE TABLE live.big");
}

TEST(a_copy_whose_connection_is_killed_is_not_there)
{
        struct db *db = torture_begin_open(&conf);

        make_big();
        for (unsigned percent = 10; percent <= 90; percent += 40) {
                struct interruption interruption = { kill_writer, percent, false };

                ASSERT(driver->copy(db, "live", TORTURE_COPY, interrupt, &interruption, &err) < 0);
                printf("# %s\n", err.msg);
                ASSERT(interruption.acted);
                expect_clean(db);
        }
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        driver->close(db);
}

TEST(a_copy_whose_server_is_killed_is_not_there)
{
        struct db *db = torture_begin_open(&conf);

        make_big();
        for (unsigned percent = 10; percent <= 90; percent += 40) {
                struct interruption interruption = { mariadb_server_kill, percent, false };
                bool there = true;

                ASSERT(driver->copy(db, "live", TORTURE_COPY, interrupt, &interruption, &err) < 0);
                printf("# %s\n", err.msg);
                ASSERT(interruption.acted);
                mariadb_server_start();
                ASSERT_OK(driver->exists(db, TORTURE_COPY, &there, &err));
                ASSERT(!there);
                ASSERT(torture_unlocked());
                ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
                expect_clean(db);
        }
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        driver->close(db);
}

static const char *disk;

static void fill_disk(void)
{
        torture_no_room(disk);
}

TEST(a_server_whose_disk_is_full_says_so)
{
        struct interruption interruption = { fill_disk, 20, false };
        struct db *db;

        root_begin();
        disk = root_fs("ext4", 300);
        torture_begin_at(disk, &conf);
        ASSERT_OK(driver->open(&conf, &db, &err));
        make_big();
        ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, interrupt, &interruption, &err),
                   ERR_NO_SPACE, "'big'");
        printf("# %s\n", err.msg);
        torture_room(disk);
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        expect_clean(db);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));

        /* Where it can be told before, nothing is begun. */
        fill_disk();
        ASSERT_ERR(driver->copy(db, "live", "snap8_live", NULL, NULL, &err), ERR_NO_SPACE,
                   "MB free");
        driver->close(db);
}

TEST(a_table_that_is_changed_meanwhile_is_named)
{
        struct db *db = torture_begin_open(&conf);
        struct interruption interruption = { change_table, 10, false };

        conf.streams = 1;
        driver->close(db);
        ASSERT_OK(driver->open(&conf, &db, &err));
        make_big();
        ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, interrupt, &interruption, &err), ERR_BUSY,
                   "later");
        printf("# %s\n", err.msg);
        expect_clean(db);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        driver->close(db);
}

TEST(a_process_that_is_stopped_holds_nobody_longer_than_its_deadline)
{
        struct db *db = torture_begin_open(&conf);
        int64_t before;
        int status;
        pid_t pid;

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT)");
        driver->close(db);
        pid = fork();
        if (pid == 0) {
                if (driver->open(&conf, &db, &err) < 0 || driver->hold(db, "live", 2000, &err) < 0)
                        _exit(1);
                (void)raise(SIGSTOP);
                _exit(driver->release(db, &err) < 0 && err.code == ERR_TIMEOUT ? 0 : 2);
        }
        ASSERT(pid > 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        before = clock_boot_usec();
        ASSERT(!torture_unlocked());
        while (!torture_unlocked())
                (void)usleep(20000);
        printf("# writers waited %d ms\n", (int)((clock_boot_usec() - before) / 1000));
        ASSERT(clock_boot_usec() - before < 5 * USEC_PER_SEC);
        ASSERT(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid);
        ASSERT_EQ(status, 0);
}

TEST(a_tenants_lock_is_waited_for_and_told)
{
        struct db *db = torture_begin_open(&conf);
        MYSQL *tenant;

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT)");
        tenant = mariadb_log_in(MARIADB_APP, MARIADB_APP_PASS, "live");
        ASSERT(tenant != NULL && mysql_query(tenant, "LOCK TABLES counters WRITE") == 0);
        ASSERT_ERR(driver->hold(db, "live", 1000, &err), ERR_BUSY, "did not let us in");
        mysql_close(tenant);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        driver->close(db);
}

TEST(a_copy_that_is_read_is_not_dropped_and_not_waited_for)
{
        struct db *db = torture_begin_open(&conf);
        MYSQL *tenant;

        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT);\n"
                      "CREATE TABLE live.more (id INT PRIMARY KEY);\n"
                      "INSERT INTO live.counters VALUES (1, 1)");
        driver->close(db);
        conf.timeout_msec = 1000;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        tenant = mariadb_log_in("root", NULL, TORTURE_COPY);
        ASSERT(tenant != NULL && mysql_query(tenant, "BEGIN") == 0 &&
               mysql_query(tenant, "SELECT * FROM counters") == 0);
        mysql_free_result(mysql_store_result(tenant));
        (void)alarm(60); /* a drop that waits is killed by this */
        ASSERT_ERR(db_drop(driver, db, TORTURE_COPY, &err), ERR_BUSY, "dropping");
        (void)alarm(0);
        printf("# %s\n", err.msg);
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA ="
                               " '" TORTURE_COPY "'"),
                   "2");
        mysql_close(tenant);
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        expect_clean(db);
        driver->close(db);
}

/* What diff() tells, as text: "table change key old new;" with the columns' values. */
struct told {
        char text[4096];
        size_t n;
};

static void put(struct told *told, const char *bytes, size_t size)
{
        ASSERT(told->n + size < sizeof(told->text));
        memcpy(told->text + told->n, bytes, size);
        told->n += size;
        told->text[told->n] = '\0';
}

static void put_values(struct told *told, const struct db_value *values, size_t n)
{
        for (size_t i = 0; values != NULL && i < n; i++) {
                put(told, " ", 1);
                put(told, values[i].bytes == NULL ? "NULL" : values[i].bytes,
                    values[i].bytes == NULL ? 4 : values[i].size);
        }
}

static int note(const struct db_row_change *row, void *arg, struct err *stop_err)
{
        static const char *const words[] = { "+", "~", "-" };
        struct told *told = arg;

        (void)stop_err;
        put(told, row->table, strlen(row->table));
        put(told, words[row->change], 1);
        put(told, row->whole ? "w" : row->columns[0], row->whole ? 1 : strlen(row->columns[0]));
        put_values(told, row->from, row->n_columns);
        put(told, " |", 2);
        put_values(told, row->to, row->n_columns);
        put(told, ";", 1);
        return 0;
}

TEST(what_was_written_since_is_told_row_by_row)
{
        struct db *db = torture_begin_open(&conf);
        struct told told = { .n = 0 };

        mariadb_admin("CREATE TABLE live.a (v VARCHAR(9), f FLOAT, id INT PRIMARY KEY);\n"
                      "INSERT INTO live.a VALUES "
                      "('one',0.1,1),('two',NULL,2),('three',3,3),('four',4,4);\n"
                      "CREATE TABLE live.k (v VARCHAR(9), n INT, gone INT);\n"
                      "INSERT INTO live.k VALUES ('x',1,1),('x',1,1),('y',NULL,1)");
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->diff(db, TORTURE_COPY, "live", note, &told, &err));
        ASSERT_STR(told.text, "");
        mariadb_admin(
                "UPDATE live.a SET v = 'ONE' WHERE id = 1;\n"
                "UPDATE live.a SET f = 2.5 WHERE id = 2;\nDELETE FROM live.a WHERE id = 3;\n"
                "INSERT INTO live.a VALUES (NULL,-0.5,9);\n"
                "ALTER TABLE live.k DROP COLUMN gone;\nDELETE FROM live.k WHERE n = 1 LIMIT 1;\n"
                "INSERT INTO live.k VALUES ('Y',NULL)");
        ASSERT_OK(driver->diff(db, TORTURE_COPY, "live", note, &told, &err));
        printf("# %s\n", told.text);
        ASSERT(strstr(told.text, "a~id 1 one 0.10000000149011612 | 1 ONE 0.10000000149011612;") !=
               NULL);
        ASSERT(strstr(told.text, "a~id 2 two NULL | 2 two 2.5;") != NULL);
        ASSERT(strstr(told.text, "a-id 3 three 3 |;") != NULL);
        ASSERT(strstr(told.text, "a+id | 9 NULL -0.5;") != NULL);
        ASSERT(strstr(told.text, "k-w x 1 |;") != NULL);
        ASSERT(strstr(told.text, "k+w | Y NULL;") != NULL);
        ASSERT(strstr(told.text, "four") == NULL && strstr(told.text, " y ") == NULL);
        driver->close(db);
}

TEST(a_copys_cost_is_told_before)
{
        struct db_forecast forecast;
        struct db *db = torture_begin_open(&conf);

        make_big();
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_SNAPSHOT);
        ASSERT(forecast.disk_bytes > (20 << 20) && forecast.copy_msec > 200);
        ASSERT(forecast.stall_msec < 50);
        mariadb_admin("ALTER TABLE live.big ENGINE=MyISAM");
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT(forecast.stall_msec == forecast.copy_msec && strstr(forecast.why, "'big'") != NULL);
        driver->close(db);
        conf.way = DB_WAY_FILES;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_ERR(driver->forecast(db, "live", &forecast, &err), ERR_UNSUPPORTED, "'files'");
        ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err), ERR_UNSUPPORTED,
                   "'files'");
        driver->close(db);
}

TEST(only_tables_of_the_prefix_are_copied)
{
        struct db *db = torture_begin_open(&conf);

        mariadb_admin("CREATE TABLE live.counters (id INT);\nCREATE TABLE live.wp_a (id INT PRIMARY"
                      " KEY);\nCREATE TABLE live.wpxa (id INT);\nCREATE TABLE live.wp_b (id INT,"
                      " FOREIGN KEY (id) REFERENCES live.wp_a (id))");
        driver->close(db);
        conf.table_prefix = "wp_";
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        ASSERT_STR(mariadb_ask("SELECT GROUP_CONCAT(TABLE_NAME ORDER BY 1) FROM"
                               " information_schema.TABLES WHERE TABLE_SCHEMA = '" TORTURE_COPY
                               "'"),
                   "wp_a,wp_b");
        driver->close(db);
}
