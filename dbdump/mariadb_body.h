/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_BODY_H
#define DBDUMP_MARIADB_BODY_H

/*
 * What a trigger or an event does, as it was written.
 *
 * The bodies that information_schema tells are for people: a literal with an introducer has lost
 * that, its bytes are another character set's, and made of it the object would do something else.
 * SHOW CREATE has the text itself, behind a head with names that mean the original.
 */

#include "dbdump/mariadb_conn.h"

/* mariadb_body_read(conn, kind, schema, name, sql_mode, told, ret_body, err): The body of the
 * "trigger" or "event", of which information_schema says ${told}; the caller frees.
 * ERR_UNSUPPORTED: the head is of unknown form, and the body not as it is told. */
int mariadb_body_read(struct mariadb_conn *conn, const char *kind, const char *schema,
                      const char *name, const char *sql_mode, const char *told, char **ret_body,
                      struct err *err) MUST_CHECK;

#endif
