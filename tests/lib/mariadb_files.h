/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_MARIADB_FILES_H
#define TESTS_LIB_MARIADB_FILES_H

/*
 * The MariaDB driver as the daemon opens it: with a process that handles the server's files, for
 * every connection one, which is gone when the connection is closed.
 */

#include "dbdump/dbdriver.h"

extern struct db_driver mariadb_files_driver;

/* mariadb_files_allow(): sitesnap@localhost may export tables. */
void mariadb_files_allow(void);

#endif
