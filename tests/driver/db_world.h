/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_DB_WORLD_H
#define TESTS_DRIVER_DB_WORLD_H

/*
 * What the tests of the database suite share: the driver's side in this process, the application's
 * in processes of the tenant.  Every function fails the test itself.
 */

#include <sys/types.h>

#include "tests/driver/db_conformance.h"

#define ROWS      2000
#define COPY_NAME "snap7_shop"

struct db_world {
        struct db_conf conf;
        const struct db_driver *driver;
        int tree_fd; /* the file that stands for the tree */
};
extern struct db_world world;

/* What a writer says of itself, in memory that both see. */
struct writer {
        pid_t pid;
        volatile uint64_t acknowledged;
        volatile uint64_t failed;
        volatile int64_t longest_usec;
        volatile bool stop;
};

/* world_begin(schema): A fresh world with a schema of ROWS rows and a connection. */
struct db *world_begin(const char *schema);

/* world_schema(schema, rows): One more schema. */
void world_schema(const char *schema, unsigned rows);

/* world_counts(schema): What the application sees in it; both tables have the same. */
struct db_counts world_counts(const char *schema);

/* world_can_write(schema, number): Can the application append? */
bool world_can_write(const char *schema, uint64_t number);

/* world_damage(schema): Take away a row. */
void world_damage(const char *schema);

/* world_exists(db, schema): Does the driver say it is there? */
bool world_exists(struct db *db, const char *schema);

/* world_tree(): The number in the tree's file now. */
uint64_t world_tree(void);

/* writer_start(schema): 200 transactions a second from here on, numbered from ROWS + 1.
 * writer_wait(writer, than): Until one behind number ${than} is done.
 * writer_stop(writer, schema): End it; everything it was told is done is there. */
struct writer *writer_start(const char *schema);
void writer_wait(const struct writer *writer, uint64_t than);
void writer_stop(struct writer *writer, const char *schema);

/* world_linger(schema): Somebody who has written and does not commit; kill and wait for him. */
pid_t world_linger(const char *schema);

/* world_wait(pid): The exit status of a child, or 128 and the signal. */
int world_wait(pid_t pid);

#endif
