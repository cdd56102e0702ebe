/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_KEYS_H
#define DBDUMP_MARIADB_KEYS_H

/* Foreign keys, which come with their tables' definitions. */

#include "dbdump/mariadb_conn.h"

/* mariadb_keys_check(conn, schema, prefix, err): ERR_REFUSED names a key that leads out of the
 * schema, or out of the tables of the prefix. */
int mariadb_keys_check(struct mariadb_conn *conn, const char *schema, const char *prefix,
                       struct err *err) MUST_CHECK;

#endif
