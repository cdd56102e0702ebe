/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_VIEW_H
#define DBDUMP_SQLITE_VIEW_H

/*
 * One database, held still and read.  The only files that call SQLite on a tenant's bytes are
 * this one, sqlite_rows.c and sqlite_worker.c, and all run in the helper process (sqlite_helper.h).
 *
 * A view has two connections.  The *writer* holds BEGIN IMMEDIATE: nobody else writes until it is
 * released.  The *reader* began its read transaction meanwhile.  In WAL mode that pins the
 * instant, and stays after the release at no cost to writers; in a rollback-journal mode a reader
 * keeps writers from committing, so it ends with the hold.
 */

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct sqlite_view {
        char name[NAME_MAX + 1];
        int dir_fd;
        sqlite3 *writer; /* NULL when released or never asked for */
        sqlite3 *reader;
        int64_t deadline_usec; /* boot clock, until when a lock is waited for */
        bool held;             /* opened with a writer: others may write once it is released */
        bool wal;
};

/* Called now and then during long work; -1 stops it. */
typedef int (*sqlite_tick)(uint64_t bytes_done, uint64_t bytes_all, void *arg, struct err *err);

/* sqlite_view_init(err): Make this process ready to read a stranger's database: paths are taken
 * as they are, memory is limited.  Once, before the first view. */
int sqlite_view_init(struct err *err) MUST_CHECK;

/* sqlite_view_open(dir_fd, name, with_writer, view, err): Open the database ${name} and read its
 * schema, which also rolls back what a crashed writer left.  ${dir_fd} stays the caller's, as long
 * as the view.  ERR_CORRUPT, ERR_DENIED, ERR_BUSY.  On failure too the caller closes the view. */
int sqlite_view_open(int dir_fd, const char *name, bool with_writer, int64_t deadline_usec,
                     struct sqlite_view *view, struct err *err) MUST_CHECK;

/* sqlite_view_begin(view, err): Shut out writers, if there is a writer connection, and begin the
 * reader's instant.  ERR_BUSY: not before the deadline. */
int sqlite_view_begin(struct sqlite_view *view, struct err *err) MUST_CHECK;

/* sqlite_view_back_off(view): As if it had not begun; it can begin again. */
void sqlite_view_back_off(struct sqlite_view *view);

/* sqlite_view_release(view): Writers go on.  The instant stays in WAL mode, and where nobody had
 * to be held. */
void sqlite_view_release(struct sqlite_view *view);

/* sqlite_view_close(view): End it in any state; a zeroed view is fine. */
void sqlite_view_close(struct sqlite_view *view);

/* sqlite_view_facts(view, count, fd, tick, arg, err): Write a line for each object: database,
 * type, name, number of rows (when ${count}, else "-") and text, control characters shown as
 * \xNN.  Equal views give equal lines. */
int sqlite_view_facts(struct sqlite_view *view, bool count, int fd, sqlite_tick tick, void *arg,
                      struct err *err) MUST_CHECK;

/* sqlite_view_copy(view, to_fd, tick, arg, err): Write the instant into a file of the same name
 * in the directory ${to_fd}, page by page through the reader. */
int sqlite_view_copy(struct sqlite_view *view, int to_fd, sqlite_tick tick, void *arg,
                     struct err *err) MUST_CHECK;

/* sqlite_view_integrity(view, tick, arg, err): PRAGMA quick_check.  ERR_CORRUPT quotes its first
 * finding. */
int sqlite_view_integrity(struct sqlite_view *view, sqlite_tick tick, void *arg,
                          struct err *err) MUST_CHECK;

/* sqlite_view_settle(dir_fd, name, wal, durable, err): Put a database that nobody uses in WAL mode
 * or in DELETE mode with everything in the one file: no -wal, -shm or -journal stays beside it.
 * Unless ${durable} the caller syncs that.  ERR_BUSY: somebody does use it. */
int sqlite_view_settle(int dir_fd, const char *name, bool wal, bool durable,
                       struct err *err) MUST_CHECK;

#endif
