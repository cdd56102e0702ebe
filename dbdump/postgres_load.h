/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_LOAD_H
#define DBDUMP_POSTGRES_LOAD_H

/*
 * A copy made of a dump (postgres_dump.h), whoever wrote it.
 *
 * What a statement of a dump may do is what a role may do that has nothing but the half-made copy:
 * NAME_load of the site's user NAME, which cannot log in.  They are run by the server's own fence
 * (postgres_tenant.h) as that role.  Rows come in as text, into a table that has no types, no
 * defaults and no triggers of anybody's, and go from there where they belong with the role's rights
 * too.  At the end all of it is the site's user's; if the role has anything elsewhere by then, the
 * dump is refused and that is dropped.
 *
 * It is made as "snap7.partial", as every copy.
 */

#include "dbdump/postgres_link.h"

struct postgres_load; /* takes the dump's bytes in whatever pieces they come */

/* postgres_load_begin(server, database, to, app_user, ret_load, err): ERR_DENIED: there is no
 * app_user, or no such role and no right to make it, with the statements that do.
 * postgres_load_feed(load, bytes, n, err), postgres_load_end(load, err): Behind the last byte ${to}
 * is whole.  ERR_CORRUPT, ERR_REFUSED: this is no dump.
 * postgres_load_done(load): Free; what is not whole is dropped. */
int postgres_load_begin(const struct postgres_server *server, const char *database, const char *to,
                        const char *app_user, struct postgres_load **ret_load,
                        struct err *err) MUST_CHECK;
int postgres_load_feed(struct postgres_load *load, const void *bytes, size_t n,
                       struct err *err) MUST_CHECK;
int postgres_load_end(struct postgres_load *load, struct err *err) MUST_CHECK;
void postgres_load_done(struct postgres_load *load); /* NULL is fine */
DEFINE_CLEANUP(struct postgres_load *, postgres_load_done);

#endif
