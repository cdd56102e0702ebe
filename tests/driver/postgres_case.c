/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/driver/postgres_case.h"
#include "tests/lib/pgserver.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

static struct err err;
struct db_conf postgres_conf;

struct db *postgres_case_begin(const char *user, const char *database, enum db_way way)
{
        struct db *db = NULL;

        root_begin();
        pg_begin();
        postgres_conf = (struct db_conf){ .root_fd = -1,
                                          .port = PG_PORT,
                                          .user = user,
                                          .secret_fd = -1,
                                          .timeout_msec = 5000,
                                          .database = database,
                                          .app_user = "shop",
                                          .way = way,
                                          .socket_path = pg_socket() };
        pg_do("postgres", "postgres", "CREATE DATABASE shop OWNER shop");
        pg_do("postgres", "postgres", "GRANT CREATE ON DATABASE shop TO sitesnap");
        pg_do("postgres", "shop", "CREATE SCHEMA shop AUTHORIZATION shop");
        pg_do("shop", "shop",
              "SET search_path = shop; CREATE TABLE people (id serial PRIMARY KEY, name text); "
              "INSERT INTO people (name) SELECT md5(i::text) FROM generate_series(1, 20000) i; "
              "CREATE TABLE more AS SELECT * FROM people");
        ASSERT_OK(db_driver_postgres.open(&postgres_conf, &db, &err));
        return db;
}

void postgres_case_is_left(void)
{
        ASSERT_STR(pg_value("postgres", "shop",
                            "SELECT count(*) FROM (SELECT nspname FROM pg_namespace UNION SELECT "
                            "datname FROM pg_database) n WHERE nspname LIKE 'snap%'"),
                   "0");
        pg_do("shop", "shop",
              "SET lock_timeout = 1000; BEGIN; LOCK TABLE shop.people, shop.more; "
              "INSERT INTO shop.more VALUES (1, 'x'); COMMIT");
}

void postgres_case_end(struct db *db)
{
        postgres_case_is_left();
        ASSERT_OK(db_driver_postgres.copy(db, "shop", COPY, NULL, NULL, &err));
        ASSERT_OK(db_driver_postgres.verify(db, "shop", COPY, &err));
        db_driver_postgres.close(db);
}
