/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_CHARSET_H
#define DBDUMP_MARIADB_CHARSET_H

/*
 * Texts of objects in the character set that they were written in.
 *
 * A server shows each in ours, which is UTF-8, and reads it in the client's of the time when it was
 * written, which belongs to the object.
 */

#include "dbdump/mariadb_conn.h"

/* mariadb_charset_encode(conn, sql, charset, err): ${sql}, from UTF-8 into ${charset}.
 * ERR_UNSUPPORTED: that has not all of its characters.  mariadb_charset_decode(conn, text, charset,
 * ret_text, err): The other way, into what the caller frees. */
int mariadb_charset_encode(struct mariadb_conn *conn, struct mariadb_sql *sql, const char *charset,
                           struct err *err) MUST_CHECK;
int mariadb_charset_decode(struct mariadb_conn *conn, const char *text, const char *charset,
                           char **ret_text, struct err *err) MUST_CHECK;

#endif
