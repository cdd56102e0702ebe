/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "dbdump/dbdriver.h"

/*
 * db_postgres copy SOCKET USER DATABASE|- SCHEMA COPY [files]
 *
 * Copies a schema of PostgreSQL by the driver, as an upgrade does, and prints the milliseconds of
 * each call; "-" is a database for each schema.  The copy stays.
 *
 * db_postgres write SOCKET USER DATABASE TABLE
 *
 * A client that inserts a row every few milliseconds until it is told to end, and prints how long
 * the longest took; it comes back when its session is ended.  tests/bench/db_postgres.sh uses both.
 */

#define PAUSE_USEC 3000

static struct err err;
static volatile sig_atomic_t ended;

static int64_t now_msec(void)
{
        return clock_boot_usec() / 1000;
}

static int copy(struct db *db, const char *schema, const char *copy_name)
{
        const struct db_driver *driver = &db_driver_postgres;
        int64_t begin = now_msec(), held, released, copied;
        unsigned features;

        if (driver->features(db, schema, &features, &err) < 0 ||
            driver->hold(db, schema, 600000, &err) < 0)
                return -1;
        held = now_msec();
        if ((features & DB_COPY_IN_HOLD) && driver->copy(db, schema, copy_name, NULL, NULL, &err))
                return -1;
        if (driver->release(db, &err) < 0)
                return -1;
        released = now_msec();
        if (!(features & DB_COPY_IN_HOLD) &&
            driver->copy(db, schema, copy_name, NULL, NULL, &err) < 0)
                return -1;
        copied = now_msec();
        if (driver->verify(db, schema, copy_name, &err) < 0)
                return -1;
        printf("all %lld hold %lld released %lld copy %lld verify %lld\n",
               (long long)(copied - begin), (long long)(held - begin), (long long)(released - held),
               (long long)(copied - released), (long long)(now_msec() - copied));
        return 0;
}

static int copy_main(char **argv)
{
        struct db_conf conf = {
                .root_fd = -1,
                .secret_fd = -1,
                .socket_path = argv[0],
                .user = argv[1],
                .database = strcmp(argv[2], "-") == 0 ? NULL : argv[2],
                .way = argv[5] != NULL ? DB_WAY_FILES : DB_WAY_SNAPSHOT,
        };
        struct db *db = NULL;
        int r = db_driver_postgres.open(&conf, &db, &err) < 0 ? -1 : copy(db, argv[3], argv[4]);

        if (r < 0)
                fprintf(stderr, "%s\n", err.msg);
        db_driver_postgres.close(db);
        return r < 0;
}

static void end(int signal)
{
        (void)signal;
        ended = 1;
}

static PGconn *connect_as(char **argv)
{
        const char *const keys[] = { "host", "user", "dbname", NULL };
        const char *const values[] = { argv[0], argv[1], argv[2], NULL };

        return PQconnectdbParams(keys, values, 0);
}

static int write_main(char **argv)
{
        int64_t longest_usec = 0, from_usec = clock_boot_usec();
        PGconn *conn = connect_as(argv);
        unsigned long written = 0;
        char sql[200];

        (void)signal(SIGTERM, end);
        (void)snprintf(sql, sizeof(sql), "INSERT INTO %s (said) VALUES ('x')", argv[3]);
        while (!ended) {
                PGresult *result = PQexec(conn, sql);
                bool good = PQresultStatus(result) == PGRES_COMMAND_OK;

                PQclear(result);
                if (good) {
                        int64_t took_usec = clock_boot_usec() - from_usec;

                        if (written++ > 0 && took_usec > longest_usec)
                                longest_usec = took_usec;
                        (void)usleep(PAUSE_USEC);
                        from_usec = clock_boot_usec();
                } else if (PQstatus(conn) != CONNECTION_OK) {
                        PQfinish(conn);
                        (void)usleep(PAUSE_USEC);
                        conn = connect_as(argv);
                } else {
                        fprintf(stderr, "%s", PQerrorMessage(conn));
                        return 1;
                }
        }
        PQfinish(conn);
        printf("%lld ms longest of %lu writes\n", (long long)(longest_usec / 1000), written);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc >= 7 && strcmp(argv[1], "copy") == 0)
                return copy_main(argv + 2);
        if (argc == 6 && strcmp(argv[1], "write") == 0)
                return write_main(argv + 2);
        fprintf(stderr, "usage: db_postgres copy SOCKET USER DATABASE|- SCHEMA COPY [files]\n"
                        "       db_postgres write SOCKET USER DATABASE TABLE\n");
        return 2;
}
