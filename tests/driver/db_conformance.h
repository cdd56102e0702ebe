/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_DB_CONFORMANCE_H
#define TESTS_DRIVER_DB_CONFORMANCE_H

/*
 * What every database driver is tested with.
 *
 * A factory says how an application uses the engine: it makes a schema of two tables that always
 * hold the same rows, appends to both in one transaction, and reads them.  The suite
 * (db_conformance.c) is linked with one factory a program and knows no engine.  Applications run
 * in processes of their own, with the tenant's ids, as they do in life.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dbdump/dbdriver.h"

struct db_counts {
        uint64_t left, right; /* rows of the two tables: equal, or the instant is torn */
        uint64_t last;        /* the highest number in them */
};

struct db_factory {
        const struct db_driver *driver;

        /* A copy takes long, as a server makes it: of the moments to be killed at, every eighth,
         * from another one each time; all with SITESNAP_TEST_ALL=1. */
        bool costly;

        /* Fill in where schemas live and whose they are; in the test's own process, which may
         * skip.  Everything made lies below test_tmpdir(). */
        void (*start)(struct db_conf *conf);

        /* What an administrator does for a new schema, if anything. */
        void (*provision)(const struct db_conf *conf, const char *schema);

        /* The rest in processes with the tenant's ids.  Non-zero is failure. */
        int (*create)(const struct db_conf *conf, const char *schema, unsigned rows);
        void *(*connect)(const struct db_conf *conf, const char *schema);
        /* One transaction: number in both tables, and in the tree's file before the commit. */
        int (*append)(void *connection, uint64_t number, int tree_fd);
        /* A transaction that has written and is not committed, until the process ends. */
        int (*linger)(void *connection);
        int (*read)(const struct db_conf *conf, const char *schema, struct db_counts *ret_counts);
        /* Take a row out of one table, without being seen by more than a count. */
        int (*damage)(const struct db_conf *conf, const char *schema);
};

extern const struct db_factory db_factory;

#endif
