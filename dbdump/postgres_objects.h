/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_OBJECTS_H
#define DBDUMP_POSTGRES_OBJECTS_H

/*
 * What a schema holds, as the statements that make it anew.
 *
 * The server writes them (postgres_kinds.h has the questions), with the source schema as the only
 * one that is searched: names that lie in it come out bare, and mean the copy where the copy is
 * searched instead.  Bodies of functions are text and are re-pointed as text (postgres_repoint.h).
 */

#include <stddef.h>
#include <stdint.h>

#include "dbdump/postgres_link.h"

enum postgres_phase {
        POSTGRES_BEFORE, /* before the rows */
        POSTGRES_TABLE,  /* keys and indexes of one table, with its rows there */
        POSTGRES_AFTER,  /* with all rows in their place */
        POSTGRES_GRANT,  /* who may what; not part of a fingerprint */
        POSTGRES_TELL,   /* only for fingerprints */
};

struct postgres_object {
        const char *kind; /* "table" */
        enum postgres_phase phase;
        char *name, *owner, *statement;
        uint32_t table; /* of POSTGRES_TABLE */
        bool done;
};

struct postgres_objects {
        struct postgres_object *list;
        size_t n;
};

/* Where to look, and what the result is made for. */
struct postgres_scope {
        char *oids;         /* of the schemas: "{2200,16385}" */
        const char *prefix; /* of the tables that count; NULL: all */
        char *schema;       /* the one that is copied; NULL: all of a database, as they are named */
        char *path;         /* what is searched meanwhile: the schema quoted, or "" */
};

/* postgres_scope_find(link, schema, prefix, ret_scope, err): ${schema} as one of the connection's
 * database, or NULL for all that are no system's and no extension's.  ERR_NOT_FOUND. */
int postgres_scope_find(struct postgres_link *link, const char *schema, const char *prefix,
                        struct postgres_scope *ret_scope, struct err *err) MUST_CHECK;
void postgres_scope_done(struct postgres_scope *scope);

/* postgres_objects_read(link, scope, target, last, ret_objects, err): In the order to make them in;
 * they go into the schema ${target} (NULL: one of their old name), bodies say ${last} where they
 * said the schema's name.  ERR_UNSUPPORTED names what cannot be copied. */
int postgres_objects_read(struct postgres_link *link, const struct postgres_scope *scope,
                          const char *target, const char *last,
                          struct postgres_objects *ret_objects, struct err *err) MUST_CHECK;
void postgres_objects_done(struct postgres_objects *objects);

/* postgres_objects_text(objects, ret_text, err): The fingerprint: a line for each, sorted.  The
 * caller frees. */
int postgres_objects_text(const struct postgres_objects *objects, char **ret_text,
                          struct err *err) MUST_CHECK;

#endif
