/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_MARIADB_H
#define TESTS_LIB_MARIADB_H

/*
 * A MariaDB server of the test's own: a fresh data directory, a unix socket, no network.  It ends
 * with the test.  The data directory's beginning is made once a program and copied for each test.
 *
 * Accounts: root (the administrator), "sitesnap" with a password and the rights that the driver
 * asks for, and "app" with a password and without rights.
 *
 * Every function fails the test itself.
 */

#include <mysql.h>
#include <sys/types.h>

#include "dbdump/dbdriver.h"

#define MARIADB_APP      "app"
#define MARIADB_APP_PASS "app-secret"

/* mariadb_begin(directory, ret_conf): Skips where there is no server to start.  ${directory} NULL:
 * below test_tmpdir(), else that one, an empty directory.  ret_conf is sitesnap's. */
void mariadb_begin(const char *directory, struct db_conf *ret_conf);

/* mariadb_server_kill(), mariadb_server_start(): As a crash, and again on what it left. */
void mariadb_server_kill(void);
void mariadb_server_start(void);
pid_t mariadb_server_pid(void);

/* mariadb_socket(): Its path.  mariadb_datadir(): The directory of its files. */
const char *mariadb_socket(void);
const char *mariadb_datadir(void);

/* mariadb_log_in(user, password, schema): A connection, or NULL; schema may be NULL. */
MYSQL *mariadb_log_in(const char *user, const char *password, const char *schema);

/* mariadb_admin(sql): Statements as root, parted by ";\n"; each has to succeed.
 * mariadb_ask(sql): The last column of the first row as root; lives until the next call. */
void mariadb_admin(const char *sql);
const char *mariadb_ask(const char *sql);

#endif
