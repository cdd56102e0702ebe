/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "dbdump/dbdriver.h"
#include "dbdump/mariadb_keeper.h"

/*
 * db_copy SOCKET USER PASSWORD SCHEMA COPY [snapshot|files]
 *
 * Copies a MariaDB database by the driver, as an upgrade does, and prints the milliseconds of each
 * call and what was forecast; then drops the copy.  tests/bench/README.md says with what it is
 * compared.
 */

static struct err err;

static int64_t now_msec(void)
{
        return clock_boot_usec() / 1000;
}

static int run(struct db *db, const char *schema, const char *copy)
{
        const struct db_driver *driver = &db_driver_mariadb;
        int64_t begin, held, released, copied;
        struct db_forecast forecast;

        if (driver->forecast(db, schema, &forecast, &err) < 0)
                return -1;
        begin = now_msec();
        if (driver->hold(db, schema, 10000, &err) < 0)
                return -1;
        held = now_msec();
        if (driver->release(db, &err) < 0)
                return -1;
        released = now_msec();
        if (driver->copy(db, schema, copy, NULL, NULL, &err) < 0)
                return -1;
        copied = now_msec();
        if (driver->verify(db, schema, copy, &err) < 0)
                return -1;
        printf("hold %lld release %lld copy %lld verify %lld forecast_copy %llu forecast_stall "
               "%llu\n",
               (long long)(held - begin), (long long)(released - held),
               (long long)(copied - released), (long long)(now_msec() - copied),
               (unsigned long long)forecast.copy_msec, (unsigned long long)forecast.stall_msec);
        return db_drop(driver, db, copy, &err);
}

int main(int argc, char **argv)
{
        struct db_conf conf = { .root_fd = -1, .secret_fd = -1 };
        struct db *db = NULL;
        pid_t keeper = -1;
        int r;

        if (argc != 6 && argc != 7) {
                fprintf(stderr,
                        "usage: db_copy SOCKET USER PASSWORD SCHEMA COPY [snapshot|files]\n");
                return 2;
        }
        conf.socket_path = argv[1];
        conf.user = argv[2];
        conf.secret_fd = memfd_create("secret", MFD_CLOEXEC);
        if (conf.secret_fd < 0 || dprintf(conf.secret_fd, "%s\n", argv[3]) < 0)
                return 1;
        conf.way = argc == 7 && strcmp(argv[6], "files") == 0 ? DB_WAY_FILES : DB_WAY_SNAPSHOT;
        if (conf.way == DB_WAY_FILES &&
            mariadb_keeper_start(conf.socket_path, &keeper, &conf.files_fd, &err) < 0) {
                fprintf(stderr, "%s\n", err.msg);
                return 1;
        }
        r = db_driver_mariadb.open(&conf, &db, &err) < 0 ? -1 : run(db, argv[4], argv[5]);
        if (r < 0)
                fprintf(stderr, "%s\n", err.msg);
        db_driver_mariadb.close(db);
        return r < 0;
}
