/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_OWNERS_H
#define DBDUMP_POSTGRES_OWNERS_H

/*
 * Whose rights a copy is made with.
 *
 * The statements of an object are run as its owner (postgres_tenant.h), and what is beside it in
 * the schema has a say in what they mean.  So whoever may make something in the schema gets what
 * its owners may: among those of a site that is nothing new, but an administrator's view or
 * function would lend him the server.
 */

#include "dbdump/postgres_objects.h"

/* postgres_owners_check(link, scope, app_user, err): Does anything belong to a role that may do
 * more on the server than ${app_user} may (NULL: than anybody), or is one in it: an administrator,
 * who may make roles, pass by policies, replicate, or what the server's own roles pg_* may?  Our
 * own role counts, as it is let into those of other sites.  ERR_REFUSED names the object and the
 * statement that gives it to the site's user. */
int postgres_owners_check(struct postgres_link *link, const struct postgres_scope *scope,
                          const char *app_user, struct err *err) MUST_CHECK;

#endif
