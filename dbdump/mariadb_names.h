/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_NAMES_H
#define DBDUMP_MARIADB_NAMES_H

/* Does a text of SQL reach for a schema by its name? */

#include <stdbool.h>

#include "common/cleanup.h"
#include "dbdump/mariadb_sql.h"

/* mariadb_names_reaches(text, schema): Somewhere in it, in whatever quotes or none, in a string or
 * a comment too, is the schema's name before a dot and not behind one.  It rather says yes: a table
 * alias of that name is one. */
bool mariadb_names_reaches(const char *text, const char *schema);

/* mariadb_names_qualifies(text, schema): The same for a text that the server wrote itself, where
 * names are in backticks and strings in single quotes: what is in a string is none. */
bool mariadb_names_qualifies(const char *text, const char *schema);

/* mariadb_names_repoint(sql, text, from, to): Append ${text}, which the server wrote itself with
 * names in backticks and strings in single quotes, with every `from`.`function`( and
 * nextval(`from`.`sequence`) as one of `to`, or with ${to} NULL of whatever schema is current. */
void mariadb_names_repoint(struct mariadb_sql *sql, const char *text, const char *from,
                           const char *to);

#endif
