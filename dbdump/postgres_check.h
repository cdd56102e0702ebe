/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_CHECK_H
#define DBDUMP_POSTGRES_CHECK_H

/*
 * What has to be so before a schema can be copied.
 */

#include "dbdump/postgres_objects.h"

/* postgres_check_server(link, err): New enough, writable, and with the language that statements of
 * owners are run in. */
int postgres_check_server(struct postgres_link *link, struct err *err) MUST_CHECK;

/* postgres_check_grants(link, scope, app_user, err): May we do what copying needs?  ERR_DENIED has
 * the statements that an administrator runs, all of them.  ${app_user} may be NULL. */
int postgres_check_grants(struct postgres_link *link, const struct postgres_scope *scope,
                          const char *app_user, struct err *err) MUST_CHECK;

/* postgres_check_objects(link, scope, err): Is there anything that no copy would have?
 * ERR_UNSUPPORTED names the first. */
int postgres_check_objects(struct postgres_link *link, const struct postgres_scope *scope,
                           struct err *err) MUST_CHECK;

/* postgres_check_copy(link, scope, app_user, err): The same, and may its owners' statements be run
 * (postgres_owners.h)? */
int postgres_check_copy(struct postgres_link *link, const struct postgres_scope *scope,
                        const char *app_user, struct err *err) MUST_CHECK;

/* postgres_check_dump(link, scope, err): The objects of a dump, which is without some more. */
int postgres_check_dump(struct postgres_link *link, const struct postgres_scope *scope,
                        struct err *err) MUST_CHECK;

#endif
