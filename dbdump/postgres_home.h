/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_HOME_H
#define DBDUMP_POSTGRES_HOME_H

/*
 * Where a copy is put together: a schema "snap7.partial" of the database, or a database of that
 * name.
 *
 * The owners of the objects may make things in the schema meanwhile, as their statements are run
 * with their rights; nothing is run there with ours.  A database is ours until the end, and nobody
 * else may connect to it.  Owner and rights are given together with the name, in one transaction.
 */

#include "dbdump/postgres_build.h"
#include "dbdump/postgres_view.h"

struct postgres_home {
        const struct postgres_server *server; /* with the purpose of this copy */
        const char *database;                 /* NULL: the home is a database */
        const char *app_user;                 /* of the site, or NULL */
        char name[DB_NAME_MAX];
        struct postgres_link *admin; /* to the database, or the one for maintenance */
};

/* postgres_home_partial(copy, name): "snap7.partial" for "snap7_shop".
 * postgres_home_purpose(copy, name): What sessions that make this copy call themselves. */
void postgres_home_partial(const char *copy, char name[static DB_NAME_MAX]);
void postgres_home_purpose(const char *copy, char name[static 64]);

/* postgres_home_orphans(link, copy, err): End sessions that a process which is gone left at this
 * copy; there is one operation on a copy at a time.  ERR_TIMEOUT: they do not end. */
int postgres_home_orphans(struct postgres_link *link, const char *copy, struct err *err) MUST_CHECK;

/* postgres_home_remove(link, in_database, name, err): It is gone with all that is in it.
 * ERR_REFUSED: something elsewhere depends on it. */
int postgres_home_remove(struct postgres_link *link, bool in_database, const char *name,
                         struct err *err) MUST_CHECK;

/* postgres_home_make(home, view, ret_place, err): Make it, with the schemas and extensions that the
 * objects of the view lie in.  ret_place->link is home->admin, or the caller's to close. */
int postgres_home_make(struct postgres_home *home, const struct postgres_view *view,
                       struct postgres_place *ret_place, struct err *err) MUST_CHECK;

/* postgres_home_finish(home, view, place, name, err): It has its owner, its rights and its name,
 * instead of the copy that had that name; ERR_UNSUPPORTED: an object in it points at the live
 * schema.  Closes place->link if that is not home->admin. */
int postgres_home_finish(struct postgres_home *home, const struct postgres_view *view,
                         struct postgres_place *place, const char *name,
                         struct err *err) MUST_CHECK;

/* postgres_home_rights(view, name, ret_sql, err): Statements that give the database ${name} the
 * owner and rights of the view's.  The caller frees. */
int postgres_home_rights(const struct postgres_view *view, const char *name, char **ret_sql,
                         struct err *err) MUST_CHECK;

/* postgres_home_publish(admin, rights, partial, name, app_user, err): The database ${partial}, in
 * which nobody is, has those rights and its name, instead of the copy that had that name. */
int postgres_home_publish(struct postgres_link *admin, const char *rights, const char *partial,
                          const char *name, const char *app_user, struct err *err) MUST_CHECK;

#endif
