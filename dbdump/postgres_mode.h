/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_MODE_H
#define DBDUMP_POSTGRES_MODE_H

/*
 * Read-only and writable.
 *
 * Who owns a table can always give himself what was revoked, so a kept copy belongs to another
 * role, "NAME_kept" for the site's user NAME: it cannot log in and has no right but to these
 * copies.  It is never us: a table's owner is whose rights the functions in its indexes have, and a
 * view's owner whose rights it reads with.  Functions that are SECURITY DEFINER stay their owner's,
 * who can only read now.  What was before stands in the comment of the schema (and of the database)
 * as JSON, which nobody but the owner can change, and is given back from there.
 */

#include "dbdump/postgres_link.h"

/* postgres_mode_set(link, schema, database, app_user, writable, err): ${link} is to the database.
 * ${schema} NULL: all of the database ${database}, and it too.  What is so already stays.
 * ERR_DENIED names the missing role with the statements that make it. */
int postgres_mode_set(struct postgres_link *link, const char *schema, const char *database,
                      const char *app_user, bool writable, struct err *err) MUST_CHECK;

/* postgres_mode_thaw(link, schema, database, app_user, err): A copy of a kept copy is writable: the
 * same in the caller's transaction, for ${schema} (NULL: all of them), or for ${database} itself if
 * it is not NULL.  Without ${app_user} nothing is kept. */
int postgres_mode_thaw(struct postgres_link *link, const char *schema, const char *database,
                       const char *app_user, struct err *err) MUST_CHECK;

/* postgres_mode_keeper(app_user, name): The role. */
void postgres_mode_keeper(const char *app_user, char name[static 64]);

#endif
