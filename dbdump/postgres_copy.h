/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_COPY_H
#define DBDUMP_POSTGRES_COPY_H

/*
 * A copy of a view: made as "snap7.partial", and renamed to "snap7_shop" when it is whole.
 */

#include "dbdump/postgres_view.h"

#define POSTGRES_MAINTENANCE "postgres" /* where databases are made and dropped from */

struct postgres_copy {
        const struct postgres_server *server;
        const char *database; /* the schemas' one; NULL: a copy is a database */
        struct postgres_view *view;
        const char *from, *to;
        const char *app_user; /* NULL: nothing is kept */
        unsigned streams;
        db_report report;
        void *arg;
};

/* postgres_copy_make(copy, err): After it ${to} is there, whole and durably, instead of an older
 * copy of that name.  When it fails, nothing is left of it, if the server still answers; else the
 * next copy or drop takes it away.  view->told is set, for a comparison. */
int postgres_copy_make(struct postgres_copy *copy, struct err *err) MUST_CHECK;

/* postgres_copy_drop(server, database, name, whole, err): Drop what is half-made for the copy
 * ${name}, and with ${whole} the copy; end the sessions that an earlier process left at it.
 * ERR_REFUSED: something outside of the copy depends on it. */
int postgres_copy_drop(const struct postgres_server *server, const char *database, const char *name,
                       bool whole, struct err *err) MUST_CHECK;

/* postgres_copy_tell(view, target, err): Set view->told, of a schema ("_") or a database (NULL). */
int postgres_copy_tell(struct postgres_view *view, const char *target, struct err *err) MUST_CHECK;

/* postgres_copy_exists(link, in_database, name, ret_exists, err): Is there a schema, or a database,
 * of that name? */
int postgres_copy_exists(struct postgres_link *link, bool in_database, const char *name,
                         bool *ret_exists, struct err *err) MUST_CHECK;

#endif
