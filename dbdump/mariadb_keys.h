/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_KEYS_H
#define DBDUMP_MARIADB_KEYS_H

/* What ties the tables of a schema together: foreign keys, and defaults from its sequences. */

#include "dbdump/mariadb_conn.h"

/* mariadb_keys_copy(conn, from, to, prefix, err): The foreign keys that ${from} has are in ${to}
 * too, whose tables are loaded; they are not checked against the rows, as those were not in
 * ${from}.  Defaults that take from a sequence of ${from} take from that of ${to}.  ERR_REFUSED
 * names a key that leads out of the schema, or out of the tables of the prefix. */
int mariadb_keys_copy(struct mariadb_conn *conn, const char *from, const char *to,
                      const char *prefix, struct err *err) MUST_CHECK;

#endif
