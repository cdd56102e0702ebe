/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_LOAD_OBJECT_H
#define DBDUMP_MARIADB_LOAD_OBJECT_H

/*
 * The routines, views, triggers and events of a dump that is loaded.
 *
 * They become the site's own user's, whoever they belonged to, and a text that has the name of
 * another schema of this server before a dot is refused: nobody can tell what it would do there.
 */

#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_policy.h"

struct mariadb_load_objects {
        struct mariadb_conn *conn; /* the copy is its current schema */
        const char *to, *app_user; /* NULL: there is none whose they could be */
        /* Views stand on others, so that they wait until all have come. */
        struct mariadb_load_view {
                char *name;
                struct mariadb_sql sql;
                struct mariadb_policy_context context;
        } * views;
        size_t n, bytes;
};

/* mariadb_load_object(objects, sql, context, err): Make what ${sql} says, or if it is a view keep
 * it for mariadb_load_views(objects, err), which makes all that were kept.  ERR_REFUSED names it.
 */
int mariadb_load_object(struct mariadb_load_objects *objects, const struct mariadb_sql *sql,
                        const struct mariadb_policy_context *context, struct err *err) MUST_CHECK;
int mariadb_load_views(struct mariadb_load_objects *objects, struct err *err) MUST_CHECK;
void mariadb_load_objects_done(struct mariadb_load_objects *objects);

#endif
