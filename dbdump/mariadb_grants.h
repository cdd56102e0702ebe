/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_GRANTS_H
#define DBDUMP_MARIADB_GRANTS_H

/*
 * Who may do what: our account, and the site's.
 *
 * Ours needs rights to read the site's schema, all rights on schemas named `snap%`, and some that
 * depend on what the schema holds.  The site's user has all rights on its copies, and of a kept one
 * only that to read: "name@host", or a name alone, which is name@%.
 */

#include "dbdump/mariadb_conn.h"

/* mariadb_grants_check(conn, schema, app_user, err): ERR_DENIED lists what is missing, as the
 * statements that an administrator has to run. */
int mariadb_grants_check(struct mariadb_conn *conn, const char *schema, const char *app_user,
                         struct err *err) MUST_CHECK;

/* mariadb_grants_set(conn, schema, app_user, writable, err): ERR_REFUSED: the user's rights on
 * more than this schema let it write here anyway. */
int mariadb_grants_set(struct mariadb_conn *conn, const char *schema, const char *app_user,
                       bool writable, struct err *err) MUST_CHECK;

/* mariadb_grants_forget(conn, schema, app_user, err): None are left for a schema that is gone. */
int mariadb_grants_forget(struct mariadb_conn *conn, const char *schema, const char *app_user,
                          struct err *err) MUST_CHECK;

/* mariadb_grants_global(conn, right, ret_may, err): Has our account ${right} ("RELOAD") on the
 * whole server? */
int mariadb_grants_global(struct mariadb_conn *conn, const char *right, bool *ret_may,
                          struct err *err) MUST_CHECK;

#endif
