/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_OBJECTS_H
#define DBDUMP_MARIADB_OBJECTS_H

/*
 * What a schema holds besides tables with rows: routines, views, triggers, events.
 *
 * Nothing of it may reach back to the schema that it was copied from.  A view's text is written by
 * the server, and names in it are re-pointed; bodies of routines, triggers and events are texts of
 * a tenant: one that has the name of its own schema before a dot is refused by name, as what it
 * writes to cannot be told for certain.
 *
 * Each object keeps its DEFINER.  Never is it this account of ours instead, which may write to
 * other sites' copies: a body of a tenant would run with that right.  A DEFINER that is gone is
 * refused by the object's name.
 *
 * Events sleep in the copy: one that is enabled in the original is DISABLE ON SLAVE here, until
 * mariadb_objects_wake().
 */

#include "dbdump/mariadb_conn.h"

/* One, as a statement in the current schema. */
struct mariadb_object {
        const char *kind, *name, *definer;
        /* What the statement is parsed with; NULL: as every session of ours has it. */
        const char *sql_mode, *charset, *collation, *zone;
        struct mariadb_sql *sql;
};

/* mariadb_object_make(conn, object, err): Make it in the current schema of ${conn}, which is as
 * before afterwards, unless it fails.  ERR_REFUSED: its DEFINER is gone. */
int mariadb_object_make(struct mariadb_conn *conn, const struct mariadb_object *object,
                        struct err *err) MUST_CHECK;

/* mariadb_object_reset(conn, err): The session is as every one of ours, after a failure. */
int mariadb_object_reset(struct mariadb_conn *conn, struct err *err) MUST_CHECK;

/* mariadb_objects_read(conn, schema, prefix, put, arg, err): Hand over each, in an order in which
 * they can be made but for views, which may stand on later ones.  Names of the schema's own things
 * are bare.  ERR_REFUSED names one that could not but reach back. */
typedef int (*mariadb_object_put)(const struct mariadb_object *object, void *arg, struct err *err);
int mariadb_objects_read(struct mariadb_conn *conn, const char *schema, const char *prefix,
                         mariadb_object_put put, void *arg, struct err *err) MUST_CHECK;

/* mariadb_objects_copy(conn, from, to, prefix, err): Afterwards all of them are in ${to}, which
 * has the tables already.  ERR_REFUSED and ERR_DENIED name the object; with ERR_DENIED the GRANT
 * that helps. */
int mariadb_objects_copy(struct mariadb_conn *conn, const char *from, const char *to,
                         const char *prefix, struct err *err) MUST_CHECK;

/* mariadb_objects_wake(conn, schema, awake, err): Its events run, or sleep. */
int mariadb_objects_wake(struct mariadb_conn *conn, const char *schema, bool awake,
                         struct err *err) MUST_CHECK;

#endif
