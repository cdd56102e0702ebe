/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_ROWS_H
#define DBDUMP_SQLITE_ROWS_H

/*
 * What a database is made of, and which rows two databases of one name do not have alike.  Runs in
 * the helper process, as sqlite_view.h does.
 *
 * Rows go out as a stream of records; numbers are as they lie in memory, since both ends are this
 * program:
 *
 *   'T' columns, keys (u32 each), then the table's and the columns' names
 *   'R' change (u32), then for each side that has the row (from, to) its values
 *
 * A text is a u32 and so many bytes; a value is a u64, SQLITE_ROWS_NULL for SQL's NULL, and so many
 * bytes.
 */

#include <stdint.h>
#include <stdio.h>

#include "dbdump/sqlite_view.h"

#define SQLITE_ROWS_NULL UINT64_MAX

/* sqlite_rows_fingerprint(view, fd, err): Write a line for each table, column, index, view and
 * trigger of the view's database. */
int sqlite_rows_fingerprint(struct sqlite_view *view, int fd, struct err *err) MUST_CHECK;

/* sqlite_rows_diff(view, other_fd, to_fd, err): Write the rows in which the database of the same
 * name in the directory ${other_fd} differs from the view's.  Each table is compared at an instant
 * of its own: a transaction over all of them would keep the writers of a database that is not in
 * WAL mode waiting for that long. */
int sqlite_rows_diff(struct sqlite_view *view, int other_fd, int to_fd, struct err *err) MUST_CHECK;

#endif
