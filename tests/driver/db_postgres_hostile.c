/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "tests/driver/postgres_case.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/test.h"

/*
 * A tenant who wants the rights of an administrator, whose role copies his schema: what he can
 * write into it is tried everywhere, and afterwards he is no more than he was.
 */

static struct err err;
static const struct db_driver *driver = &db_driver_postgres;

/* Functions that do what they can when they are called: an immutable one may do nothing itself, but
 * call another, which it finds in whatever schema it is.  With an administrator's rights it makes
 * one of the tenant. */
static const char evil[] =
        "CREATE FUNCTION shop.evil(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ "
        "BEGIN EXECUTE (SELECT format('SELECT %I.wicked($1)', n.nspname) FROM pg_proc f JOIN "
        "pg_namespace n ON n.oid = f.pronamespace WHERE f.proname = 'wicked' LIMIT 1) USING n; "
        "RETURN n; END $$;"
        "CREATE FUNCTION shop.wicked(n integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN "
        "BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN END; "
        "BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; EXCEPTION WHEN OTHERS THEN END; "
        "BEGIN EXECUTE 'ALTER ROLE ' || 'sho' || 'p SUPERUSER'; EXCEPTION WHEN OTHERS THEN END; "
        "BEGIN CREATE TEMP TABLE t (i int); EXECUTE (SELECT format('CREATE CONSTRAINT TRIGGER "
        "later AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "
        "%I.later()', n.nspname) FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace "
        "WHERE f.proname = 'later' LIMIT 1); INSERT INTO t VALUES (1); EXCEPTION WHEN OTHERS THEN "
        "END; RETURN n; END $$;"
        "CREATE FUNCTION shop.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE "
        "'ALTER ROLE ' || 'sho' || 'p SUPERUSER'; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN "
        "NULL; END $$;"
        "CREATE FUNCTION shop.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE "
        "'ALTER ROLE ' || 'sho' || 'p SUPERUSER'; RETURN NEW; EXCEPTION WHEN OTHERS THEN RETURN "
        "NEW; END $$";

static const char traps[] =
        "CREATE DOMAIN shop.bad AS integer CHECK (shop.evil(VALUE) = VALUE);"
        "CREATE TABLE shop.trap (id integer DEFAULT shop.evil(1) CHECK (shop.evil(id) = id), twice "
        "integer GENERATED ALWAYS AS (shop.evil(id)) STORED, d shop.bad);"
        "CREATE INDEX ON shop.trap (shop.evil(id)) WHERE shop.evil(1) = 1;"
        "CREATE TABLE shop.halves (id integer) PARTITION BY LIST ((shop.evil(id) % 2));"
        "CREATE TABLE shop.odd PARTITION OF shop.halves FOR VALUES IN (1);"
        "INSERT INTO shop.odd VALUES (1), (3);"
        "CREATE TRIGGER fires BEFORE INSERT ON shop.trap FOR EACH ROW EXECUTE FUNCTION "
        "shop.fired();"
        "ALTER TABLE shop.trap ENABLE ALWAYS TRIGGER fires;"
        "CREATE MATERIALIZED VIEW shop.seen AS SELECT shop.evil(id) FROM shop.trap;"
        "CREATE VIEW shop.asked AS SELECT shop.evil(1) AS id;"
        "CREATE RULE taken AS ON DELETE TO shop.trap DO ALSO SELECT shop.evil(1);"
        "CREATE TABLE shop.hidden (id integer);"
        "CREATE POLICY hides ON shop.hidden USING (shop.evil(id) = 1);"
        "ALTER TABLE shop.hidden ENABLE ROW LEVEL SECURITY;"
        "INSERT INTO shop.hidden VALUES (1);"
        "INSERT INTO shop.trap VALUES (1, DEFAULT, 2), (2, DEFAULT, 3)";

/* Since 14 a planner also has these. */
static const char statistics[] =
        "CREATE STATISTICS shop.told ON (shop.evil(1) + id), (shop.evil(2)) FROM shop.trap";

#define IS_ADMIN "SELECT rolsuper FROM pg_roles WHERE rolname = 'shop'"

static void stays_harmless(const char *after)
{
        bool harmless = strcmp(pg_value("postgres", "shop", IS_ADMIN), "f") == 0;

        if (!harmless)
                printf("# %s made an administrator of the tenant\n", after);
        ASSERT(harmless);
        ASSERT_STR(pg_value("postgres", "shop", "SELECT count(*) FROM pg_roles WHERE rolsuper"),
                   "1");
}

static struct db *begin_evil(const char *database, enum db_way way)
{
        struct db *db = postgres_case_begin("postgres", database, way);

        pg_do("shop", "shop", evil);
        /* With an administrator's rights it does what it says. */
        pg_do("postgres", "shop", "SELECT shop.evil(1)");
        ASSERT_STR(pg_value("postgres", "shop", IS_ADMIN), "t");
        pg_do("postgres", "shop", "ALTER ROLE shop NOSUPERUSER");
        stays_harmless("nothing");
        return db;
}

static int swallow(const void *bytes, size_t n, void *arg, struct err *sink_err)
{
        (void)bytes;
        (void)n;
        (void)arg;
        (void)sink_err;
        return 0;
}

static int count_row(const struct db_row_change *row, void *arg, struct err *note_err)
{
        (void)row;
        (void)note_err;
        ++*(int *)arg;
        return 0;
}

/* All that can be done with a schema and its copy. */
static void tempt(const char *database, enum db_way way)
{
        struct db *db = begin_evil(database, way);
        struct db_forecast forecast;
        char *text = NULL;
        int n = 0;

        pg_do("shop", "shop", traps);
        if (strcmp(pg_value("shop", "shop", "SHOW server_version_num"), "140000") >= 0)
                pg_do("shop", "shop", statistics);
        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT_OK(driver->forecast(db, "shop", &forecast, &err));
        stays_harmless("a forecast");
        ASSERT_OK(driver->dump(db, "shop", swallow, NULL, &err));
        stays_harmless("a dump");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        stays_harmless("a copy");
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        stays_harmless("verifying");
        ASSERT_OK(driver->fingerprint(db, COPY, &text, &err));
        free(text);
        stays_harmless("a fingerprint");
        ASSERT_OK(driver->diff(db, "shop", COPY, count_row, &n, &err));
        ASSERT_EQ(n, 0);
        stays_harmless("comparing");
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        stays_harmless("keeping");
        ASSERT_OK(db_drop(driver, db, COPY, &err));
        stays_harmless("dropping");
        driver->close(db);
}

TEST(functions_of_a_tenant_never_run_with_the_rights_of_an_administrator_in_a_schema)
{
        tempt("shop", DB_WAY_AUTO);
}

TEST(functions_of_a_tenant_never_run_with_the_rights_of_an_administrator_in_a_database)
{
        tempt(NULL, DB_WAY_AUTO);
}

TEST(functions_of_a_tenant_never_run_with_the_rights_of_an_administrator_in_files)
{
        tempt(NULL, DB_WAY_FILES);
}

TEST(functions_of_a_tenant_never_run_with_the_rights_of_an_administrator_in_a_dump)
{
        tempt(NULL, DB_WAY_DUMP);
}

/* What makes rows of the table "people" run a function, if it comes into the copy before them. */
static const char *const seeds[] = {
        "CREATE TRIGGER t BEFORE INSERT ON shop.people FOR EACH ROW EXECUTE FUNCTION shop.fired()",
        "ALTER TABLE shop.people ADD CHECK (shop.evil(id) = id)",
        "ALTER TABLE shop.people ADD x integer GENERATED ALWAYS AS (shop.evil(id)) STORED",
        "ALTER TABLE shop.people ADD x integer; "
        "ALTER TABLE shop.people ALTER x SET DEFAULT shop.evil(1)",
        "CREATE INDEX ON shop.people (id) WHERE shop.evil(id) > 0",
        "CREATE TABLE shop.all (LIKE shop.people) PARTITION BY LIST ((shop.evil(id) * 0)); "
        "ALTER TABLE shop.all ATTACH PARTITION shop.people FOR VALUES IN (0)",
};

/* Each is sown by a definition whose making calls a function: with the tenant's rights, who may
 * alter his own tables. */
static void sow(const char *definition, enum err_code code)
{
        struct db *db = begin_evil(NULL, DB_WAY_AUTO);
        char sql[900];

        driver->close(db);
        postgres_conf.streams = 1;
        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
        pg_do("shop", "shop", "DELETE FROM shop.people WHERE id > 100");
        pg_do("shop", "shop",
              "CREATE FUNCTION shop.sown(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS "
              "$$ BEGIN IF n = 1 THEN PERFORM shop.sow(); END IF; RETURN n; END $$; "
              "CREATE FUNCTION shop.sow() RETURNS void LANGUAGE sql AS ''");
        pg_do("shop", "shop", definition);
        for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
                (void)snprintf(sql, sizeof(sql),
                               "CREATE OR REPLACE FUNCTION shop.sow() RETURNS void LANGUAGE "
                               "plpgsql AS $$ BEGIN IF current_database() <> 'shop' THEN %s; END "
                               "IF; END $$",
                               seeds[i]);
                pg_do("shop", "shop", "DROP FUNCTION shop.sow()");
                pg_do("shop", "shop", sql);
                if (code != 0)
                        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), code, "");
                else if (driver->copy(db, "shop", COPY, NULL, NULL, &err) == 0)
                        ASSERT_ERR(driver->verify(db, "shop", COPY, &err), ERR_CORRUPT, "differs");
                printf("# %s\n", err.msg);
                stays_harmless(seeds[i]);
        }
        driver->close(db);
}

TEST(what_a_partition_key_sows_in_other_tables_is_refused_before_their_rows)
{
        sow("CREATE TABLE shop.parts (id integer) PARTITION BY RANGE ((id + shop.sown(1)))",
            ERR_REFUSED);
}

TEST(what_an_index_sows_in_other_tables_comes_behind_their_rows)
{
        sow("CREATE TABLE shop.first AS SELECT i AS id, repeat('x', 1000) AS t FROM "
            "generate_series(1, 3000) i; CREATE INDEX ON shop.first (shop.sown(id))",
            0);
}

/* The view that the server refreshes is the tenant's, and so is what he puts in its place. */
static const char *const swaps[] = {
        "ALTER MATERIALIZED VIEW %1$s RENAME TO gone; CREATE VIEW %1$s AS SELECT ''1''::text AS "
        "said, shop.evil(1)",
        "CREATE STATISTICS shop.on_it ON (shop.evil(1)), (shop.evil(2)) FROM %1$s",
};

TEST(what_is_put_in_the_place_of_our_view_is_not_read_by_us)
{
        struct db *db = begin_evil(NULL, DB_WAY_AUTO);
        char sql[1200];

        pg_do("shop", "shop",
              "CREATE FUNCTION shop.swap() RETURNS void LANGUAGE sql AS ''; "
              "CREATE FUNCTION shop.swapped(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE "
              "AS $$ BEGIN IF n = 1 THEN PERFORM shop.swap(); END IF; RETURN n; END $$; "
              "CREATE INDEX ON shop.people (shop.swapped(id))");
        for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
                (void)snprintf(sql, sizeof(sql),
                               "CREATE OR REPLACE FUNCTION shop.swap() RETURNS void LANGUAGE "
                               "plpgsql AS $$ BEGIN IF current_database() <> 'shop' THEN EXECUTE "
                               "(SELECT format('%s', c.oid::regclass) FROM pg_class c WHERE "
                               "c.relkind = 'm' AND pg_has_role(c.relowner, 'USAGE') LIMIT 1); "
                               "END IF; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%%', SQLERRM; END "
                               "$$",
                               swaps[i]);
                pg_do("shop", "shop", "DROP FUNCTION shop.swap()");
                pg_do("shop", "shop", sql);
                if (driver->copy(db, "shop", COPY, NULL, NULL, &err) < 0)
                        printf("# %s\n", err.msg);
                stays_harmless(swaps[i]);
        }
        driver->close(db);
}

/* What a kept copy was before stands in a comment, and who owns a schema can write one. */
static void forge(const char *database, enum db_way way)
{
        static const char owned[] =
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = "
                "c.relnamespace WHERE n.nspname LIKE '%shop' AND c.relowner <> "
                "'shop'::regrole";
        struct db *db = begin_evil(database, way);
        const char *place = database != NULL ? "shop" : COPY;

        pg_do("shop", "shop",
              "CREATE VIEW shop.roles AS SELECT * FROM pg_authid; COMMENT ON SCHEMA shop IS "
              "'{\"sitesnap\": {\"owner\": \"postgres\", \"acl\": [], \"comment\": null, "
              "\"things\": [{\"k\": \"TABLE\", \"key\": \"roles\", \"owner\": "
              "\"postgres\", \"acl\": [[\"shop\", \"UPDATE\", false], [\"shop\", "
              "\"SELECT\", false]], \"columns\": null}]}}'");
        pg_do("shop", "shop",
              "COMMENT ON DATABASE shop IS '{\"sitesnap\": {\"owner\": \"postgres\", "
              "\"acl\": [], \"comment\": null}}'");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_STR(pg_value("postgres", place, owned), "0");
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        ASSERT_STR(pg_value("postgres", place, owned), "0");
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        ASSERT_STR(pg_value("postgres", place, owned), "0");
        ASSERT_STR(
                pg_value("postgres", "postgres",
                         "SELECT count(*) FROM pg_database WHERE datname LIKE '%shop' AND datdba "
                         "<> 'shop'::regrole"),
                "0");
        driver->close(db);
}

TEST(a_forged_note_of_a_kept_copy_gives_nothing_in_a_schema)
{
        forge("shop", DB_WAY_AUTO);
}

TEST(a_forged_note_of_a_kept_copy_gives_nothing_in_a_database)
{
        forge(NULL, DB_WAY_AUTO);
}

TEST(a_forged_note_of_a_kept_copy_gives_nothing_in_files)
{
        forge(NULL, DB_WAY_FILES);
}

TEST(functions_that_are_called_like_the_server_s_give_no_right_to_those)
{
        static const char may[] =
                "SELECT has_function_privilege('shop', 'pg_catalog.pg_read_file(text)', 'EXECUTE')";
        struct db *db = begin_evil("shop", DB_WAY_AUTO);

        pg_do("shop", "shop",
              "CREATE FUNCTION shop.pg_read_file(text) RETURNS text LANGUAGE sql AS 'SELECT $1'");
        ASSERT_STR(pg_value("postgres", "shop", may), "f");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        ASSERT_STR(pg_value("postgres", "shop", may), "f");
        ASSERT_STR(pg_value("postgres", "shop",
                            "SELECT proowner::regrole FROM pg_proc WHERE pronamespace = '" COPY
                            "'::regnamespace AND proname = 'pg_read_file'"),
                   "shop_kept");
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        ASSERT_STR(pg_value("postgres", "shop", may), "f");
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        driver->close(db);
}

/* What an administrator made in the tenant's schema, and lent him: his functions are called by it,
 * with whose rights ever a copy makes it anew. */
static struct db *begin_lent(const char *database, enum db_way way)
{
        struct db *db = postgres_case_begin("postgres", database, way);

        pg_do("shop", "shop",
              "CREATE FUNCTION shop.evil(n integer) RETURNS integer LANGUAGE "
              "sql IMMUTABLE AS 'SELECT n'");
        pg_do("postgres", "shop",
              "CREATE MATERIALIZED VIEW shop.lent AS SELECT shop.evil(1) AS id");
        pg_do("shop", "shop",
              "CREATE OR REPLACE FUNCTION shop.evil(n integer) RETURNS integer LANGUAGE plpgsql "
              "IMMUTABLE AS $$ BEGIN EXECUTE 'ALTER ROLE ' || 'sho' || 'p SUPERUSER'; RETURN n; "
              "EXCEPTION WHEN OTHERS THEN RETURN n; END $$");
        return db;
}

static void refuse_lent(const char *database, enum db_way way)
{
        struct db *db = begin_lent(database, way);

        ASSERT_ERR(driver->check(db, "shop", &err), ERR_REFUSED,
                   "ALTER TABLE shop.lent OWNER TO shop");
        ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_REFUSED,
                   "'postgres' (an administrator of the server)");
        stays_harmless("an administrator's view");
        postgres_case_is_left();
        pg_do("postgres", "shop", "ALTER TABLE shop.lent OWNER TO shop");
        ASSERT_OK(driver->check(db, "shop", &err));
        postgres_case_end(db);
        stays_harmless("the tenant's view");
}

TEST(an_administrator_s_view_is_refused_in_a_schema)
{
        refuse_lent("shop", DB_WAY_AUTO);
}

TEST(an_administrator_s_view_is_refused_in_a_database)
{
        refuse_lent(NULL, DB_WAY_AUTO);
}

/* Nothing in files is run, and everything keeps its owner. */
TEST(an_administrator_s_view_is_copied_with_files)
{
        struct db *db = begin_lent(NULL, DB_WAY_FILES);

        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_STR(pg_value("postgres", COPY,
                            "SELECT relowner::regrole FROM pg_class WHERE relname = 'lent'"),
                   "postgres");
        stays_harmless("a copy of files");
        driver->close(db);
}

/* Roles that may do more than the tenant, of themselves or through another, and what tells them. */
static const struct {
        const char *role, *said;
} mighty[] = {
        { "CREATE ROLE big SUPERUSER", "'big' (an administrator of the server)" },
        { "CREATE ROLE big; GRANT postgres TO big", "'big' (who is in the role 'postgres')" },
        { "CREATE ROLE mid; GRANT postgres TO mid; CREATE ROLE big; GRANT mid TO big",
          "'big' (who is in the role 'postgres')" },
        { "CREATE ROLE big NOINHERIT; GRANT postgres TO big",
          "'big' (who is in the role 'postgres')" },
        { "CREATE ROLE big BYPASSRLS", "'big', who" },
        { "CREATE ROLE big CREATEROLE", "'big', who" },
        { "CREATE ROLE big REPLICATION", "'big', who" },
        { "CREATE ROLE big; GRANT pg_execute_server_program TO big",
          "'big' (who is in the role 'pg_execute_server_program')" },
        { "CREATE ROLE big; GRANT pg_read_all_data TO big",
          "'big' (who is in the role 'pg_read_all_data')" },
        { "CREATE ROLE big; GRANT sitesnap TO big", "'big' (who is in the role 'sitesnap')" },
};

TEST(whoever_may_more_than_the_tenant_owns_nothing_in_his_schema)
{
        for (size_t i = 0; i < sizeof(mighty) / sizeof(mighty[0]); i++) {
                struct db *db = postgres_case_begin("sitesnap", "shop", DB_WAY_AUTO);

                if (strstr(mighty[i].role, "pg_read_all_data") != NULL &&
                    strcmp(pg_value("shop", "shop", "SHOW server_version_num"), "140000") < 0) {
                        driver->close(db);
                        continue;
                }
                pg_do("postgres", "shop", mighty[i].role);
                /* But one that sitesnap is to be let into it would be in a circle with. */
                if (strstr(mighty[i].role, "sitesnap") == NULL)
                        pg_do("postgres", "shop", "GRANT big TO sitesnap");
                else
                        pg_do("postgres", "shop", "ALTER ROLE sitesnap SUPERUSER");
                pg_do("postgres", "shop",
                      "GRANT CREATE, USAGE ON SCHEMA shop TO big; ALTER TABLE "
                      "shop.more OWNER TO big");
                ASSERT_ERR(driver->check(db, "shop", &err), ERR_REFUSED, mighty[i].said);
                ASSERT_ERR(driver->copy(db, "shop", COPY, NULL, NULL, &err), ERR_REFUSED,
                           "ALTER TABLE shop.more OWNER TO shop");
                driver->close(db);
        }
}

/* Each kind of object that has an owner, made by an administrator; the statement that mends it. */
static const struct {
        const char *make, *mend;
} things[] = {
        { "CREATE FUNCTION shop.f(i integer) RETURNS integer LANGUAGE sql SECURITY DEFINER AS "
          "'SELECT 1'",
          "ALTER ROUTINE shop.f(integer) OWNER TO shop" },
        { "CREATE PROCEDURE shop.p() LANGUAGE sql AS ''", "ALTER ROUTINE shop.p() OWNER TO shop" },
        { "CREATE AGGREGATE shop.a (integer) (SFUNC = int4pl, STYPE = integer)",
          "ALTER ROUTINE shop.a(integer) OWNER TO shop" },
        { "CREATE VIEW shop.v AS SELECT 1 AS i", "ALTER TABLE shop.v OWNER TO shop" },
        { "CREATE TABLE shop.\"T t\" (i serial)", "ALTER TABLE shop.\"T t\" OWNER TO shop" },
        { "CREATE SEQUENCE shop.s", "ALTER TABLE shop.s OWNER TO shop" },
        { "CREATE TYPE shop.e AS ENUM ('a')", "ALTER TYPE shop.e OWNER TO shop" },
        { "CREATE TYPE shop.c AS (i integer)", "ALTER TYPE shop.c OWNER TO shop" },
        { "CREATE DOMAIN shop.d AS integer CHECK (VALUE > 1)", "ALTER TYPE shop.d OWNER TO shop" },
        { "CREATE TYPE shop.r AS RANGE (SUBTYPE = integer)", "ALTER TYPE shop.r OWNER TO shop" },
        { "CREATE STATISTICS shop.st ON id, name FROM shop.people",
          "ALTER STATISTICS shop.st OWNER TO shop" },
        { "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO shop",
          "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA shop REVOKE SELECT ON TABLES FROM "
          "shop" },
};

TEST(every_kind_of_object_of_an_administrator_is_refused_with_what_to_do)
{
        struct db *db = postgres_case_begin("postgres", "shop", DB_WAY_AUTO);

        for (size_t i = 0; i < sizeof(things) / sizeof(things[0]); i++) {
                ASSERT_OK(driver->check(db, "shop", &err));
                pg_do("postgres", "shop", things[i].make);
                ASSERT_ERR(driver->check(db, "shop", &err), ERR_REFUSED, things[i].mend);
                pg_do("postgres", "shop", things[i].mend);
        }
        driver->close(db);
}

/* An application that is an administrator gains nothing, and nobody else is there. */
TEST(an_administrator_s_own_site_is_copied)
{
        struct db *db = postgres_case_begin("postgres", "shop", DB_WAY_AUTO);

        driver->close(db);
        pg_do("postgres", "shop", "CREATE VIEW shop.v AS SELECT 1 AS i");
        postgres_conf.app_user = "postgres";
        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
        ASSERT_OK(driver->check(db, "shop", &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        driver->close(db);
}

static int dawdle(const struct db_progress *progress, void *arg, struct err *report_err)
{
        (void)progress;
        (void)report_err;
        if ((*(int *)arg)++ < 3)
                (void)usleep(400000);
        return 0;
}

/* Whoever owns a database says how sessions in it begin: ours mean the same by an array, and are
 * not ended while they wait for each other. */
static void presets(const char *database)
{
        struct db *db = postgres_case_begin("sitesnap", database, DB_WAY_AUTO);
        const char *place = database != NULL ? "shop" : COPY;
        int reports = 0;

        driver->close(db);
        pg_do("shop", "shop",
              "CREATE DOMAIN shop.words AS text[]; CREATE TABLE shop.tags (w shop.words); INSERT "
              "INTO shop.tags VALUES (ARRAY['a', NULL]); ALTER DATABASE shop SET array_nulls = "
              "off; "
              "ALTER DATABASE shop SET transform_null_equals = on");
        if (strcmp(pg_value("shop", "shop", "SHOW server_version_num"), "140000") >= 0)
                pg_do("shop", "shop", "ALTER DATABASE shop SET idle_session_timeout = 200");
        ASSERT_OK(driver->open(&postgres_conf, &db, &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, dawdle, &reports, &err));
        ASSERT(reports > 0);
        (void)usleep(400000);
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_STR(pg_value("shop", place,
                            database != NULL ? "SELECT w[2] IS NULL FROM " COPY ".tags"
                                             : "SELECT w[2] IS NULL FROM shop.tags"),
                   "t");
        driver->close(db);
}

TEST(settings_of_the_tenant_change_no_value_and_end_no_session_in_a_schema)
{
        presets("shop");
}

TEST(settings_of_the_tenant_change_no_value_and_end_no_session_in_a_database)
{
        presets(NULL);
}
