/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_DUMP_H
#define DBDUMP_POSTGRES_DUMP_H

/*
 * A schema, or a database, as a stream that postgres_load.h reads.
 *
 * It is a constant line and then records: a line of a word and five numbers, then three texts,
 * which have as many bytes as the first three numbers say, then a newline.  Nobody has to look for
 * the end of anything.
 *
 *   database   encoding, collation, character type      only where a schema is a database
 *   locale     provider, locale, rules                  the same, where it has one
 *   schema     name                                     the same
 *   extension  name, schema, version                    the same
 *   object     kind, name, statement; phase, table      in an order in which they can be made
 *   table      schema, name; number, columns
 *   rows       a piece of the table's rows, as COPY has them; rows may go over the piece's end
 *   sequence   schema, name, value; called
 *   end        tables, rows
 *
 * Where a schema is copied, statements have POSTGRES_DUMP_HERE for its name, and bodies of
 * functions POSTGRES_DUMP_THERE: the one is where it is made, the other what it will be called.
 *
 * Owners and grants are not in it: what is loaded is the site's user's.
 */

#include "dbdump/postgres_view.h"

extern const char postgres_dump_head[];
#define POSTGRES_DUMP_HERE  "sitesnap.here"
#define POSTGRES_DUMP_THERE "sitesnap_there"

/* postgres_dump_make(server, database, view, sink, arg, err): All that the view sees went to the
 * sink.  ${database}: the one in which schemas lie; NULL: the view is of a database.  view->told
 * and the numbers of rows are set, for a comparison. */
int postgres_dump_make(const struct postgres_server *server, const char *database,
                       struct postgres_view *view, db_sink sink, void *arg,
                       struct err *err) MUST_CHECK;

#endif
