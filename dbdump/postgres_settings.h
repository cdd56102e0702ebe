/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_SETTINGS_H
#define DBDUMP_POSTGRES_SETTINGS_H

/*
 * What ALTER DATABASE ... SET and ALTER ROLE ... IN DATABASE ... SET have said of a database.
 *
 * A value is never part of a statement of ours: a session of its own takes it by set_config(), and
 * the statement says FROM CURRENT.
 */

#include "dbdump/postgres_link.h"

struct postgres_settings;

/* postgres_settings_read(link, ret_settings, err): Of the connection's database. */
int postgres_settings_read(struct postgres_link *link, struct postgres_settings **ret_settings,
                           struct err *err) MUST_CHECK;
void postgres_settings_free(struct postgres_settings *settings); /* NULL is fine */

/* postgres_settings_apply(settings, server, name, err): The database ${name}, which has none, has
 * them.  ERR_DENIED names the one that we may not give. */
int postgres_settings_apply(const struct postgres_settings *settings,
                            const struct postgres_server *server, const char *name,
                            struct err *err) MUST_CHECK;

#endif
