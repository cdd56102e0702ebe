/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_VIEW_H
#define DBDUMP_POSTGRES_VIEW_H

/*
 * A consistent view of a schema: a transaction with an exported snapshot.
 *
 * Writers are held by SHARE locks on the tables, in a session of its own: readers, and SELECT FOR
 * UPDATE, go on; INSERT, UPDATE, DELETE, TRUNCATE wait.  The locks are asked for briefly and again,
 * so that whoever comes behind us in a table's queue waits for an instant only.  The server itself
 * ends that session at the deadline (idle_in_transaction_session_timeout), whether this process
 * runs, is stopped or is gone.
 *
 * The view has ACCESS SHARE locks until it is closed: rows are written, but tables are not altered,
 * truncated or dropped while they are copied.  A sequence has no snapshot; its value is read in the
 * hold, so it is never behind the rows.
 */

#include "dbdump/postgres_objects.h"

struct postgres_table {
        uint32_t oid;
        char *schema, *name, *owner;
        char *columns;  /* quoted, comma between; without what is generated */
        char *selected; /* the same as expressions that another schema's types take */
        uint64_t bytes, rows;
        bool forced;    /* policies hold for the owner too */
        bool generated; /* an expression is evaluated for every row that is put in */
};

struct postgres_sequence {
        char *schema, *name, *value;
        bool called;
};

struct postgres_view {
        struct postgres_link *lock; /* NULL: nobody is held */
        struct postgres_link *look; /* NULL: its transaction has ended, after a copy */
        struct postgres_scope scope;
        char *name; /* the schema as the caller calls it */
        char snapshot[64];
        struct postgres_table *tables; /* largest first */
        size_t n_tables;
        struct postgres_sequence *sequences;
        size_t n_sequences;
        uint64_t large;     /* objects that are in no table, of a database that was copied */
        char *told;         /* its fingerprint, as soon as a copy was made; else NULL */
        int64_t until_usec; /* the hold's deadline; 0: none */
};

/* What to look at. */
struct postgres_source {
        const struct postgres_server *server;
        const char *database;
        const char *schema; /* NULL: all of the database */
        const char *name;   /* for messages */
        const char *prefix;
};

/* postgres_view_open(source, deadline_msec, ret_view, err): 0 holds nobody.  ERR_BUSY: writers did
 * not let us in before the deadline.  ERR_NOT_FOUND. */
int postgres_view_open(const struct postgres_source *source, unsigned deadline_msec,
                       struct postgres_view **ret_view, struct err *err) MUST_CHECK;

/* postgres_view_release(view, err): Writers go on.  ERR_TIMEOUT: they do since the deadline. */
int postgres_view_release(struct postgres_view *view, struct err *err) MUST_CHECK;
void postgres_view_close(struct postgres_view *view); /* NULL is fine */

/* postgres_view_tables(view, err): Fill in view->tables, if they are not: locked tables keep their
 * columns, so that need not be done while writers wait. */
int postgres_view_tables(struct postgres_view *view, struct err *err) MUST_CHECK;

/* postgres_view_alike(link, view, err): Has the database that ${link} is connected to the view's
 * tables, with their columns, and an expression for every row only where the view's has one?
 * ERR_REFUSED names the first that differs. */
int postgres_view_alike(struct postgres_link *link, const struct postgres_view *view,
                        struct err *err) MUST_CHECK;

/* postgres_view_send(link, schema, name, columns, err): Begin to send the rows of a table
 * (PGRES_COPY_OUT); ${columns} are quoted, none for those without any.  All rows of tenants are
 * read in this way: planning a SELECT would call functions in the table's indexes and statistics,
 * as us. */
int postgres_view_send(struct postgres_link *link, const char *schema, const char *name,
                       const char *columns, struct err *err) MUST_CHECK;

/* postgres_view_count(link, view, schema, err): Do the tables of ${schema} (NULL: of their own
 * names) have the rows of the view?  ERR_CORRUPT names the first that has not. */
int postgres_view_count(struct postgres_link *link, const struct postgres_view *view,
                        const char *schema, struct err *err) MUST_CHECK;

/* postgres_view_recount(link, view, err): What ${link} sees there is what the view has. */
int postgres_view_recount(struct postgres_link *link, struct postgres_view *view,
                          struct err *err) MUST_CHECK;

/* postgres_restrict(link, err): From now on a table that somebody has turned into a view is refused
 * by the server, as its functions would run with our rights.  ERR_UNSUPPORTED: the server is too
 * old to (before 13.16, 14.13, 15.8, 16.4). */
int postgres_restrict(struct postgres_link *link, struct err *err) MUST_CHECK;

#endif
