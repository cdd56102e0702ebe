/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SQL_FILE_H
#define SNAPD_SQL_FILE_H

/*
 * A SQLite file of records in the state directory, and its schema.
 *
 * WAL and synchronous=FULL: with NORMAL 26 of 60 power cuts lost acknowledged commits.  Several
 * processes open a file at once; whoever wants to write waits for at most 10 s.
 */

#include <stddef.h>
#include <stdint.h>

#include "snapd/sql.h"

/* sql_file_open(dir_fd, name, ret_db, err): Open ${name} in ${dir_fd}, making it (root's, 0600)
 * when there is none.  Give the connection to sql_close().  ERR_REFUSED: others may read or change
 * the file. */
int sql_file_open(int dir_fd, const char *name, sqlite3 **ret_db, struct err *err) MUST_CHECK;

/* sql_file_sync(db, err): A connection's first commit syncs its log and, in case it has made that,
 * the directory (SQLite 3.40, os_unix.c, UNIXFILE_DIRSYNC).  Whoever waits for work does it before;
 * then the first commit is one sync, as every other. */
int sql_file_sync(sqlite3 *db, struct err *err) MUST_CHECK;

/* Scripts that were released are never changed; a change of the schema is one more of them. */
struct sql_schema {
        uint32_t application_id; /* what file(1) sees in the header */
        const char *what;        /* "a catalog", for messages */
        const char *const *scripts;
        size_t n;
};

/* sql_schema_update(db, schema, err): Bring a new or an older file up to date, whole or not at all.
 * ERR_CORRUPT: the file is something else; ERR_UNSUPPORTED: it is of a newer sitesnap. */
int sql_schema_update(sqlite3 *db, const struct sql_schema *schema, struct err *err) MUST_CHECK;

#endif
