/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_PGSERVER_H
#define TESTS_LIB_PGSERVER_H

/*
 * A PostgreSQL server of the test program's own: a cluster in a directory below $TEST_TMP (else
 * /var/tmp), a socket and no port (but of $TEST_PG_LISTEN, which a program sets that has a network
 * of its own), started once a program and ended with it.  The first version
 * below /usr/lib/postgresql is taken, or what $TEST_PG says ("/usr/lib/postgresql/15/bin").
 *
 * Roles: "postgres" (superuser), "sitesnap" (ours: CREATEDB, nothing else), "shop" (a tenant).
 * Everybody is let in without a password, but "locked", whose password is "s3cret".
 *
 * Every function fails the test itself.
 */

#include <libpq-fe.h>

#define PG_PORT 5432

/* pg_begin(): Skip the test when there is no server; else it is empty again: no database but its
 * own, and those roles. */
void pg_begin(void);

/* pg_socket(): The directory of the socket. */
const char *pg_socket(void);

/* pg_connect(user, database): NULL when the server does not want it. */
PGconn *pg_connect(const char *user, const char *database);

/* pg_do(user, database, sql): Statements. */
void pg_do(const char *user, const char *database, const char *sql);

/* pg_value(user, database, sql): The first value, until the next call; "(null)" for NULL. */
const char *pg_value(const char *user, const char *database, const char *sql);

/* pg_restart(signal): End the server as ${signal} ends it, and start it again. */
void pg_stop(int signal);
void pg_start_again(void);
int pg_pid(void);

#endif
