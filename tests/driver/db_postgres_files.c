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
 * Copies by the server's files: the site's sessions are ended and kept out for exactly as long as
 * it is held, and let in whatever happens.
 */

static struct err err;
static const struct db_driver *driver = &db_driver_postgres;

static struct db *begin(void)
{
        return postgres_case_begin("sitesnap", NULL, DB_WAY_FILES);
}

/* A visitor who connects and writes, in a process of his own. */
static pid_t visit(void)
{
        pid_t pid = fork();

        ASSERT(pid >= 0);
        if (pid == 0) {
                pg_do("shop", "shop", "INSERT INTO shop.more VALUES (2, 'visited')");
                _exit(0);
        }
        return pid;
}

static bool has_come(pid_t pid, unsigned wait_msec)
{
        int status;

        for (unsigned msec = 0; msec <= wait_msec; msec += 10) {
                if (waitpid(pid, &status, WNOHANG) == pid) {
                        ASSERT_EQ(status, 0);
                        return true;
                }
                (void)usleep(10000);
        }
        return false;
}

TEST(sessions_are_ended_and_wait_until_the_release)
{
        struct db *db = begin();
        PGconn *in = pg_connect("shop", "shop");
        unsigned features = 0;
        PGresult *result;
        pid_t pid;

        ASSERT(in != NULL);
        ASSERT_OK(driver->features(db, "shop", &features, &err));
        ASSERT_EQ(features, DB_COPY_IN_HOLD);
        ASSERT_OK(driver->hold(db, "shop", 60000, &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        pid = visit();
        ASSERT(!has_come(pid, 500));
        result = PQexec(in, "SELECT 1");
        ASSERT(PQresultStatus(result) != PGRES_TUPLES_OK);
        PQclear(result);
        PQfinish(in);
        ASSERT_OK(driver->release(db, &err));
        ASSERT(has_come(pid, 20000));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_STR(pg_value("postgres", COPY, "SELECT count(*) FROM shop.more"), "20000");
        ASSERT_STR(pg_value("postgres", "shop", "SELECT count(*) FROM shop.more"), "20001");
        driver->close(db);
}

TEST(a_session_that_may_not_be_ended_is_named_and_nothing_is_touched)
{
        struct db *db = begin();
        PGconn *in = pg_connect("postgres", "shop");
        PGresult *result;

        ASSERT_ERR(driver->check(db, "shop", &err), ERR_DENIED, "of postgres");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_DENIED, "of postgres");
        result = PQexec(in, "SELECT 1");
        ASSERT(PQresultStatus(result) == PGRES_TUPLES_OK);
        PQclear(result);
        PQfinish(in);
        ASSERT_OK(driver->check(db, "shop", &err));
        postgres_case_end(db);
}

struct strike {
        const char *sql; /* ends a session; NULL: the server is killed */
        unsigned call;   /* of the reports, from 1 */
        unsigned calls;
};

static int strike(const struct db_progress *progress, void *arg, struct err *report_err)
{
        struct strike *strike = arg;

        (void)progress;
        (void)report_err;
        if (++strike->calls != strike->call)
                return 0;
        if (strike->sql != NULL)
                pg_do("postgres", "postgres", strike->sql);
        else
                pg_stop(SIGKILL);
        return 0;
}

#define END                                                                                        \
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "         \
        "'sitesnap snap12' AND query LIKE "

static void strike_out(const char *sql, unsigned call)
{
        struct strike what = { sql, call, 0 };
        struct db *db = begin();

        ASSERT(driver->copy(db, "shop", COPY, strike, &what, &err) < 0);
        ASSERT(what.calls >= call);
        printf("# %s\n", err.msg);
        if (sql == NULL) {
                driver->close(db);
                pg_start_again();
                ASSERT_OK(driver->open(&postgres_conf, &db, &err));
                /* What could not be cleared up then. */
                ASSERT_OK(db_drop(driver, db, COPY, &err));
        }
        postgres_case_end(db);
}

TEST(a_copying_session_that_is_ended_lets_everybody_in)
{
        strike_out(END "'CREATE DATABASE%'", 2);
}

TEST(a_keeping_session_that_is_ended_lets_everybody_in)
{
        strike_out(END "'ALTER DATABASE%'", 2);
}

TEST(a_server_that_dies_on_the_way_has_the_live_database_open)
{
        strike_out(NULL, 1);
        strike_out(NULL, 2);
        strike_out(NULL, 3);
}

/* Held, copied, and then stopped or killed. */
static pid_t copier(unsigned deadline_msec)
{
        int status;
        pid_t pid = fork();

        ASSERT(pid >= 0);
        if (pid == 0) {
                struct db *db;

                if (driver->open(&postgres_conf, &db, &err) < 0 ||
                    driver->hold(db, "shop", deadline_msec, &err) < 0 ||
                    driver->copy(db, "shop", COPY, NULL, NULL, &err) < 0)
                        _exit(1);
                (void)raise(SIGSTOP);
                _exit(driver->release(db, &err) < 0 && err.code == ERR_TIMEOUT ? 0 : 2);
        }
        ASSERT(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        return pid;
}

TEST(nobody_waits_longer_than_the_deadline_of_a_stopped_process)
{
        struct db *db = begin();
        int64_t before = clock_boot_usec();
        pid_t pid = copier(8000), visitor = visit();
        int status;

        ASSERT(has_come(visitor, 20000));
        ASSERT(clock_boot_usec() - before < 20 * USEC_PER_SEC);
        ASSERT(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid && status == 0);
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        postgres_case_end(db);
}

TEST(nobody_waits_for_a_process_that_is_killed)
{
        struct db *db = begin();
        pid_t pid = copier(600000), visitor = visit();

        ASSERT(!has_come(visitor, 300));
        ASSERT(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
        ASSERT(has_come(visitor, 10000));
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        postgres_case_end(db);
}

/* What no copy by rows can have is in the files. */
TEST(a_copy_of_files_has_what_cannot_be_made_anew)
{
        struct db *db = begin();

        pg_do("shop", "shop",
              "CREATE FUNCTION shop.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT $1 = "
              "$2'; CREATE OPERATOR shop.=== (FUNCTION = shop.eq, LEFTARG = text, RIGHTARG = "
              "text)");
        pg_do("shop", "shop", "ALTER DATABASE shop SET application_name = 'one; two'");
        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_STR(pg_value("shop", COPY, "SELECT 'a'::text OPERATOR(shop.===) 'a'::text"), "t");
        ASSERT_STR(pg_value("shop", COPY, "SHOW application_name"), "one; two");
        driver->close(db);
}

TEST(a_forecast_of_files_says_how_long_sessions_are_out)
{
        struct db *db = begin();
        struct db_forecast forecast = { 0 };

        ASSERT_OK(driver->forecast(db, "shop", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_FILES);
        ASSERT(forecast.disk_bytes > 1 << 20 && forecast.copy_msec == forecast.stall_msec &&
               forecast.stall_msec > 0);
        ASSERT(strstr(forecast.why, "sessions are ended") != NULL);
        driver->close(db);
        postgres_conf.database = "shop";
        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
        ASSERT_ERR(driver->forecast(db, "shop", &forecast, &err), ERR_UNSUPPORTED, "part of");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_UNSUPPORTED, "part of");
        driver->close(db);
}
