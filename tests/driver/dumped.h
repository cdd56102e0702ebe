/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_DUMPED_H
#define TESTS_DRIVER_DUMPED_H

/* A database's dump in memory, and what is done with it whatever the engine is. */

#include "dbdump/dbdriver.h"

/* dumped_make(driver, db, schema): Its descriptor; dumped_try(): the same, -1 where the driver
 * refuses.  dumped_load(driver, db, copy, fd, err): From
 * the beginning on, in pieces of odd sizes, so that lines and statements are cut everywhere. */
int dumped_make(const struct db_driver *driver, struct db *db, const char *schema);
int dumped_try(const struct db_driver *driver, struct db *db, const char *schema,
               struct err *err) MUST_CHECK;
int dumped_load(const struct db_driver *driver, struct db *db, const char *copy, int fd,
                struct err *err) MUST_CHECK;

/* dumped_load_killed(driver, conf, copy, fd, msec): The same in a process that is killed after
 * ${msec}, as by a crash. */
void dumped_load_killed(const struct db_driver *driver, const struct db_conf *conf,
                        const char *copy, int fd, unsigned msec);

#endif
