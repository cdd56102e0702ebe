/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/driver/postgres_case.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/test.h"

/*
 * What goes wrong with PostgreSQL: it is said which object, nothing is left of the copy, the live
 * schema is as it was and can be written, and the next try works.
 */

static struct err err;
static const struct db_driver *driver = &db_driver_postgres;

static struct db *begin(const char *user, const char *database)
{
        return postgres_case_begin(user, database, DB_WAY_AUTO);
}

TEST(missing_rights_are_said_as_the_statements_that_give_them)
{
        struct db *db = begin("sitesnap", "shop");

        ASSERT_OK(driver->check(db, "shop", &err));
        pg_do("postgres", "shop", "REVOKE shop FROM sitesnap; REVOKE shop_kept FROM sitesnap");
        pg_do("postgres", "shop",
              "REVOKE CREATE ON DATABASE shop FROM sitesnap; REVOKE TEMPORARY ON DATABASE shop "
              "FROM "
              "PUBLIC, shop");
        ASSERT_ERR(driver->check(db, "shop", &err), ERR_DENIED, "GRANT shop TO sitesnap");
        ASSERT(strstr(err.msg, "GRANT CREATE ON DATABASE shop TO sitesnap") != NULL);
        ASSERT(strstr(err.msg, "GRANT TEMPORARY ON DATABASE shop TO sitesnap") != NULL);
        ASSERT(strstr(err.msg, "GRANT shop_kept TO sitesnap") != NULL);
        ASSERT(driver->copy(db, "shop", COPY, NULL, NULL, &err) < 0);
        pg_do("postgres", "shop",
              "GRANT shop, shop_kept TO sitesnap; GRANT CREATE, TEMPORARY ON DATABASE shop TO "
              "sitesnap");
        ASSERT_OK(driver->check(db, "shop", &err));
        postgres_case_end(db);
}

TEST(what_cannot_be_copied_is_named_before_anything_is_made)
{
        struct db *db = begin("sitesnap", "shop");

        pg_do("shop", "shop",
              "CREATE FUNCTION shop.dynamic() RETURNS void LANGUAGE plpgsql AS "
              "$$ BEGIN EXECUTE format('DELETE FROM %I.people', 'shop'); END $$");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_UNSUPPORTED, "dynamic()");
        pg_do("shop", "shop",
              "DROP FUNCTION shop.dynamic; CREATE FUNCTION shop.eq(text, text) RETURNS boolean "
              "LANGUAGE sql AS 'SELECT $1 = $2'; CREATE OPERATOR shop.=== (FUNCTION = shop.eq, "
              "LEFTARG = text, RIGHTARG = text)");
        ASSERT_ERR(driver->check(db, "shop", &err), ERR_UNSUPPORTED, "===");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_UNSUPPORTED, "===");
        pg_do("shop", "shop", "DROP OPERATOR shop.=== (text, text)");
        postgres_case_end(db);
}

/* A server that a test kills takes nothing back from the machine. */
TEST(the_server_of_the_tests_shares_no_memory_outside_of_its_directory)
{
        char path[64], line[512];
        unsigned inside = 0;
        FILE *maps;

        pg_begin();
        (void)snprintf(path, sizeof(path), "/proc/%d/maps", pg_pid());
        maps = fopen(path, "re");
        ASSERT(maps != NULL);
        while (fgets(line, sizeof(line), maps) != NULL) {
                ASSERT(strstr(line, "/dev/shm/") == NULL);
                inside += strstr(line, "/pg_dynshmem/") != NULL;
        }
        (void)fclose(maps);
        ASSERT(inside > 0);
}

static int kill_sessions(const struct db_progress *progress, void *arg, struct err *report_err)
{
        (void)report_err;
        if (progress->tables_done == 1 && *(bool *)arg) {
                *(bool *)arg = false;
                pg_do("postgres", "postgres",
                      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                      "application_name LIKE 'sitesnap snap%'");
        }
        return 0;
}

TEST(a_session_that_is_ended_fails_the_copy_and_nothing_else)
{
        bool once = true;
        struct db *db = begin("sitesnap", "shop");

        ASSERT(driver->copy(db, "shop", COPY, kill_sessions, &once, &err) < 0);
        ASSERT(!once);
        postgres_case_end(db);
}

/* Each table is a little more than what a socket holds: at its end the server has not taken all. */
TEST(a_server_that_is_slow_to_take_rows_gets_them_all)
{
        struct db *db = begin("sitesnap", NULL);

        pg_do("shop", "shop",
              "DO $$ BEGIN FOR t IN 1..40 LOOP EXECUTE format('CREATE TABLE shop.t%s AS SELECT i, "
              "repeat(md5(i::text), 30 + %s) AS v FROM generate_series(1, 400) i', t, t); END "
              "LOOP; "
              "END $$");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        driver->close(db);
}

/* Altering waits for the copy, or the copy gives way to it and is made again; never something
 * between, and never do both wait for each other. */
static int alter(const struct db_progress *progress, void *arg, struct err *report_err)
{
        (void)report_err;
        if (progress->tables_done == 0 && *(pid_t *)arg == 0) {
                *(pid_t *)arg = fork();
                if (*(pid_t *)arg == 0) {
                        pg_do("shop", "shop",
                              "ALTER TABLE shop.more ADD COLUMN late text; "
                              "TRUNCATE shop.people");
                        _exit(0);
                }
                (void)usleep(100000);
        }
        return 0;
}

TEST(tables_that_are_altered_during_the_copy_are_copied_as_they_were)
{
        struct db *db = begin("sitesnap", "shop");
        pid_t pid = 0;

        const char *rows = "20000";
        int64_t before = clock_boot_usec();

        if (driver->copy(db, "shop", COPY, alter, &pid, &err) < 0) {
                printf("# %s\n", err.msg);
                ASSERT_EQ(err.code, ERR_BUSY);
                ASSERT(clock_boot_usec() - before < 20 * USEC_PER_SEC);
                driver->close(db);
                ASSERT(waitpid(pid, NULL, 0) == pid);
                ASSERT_OK(driver->open(&postgres_conf, &db, &err));
                ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
                rows = "0";
                pid = 0;
        }
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        driver->close(db);
        ASSERT(pid == 0 || waitpid(pid, NULL, 0) == pid);
        ASSERT_STR(pg_value("shop", "shop", "SELECT count(*) FROM " COPY ".people"), rows);
        ASSERT_STR(pg_value("shop", "shop", "SELECT count(*) FROM shop.people"), "0");
}

TEST(a_hold_of_a_stopped_process_ends_at_its_deadline)
{
        struct db *db = begin("sitesnap", "shop");
        int64_t before;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                if (driver->open(&postgres_conf, &db, &err) < 0 ||
                    driver->hold(db, "shop", 1500, &err) < 0)
                        _exit(1);
                (void)raise(SIGSTOP);
                _exit(driver->release(db, &err) < 0 && err.code == ERR_TIMEOUT ? 0 : 2);
        }
        ASSERT(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        before = clock_boot_usec();
        pg_do("shop", "shop", "INSERT INTO shop.more VALUES (1, 'after the deadline')");
        ASSERT(clock_boot_usec() - before < 8 * USEC_PER_SEC);
        ASSERT(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid && status == 0);
        postgres_case_end(db);
}

TEST(an_owner_cannot_write_to_what_is_kept)
{
        struct db *db = begin("sitesnap", "shop");

        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        for (int i = 0; i < 4; i++) {
                static const char *const tries[] = {
                        "INSERT INTO " COPY ".people VALUES (1, 'x')",
                        "GRANT INSERT ON " COPY ".people TO shop",
                        "ALTER TABLE " COPY ".people OWNER TO shop",
                        "DROP TABLE " COPY ".people",
                };
                PGconn *conn = pg_connect("shop", "shop");
                PGresult *result = PQexec(conn, tries[i]);

                /* A GRANT that gives nothing is only warned of. */
                if (i != 1)
                        ASSERT(PQresultStatus(result) == PGRES_FATAL_ERROR);
                PQclear(result);
                result = PQexec(conn, tries[0]);
                ASSERT(PQresultStatus(result) == PGRES_FATAL_ERROR);
                PQclear(result);
                PQfinish(conn);
        }
        ASSERT_STR(pg_value("shop", "shop", "SELECT count(*) FROM " COPY ".people"), "20000");
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        pg_do("shop", "shop", "INSERT INTO " COPY ".people VALUES (0, 'x')");
        driver->close(db);
}

TEST(a_forecast_says_what_a_copy_takes_and_another_way_is_refused)
{
        struct db *db = begin("sitesnap", "shop");
        struct db_forecast forecast = { 0 };

        ASSERT_OK(driver->forecast(db, "shop", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_SNAPSHOT);
        ASSERT(forecast.disk_bytes > 1 << 20 && forecast.copy_msec >= forecast.stall_msec);
        driver->close(db);
        postgres_conf.way = DB_WAY_FILES;
        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
        ASSERT_ERR(driver->forecast(db, "shop", &forecast, &err), ERR_UNSUPPORTED, "part of one");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_UNSUPPORTED,
                   "part of one");
        driver->close(db);
}

TEST(tables_can_be_altered_as_soon_as_they_are_copied)
{
        struct db *db = begin("sitesnap", "shop");

        ASSERT_OK(driver->hold(db, "shop", 5000, &err));
        ASSERT_OK(driver->release(db, &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        pg_do("shop", "shop", "SET lock_timeout = 1000; ALTER TABLE shop.people ADD late text");
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        driver->close(db);
}

/* "people +1 ~2 -3" of every difference, in the order they come. */
static int note(const struct db_row_change *row, void *arg, struct err *note_err)
{
        FILE *out = arg;
        const struct db_value *key = row->from != NULL ? row->from : row->to;

        (void)note_err;
        (void)fprintf(out, "%s%s%c%s", row->table, row->whole ? " whole" : "", "+~-"[row->change],
                      key[0].bytes);
        if (row->change == DB_ROW_CHANGED)
                (void)fprintf(out, "(%s to %s)", row->from[1].bytes, row->to[1].bytes);
        (void)fprintf(out, "; ");
        return 0;
}

static int count_differences(const char *text)
{
        int n = 0;

        for (; (text = strstr(text, "; ")) != NULL; text++)
                n++;
        return n;
}

static void differ(const char *database)
{
        struct db *db = begin("sitesnap", database);
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);

        pg_do("shop", "shop",
              "CREATE TABLE shop.pairs (a text, b integer, v text, PRIMARY KEY (b, a)); "
              "INSERT INTO shop.pairs VALUES ('x', 1, 'one'), ('y', 10, 'ten'), ('z', 9, NULL)");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->diff(db, "shop", COPY, note, out, &err));
        (void)fflush(out);
        ASSERT_EQ(bytes, 0);
        pg_do("shop", "shop",
              "DELETE FROM shop.people WHERE id = 7; UPDATE shop.people SET name = 'new' WHERE id "
              "= "
              "20000; INSERT INTO shop.people VALUES (20001, 'more'); DELETE FROM shop.more WHERE "
              "id "
              "= 3; INSERT INTO shop.pairs VALUES ('x', 9, 'late'); ALTER TABLE shop.pairs ADD "
              "late "
              "text DEFAULT 'x'");
        ASSERT_OK(driver->diff(db, COPY, "shop", note, out, &err));
        ASSERT(fclose(out) == 0);
        ASSERT(strstr(text, "people-7; ") != NULL);
        ASSERT(strstr(text, "people~20000(") != NULL && strstr(text, " to new); ") != NULL);
        ASSERT(strstr(text, "people+20001; ") != NULL);
        ASSERT(strstr(text, "more whole-3; ") != NULL);
        ASSERT(strstr(text, "pairs+9; ") != NULL);
        /* And nothing else. */
        ASSERT_EQ(count_differences(text), 5);
        free(text);
        driver->close(db);
}

TEST(rows_that_differ_are_told_between_schemas)
{
        differ("shop");
}

TEST(rows_that_differ_are_told_between_databases)
{
        differ(NULL);
}
