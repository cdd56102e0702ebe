/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_KINDS_H
#define DBDUMP_POSTGRES_KINDS_H

/*
 * The kinds of objects, in the order in which they are made.
 *
 * A question has the parameters $1 the schemas' oids, $2 the schema that the statements are for
 * (NULL: the object's own), $3 the prefix of names (NULL: all), $4 what to search.  It answers with
 * name, owner, oid of the table, statement.
 *
 * The path is set by the statement itself, which has been parsed by then: a schema of a stranger
 * is searched by the functions that print names, never for a name in a statement of ours.
 */

#include "dbdump/postgres_objects.h"

struct postgres_kind {
        const char *name;
        enum postgres_phase phase;
        const char *sql;
};

extern const struct postgres_kind postgres_kinds[]; /* ends with a NULL name */

/* What cannot be copied: one column, a description for a person.  Same parameters. */
extern const char postgres_kinds_unsupported[];

#endif
