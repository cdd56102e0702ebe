/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_DUMP_H
#define DBDUMP_MARIADB_DUMP_H

/*
 * A schema as text.
 *
 * A dump is a file of SQL that the server's own client reads as well (mariadb --binary-mode NAME),
 * so that nobody needs sitesnap to get at what is in an archive.  Before each statement stands a
 * line that says of what kind it is and how many bytes it has: the reader (mariadb_load.h) never
 * has to look for its end.
 *
 *   -- sitesnap:schema 52      CREATE'd with this character set
 *   -- sitesnap:table 812      CREATE TABLE or SEQUENCE; names are bare, so that they mean wherever
 *                              it is loaded
 *   -- sitesnap:rows 1048570   INSERT of constants into the table before; about a megabyte
 *   -- sitesnap:value 8388640  SET @v1 = ...: of a row that is too long for one statement, a piece
 *   -- sitesnap:context 130    what the next object is parsed with
 *   -- sitesnap:object 300     a routine, view, trigger, event
 *   -- sitesnap:end 12 34567 8 tables, rows, objects; the last line
 *
 * mariadb-dump is not used: it has no way to read in views that were opened in a hold, its text has
 * no boundaries, and its reader runs whatever stands in it with the rights of whoever logs in.
 */

#include "dbdump/mariadb_hold.h"

/* The beginning, which the reader takes as it is or not at all. */
extern const char mariadb_dump_head[];
#define MARIADB_DUMP_MARK "-- sitesnap:"
#define MARIADB_DUMP_TAIL ";;\n"

struct mariadb_dump {
        struct mariadb_conn *control; /* its current schema changes */
        struct mariadb_hold *hold;
        const char *prefix; /* or NULL */
        db_sink sink;
        void *arg;
        uint64_t tables, rows, objects;
};

/* mariadb_dump_make(dump, err): All that the views of the hold see went to the sink.  The first
 * view is read up.  ERR_BUSY: the schema was changed meanwhile, so that it is of no use. */
int mariadb_dump_make(struct mariadb_dump *dump, struct err *err) MUST_CHECK;

#endif
