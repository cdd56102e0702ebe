/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/wait.h>
#include <unistd.h>

#include "dbdump/mariadb_keeper.h"
#include "tests/lib/mariadb.h"
#include "tests/lib/mariadb_files.h"
#include "tests/lib/test.h"

#define OPEN_MAX_ 8

static struct {
        const struct db *db;
        pid_t pid;
} keepers[OPEN_MAX_];

static void wait_for(pid_t pid)
{
        int status;

        if (pid > 0)
                ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
}

static int open_with_keeper(const struct db_conf *conf, struct db **ret_db, struct err *err)
{
        struct db_conf with = *conf;
        struct db *db = NULL;
        pid_t pid = -1;
        size_t i = 0;

        while (i < OPEN_MAX_ && keepers[i].db != NULL)
                i++;
        ASSERT(i < OPEN_MAX_);
        if (mariadb_keeper_start(conf->socket_path, &pid, &with.files_fd, err) < 0)
                return -1;
        if (db_driver_mariadb.open(&with, &db, err) < 0) {
                wait_for(pid);
                return -1;
        }
        keepers[i].db = db;
        keepers[i].pid = pid;
        *ret_db = db;
        return 0;
}

static void close_with_keeper(struct db *db)
{
        db_driver_mariadb.close(db);
        for (size_t i = 0; i < OPEN_MAX_; i++)
                if (db != NULL && keepers[i].db == db) {
                        wait_for(keepers[i].pid);
                        keepers[i].db = NULL;
                }
}

/* Everything else is the driver's. */
struct db_driver mariadb_files_driver;

__attribute__((constructor)) static void fill_driver(void)
{
        mariadb_files_driver = db_driver_mariadb;
        mariadb_files_driver.open = open_with_keeper;
        mariadb_files_driver.close = close_with_keeper;
}

void mariadb_files_allow(void)
{
        mariadb_admin("GRANT RELOAD, SUPER ON *.* TO sitesnap@localhost");
}
