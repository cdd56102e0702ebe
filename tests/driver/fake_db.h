/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_FAKE_DB_H
#define TESTS_DRIVER_FAKE_DB_H

/*
 * The simplest database that keeps the contract: a schema is a file of numbers, two lines for
 * each ("l 7" and "r 7"), appended by one write under flock.  It shows that the suite asks for
 * nothing only SQLite has, and stands in for a database where another thing is tested.
 *
 * A hold is the file NAME.hold with a process and a time in it; writers look.
 */

#include "dbdump/dbdriver.h"

extern const struct db_driver db_driver_fake;

/* fake_db_lock(root_fd, schema): Open the schema to append to it, when nobody holds it; closing
 * lets the next one in.  -1: there is none, or it may not be written. */
int fake_db_lock(int root_fd, const char *schema);

#endif
