/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/driver/postgres_case.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/test.h"

/*
 * What comes in from outside with PostgreSQL: disks that are full, passwords that are wrong, bytes
 * that are no text, long names, large rows, servers that die at any point.  It is said which
 * object, nothing is left of the copy, the live one is as it was, and the next try works.
 */

static struct err err;
static const struct db_driver *driver = &db_driver_postgres;
static bool apart; /* mounts and 127.0.0.1 are ours alone, and the server's */

/* Before the server is started, which is done in a constructor too. */
__attribute__((constructor(101))) static void begin_apart(void)
{
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd;

        if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        apart = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 &&
                setenv("TEST_PG_LISTEN", "127.0.0.1", 1) == 0;
        if (fd >= 0)
                (void)close(fd);
}

static void again(struct db **db, const char *database)
{
        driver->close(*db);
        postgres_conf.database = database;
        ASSERT_OK(driver->open(&postgres_conf, db, &err));
}

static void fills_up(const char *database, const char *what)
{
        char place[200], sql[400];
        const struct passwd *user;
        struct db *db;

        if (!apart)
                test_skip("no namespaces");
        (void)snprintf(place, sizeof(place), "%s/small", test_tmpdir());
        ASSERT(mkdir(place, 0755) == 0 &&
               mount("small", place, "tmpfs", MS_NOSUID | MS_NODEV, "size=24m") == 0);
        db = postgres_case_begin("sitesnap", NULL, DB_WAY_AUTO);
        user = getpwnam("postgres");
        ASSERT(user != NULL && chown(place, user->pw_uid, user->pw_gid) == 0);
        (void)snprintf(sql, sizeof(sql), "CREATE TABLESPACE small LOCATION '%s'", place);
        pg_do("postgres", "postgres", sql);
        pg_do("postgres", "postgres", "GRANT CREATE ON TABLESPACE small TO sitesnap");
        pg_do("postgres", "postgres", "ALTER DATABASE shop SET TABLESPACE small");
        pg_do("shop", "shop",
              "CREATE TABLE shop.full_of_it AS SELECT i, repeat('x', 900) AS t FROM "
              "generate_series(1, 7000) i");
        postgres_conf.streams = 1; /* the largest table first, and nothing beside it */
        again(&db, database);
        memset(&err, 0, sizeof(err));
        ASSERT(driver->copy(db, "shop", COPY, NULL, NULL, &err) < 0);
        printf("# %s\n", err.msg);
        ASSERT_EQ(err.code, ERR_NO_SPACE);
        ASSERT(strstr(err.msg, what) != NULL && strstr(err.msg, "No space left") != NULL);
        postgres_case_is_left();
        ASSERT(mount(NULL, place, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, "size=200m") == 0);
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        driver->close(db);
        pg_do("postgres", "postgres", "DROP DATABASE shop WITH (FORCE)");
        pg_do("postgres", "postgres", "DROP TABLESPACE small");
        ASSERT(umount2(place, MNT_DETACH) == 0 && rmdir(place) == 0);
}

TEST(a_disk_that_is_full_fails_the_copy_of_a_schema_and_nothing_else)
{
        fills_up("shop", "full_of_it");
}

TEST(a_disk_that_is_full_fails_the_copy_of_a_database_and_nothing_else)
{
        fills_up(NULL, "the table '");
}

/* The server asks for passwords over TCP. */
static void ask_for_passwords(void)
{
        char path[200];
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/data/pg_hba.conf", pg_socket());
        file = fopen(path, "we");
        ASSERT(file != NULL &&
               fputs("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n", file) > 0 &&
               fclose(file) == 0);
        pg_do("postgres", "postgres", "SELECT pg_reload_conf()");
        pg_do("postgres", "postgres", "ALTER ROLE sitesnap PASSWORD 'r1ght'; SELECT pg_sleep(0.5)");
}

static int secret(const char *word)
{
        char path[200];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/secret", test_tmpdir());
        fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ASSERT(fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word));
        return fd;
}

TEST(a_wrong_password_is_said_and_never_told)
{
        static const struct {
                const char *word; /* NULL: no file */
                enum err_code code;
                const char *text;
        } words[] = {
                { "wr0ng\n", ERR_DENIED, "password authentication failed for user \"sitesnap\"" },
                { "", ERR_DENIED, "password" },
                { NULL, ERR_DENIED, "no password supplied" },
                { "r1ght\n", 0, "" },
        };
        struct db *db;

        if (!apart)
                test_skip("no namespaces");
        db = postgres_case_begin("sitesnap", "shop", DB_WAY_AUTO);
        ask_for_passwords();
        driver->close(db);
        postgres_conf.socket_path = NULL;
        postgres_conf.host = "127.0.0.1";
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                postgres_conf.secret_fd = words[i].word == NULL ? -1 : secret(words[i].word);
                if (words[i].code == 0) {
                        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
                        postgres_case_end(db);
                } else {
                        ASSERT_ERR(driver->open(&postgres_conf, &db, &err), words[i].code,
                                   words[i].text);
                        printf("# %s\n", err.msg);
                        ASSERT(strstr(err.msg, "wr0ng") == NULL);
                }
                if (words[i].word != NULL)
                        ASSERT(close(postgres_conf.secret_fd) == 0);
        }
}

static int count_row(const struct db_row_change *row, void *arg, struct err *note_err)
{
        (void)row;
        (void)note_err;
        ++*(int *)arg;
        return 0;
}

/* Copied, compared, kept and given back; ${sql} tells of a schema what has to be in the copy. */
static void goes_round(const char *database, enum db_way way, const char *make, const char *from,
                       const char *to)
{
        char told[1000];
        struct db *db;
        int n = 0;

        postgres_conf.way = way;
        postgres_conf.database = database;
        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
        if (make != NULL)
                pg_do("shop", "shop", make);
        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_OK(driver->diff(db, "shop", COPY, count_row, &n, &err));
        ASSERT_EQ(n, 0);
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        (void)snprintf(told, sizeof(told), "%s", pg_value("shop", "shop", from));
        ASSERT_STR(pg_value("shop", database == NULL ? COPY : "shop", database == NULL ? from : to),
                   told);
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        driver->close(db);
}

TEST(bytes_that_are_no_utf8_are_copied_as_they_are)
{
        static const char make[] =
                "CREATE TABLE shop.\"caf\351\" (id integer PRIMARY KEY, t text); INSERT INTO "
                "shop.\"caf\351\" VALUES (1, E'\\xff\\xfe'), (2, E'a\\xc3'), (3, E'\\x80\\\\'), "
                "(4, 'plain'), (5, NULL); CREATE VIEW shop.\"vu\351\" AS SELECT * FROM "
                "shop.\"caf\351\" WHERE t <> E'\\xe9'; COMMENT ON TABLE shop.\"caf\351\" IS "
                "E'\\xfe'";
        static const char from[] = "SELECT string_agg(md5(textsend(t)), ',' ORDER BY id) FROM "
                                   "shop.\"caf\351\"";
        static const char to[] =
                "SELECT string_agg(md5(textsend(t)), ',' ORDER BY id) FROM " COPY ".\"caf\351\"";
        struct db *db = postgres_case_begin("sitesnap", NULL, DB_WAY_AUTO);

        driver->close(db);
        pg_do("postgres", "postgres", "DROP DATABASE shop WITH (FORCE)");
        pg_do("postgres", "postgres",
              "CREATE DATABASE shop OWNER shop ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C' "
              "TEMPLATE template0");
        pg_do("postgres", "postgres", "GRANT CREATE ON DATABASE shop TO sitesnap");
        pg_do("postgres", "shop", "CREATE SCHEMA shop AUTHORIZATION shop");
        goes_round("shop", DB_WAY_AUTO, make, from, to);
        goes_round(NULL, DB_WAY_AUTO, NULL, from, to);
        goes_round("shop", DB_WAY_DUMP, NULL, from, to);
        goes_round(NULL, DB_WAY_DUMP, NULL, from, to);
}

/* 63 bytes, the most that the server takes, with a quote of either kind, a dot and a space in. */
#define LONG "a\"\"b'c. d%-\\$e\305\223 a name of the longest that there is, to its en"

TEST(names_of_every_byte_that_fits_are_copied)
{
        static const char make[] =
                "CREATE TABLE shop.\"t" LONG "\" (\"c" LONG "\" serial PRIMARY KEY, t text, "
                "CONSTRAINT \"k" LONG "\" CHECK (t <> '')); INSERT INTO shop.\"t" LONG
                "\" (t) VALUES ('x'), ('y'); CREATE INDEX \"i" LONG "\" ON shop.\"t" LONG
                "\" (t); CREATE VIEW shop.\"v" LONG "\" AS SELECT * FROM shop.\"t" LONG
                "\"; CREATE TYPE shop.\"e" LONG "\" AS ENUM ('one'); CREATE FUNCTION shop.\"f" LONG
                "\"(\"p" LONG "\" shop.\"e" LONG "\") RETURNS integer LANGUAGE sql AS 'SELECT 1'; "
                "CREATE SEQUENCE shop.\"s" LONG "\"";
        static const char from[] = "SELECT count(*) || ' of ' || max(octet_length(relname::text)) "
                                   "FROM "
                                   "pg_class WHERE relname LIKE '_a\"b%' AND relkind IN ('r', "
                                   "'v', 'i') AND relnamespace = 'shop'::regnamespace";
        static const char to[] = "SELECT count(*) || ' of ' || max(octet_length(relname::text)) "
                                 "FROM "
                                 "pg_class WHERE relname LIKE '_a\"b%' AND relkind IN ('r', "
                                 "'v', 'i') AND relnamespace = '" COPY "'::regnamespace";
        struct db *db = postgres_case_begin("sitesnap", "shop", DB_WAY_AUTO);

        driver->close(db);
        goes_round("shop", DB_WAY_AUTO, make, from, to);
        ASSERT_STR(pg_value("shop", "shop", from), "4 of 63");
        goes_round(NULL, DB_WAY_AUTO, NULL, from, to);
        goes_round("shop", DB_WAY_DUMP, NULL, from, to);
        goes_round(NULL, DB_WAY_DUMP, NULL, from, to);
}

TEST(a_copy_s_name_is_cut_before_the_server_cuts_it)
{
        static const char source[] =
                "a name of sixty-three bytes, all that the server keeps of it.. ";
        char name[DB_NAME_MAX];
        bool there;
        struct db *db = postgres_case_begin("sitesnap", "shop", DB_WAY_AUTO);

        ASSERT_EQ(strlen(source), 63);
        pg_do("postgres", "shop",
              "CREATE SCHEMA \"a name of sixty-three bytes, all that the server keeps of it.. \" "
              "AUTHORIZATION shop");
        pg_do("shop", "shop",
              "CREATE TABLE \"a name of sixty-three bytes, all that the server keeps of it.. \".t "
              "AS SELECT 1 AS one");
        db_copy_name(source, 1234567, name);
        ASSERT_EQ(strlen(name), 63);
        ASSERT_OK(driver->copy(db, source, name, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, source, name, &err));
        ASSERT_OK(driver->exists(db, name, &there, &err));
        ASSERT(there);
        ASSERT_OK(db_drop(driver, db, name, &err));
        ASSERT_OK(driver->exists(db, name, &there, &err));
        ASSERT(!there);
        postgres_case_end(db);
}

static void misses(const char *database)
{
        struct db *db = postgres_case_begin("sitesnap", database, DB_WAY_AUTO);

        pg_do("shop", "shop",
              "SET search_path = shop; CREATE FUNCTION inner_one() RETURNS integer LANGUAGE sql AS "
              "'SELECT 1'; CREATE FUNCTION outer_one() RETURNS integer LANGUAGE plpgsql SET "
              "search_path FROM CURRENT AS 'BEGIN RETURN inner_one(); END'; CREATE VIEW asks AS "
              "SELECT outer_one() AS n; CREATE MATERIALIZED VIEW has AS SELECT * FROM asks");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        if (database != NULL) {
                static const char said[] = "SELECT count(*) FROM pg_proc f, pg_namespace n WHERE "
                                           "n.oid = f.pronamespace AND n.nspname = '" COPY "' AND "
                                           "f.proconfig::text LIKE '%" COPY "%'";

                ASSERT_STR(pg_value("shop", "shop", "SELECT n FROM " COPY ".asks"), "1");
                ASSERT_STR(pg_value("shop", "shop", said), "1");
        }
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        ASSERT_STR(pg_value("shop", "shop", "SELECT n FROM shop.asks"), "1");
        pg_do("shop", "shop", "DROP FUNCTION shop.inner_one()");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_UNSUPPORTED, "has");
        printf("# %s\n", err.msg);
        ASSERT(strstr(err.msg, "inner_one()") != NULL);
        postgres_case_is_left();
        /* A view asks nothing until it is asked. */
        pg_do("shop", "shop", "DROP MATERIALIZED VIEW shop.has");
        postgres_case_end(db);
}

TEST(a_view_over_a_function_that_is_gone_is_named_in_a_schema_and_one_that_is_there_is_asked)
{
        misses("shop");
}

TEST(a_view_over_a_function_that_is_gone_is_named_in_a_database)
{
        misses(NULL);
}

static int kill_at(const struct db_progress *progress, void *arg, struct err *report_err)
{
        unsigned *percent = arg;

        (void)report_err;
        if (*percent != 0 && progress->bytes_all > 0 &&
            progress->bytes_done * 100 >= progress->bytes_all * *percent) {
                printf("# killed at %llu of %llu bytes\n", (unsigned long long)progress->bytes_done,
                       (unsigned long long)progress->bytes_all);
                *percent = 0;
                pg_stop(SIGKILL);
        }
        return 0;
}

static void dies(const char *database)
{
        static const unsigned points[] = { 10, 50, 90 };
        struct db *db = postgres_case_begin("sitesnap", database, DB_WAY_AUTO);

        pg_do("shop", "shop",
              "DO $$ BEGIN FOR t IN 1..20 LOOP EXECUTE format('CREATE TABLE shop.t%s AS SELECT i, "
              "md5(i::text) AS v FROM generate_series(1, 4000) i', t); END LOOP; END $$");
        pg_do("postgres", "shop", "CHECKPOINT");
        for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
                unsigned percent = points[i];

                ASSERT(driver->copy(db, "shop", COPY, kill_at, &percent, &err) < 0);
                printf("# %s\n", err.msg);
                ASSERT_EQ(percent, 0);
                ASSERT(strstr(err.msg, "connection") != NULL);
                driver->close(db);
                pg_start_again();
                ASSERT_OK(driver->open(&postgres_conf, &db, &err));
                ASSERT_OK(db_drop(driver, db, COPY, &err));
                postgres_case_is_left();
        }
        postgres_case_end(db);
}

TEST(a_server_that_is_killed_anywhere_in_a_copy_of_a_schema_leaves_nothing)
{
        dies("shop");
}

TEST(a_server_that_is_killed_anywhere_in_a_copy_of_a_database_leaves_nothing)
{
        dies(NULL);
}

/* As many bytes as a value can have, nearly, and as many as a row can be sent with. */
static void is_large(const char *database, bool fits)
{
        struct db *db;

        if (getenv("SITESNAP_TEST_ALL") == NULL)
                test_skip("minutes and gigabytes: SITESNAP_TEST_ALL=1");
        db = postgres_case_begin("sitesnap", database, DB_WAY_AUTO);
        pg_do("shop", "shop",
              "CREATE TABLE shop.large (id integer, a text); INSERT INTO shop.large SELECT 1, "
              "repeat('x', 1000000000)");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        /* Two of 600 MB: a row of the server's, but no message to anybody. */
        pg_do("shop", "shop",
              "UPDATE shop.large SET a = repeat('x', 600000000); ALTER TABLE shop.large ADD b "
              "text; "
              "UPDATE shop.large SET b = repeat('y', 600000000)");
        if (fits) {
                ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
                ASSERT_OK(driver->verify(db, "shop", COPY, &err));
                ASSERT_OK(db_drop(driver, db, COPY, &err));
        } else {
                ASSERT(driver->copy(db, "shop", COPY, NULL, NULL, &err) < 0);
                printf("# %s\n", err.msg);
                ASSERT_EQ(err.code, ERR_UNSUPPORTED);
                ASSERT(strstr(err.msg, "'large'") != NULL &&
                       strstr(err.msg, "larger than the 1 GB") != NULL);
        }
        postgres_case_is_left();
        pg_do("shop", "shop", "DROP TABLE shop.large");
        postgres_case_end(db);
}

/* In the words that the server has for it, which are none about rows. */
TEST(a_row_that_no_server_sends_is_told_as_that)
{
        struct db *db = postgres_case_begin("sitesnap", "shop", DB_WAY_AUTO);

        pg_do("shop", "shop",
              "CREATE FUNCTION shop.sent(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS "
              "'BEGIN RETURN $1; END'; CREATE TABLE shop.large AS SELECT 1 AS id; "
              "CREATE INDEX ON shop.large (shop.sent(id)); "
              "CREATE OR REPLACE FUNCTION shop.sent(integer) RETURNS integer IMMUTABLE LANGUAGE "
              "plpgsql AS $$BEGIN RAISE EXCEPTION USING ERRCODE = '54000', MESSAGE = 'out of "
              "memory', DETAIL = 'Cannot enlarge string buffer containing 1 bytes by 2 more "
              "bytes.'; END$$");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_UNSUPPORTED,
                   "the table 'large': a row is larger than the 1 GB");
        printf("# %s\n", err.msg);
        ASSERT(strstr(err.msg, "nothing was changed") != NULL);
        postgres_case_is_left();
        pg_do("shop", "shop", "DROP TABLE shop.large; DROP FUNCTION shop.sent");
        postgres_case_end(db);
}

TEST(a_row_of_a_gigabyte_is_copied_to_a_schema)
{
        is_large("shop", true);
}

TEST(a_row_of_a_gigabyte_is_copied_to_a_database_or_named)
{
        is_large(NULL, false);
}
