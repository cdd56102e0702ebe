/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_MARIADB_TORTURE_H
#define TESTS_DRIVER_MARIADB_TORTURE_H

/* A schema with one of everything, for the tests of the MariaDB driver. */

#include "dbdump/dbdriver.h"

#define TORTURE_COPY "snap7_live"

/* torture_begin(ret_conf): A server, and on it "live", which app@localhost owns;
 * torture_begin_at(directory, ret_conf): with its files there.
 * torture_begin_open(ret_conf): The same, and the driver has it open.
 * torture_fill(): Its objects and rows.
 * torture_compare(from, to): Every object and row of the one is in the other; fails the test. */
void torture_begin(struct db_conf *ret_conf);
void torture_begin_at(const char *directory, struct db_conf *ret_conf);
struct db *torture_begin_open(struct db_conf *ret_conf);
void torture_fill(void);
void torture_compare(const char *from, const char *to);

/* torture_unlocked(): Does app write to "live" at once? */
bool torture_unlocked(void);

/* torture_no_copy(driver, db): TORTURE_COPY is not there, not even half; fails the test. */
void torture_no_copy(const struct db_driver *driver, struct db *db);

/* torture_no_room(disk): That file system is full.  torture_room(disk): No longer. */
void torture_no_room(const char *disk);
void torture_room(const char *disk);

#endif
