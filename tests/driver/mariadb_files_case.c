/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "dbdump/mariadb_keeper.h"
#include "tests/driver/mariadb_torture.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/mariadb_files.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/* Copies of a MariaDB database as the server's own files. */

static struct err err;
static const struct db_driver *const driver = &mariadb_files_driver;
static struct db_conf conf;

static void begin(const char *fs, unsigned mbytes, enum db_way way)
{
        root_begin();
        torture_begin_at(root_fs(fs, mbytes), &conf);
        mariadb_files_allow();
        conf.way = way;
}

static struct db *begin_open(const char *fs, unsigned mbytes, enum db_way way)
{
        struct db *db = NULL;

        begin(fs, mbytes, way);
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

/* About 20 MB in one table, and what is small beside it. */
static void make_big(void)
{
        mariadb_admin("CREATE TABLE live.counters (id INT PRIMARY KEY, beat INT);\n"
                      "CREATE TABLE live.big (id INT PRIMARY KEY AUTO_INCREMENT, a CHAR(64), b"
                      " VARCHAR(500), KEY (a)) ENGINE=InnoDB;\n"
                      "USE live;\nINSERT INTO live.big (a, b) SELECT SHA2(seq, 256), "
                      "REPEAT(SHA2(seq, 512), 3) FROM seq_1_to_30000;\n"
                      "CREATE TABLE live.second LIKE live.big;\n"
                      "INSERT INTO live.second SELECT * FROM live.big LIMIT 20000;\n"
                      "ANALYZE TABLE live.big, live.second");
}

static unsigned long long inserted(void)
{
        return strtoull(mariadb_ask("SHOW GLOBAL STATUS LIKE 'Innodb_rows_inserted'"), NULL, 10);
}

static void expect_no_copy(struct db *db)
{
        torture_no_copy(driver, db);
        ASSERT(torture_unlocked());
}

/* No description of an export lies around, in the copy or the original. */
static void expect_tidy(void)
{
        char path[400];

        for (int i = 0; i < 2; i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", mariadb_datadir(),
                               i == 0 ? "live" : TORTURE_COPY);
                ASSERT(root_run((const char *const[]){ "sh", "-c", "! ls \"$0\"/*.cfg 2>/dev/null",
                                                       path, NULL }) == 0);
        }
}

/* Row by row, of the tables of make_big(). */
static void expect_same(void)
{
        static const char *const tables[] = { "big", "second", "counters" };
        char sql[200], live[100];

        for (size_t i = 0; i < 3; i++) {
                (void)snprintf(sql, sizeof(sql), "CHECKSUM TABLE live.%s EXTENDED", tables[i]);
                (void)snprintf(live, sizeof(live), "%s", mariadb_ask(sql));
                (void)snprintf(sql, sizeof(sql), "CHECKSUM TABLE " TORTURE_COPY ".%s EXTENDED",
                               tables[i]);
                ASSERT_STR(live, mariadb_ask(sql));
        }
}

TEST(everything_in_a_schema_is_in_its_copy)
{
        struct db *db = begin_open("xfs", 900, DB_WAY_FILES);
        char *live = NULL, *copy = NULL;
        struct db_forecast forecast;

        torture_fill();
        ASSERT_OK(driver->check(db, "live", &err));
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_FILES);
        printf("# %s\n", forecast.why);
        /* strings and many have words, places has a place, parts has parts, tickets is a sequence,
         * and drawn takes from it.
         */
        ASSERT(strstr(forecast.why, "10 of 16 tables are cloned as files") != NULL);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        torture_compare("live", TORTURE_COPY);
        ASSERT_OK(driver->fingerprint(db, "live", &live, &err));
        ASSERT_OK(driver->fingerprint(db, TORTURE_COPY, &copy, &err));
        ASSERT_STR(live, copy);
        free(live);
        free(copy);
        expect_tidy();
        /* It lives, and is no longer the original. */
        mariadb_admin("INSERT INTO " TORTURE_COPY ".numbers (t) VALUES (1);\n"
                      "DELETE FROM " TORTURE_COPY ".large;\n"
                      "INSERT INTO " TORTURE_COPY ".many (a, c) VALUES ('x', 'more words');\n"
                      "ALTER TABLE " TORTURE_COPY ".numbers ADD COLUMN extra INT, FORCE");
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM live.large"), "3");
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        expect_no_copy(db);
        driver->close(db);
}

TEST(the_way_is_never_taken_by_itself_and_with_it_rows_do_not_pass)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_AUTO);
        struct db_forecast forecast;
        unsigned long long before;

        make_big();
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_SNAPSHOT);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
        driver->close(db);
        conf.way = DB_WAY_FILES;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_FILES);
        ASSERT(strstr(forecast.why, "3 of 3 tables are cloned") != NULL);
        ASSERT(strstr(forecast.why, "behind a checkpoint") != NULL);
        before = inserted();
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT(inserted() - before < 1000);
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        expect_same();
        driver->close(db);
}

static unsigned long long status_of(const char *name)
{
        char sql[100];

        (void)snprintf(sql, sizeof(sql), "SHOW GLOBAL STATUS LIKE '%s'", name);
        return strtoull(mariadb_ask(sql), NULL, 10);
}

/* Nobody waits for it: a site that has written a lot is held no longer for that. */
TEST(what_is_only_in_the_servers_memory_is_written_before_the_hold)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);
        struct db_forecast forecast;
        unsigned long long end;

        make_big();
        ASSERT(status_of("Innodb_buffer_pool_bytes_dirty") > 10 << 20);
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT(forecast.stall_msec < 50);
        end = status_of("Innodb_lsn_current");
        ASSERT(status_of("Innodb_lsn_last_checkpoint") < end - 1000);
        ASSERT_OK(driver->hold(db, "live", 5000, &err));
        ASSERT(status_of("Innodb_lsn_last_checkpoint") >= end - 16);
        ASSERT_OK(driver->release(db, &err));
        driver->close(db);
}

TEST(without_clones_the_stall_is_told_and_the_way_has_to_be_asked_for)
{
        struct db *db = begin_open("ext4", 700, DB_WAY_AUTO);
        struct db_forecast forecast;

        make_big();
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_SNAPSHOT);
        driver->close(db);
        conf.way = DB_WAY_FILES;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_FILES);
        ASSERT(strstr(forecast.why, "copied byte by byte") != NULL);
        ASSERT(forecast.stall_msec > 80); /* 40 MB and more */
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        expect_same();
        driver->close(db);
}

TEST(what_is_missing_for_the_way_is_told)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);
        struct db_forecast forecast;

        make_big();
        driver->close(db);
        for (int i = 0; i < 2; i++) {
                mariadb_admin(i == 0 ? "REVOKE RELOAD ON *.* FROM sitesnap@localhost"
                                     : "REVOKE SUPER ON *.* FROM sitesnap@localhost");
                ASSERT_OK(driver->open(&conf, &db, &err));
                ASSERT_ERR(driver->forecast(db, "live", &forecast, &err), ERR_UNSUPPORTED,
                           "GRANT RELOAD, SUPER ON *.*");
                ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err),
                           ERR_UNSUPPORTED, "RELOAD, SUPER");
                ASSERT(torture_unlocked());
                driver->close(db);
                mariadb_files_allow();
        }

        /* Without anybody who handles files. */
        ASSERT_OK(db_driver_mariadb.open(&conf, &db, &err));
        ASSERT_ERR(db_driver_mariadb.hold(db, "live", 2000, &err), ERR_UNSUPPORTED,
                   "through the socket of a server on this machine");
        db_driver_mariadb.close(db);
        conf.way = DB_WAY_AUTO;
        ASSERT_OK(db_driver_mariadb.open(&conf, &db, &err));
        ASSERT_OK(db_driver_mariadb.copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(db_driver_mariadb.verify(db, "live", TORTURE_COPY, &err));
        db_driver_mariadb.close(db);
}

/* Columns that came and went in place: the server does not take such a file, or it does. */
TEST(tables_that_were_altered_in_place_are_copied)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);

        make_big();
        mariadb_admin("ALTER TABLE live.big ADD COLUMN c INT DEFAULT 7 AFTER id, ALGORITHM=INSTANT"
                      ";\nUPDATE live.big SET c = id WHERE id < 100;\n"
                      "ALTER TABLE live.second DROP COLUMN b, ALGORITHM=INSTANT;\n"
                      "INSERT INTO live.second (a) VALUES ('later')");
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        expect_same();
        expect_tidy();
        driver->close(db);
}

/* A file that the server does not have for itself is not handled; its rows are copied. */
TEST(a_file_with_another_name_or_elsewhere_is_left_alone)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);
        struct db_forecast forecast;
        char path[2][400];

        make_big();
        (void)snprintf(path[0], sizeof(path[0]), "%s/live/big.ibd", mariadb_datadir());
        (void)snprintf(path[1], sizeof(path[1]), "%s/live/other.name", mariadb_datadir());
        ASSERT(linkat(AT_FDCWD, path[0], AT_FDCWD, path[1], 0) == 0);
        ASSERT_OK(driver->forecast(db, "live", &forecast, &err));
        ASSERT(strstr(forecast.why, "2 of 3 tables") != NULL);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        expect_same();
        driver->close(db);
}

/* What the server says about itself is not believed. */
static int ask_keeper(int fd, uint32_t op, const char *name)
{
        static struct keeper_call call;
        struct keeper_answer answer;

        call = (struct keeper_call){ .op = op };
        (void)snprintf(call.name, sizeof(call.name), "%s", name);
        ASSERT(write(fd, &call, sizeof(call)) == (ssize_t)sizeof(call));
        ASSERT(read(fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer));
        printf("# %s: %u %s\n", name, answer.code, answer.msg);
        return (int)answer.code;
}

TEST(the_keeper_has_the_servers_rights_and_no_more)
{
        static const char *const outside[] = { "../secret/x", "live/../../secret", "live/a/b",
                                               "live",        "linked/big",        "/etc/passwd" };
        CLEANUP(closep) int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[2][400];
        struct stat st;
        pid_t pid;
        int fd, status;

        begin("xfs", 700, DB_WAY_FILES);
        make_big();
        ASSERT_OK(mariadb_keeper_start(conf.socket_path, &pid, &fd, &err));
        (void)snprintf(path[0], sizeof(path[0]), "/proc/%d", pid);
        ASSERT(stat(mariadb_datadir(), &st) == 0);
        ASSERT(root_run((const char *const[]){ "sh", "-c",
                                               "set -- $(sed -n 's/^Uid://p' $0/status) && [ $1 = "
                                               "$2 ] && [ $3 = $4 ] && [ $1 = $4 ] && [ $1 != 0 ]",
                                               path[0], NULL }) == 0);
        /* Somebody else's directory, and then its own; of that nothing leads away. */
        ASSERT_EQ(ask_keeper(fd, KEEPER_DIRECTORY, "/etc"), ERR_REFUSED);
        ASSERT_EQ(ask_keeper(fd, KEEPER_DIRECTORY, "/root"), ERR_NOT_FOUND);
        ASSERT_EQ(ask_keeper(fd, KEEPER_DIRECTORY, mariadb_datadir()), 0);
        ASSERT(ask_keeper(fd, KEEPER_DIRECTORY, mariadb_datadir()) != 0);
        (void)snprintf(path[0], sizeof(path[0]), "%s/linked", mariadb_datadir());
        (void)snprintf(path[1], sizeof(path[1]), "%s/live", mariadb_datadir());
        ASSERT(symlink(path[1], path[0]) == 0);
        for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
                ASSERT(ask_keeper(fd, KEEPER_LOOK, outside[i]) != 0);
        ASSERT_EQ(ask_keeper(fd, KEEPER_LOOK, "live/big"), 0);
        /* Nothing is taken that is not exported, nothing put that was not taken. */
        ASSERT_EQ(ask_keeper(fd, KEEPER_TAKE, "live/big"), ERR_NOT_FOUND);
        ASSERT_EQ(ask_keeper(fd, KEEPER_PUT, "live/new"), ERR_INVALID);
        ASSERT(close(fd) == 0 && waitpid(pid, &status, 0) == pid && status == 0);

        /* Who listens as root gets nobody. */
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/r", test_tmpdir());
        ASSERT(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
               listen(listener, 5) == 0);
        ASSERT_ERR(mariadb_keeper_start(address.sun_path, &pid, &fd, &err), ERR_REFUSED,
                   "listens as root");
}

/* Do something at the n-th report. */
struct interruption {
        void (*act)(void);
        unsigned at, seen;
        bool acted;
};

static int interrupt(const struct db_progress *progress, void *arg, struct err *stop_err)
{
        struct interruption *interruption = arg;

        (void)progress;
        (void)stop_err;
        if (++interruption->seen == interruption->at) {
                interruption->acted = true;
                interruption->act();
        }
        return 0;
}

static void kill_connections(void)
{
        mariadb_admin("KILL USER sitesnap@localhost");
}

TEST(a_copy_whose_connection_or_server_is_killed_is_not_there)
{
        static void (*const acts[])(void) = { kill_connections, mariadb_server_kill };
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);

        make_big();
        for (size_t i = 0; i < 2; i++)
                for (unsigned at = 1; at <= 7; at += 2) {
                        struct interruption interruption = { acts[i], at, 0, false };

                        if (driver->copy(db, "live", TORTURE_COPY, interrupt, &interruption, &err) <
                            0)
                                printf("# at report %u: %s\n", at, err.msg);
                        else
                                ASSERT(!interruption.acted);
                        if (interruption.acted && acts[i] == mariadb_server_kill)
                                mariadb_server_start();
                        ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
                        expect_no_copy(db);
                }
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        expect_same();
        driver->close(db);
}

/* The server's recovery has no reason to pass over it. */
TEST(what_is_written_to_a_copy_is_there_after_a_crash)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);

        make_big();
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        mariadb_admin("INSERT INTO " TORTURE_COPY ".big (a) VALUES ('later');\n"
                      "UPDATE " TORTURE_COPY ".second SET a = 'changed' WHERE id <= 100");
        mariadb_server_kill();
        mariadb_server_start();
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM " TORTURE_COPY ".big"), "30001");
        ASSERT_STR(mariadb_ask("SELECT COUNT(*) FROM " TORTURE_COPY ".second WHERE a = 'changed'"),
                   "100");
        ASSERT_STR(mariadb_ask("CHECK TABLE " TORTURE_COPY ".big"), "OK");
        driver->close(db);
}

static void wait_for_import(void)
{
        int64_t before = clock_boot_usec();

        while (strcmp(mariadb_ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO "
                                  "LIKE 'ALTER TABLE%IMPORT TABLESPACE'"),
                      "0") == 0) {
                ASSERT(clock_boot_usec() - before < 30 * USEC_PER_SEC);
                (void)usleep(1000);
        }
}

/* At its begin, its end and between: the server starts, and the original is as it was. */
TEST(a_server_that_is_killed_during_the_import_starts_again)
{
        struct db *db = begin_open("xfs", 700, DB_WAY_FILES);
        char live[100];

        make_big();
        (void)snprintf(live, sizeof(live), "%s", mariadb_ask("CHECKSUM TABLE live.big EXTENDED"));
        for (int i = 0; i < 5; i++) {
                pid_t pid = fork();
                int status;

                if (pid == 0) {
                        struct db *own = NULL;

                        _exit(driver->open(&conf, &own, &err) < 0 ||
                              driver->copy(own, "live", TORTURE_COPY, NULL, NULL, &err) < 0);
                }
                ASSERT(pid > 0);
                wait_for_import();
                (void)usleep((useconds_t)i * 40000);
                mariadb_server_kill();
                ASSERT(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
                mariadb_server_start();
                printf("# killed after %d ms of it: the copy %s\n", i * 40,
                       status == 0 ? "had been made" : "failed");
                ASSERT_STR(mariadb_ask("CHECKSUM TABLE live.big EXTENDED"), live);
                ASSERT_OK(db_drop(driver, db, TORTURE_COPY, &err));
                expect_no_copy(db);
        }
        driver->close(db);
}

/* Stopped at any moment, with the export's lock or only the hold's. */
TEST(a_process_that_is_stopped_holds_nobody_longer_than_its_deadline)
{
        begin("xfs", 700, DB_WAY_FILES);
        make_big();
        for (int i = 0; i < 6; i++) {
                pid_t pid = fork();
                int64_t before;
                int status;

                if (pid == 0) {
                        struct db *db = NULL;

                        if (driver->open(&conf, &db, &err) < 0 ||
                            driver->hold(db, "live", 2000, &err) < 0)
                                _exit(1);
                        (void)pause();
                }
                ASSERT(pid > 0);
                before = clock_boot_usec();
                while (strtoul(mariadb_ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                                           " WHERE USER = 'sitesnap'"),
                               NULL, 10) < 3 &&
                       clock_boot_usec() - before < 10 * USEC_PER_SEC)
                        (void)usleep(1000);
                (void)usleep((useconds_t)i * 15000);
                ASSERT(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid &&
                       WIFSTOPPED(status));
                before = clock_boot_usec();
                while (!torture_unlocked())
                        (void)usleep(20000);
                printf("# stopped after %d ms: writers waited %d ms\n", i * 15,
                       (int)((clock_boot_usec() - before) / 1000));
                ASSERT(clock_boot_usec() - before < 5 * USEC_PER_SEC);
                ASSERT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
        }
}

TEST(a_disk_that_is_full_is_told_and_nothing_is_left)
{
        struct db *db = begin_open("xfs", 340, DB_WAY_FILES);
        char disk[400];

        make_big();
        (void)snprintf(disk, sizeof(disk), "%s/../..", mariadb_datadir());
        torture_no_room(disk);
        ASSERT_ERR(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err), ERR_NO_SPACE, "live");
        printf("# %s\n", err.msg);
        expect_no_copy(db);
        torture_room(disk);
        ASSERT_OK(driver->copy(db, "live", TORTURE_COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "live", TORTURE_COPY, &err));
        driver->close(db);
}
