/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_DIFF_H
#define DBDUMP_MARIADB_DIFF_H

/*
 * The rows that two schemas do not have alike.
 *
 * The server compares, and sends only what differs, as it finds it: a table with a key that both
 * have by joins on that key, any other by counting equal rows.  Values are compared as they are
 * stored, so that a change of case is one whatever the collation says.
 */

#include "dbdump/mariadb_conn.h"

/* mariadb_diff(conn, from, to, prefix, report, arg, err): See dbdriver.h.  ${conn} is used up: it
 * has a view of its own and speaks in bytes afterwards. */
int mariadb_diff(struct mariadb_conn *conn, const char *from, const char *to, const char *prefix,
                 db_row_report report, void *arg, struct err *err) MUST_CHECK;

#endif
