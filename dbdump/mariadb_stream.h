/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_STREAM_H
#define DBDUMP_MARIADB_STREAM_H

/*
 * Rows from the views into the copy, several tables at a time in one process.
 *
 * A stream is a view to read from and a connection to write to.  While the server works on one
 * stream's INSERT, the next one's rows are read: the streams' statements are under way together,
 * and nobody waits but in poll(2).  An INSERT has about a megabyte of rows, and no client holds
 * more than two of them.
 *
 * LOAD DATA LOCAL is not used: it lets the server ask for any file of ours, and has to be allowed
 * on both sides.
 *
 * A row that is too large for one statement does not pass through here at all: it goes from the
 * view into variables of its session and from there into the copy (max_allowed_packet does not
 * bound that), after all others, as the view ends with it.
 *
 * unique_checks stays on: without it InnoDB buffers what it then has to merge, measured 3 times
 * slower.  Plain secondary keys of tables that are worth it are made in one ALTER afterwards.
 */

#include "dbdump/mariadb_copy.h"

/* mariadb_stream_tables(copy, err): Make every table of the hold in copy->to, with its rows. */
int mariadb_stream_tables(struct mariadb_copy *copy, struct err *err) MUST_CHECK;

#endif
