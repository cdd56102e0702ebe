/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_LOAD_H
#define DBDUMP_MARIADB_LOAD_H

/*
 * A copy made of a dump (mariadb_dump.h), whoever wrote it.
 *
 * Nothing is run but what mariadb_policy.h lets through.  What a copy is as long as it is made says
 * mariadb_mark.h.
 */

#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_sql.h"

struct mariadb_load; /* takes the dump's bytes in whatever pieces they come */

/* mariadb_load_begin(login, to, app_user, ret_load, err): An empty schema with a mark, instead of
 * what was there half-made.  ERR_EXISTS, ERR_INVALID: ${to} is no name of ours.
 * mariadb_load_feed(load, bytes, n, err): The next bytes.  ERR_CORRUPT, ERR_REFUSED: they are no
 * part of a dump.
 * mariadb_load_end(load, err): Behind the last byte: ${to} is whole.
 * mariadb_load_done(load): Free; what is not whole is dropped. */
int mariadb_load_begin(const struct mariadb_login *login, const char *to, const char *app_user,
                       struct mariadb_load **ret_load, struct err *err) MUST_CHECK;
int mariadb_load_feed(struct mariadb_load *load, const void *bytes, size_t n,
                      struct err *err) MUST_CHECK;
int mariadb_load_end(struct mariadb_load *load, struct err *err) MUST_CHECK;
void mariadb_load_done(struct mariadb_load *load);
DEFINE_CLEANUP(struct mariadb_load *, mariadb_load_done);

#endif
