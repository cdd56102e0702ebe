/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_MARK_H
#define DBDUMP_MARIADB_MARK_H

/*
 * Copies that are not whole.
 *
 * A database cannot be renamed, so a copy is made under its own name and has a mark as long as it
 * is being made or dropped: an empty table of that name in the schema "snap0_sitesnap", which is
 * no copy's name (serials begin at 1) and is covered by the same grant.  The mark is outside the
 * copy, so an application never sees it, and it stands before the copy's first byte and until its
 * last one is gone.
 *
 * Making and dropping the mark are DDL, which InnoDB writes through to the disk whatever
 * innodb_flush_log_at_trx_commit says, and with it all that was committed before.
 */

#include "dbdump/mariadb_conn.h"

#define MARIADB_MARKS "snap0_sitesnap"

/* mariadb_mark_set(conn, name, err), mariadb_mark_clear(conn, name, err): Repeatable. */
int mariadb_mark_set(struct mariadb_conn *conn, const char *name, struct err *err) MUST_CHECK;
int mariadb_mark_clear(struct mariadb_conn *conn, const char *name, struct err *err) MUST_CHECK;

/* mariadb_mark_schema(conn, name, ret_there, ret_whole, err): Is there a schema of this name, and
 * has it no mark? */
int mariadb_mark_schema(struct mariadb_conn *conn, const char *name, bool *ret_there,
                        bool *ret_whole, struct err *err) MUST_CHECK;

/* mariadb_mark_need(conn, name, err): ERR_NOT_FOUND unless it is there and whole. */
int mariadb_mark_need(struct mariadb_conn *conn, const char *name, struct err *err) MUST_CHECK;

/* mariadb_mark_remove(conn, name, err): The schema and its mark are gone, in this order; what a
 * connection of a killed process still does there is ended first. */
int mariadb_mark_remove(struct mariadb_conn *conn, const char *name, struct err *err) MUST_CHECK;

#endif
