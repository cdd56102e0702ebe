/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_FINGERPRINT_H
#define DBDUMP_MARIADB_FINGERPRINT_H

/*
 * A schema's objects as sorted lines of text (dbdriver.h).  What says nothing about the objects
 * is left out: counters, sizes, times, an event's status, and the schema's own name where the
 * server writes it.
 */

#include "dbdump/mariadb_conn.h"

/* mariadb_fingerprint(conn, schema, prefix, ret_text, err): Of the objects whose tables, or own
 * names, begin with ${prefix}; NULL: all.  The caller frees. */
int mariadb_fingerprint(struct mariadb_conn *conn, const char *schema, const char *prefix,
                        char **ret_text, struct err *err) MUST_CHECK;

/* mariadb_fingerprint_differs(a, b, line, size): The first line that only one of the two has goes
 * to ${line}, cut to fit; false: they are equal. */
bool mariadb_fingerprint_differs(const char *a, const char *b, char *line, size_t size);

#endif
