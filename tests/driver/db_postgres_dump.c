/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbdump/dbdriver.h"
#include "tests/driver/dumped.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/* Dumps of PostgreSQL that a stranger wrote, or that are cut off: nothing of them has more rights
 * than a role that has nothing. */

#define COPY "snap12_shop"

static struct err err;
static const struct db_driver *driver = &db_driver_postgres;
static struct db_conf conf;

static struct db *begin(void)
{
        struct db *db = NULL;

        root_begin();
        pg_begin();
        conf = (struct db_conf){ .root_fd = -1,
                                 .socket_path = pg_socket(),
                                 .port = PG_PORT,
                                 .user = "sitesnap",
                                 .secret_fd = -1,
                                 .timeout_msec = 20000,
                                 .database = "site",
                                 .app_user = "shop" };
        pg_do("postgres", "postgres", "CREATE DATABASE site");
        pg_do("postgres", "postgres", "GRANT CREATE ON DATABASE site TO sitesnap");
        pg_do("postgres", "site",
              "GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE SCHEMA shop AUTHORIZATION shop");
        pg_do("shop", "site",
              "CREATE TABLE shop.posts (id int PRIMARY KEY); INSERT INTO shop.posts SELECT "
              "generate_series(1, 20000)");
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

static void put(int fd, const char *word, const char *one, const char *two, const char *three,
                unsigned a, unsigned b)
{
        dprintf(fd, "%s %zu %zu %zu %u %u\n%s%s%s\n", word, strlen(one), strlen(two), strlen(three),
                a, b, one, two, three);
}

static void expect_nothing(struct db *db)
{
        PGconn *admin = pg_connect("postgres", "site");
        PGresult *result;
        bool there = true;

        ASSERT_OK(driver->exists(db, COPY, &there, &err));
        ASSERT(!there);
        result = PQexec(admin,
                        "SELECT (SELECT count(*) FROM shop.posts), (SELECT count(*) FROM "
                        "pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname "
                        "IN ('public', 'shop')), (SELECT count(*) FROM pg_namespace WHERE "
                        "nspname ~ '^snap'), (SELECT count(*) FROM pg_shdepend WHERE refobjid "
                        "= 'shop_load'::regrole AND deptype = 'o')");
        ASSERT_EQ(PQntuples(result), 1);
        ASSERT_STR(PQgetvalue(result, 0, 0), "20000");
        ASSERT_STR(PQgetvalue(result, 0, 1), "2");
        ASSERT_STR(PQgetvalue(result, 0, 2), "0");
        ASSERT_STR(PQgetvalue(result, 0, 3), "0");
        PQclear(result);
        PQfinish(admin);
}

#define TABLE "CREATE TABLE \"sitesnap.here\".t (id int)"
#define EVIL                                                                                       \
        "CREATE FUNCTION \"sitesnap.here\".evil(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN " \
        "DELETE FROM shop.posts; RETURN true; END$$; "

/* Each is one statement of a dump that is as good as any otherwise, and the rows of a table. */
static const struct {
        const char *statement, *said;
} hostile[] = {
        { TABLE "; DROP TABLE shop.posts", "permission denied for schema shop" },
        { TABLE "; INSERT INTO shop.posts VALUES (0)", "permission denied for schema shop" },
        { TABLE "; SELECT set_config('role', 'shop', false); DELETE FROM shop.posts", "role" },
        { TABLE "; RESET ROLE; DELETE FROM shop.posts", "role" },
        { TABLE "; SET SESSION AUTHORIZATION shop; DELETE FROM shop.posts", "authorization" },
        { TABLE "; COPY (SELECT 1) TO PROGRAM 'touch /tmp/sitesnap-was-here'",
          "pg_execute_server" },
        { TABLE "; COPY \"sitesnap.here\".t FROM '/etc/passwd'", "pg_read_server_files" },
        { TABLE "; ALTER ROLE shop_load SUPERUSER", "must be superuser" },
        { TABLE "; CREATE EXTENSION dblink", "permission denied" },
        { TABLE "; CREATE DATABASE more", "" },
        { "\\! touch /tmp/sitesnap-was-here", "syntax error" },
        { TABLE "; COMMIT; DELETE FROM shop.posts", "" },
        /* what rows set off */
        { EVIL "CREATE TABLE \"sitesnap.here\".t (id int CHECK (\"sitesnap.here\".evil(id)))",
          "permission denied for schema shop" },
        { EVIL "CREATE DOMAIN \"sitesnap.here\".d AS int CHECK (\"sitesnap.here\".evil(VALUE)); "
               "CREATE TABLE \"sitesnap.here\".t (id \"sitesnap.here\".d)",
          "permission denied for schema shop" },
        { EVIL
          "CREATE TABLE \"sitesnap.here\".t (id int); CREATE INDEX ON \"sitesnap.here\".t ((1)) "
          "WHERE id > 5; CREATE RULE r AS ON INSERT TO \"sitesnap.here\".t DO ALSO DELETE FROM "
          "shop.posts",
          "permission denied for schema shop" },
        { "CREATE FUNCTION \"sitesnap.here\".g() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
          "DELETE "
          "FROM shop.posts; RETURN NULL; END$$; " TABLE
          "; CREATE CONSTRAINT TRIGGER g AFTER INSERT ON \"sitesnap.here\".t DEFERRABLE INITIALLY "
          "DEFERRED FOR EACH ROW EXECUTE FUNCTION \"sitesnap.here\".g()",
          "deferred trigger" },
        /* where everybody may make something */
        { TABLE "; CREATE TABLE public.stays (id int)", "outside of the copy" },
        { TABLE "; CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
          "outside of the copy" },
        { TABLE "; SELECT lo_create(0)", "outside of the copy" },
};

TEST(a_dump_of_a_stranger_reaches_nothing)
{
        struct db *db = begin();

        for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
                CLEANUP(closep) int fd = memfd_create("dump", MFD_CLOEXEC);

                dprintf(fd, "A database of PostgreSQL, dumped by sitesnap, form 1.\n");
                put(fd, "object", "table", "t", hostile[i].statement, 0, 0);
                put(fd, "table", "", "t", "", 77, 1);
                put(fd, "rows", "1\n2\n", "", "", 0, 0);
                put(fd, "end", "", "", "", 1, 2);
                if (dumped_load(driver, db, COPY, fd, &err) == 0)
                        test_fail(__FILE__, __LINE__, "'%s' was loaded", hostile[i].statement);
                if (strstr(err.msg, hostile[i].said) == NULL)
                        test_fail(__FILE__, __LINE__, "'%s': %s", hostile[i].statement, err.msg);
                expect_nothing(db);
        }
        ASSERT(access("/tmp/sitesnap-was-here", F_OK) < 0);
        driver->close(db);
}

/* Damaged in ways that the archive's manifest would have found. */
TEST(a_dump_that_is_none_is_said_so)
{
        static const char *const texts[] = {
                "",
                "PGDMP",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\n",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\nend 0 0 0 1 0\n\n",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\nend 0 0 0 0 0\n\nx",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\nrows 2 0 0 0 0\n1\n\n",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\nobject -1 0 0 0 0\n\n",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\nwhat 0 0 0 0 0\n\n",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\ntable 0 1 0 1 1\nt\n",
                "A database of PostgreSQL, dumped by sitesnap, form 1.\nsequence 0 1 1 1 0\nt1\n",
        };
        struct db *db = begin();

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                CLEANUP(closep) int fd = memfd_create("dump", MFD_CLOEXEC);

                ASSERT_OK(file_write_all(fd, texts[i], strlen(texts[i]), &err));
                ASSERT_ERR(dumped_load(driver, db, COPY, fd, &err), ERR_CORRUPT, "");
                expect_nothing(db);
        }
        driver->close(db);
}

TEST(who_has_no_role_for_it_is_told_the_statements)
{
        struct db *db = begin();
        CLEANUP(closep) int fd = dumped_make(driver, db, "shop");

        pg_do("postgres", "postgres", "DROP ROLE shop_load");
        ASSERT_ERR(dumped_load(driver, db, COPY, fd, &err), ERR_DENIED,
                   "CREATE ROLE \"shop_load\" NOLOGIN; GRANT \"shop_load\" TO \"sitesnap\"");
        pg_do("postgres", "postgres", "CREATE ROLE shop_load NOLOGIN");
        pg_do("postgres", "postgres", "GRANT shop_load TO sitesnap");
        ASSERT_OK(dumped_load(driver, db, COPY, fd, &err));
        driver->close(db);
        conf.app_user = NULL;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_ERR(dumped_load(driver, db, COPY, fd, &err), ERR_DENIED, "app_user");
        driver->close(db);
}

/* The process goes in the middle, as by a crash. */
TEST(a_load_that_is_killed_leaves_nothing_that_counts)
{
        struct db *db = begin();
        CLEANUP(closep) int fd = dumped_make(driver, db, "shop");
        bool there;

        driver->close(db);
        for (unsigned msec = 10; msec < 200; msec += 35) {
                dumped_load_killed(driver, &conf, COPY, fd, msec);
                ASSERT_OK(driver->open(&conf, &db, &err));
                ASSERT_OK(driver->exists(db, COPY, &there, &err));
                printf("# after %u ms it is %s\n", msec, there ? "whole" : "not there");
                ASSERT_OK(db_drop(driver, db, COPY, &err));
                expect_nothing(db);
                driver->close(db);
        }
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(dumped_load(driver, db, COPY, fd, &err));
        driver->close(db);
}

/* A view with rows and an index call functions that say the schema's name: while it is made it has
 * another one, and a copy that is to be replaced still has its own. */
TEST(functions_that_are_called_while_a_dump_is_loaded_mean_what_is_loaded)
{
        struct db *db = begin();
        CLEANUP(closep) int fd = -1;

        pg_do("shop", "site",
              "CREATE FUNCTION shop.total() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN "
              "RETURN (SELECT count(*) FROM shop.posts); END $$;"
              "CREATE FUNCTION shop.least() RETURNS bigint LANGUAGE plpgsql STABLE SET search_path "
              "= shop AS $$ BEGIN RETURN (SELECT min(id) FROM posts); END $$;"
              "CREATE FUNCTION shop.rank(n integer) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS "
              "$$ BEGIN RETURN shop.total() + n; END $$;"
              "CREATE TABLE shop.few (id integer); INSERT INTO shop.few VALUES (1);"
              "CREATE INDEX ranks ON shop.few (shop.rank(id));"
              "CREATE MATERIALIZED VIEW shop.seen AS SELECT shop.total() AS n, shop.least() AS m");
        fd = dumped_make(driver, db, "shop");
        for (int again = 0; again < 2; again++) {
                ASSERT_OK(dumped_load(driver, db, COPY, fd, &err));
                ASSERT_STR(pg_value("shop", "site", "SELECT n || ' ' || m FROM " COPY ".seen"),
                           "20000 1");
                ASSERT_STR(pg_value("shop", "site",
                                    "SELECT count(*) FROM pg_proc WHERE pronamespace = '" COPY
                                    "'::regnamespace AND pg_get_functiondef(oid) ~ '" COPY
                                    "' AND pg_get_functiondef(oid) !~ 'partial'"),
                           "3");
                /* What is replaced now has other rows. */
                pg_do("shop", "site", "DELETE FROM " COPY ".posts WHERE id < 100");
        }
        driver->close(db);
}

/* What a visitor wrote, in rows that the table does not take. */
static const struct {
        const char *table, *key, *rows, *cause;
} untold[] = {
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text", "UNIQUE (mail)",
          "1\tvisitor@example.org\n2\tvisitor@example.org\n",
          "two rows have the same key (constraint 't_mail_key')" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text UNIQUE", "PRIMARY KEY (id)",
          "1\tvisitor@example.org\n2\tvisitor@example.org\n",
          "two rows have the same key (constraint 't_mail_key')" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail int", "PRIMARY KEY (id)",
          "1\tvisitor@example.org\n", "a value is none of its type (22P02" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail date", "PRIMARY KEY (id)",
          "1\tvisitor@example.org\n", "a value is no date or time (22007" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail numeric(3)", "PRIMARY KEY (id)",
          "1\t10000\n", "a number is out of range (22003" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text, ALTER id SET NOT NULL",
          "PRIMARY KEY (id)", "\\N\tvisitor@example.org\n", "a value is missing (column 'id')" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text CONSTRAINT short CHECK (mail < "
                "'a')",
          "PRIMARY KEY (id)", "1\tvisitor@example.org\n",
          "a row does not meet a check (constraint 'short')" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text; CREATE FUNCTION "
                "\"sitesnap.here\".no(text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE "
                "'not %', $1 USING DETAIL = $1, HINT = $1; END$$; ALTER TABLE \"sitesnap.here\".t "
                "ADD CHECK (\"sitesnap.here\".no(mail))",
          "PRIMARY KEY (id)", "1\tvisitor@example.org\n",
          "a function raised an error of its own (P0001" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text", "PRIMARY KEY (id)",
          "1\tvisitor@example.org\tvisitor\n", "rows are not as COPY has them (22P04" },
        { TABLE "; ALTER TABLE \"sitesnap.here\".t ADD mail text", "PRIMARY KEY (id)",
          "1\tvisitor\xff\xfe@example.org\n", "bytes are no text of the database's encoding" },
};

TEST(rows_that_are_refused_are_told_without_what_stands_in_them)
{
        struct db *db = begin();
        char key[200];

        for (size_t i = 0; i < sizeof(untold) / sizeof(untold[0]); i++) {
                CLEANUP(closep) int fd = memfd_create("dump", MFD_CLOEXEC);

                dprintf(fd, "A database of PostgreSQL, dumped by sitesnap, form 1.\n");
                put(fd, "object", "table", "t", untold[i].table, 0, 0);
                (void)snprintf(key, sizeof(key), "ALTER TABLE \"sitesnap.here\".t ADD %s",
                               untold[i].key);
                put(fd, "object", "key", "k of t", key, 1, 77);
                put(fd, "table", "", "t", "", 77, 2);
                put(fd, "rows", untold[i].rows, "", "", 0, 0);
                put(fd, "end", "", "", "", 1, 2);
                ASSERT(dumped_load(driver, db, COPY, fd, &err) < 0);
                printf("# %s\n", err.msg);
                ASSERT(strstr(err.msg, "visitor") == NULL);
                ASSERT(strstr(err.msg, "the table 't'") != NULL);
                ASSERT(strstr(err.msg, untold[i].cause) != NULL);
                expect_nothing(db);
        }
        driver->close(db);
}

/* The same of a copy: a function that an index calls says the value that it is called for. */
TEST(a_function_that_fails_is_told_without_what_it_says)
{
        struct db *db = begin();

        pg_do("shop", "site",
              "ALTER TABLE shop.posts ADD mail text DEFAULT 'visitor@example.org'; CREATE FUNCTION "
              "shop.f(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1; END$$; "
              "CREATE INDEX mails ON shop.posts (shop.f(mail)); CREATE OR REPLACE FUNCTION "
              "shop.f(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE 'not %', $1 "
              "USING ERRCODE = 'S1T3S', DETAIL = $1; END$$");
        ASSERT(driver->copy(db, "shop", COPY, NULL, NULL, &err) < 0);
        printf("# %s\n", err.msg);
        ASSERT(strstr(err.msg, "visitor") == NULL);
        ASSERT(strstr(err.msg, "mails: a function raised an error of its own (S1T3S") != NULL);
        driver->close(db);
}
