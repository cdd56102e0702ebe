/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tenant's SQLite database copied by the driver, as an upgrade does, while he writes, beside
 * `cp` of the same bytes and what brings them to the disk, in turns; run by db_sqlite.sh.
 */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/bench/series.h"
#include "tests/lib/root.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

#define RUNS      7
#define MBYTES    1000
#define ROW_BYTES 2000
#define SCHEMA    "site"
#define COPY      "snap1_site"
#define BEAT      2000 /* µs between two writes */

static struct err err;

/* What the writer says, in microseconds. */
static struct beat {
        _Atomic int64_t longest;
        _Atomic unsigned writes;
} * beat;

/* One row after the other, each in a transaction of its own, as visitors' requests do. */
static pid_t begin_writer(void)
{
        pid_t pid = fork();
        sqlite3 *db = NULL;
        char path[512];

        ASSERT(pid >= 0);
        if (pid > 0)
                return pid;
        (void)snprintf(path, sizeof(path), "%s/" SCHEMA "/site.sqlite", tenant_root());
        if (setgid(TENANT) < 0 || setuid(TENANT) < 0 || sqlite3_open(path, &db) != SQLITE_OK ||
            sqlite3_busy_timeout(db, 20000) != SQLITE_OK)
                _exit(1);
        for (;;) {
                int64_t begun = clock_boot_usec(), took;

                if (sqlite3_exec(db, "UPDATE beats SET beat = beat + 1 WHERE id = 1", NULL, NULL,
                                 NULL) != SQLITE_OK)
                        _exit(2);
                took = clock_boot_usec() - begun;
                if (took > beat->longest)
                        beat->longest = took;
                beat->writes++;
                (void)usleep(BEAT);
        }
}

static void fill(void)
{
        char sql[600];

        tenant_dir(SCHEMA);
        (void)snprintf(sql, sizeof(sql),
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; BEGIN;"
                       "CREATE TABLE beats(id INTEGER PRIMARY KEY, beat INT);"
                       "INSERT INTO beats VALUES(1, 0);"
                       "CREATE TABLE posts(id INTEGER PRIMARY KEY, title TEXT, text BLOB);"
                       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
                       "INSERT INTO posts SELECT i, hex(i), randomblob(%d) FROM n; COMMIT;"
                       "PRAGMA wal_checkpoint(TRUNCATE)",
                       (int)((MBYTES * 1000000LL) / ROW_BYTES), ROW_BYTES - 50);
        ASSERT_EQ(tenant_sql(TENANT, SCHEMA "/site.sqlite", sql), 0);
        sync();
}

/* The limit: the same bytes, on the disk.  Nothing is noted where they cannot be shared. */
static void by_cp(const char *how, struct series *times)
{
        double begun = series_now();
        char from[512], to[512];
        const char *argv[] = { "cp", how, from, to, NULL };

        (void)snprintf(from, sizeof(from), "%s/" SCHEMA "/site.sqlite", tenant_root());
        (void)snprintf(to, sizeof(to), "%s/plain", tenant_root());
        if (root_run(argv) == 0) {
                CLEANUP(closep) int fd = open(to, O_RDONLY | O_CLOEXEC);

                ASSERT(fd >= 0 && fsync(fd) == 0);
                series_note(times, begun);
        }
        (void)unlink(to);
}

static void by_driver(const struct db_conf *conf, struct series *copied, struct series *verified)
{
        const struct db_driver *driver = &db_driver_sqlite;
        double begun = series_now();
        unsigned features;
        struct db *db;

        ASSERT_OK(driver->open(conf, &db, &err));
        ASSERT_OK(driver->features(db, SCHEMA, &features, &err));
        ASSERT_OK(driver->hold(db, SCHEMA, 10000, &err));
        if ((features & DB_COPY_IN_HOLD) == 0)
                ASSERT_OK(driver->release(db, &err));
        ASSERT_OK(driver->copy(db, SCHEMA, COPY, NULL, NULL, &err));
        if ((features & DB_COPY_IN_HOLD) != 0)
                ASSERT_OK(driver->release(db, &err));
        series_note(copied, begun);
        begun = series_now();
        ASSERT_OK(driver->verify(db, SCHEMA, COPY, &err));
        series_note(verified, begun);
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        driver->close(db);
}

static void note_longest(int64_t *longest)
{
        if (beat->longest > *longest)
                *longest = beat->longest;
}

/* On the file system below TEST_TMP. */
TEST(a_database_is_copied)
{
        struct series copied = { 0 }, verified = { 0 }, plain = { 0 }, cloned = { 0 };
        int64_t at_rest, beside_cp = 0, beside = 0;
        struct db_conf conf;
        pid_t writer;

        tenant_begin(NULL, 0, &conf);
        beat = mmap(NULL, sizeof(*beat), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT(beat != MAP_FAILED);
        fill();
        writer = begin_writer();
        (void)usleep(2000000);
        at_rest = beat->longest;
        for (unsigned i = 0; i < RUNS; i++) {
                (void)usleep(500000);
                beat->longest = 0;
                by_cp("--reflink=never", &plain);
                note_longest(&beside_cp);
                by_cp("--reflink=always", &cloned);
                (void)usleep(500000);
                beat->longest = 0;
                by_driver(&conf, &copied, &verified);
                note_longest(&beside);
        }
        ASSERT(kill(writer, 0) == 0 && beat->writes > 0);
        (void)kill(writer, SIGKILL);
        (void)waitpid(writer, NULL, 0);
        (void)printf("# SQLite, WAL, %d MB, least / median of %d\n", MBYTES, RUNS);
        series_report("cp --reflink=never, fsync", &plain, &plain);
        series_report("cp --reflink=always, fsync", &cloned, &plain);
        series_report("hold, copy, release", &copied, &plain);
        series_report("verify", &verified, &plain);
        (void)printf(
                "#   longest write: %.1f ms beside nothing, %.1f ms beside cp, %.1f ms beside a "
                "copy\n",
                (double)at_rest / 1e3, (double)beside_cp / 1e3, (double)beside / 1e3);
}
