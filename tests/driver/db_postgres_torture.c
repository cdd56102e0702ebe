/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbdump/dbdriver.h"
#include "tests/driver/dumped.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/*
 * A schema that holds everything (postgres_torture.sql) is copied, and pg_dump, which knows nothing
 * of us, says that both are the same: definitions, rights, comments and every row.
 */

#define COPY "snap12_shop"

static struct err err;
static struct db_conf conf;
static const struct db_driver *driver = &db_driver_postgres;

/* As text with one word for another, wherever it stands. */
static char *replaced(const char *text, const char *word, const char *with)
{
        size_t bytes = 0, n = strlen(word);
        char *result = NULL;
        FILE *out = open_memstream(&result, &bytes);

        ASSERT(out != NULL);
        for (const char *at; (at = strstr(text, word)) != NULL; text = at + n)
                (void)fprintf(out, "%.*s%s", (int)(at - text), text, with);
        (void)fputs(text, out);
        ASSERT(fclose(out) == 0);
        return result;
}

static struct db *begin(const char *database)
{
        conf = (struct db_conf){ .root_fd = -1,
                                 .port = PG_PORT,
                                 .user = "sitesnap",
                                 .secret_fd = -1,
                                 .timeout_msec = 20000,
                                 .database = database,
                                 .app_user = "shop" };
        struct db *db = NULL;
        char *text, *sql;

        root_begin();
        pg_begin();
        conf.socket_path = pg_socket();
        pg_do("postgres", "postgres", "CREATE ROLE reader");
        pg_do("postgres", "postgres", "CREATE DATABASE shop OWNER shop");
        pg_do("postgres", "postgres", "GRANT CREATE ON DATABASE shop TO sitesnap");
        pg_do("postgres", "shop",
              "CREATE SCHEMA shop AUTHORIZATION shop; CREATE EXTENSION citext SCHEMA public; "
              "COMMENT ON SCHEMA shop IS 'all of it'; GRANT USAGE ON SCHEMA shop TO reader");
        ASSERT_OK(file_read(AT_FDCWD, SQL_FILE, 1 << 20, &text, NULL, &err));
        sql = replaced(text, "@SCHEMA@", "shop");
        free(text);
        text = replaced(sql, "CREATE TYPE mood", "SET search_path = shop; CREATE TYPE mood");
        pg_do("shop", "shop", text);
        free(text);
        free(sql);
        ASSERT_OK(driver->open(&conf, &db, &err));
        return db;
}

static char *dump(const char *database, const char *schema)
{
        char path[256], *text;
        const char *const argv[] = {
                "pg_dump",   "-h", pg_socket(), "-U",     "postgres",
                "--inserts", "-f", path,        database, schema == NULL ? NULL : "-n",
                schema,      NULL
        };

        (void)snprintf(path, sizeof(path), "%s/%s.%s.sql", test_tmpdir(), database,
                       schema == NULL ? "" : schema);
        ASSERT_EQ(root_run(argv), 0);
        ASSERT_OK(file_read(AT_FDCWD, path, 64 << 20, &text, NULL, &err));
        return text;
}

static int by_text(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines in order: rows have none.  \restrict has a word of its own in every dump. */
static char **lines_of(char *text, size_t *ret_n)
{
        char **lines = NULL, *save = NULL;
        size_t n = 0;

        for (char *line = strtok_r(text, "\n", &save); line != NULL;
             line = strtok_r(NULL, "\n", &save)) {
                if (strstr(line, "restrict ") != NULL && line[0] == '\\')
                        continue;
                lines = reallocarray(lines, n + 1, sizeof(*lines));
                ASSERT(lines != NULL);
                lines[n++] = line;
        }
        qsort(lines, n, sizeof(*lines), by_text);
        *ret_n = n;
        return lines;
}

static void same(const char *before, const char *after)
{
        CLEANUP(freep) char *a = strdup(before);
        CLEANUP(freep) char *b = strdup(after);
        size_t na, nb;
        char **la = lines_of(a, &na), **lb = lines_of(b, &nb);

        ASSERT(na > 500);
        for (size_t i = 0; i < na && i < nb; i++)
                if (strcmp(la[i], lb[i]) != 0)
                        test_fail(__FILE__, __LINE__, "'%.300s' is '%.300s'", la[i], lb[i]);
        ASSERT_EQ(na, nb);
        free(la);
        free(lb);
}

TEST(a_schema_with_everything_is_the_same)
{
        struct db *db = begin("shop");
        CLEANUP(freep) char *before = NULL;
        CLEANUP(freep) char *after = NULL;
        CLEANUP(freep) char *named = NULL;

        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        before = dump("shop", "shop");
        after = dump("shop", COPY);
        named = replaced(after, COPY, "shop");
        same(before, named);

        /* Kept and taken back it is what it was, and what the site may is the same. */
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        free(STEAL(after));
        free(STEAL(named));
        after = dump("shop", COPY);
        named = replaced(after, COPY, "shop");
        same(before, named);
        driver->close(db);
}

#define SETTINGS                                                                                   \
        "SELECT string_agg(format('%s %s', coalesce(pg_get_userbyid(nullif(setrole, 0)), ''), "    \
        "setconfig), ' ' ORDER BY setrole) FROM pg_db_role_setting s JOIN pg_database d ON d.oid " \
        "= s.setdatabase WHERE datname = current_database()"
#define LARGE                                                                                      \
        "SELECT string_agg(format('%s %s %s', l.oid, md5(lo_get(l.oid)), lomacl), ' ' ORDER BY "   \
        "l.oid) FROM pg_largeobject_metadata l"

/* What is in no schema, and in no dump of one database. */
static void same_value(const char *sql, size_t least)
{
        CLEANUP(freep) char *before = strdup(pg_value("postgres", "shop", sql));

        ASSERT(strlen(before) > least);
        ASSERT_STR(pg_value("postgres", COPY, sql), before);
}

static void add_loose_things(void)
{
        pg_do("shop", "shop", "ALTER DATABASE shop SET search_path = shop, \"$user\", public");
        pg_do("shop", "shop", "ALTER DATABASE shop SET application_name = 'it''s; DROP'");
        pg_do("shop", "shop", "ALTER ROLE shop IN DATABASE shop SET statement_timeout = '7s'");
        pg_do("shop", "shop",
              "SELECT lo_from_bytea(0, decode(repeat(md5(i::text), i * 20000), 'hex')) FROM "
              "generate_series(0, 9) i");
        pg_do("shop", "shop",
              "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO reader; COMMENT ON "
              "LARGE OBJECT 4711 IS 'none in it'");
}

static int drop_bytes(const void *bytes, size_t size, void *arg, struct err *sink_err)
{
        (void)bytes;
        (void)size;
        (void)arg;
        (void)sink_err;
        return 0;
}

TEST(a_database_with_everything_is_the_same)
{
        struct db *db = begin(NULL);
        CLEANUP(freep) char *before = NULL;
        CLEANUP(freep) char *after = NULL;

        add_loose_things();
        ASSERT_ERR(driver->dump(db, "shop", drop_bytes, NULL, &err), ERR_UNSUPPORTED,
                   "large object");
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        before = dump("shop", NULL);
        after = dump(COPY, NULL);
        same(before, after);
        same_value(SETTINGS, 60);
        same_value(LARGE, 10 * 40);
        pg_do("postgres", COPY, "SELECT lo_unlink(4711)");
        ASSERT_ERR(driver->verify(db, "shop", COPY, &err), ERR_CORRUPT, "large objects");

        /* What takes an administrator is named, and nothing is left of the copy without it. */
        pg_do("postgres", "shop", "ALTER DATABASE shop SET app.motto = 'none'");
        ASSERT_ERR(driver->copy(db, "shop", "snap13_shop", NULL, NULL, &err), ERR_DENIED,
                   "'app.motto' of the database");
        ASSERT_STR(pg_value("postgres", "shop",
                            "SELECT count(*) FROM pg_database WHERE datname LIKE 'snap13%'"),
                   "0");
        driver->close(db);
}

/* A dump has no owners and no grants: what is loaded is the site's user's. */
static char *without_rights(const char *text)
{
        static const char *const words[] = { "GRANT ",
                                             "REVOKE ",
                                             " OWNER TO ",
                                             "DEFAULT PRIVILEGES",
                                             "COMMENT ON SCHEMA ",
                                             "COMMENT ON DATABASE " };
        CLEANUP(freep) char *copy = strdup(text);
        size_t bytes = 0;
        char *result = NULL, *save = NULL;
        FILE *out = open_memstream(&result, &bytes);

        ASSERT(copy != NULL && out != NULL);
        for (char *line = strtok_r(copy, "\n", &save); line != NULL;
             line = strtok_r(NULL, "\n", &save)) {
                bool left_out = strncmp(line, "--", 2) == 0;

                for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                        left_out |= strstr(line, words[i]) != NULL;
                if (!left_out)
                        (void)fprintf(out, "%s\n", line);
        }
        ASSERT(fclose(out) == 0);
        return result;
}

static void load_from_dump(struct db *db)
{
        CLEANUP(closep) int fd = dumped_make(driver, db, "shop");

        ASSERT_OK(dumped_load(driver, db, COPY, fd, &err));
}

static void same_but_rights(const char *before, const char *after)
{
        CLEANUP(freep) char *a = without_rights(before);
        CLEANUP(freep) char *b = without_rights(after);

        same(a, b);
}

TEST(a_schema_with_everything_comes_back_from_its_dump)
{
        struct db *db = begin("shop");
        CLEANUP(freep) char *before = NULL;
        CLEANUP(freep) char *after = NULL;
        CLEANUP(freep) char *named = NULL;

        load_from_dump(db);
        before = dump("shop", "shop");
        after = dump("shop", COPY);
        named = replaced(after, COPY, "shop");
        same_but_rights(before, named);
        ASSERT_OK(driver->set_writable(db, COPY, false, &err));
        ASSERT_OK(driver->set_writable(db, COPY, true, &err));
        driver->close(db);
}

TEST(a_copy_by_the_way_of_a_dump_is_one_as_any)
{
        struct db *db = begin("shop");
        CLEANUP(freep) char *before = NULL;
        CLEANUP(freep) char *after = NULL;
        CLEANUP(freep) char *named = NULL;
        struct db_forecast forecast;

        driver->close(db);
        conf.way = DB_WAY_DUMP;
        ASSERT_OK(driver->open(&conf, &db, &err));
        ASSERT_OK(driver->forecast(db, "shop", &forecast, &err));
        ASSERT_EQ(forecast.way, DB_WAY_DUMP);
        ASSERT_OK(driver->hold(db, "shop", 20000, &err));
        ASSERT_OK(driver->copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(driver->release(db, &err));
        ASSERT_OK(driver->verify(db, "shop", COPY, &err));
        before = dump("shop", "shop");
        after = dump("shop", COPY);
        named = replaced(after, COPY, "shop");
        same_but_rights(before, named);
        driver->close(db);
}

TEST(a_database_with_everything_comes_back_from_its_dump)
{
        struct db *db = begin(NULL);
        CLEANUP(freep) char *before = NULL;
        CLEANUP(freep) char *after = NULL;

        load_from_dump(db);
        before = dump("shop", NULL);
        after = dump(COPY, NULL);
        same_but_rights(before, after);
        driver->close(db);
}
