/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "dbdump/dbdriver.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

#define COPY "snap3_shop"

static struct err err;
static struct db_conf conf;
static const struct db_driver *const driver = &db_driver_sqlite;
static int shop_fd;

static struct db *begin(const char *fs, unsigned mbytes)
{
        struct db *db;

        tenant_begin(fs, mbytes, &conf);
        tenant_dir("shop");
        shop_fd = openat(conf.root_fd, "shop", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(shop_fd >= 0);
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

static void sql(const char *file, const char *text)
{
        int rc = tenant_sql(TENANT, file, text);

        if (rc != SQLITE_OK)
                test_fail(__FILE__, __LINE__, "%s: %s: %s", file, text, sqlite3_errstr(rc));
}

static void copy_and_verify(struct db *db)
{
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
}

/* How many names stand in a directory of the root. */
static unsigned count_names(const char *schema)
{
        CLEANUP(closedirp)
        DIR *list = fdopendir(openat(conf.root_fd, schema, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        unsigned n = 0;

        ASSERT(list != NULL);
        while (readdir(list) != NULL)
                n++;
        return n - 2;
}

TEST(a_directory_of_several_databases_is_copied_with_all_that_lies_in_it)
{
        static const char *const names[] = { "wiki.sqlite", "wiki_l10n_cache.sqlite",
                                             "a b'\"\n.db", "-wal",
                                             "%s?mode=ro",  "file:x" };
        struct db *db = begin(NULL, 0);
        char path[100];
        struct stat st;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                (void)snprintf(path, sizeof(path), "shop/%s", names[i]);
                sql(path, i % 2 == 0 ? "PRAGMA journal_mode=WAL; CREATE TABLE a(b)"
                                     : "CREATE TABLE a(b)");
                sql(path, "INSERT INTO a VALUES ('in it')");
        }
        sql("shop/.htaccess", "");
        ASSERT(mkdirat(shop_fd, "locks", 0750) == 0 && fchmod(shop_fd, 0750) == 0);
        ASSERT(fchmodat(shop_fd, "wiki.sqlite", 0600, 0) == 0);
        copy_and_verify(db);

        /* Six databases, a file and a directory: every log is in its database. */
        ASSERT_EQ(count_names(COPY), 8);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", COPY, names[i]);
                ASSERT_STR(tenant_value(TENANT, path, "SELECT b FROM a"), "in it");
                ASSERT_STR(tenant_value(TENANT, path, "PRAGMA journal_mode"),
                           i % 2 == 0 ? "wal" : "delete");
        }
        ASSERT(fstatat(conf.root_fd, COPY, &st, 0) == 0 && (st.st_mode & 0777) == 0750);
        ASSERT(st.st_uid == TENANT && st.st_gid == TENANT);
        ASSERT(fstatat(conf.root_fd, COPY "/wiki.sqlite", &st, 0) == 0);
        ASSERT(st.st_uid == TENANT && (st.st_mode & 0777) == 0600);
        ASSERT(fstatat(conf.root_fd, COPY "/locks", &st, 0) == 0);
        ASSERT(S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0750 && st.st_uid == TENANT);
        driver->close(db);
}

TEST(what_a_crashed_writer_left_is_rolled_back_as_the_site_would)
{
        struct db *db = begin(NULL, 0);
        pid_t pid;

        sql("shop/a.db", "CREATE TABLE a(b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1"
                         " FROM n LIMIT 20000) INSERT INTO a SELECT hex(randomblob(100)) FROM n");
        /* A small cache spills into the file before the commit; then the process is killed. */
        pid = tenant_keep("shop/a.db", "PRAGMA cache_size=2; BEGIN; UPDATE a SET b = 'half'");
        tenant_end(pid);
        ASSERT(faccessat(shop_fd, "a.db-journal", F_OK, 0) == 0);
        ASSERT_OK(driver->check(db, "shop", &err));
        copy_and_verify(db);
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT count(*) FROM a WHERE b = 'half'"),
                   "0");
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT count(*) FROM a"), "20000");
        ASSERT_EQ(count_names(COPY), 1);
        driver->close(db);
}

TEST(a_log_without_its_index_is_read)
{
        struct db *db = begin(NULL, 0);

        sql("shop/a.db", "PRAGMA journal_mode=WAL; CREATE TABLE a(b); INSERT INTO a VALUES (7)");
        ASSERT(faccessat(shop_fd, "a.db-wal", F_OK, 0) == 0);
        ASSERT(unlinkat(shop_fd, "a.db-shm", 0) == 0);
        copy_and_verify(db);
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT b FROM a"), "7");
        driver->close(db);
}

static void overwrite(const char *name, off_t at, size_t n)
{
        CLEANUP(closep) int fd = openat(shop_fd, name, O_WRONLY | O_CLOEXEC);
        char junk[65536];

        memset(junk, 0x5a, sizeof(junk));
        ASSERT(fd >= 0 && pwrite(fd, junk, n, at) == (ssize_t)n);
}

TEST(a_damaged_database_is_named)
{
        struct db *db = begin(NULL, 0);
        unsigned features;

        sql("shop/good.db", "CREATE TABLE a(b)");
        sql("shop/bad.db", "CREATE TABLE a(b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT"
                           " i+1 FROM n LIMIT 5000) INSERT INTO a SELECT hex(randomblob(50))"
                           " FROM n");
        /* Pages in the middle: what can be opened is found by verifying the copy. */
        overwrite("bad.db", 40960, 8192);
        ASSERT_OK(driver->features(db, "shop", &features, &err));
        if (driver->copy(db, "shop", COPY, NULL, NULL, &err) == 0)
                ASSERT_ERR(driver->verify(db, "shop", COPY, &err), ERR_CORRUPT, "'bad.db'");
        else
                ASSERT(err.code == ERR_CORRUPT && strstr(err.msg, "'bad.db'") != NULL);
        /* The schema itself. */
        overwrite("bad.db", 100, 3000);
        ASSERT_ERR(driver->check(db, "shop", &err), ERR_CORRUPT, "'bad.db'");
        ASSERT_ERR(driver->hold(db, "shop", 1000, &err), ERR_CORRUPT, "'bad.db'");
        ASSERT_ERR(driver->copy(db, "shop", "snap4_shop", NULL, NULL, &err), ERR_CORRUPT,
                   "'bad.db'");
        /* Only the magic is left. */
        overwrite("bad.db", 16, 8000);
        ASSERT_ERR(driver->check(db, "shop", &err), ERR_CORRUPT, "'bad.db'");
        driver->close(db);
}

TEST(what_only_the_application_knows_does_not_keep_it_from_being_copied)
{
        struct db *db = begin(NULL, 0);

        /* The schema is written directly: this process has no such collation either. */
        sql("shop/a.db",
            "CREATE TABLE a(b TEXT, c); CREATE INDEX i ON a(b); INSERT INTO a VALUES ('x', 1);"
            "CREATE VIRTUAL TABLE f USING fts5(t); INSERT INTO f VALUES ('some words');"
            "CREATE TABLE w(k TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO w VALUES ('y');"
            "CREATE VIEW v AS SELECT no_such_function(b) FROM a;"
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT no_such_function(new.b); END;"
            "PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql = "
            "'CREATE TABLE a(b TEXT COLLATE NOCASE_UTF8, c)' WHERE name = 'a';"
            "UPDATE sqlite_master SET sql = 'CREATE TABLE w(k TEXT PRIMARY KEY COLLATE OURS) "
            "WITHOUT ROWID' WHERE name = 'w'");
        copy_and_verify(db);
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT t FROM f WHERE f MATCH 'words'"),
                   "some words");
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT sum(c) FROM a"), "1");
        driver->close(db);
}

TEST(a_large_value_goes_through)
{
        struct db *db = begin(NULL, 0);

        sql("shop/a.db", "PRAGMA journal_mode=WAL; CREATE TABLE a(b); CREATE TABLE c(d);"
                         "INSERT INTO a VALUES (zeroblob(50000000)); INSERT INTO c VALUES (1)");
        copy_and_verify(db);
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT length(b) FROM a"), "50000000");
        driver->close(db);
}

/* Where there is no clone; the numbers are said before anything is written. */
TEST(too_little_space_is_told_before_anything_is_written)
{
        struct db *db = begin("tmpfs", 24);

        sql("shop/a.db", "PRAGMA journal_mode=WAL; CREATE TABLE a(b);"
                         "INSERT INTO a VALUES (randomblob(12000000))");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_NO_SPACE, "MB free");
        ASSERT(faccessat(conf.root_fd, COPY, F_OK, 0) < 0);
        ASSERT(faccessat(conf.root_fd, COPY ".partial", F_OK, 0) < 0);
        sql("shop/a.db", "INSERT INTO a VALUES (1)");
        driver->close(db);
}

/* A file that grows once the copy has begun; the disk is full in its middle. */
static int fill_up(const struct db_progress *progress, void *arg, struct err *report_err)
{
        CLEANUP(closep) int fd = openat(conf.root_fd, "filler", O_WRONLY | O_CREAT, 0600);
        static char junk[1 << 20];

        (void)progress;
        (void)arg;
        (void)report_err;
        ASSERT(fd >= 0);
        while (write(fd, junk, sizeof(junk)) > 0)
                continue;
        return 0;
}

TEST(a_disk_that_fills_up_on_the_way_leaves_nothing_behind)
{
        struct db *db = begin("tmpfs", 120);

        /* The small one is copied first, and the disk filled after it. */
        sql("shop/a.db", "CREATE TABLE a(b)");
        sql("shop/b.db", "PRAGMA journal_mode=WAL; CREATE TABLE a(b);"
                         "INSERT INTO a VALUES (randomblob(20000000))");
        sql("shop/b.db", "PRAGMA wal_checkpoint(TRUNCATE)");
        ASSERT_ERR(driver->copy(db, "shop", COPY, fill_up, NULL, &err), ERR_NO_SPACE, "'b.db'");
        ASSERT(faccessat(conf.root_fd, COPY, F_OK, 0) < 0);
        ASSERT(faccessat(conf.root_fd, COPY ".partial", F_OK, 0) < 0);
        ASSERT(unlinkat(conf.root_fd, "filler", 0) == 0);
        copy_and_verify(db);
        driver->close(db);
}

/* The process that writes a, waits, and then wants b: with a's lock in its hand. */
TEST(locks_are_not_waited_for_with_others_in_hand)
{
        struct db *db = begin(NULL, 0);
        int status = -1;
        pid_t pid;

        sql("shop/a.db", "CREATE TABLE a(b)");
        sql("shop/b.db", "CREATE TABLE a(b)");
        for (int round = 0; round < 2; round++) {
                char text[600];

                /* Attached last to first and first to last: one of the two is our order.  The
                 * writer gives up before our deadline, if we do not give way. */
                (void)snprintf(text, sizeof(text),
                               "ATTACH '%s/shop/%s' AS other; PRAGMA busy_timeout=10000; BEGIN;"
                               "UPDATE main.a SET b = 1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
                               " SELECT i+1 FROM n LIMIT 300000) SELECT max(i) FROM n;"
                               "UPDATE other.a SET b = 1; COMMIT",
                               tenant_root(), round == 0 ? "a.db" : "b.db");
                pid = fork();
                if (pid == 0)
                        _exit(tenant_sql(TENANT, round == 0 ? "shop/b.db" : "shop/a.db", text));
                (void)usleep(50000);
                ASSERT_OK(driver->hold(db, "shop", 30000, &err));
                ASSERT_OK(driver->release(db, &err));
                ASSERT(waitpid(pid, &status, 0) == pid);
                ASSERT_EQ(status, 0);
        }
        driver->close(db);
}

TEST(databases_of_root_are_not_opened)
{
        struct db *db = begin(NULL, 0);

        driver->close(db);
        conf.owner_uid = 0;
        ASSERT_ERR(driver->open(&conf, &db, &err), ERR_REFUSED, "root");
}

TEST(a_directory_without_a_database_is_said_so)
{
        struct db *db = begin(NULL, 0);
        unsigned features;

        ASSERT_ERR(driver->check(db, "shop", &err), ERR_NOT_FOUND, "no SQLite database in 'shop'");
        ASSERT_ERR(driver->features(db, "shop", &features, &err), ERR_NOT_FOUND, "no SQLite");
        ASSERT_ERR(driver->hold(db, "shop", 100, &err), ERR_NOT_FOUND, "no SQLite");
        driver->close(db);
}

/* The helper has the tenant's uid: he can end it, and loses his own hold. */
static pid_t helper_pid(void)
{
        char path[64], line[64] = "";
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
        file = fdopen(openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC), "r");
        ASSERT(file != NULL && fgets(line, sizeof(line), file) != NULL);
        (void)fclose(file);
        return (pid_t)strtol(line, NULL, 10);
}

TEST(a_helper_that_is_killed_ends_the_operation_only)
{
        struct db *db = begin(NULL, 0);

        sql("shop/a.db", "CREATE TABLE a(b)");
        ASSERT_OK(driver->hold(db, "shop", 5000, &err));
        ASSERT(kill(helper_pid(), SIGKILL) == 0);
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_IO, "helper");
        ASSERT(faccessat(conf.root_fd, COPY, F_OK, 0) < 0);
        ASSERT_ERR(driver->release(db, &err), ERR_IO, "helper");
        sql("shop/a.db", "INSERT INTO a VALUES (1)");
        copy_and_verify(db);
        driver->close(db);
}

TEST(a_helper_that_is_stopped_is_not_waited_for)
{
        struct db *db = begin(NULL, 0);
        int64_t before;

        sql("shop/a.db", "CREATE TABLE a(b)");
        ASSERT_OK(driver->hold(db, "shop", 200, &err));
        ASSERT(kill(helper_pid(), SIGSTOP) == 0);
        before = clock_boot_usec();
        ASSERT_ERR(driver->release(db, &err), ERR_TIMEOUT, "gave no sign");
        ASSERT(clock_boot_usec() - before < 8000000);
        sql("shop/a.db", "INSERT INTO a VALUES (1)");
        driver->close(db);
}

/* Everything the process has been given up to now, seen from outside. */
TEST(the_helper_has_nothing_of_roots)
{
        struct db *db = begin(NULL, 0);
        char path[64], line[256];
        unsigned seen = 0;
        FILE *file;
        pid_t pid;

        sql("shop/a.db", "CREATE TABLE a(b)");
        ASSERT_OK(driver->hold(db, "shop", 5000, &err));
        pid = helper_pid();
        (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
        file = fdopen(openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC), "r");
        ASSERT(file != NULL);
        while (fgets(line, sizeof(line), file) != NULL) {
                if (strncmp(line, "Uid:", 4) == 0)
                        ASSERT_STR(line, "Uid:\t33\t33\t33\t33\n");
                else if (strncmp(line, "Gid:", 4) == 0)
                        ASSERT_STR(line, "Gid:\t33\t33\t33\t33\n");
                else if (strncmp(line, "Groups:", 7) == 0)
                        ASSERT(strspn(line + 7, " \t\n") == strlen(line + 7));
                else if (strncmp(line, "NoNewPrivs:", 11) == 0)
                        ASSERT_STR(line, "NoNewPrivs:\t1\n");
                else if (strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapPrm:", 7) == 0)
                        ASSERT(strstr(line, "\t0000000000000000\n") != NULL);
                else
                        continue;
                seen++;
        }
        (void)fclose(file);
        ASSERT_EQ(seen, 6);
        driver->close(db);
}

/* An upgrade that follows may write a lot, or change the journal mode. */
TEST(nothing_of_ours_stays_in_the_sites_way_after_verifying)
{
        struct db *db = begin(NULL, 0);

        sql("shop/a.db", "PRAGMA journal_mode=WAL; CREATE TABLE a(b)");
        ASSERT_OK(driver->hold(db, "shop", 5000, &err));
        ASSERT_OK(driver->release(db, &err));
        sql("shop/a.db", "INSERT INTO a VALUES (1)");
        copy_and_verify(db);
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT count(*) FROM a"), "0");
        ASSERT_STR(tenant_value(TENANT, "shop/a.db", "PRAGMA journal_mode=DELETE"), "delete");
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));

        /* And the next copy is of another instant. */
        copy_and_verify(db);
        ASSERT_STR(tenant_value(TENANT, COPY "/a.db", "SELECT count(*) FROM a"), "1");
        ASSERT_OK(driver->hold(db, "shop", 5000, &err));
        copy_and_verify(db);
        ASSERT_OK(driver->release(db, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        copy_and_verify(db);
        driver->close(db);
}
