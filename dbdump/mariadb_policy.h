/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_POLICY_H
#define DBDUMP_MARIADB_POLICY_H

/*
 * What may stand in a dump that is loaded, whoever wrote it.
 *
 * A statement of a dump is run by an account of ours, which may do much, so that none is run that
 * could do anything but what a dump is for.  A table is made of words that are listed
 * (mariadb_words.h), with no name that has a dot or is called; rows are constants; what is
 * of other kinds (views, routines, triggers, events) is a text that the server keeps and does not
 * run, is made as the site's own user's, whoever it says it belongs to, and begins with words that
 * are written here and not taken over.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "dbdump/mariadb_sql.h"

/* mariadb_policy_table(text, n, name, size, err): A table's or a sequence's definition; its name.
 * ERR_REFUSED says which word is in it. */
int mariadb_policy_table(const char *text, size_t n, char *name, size_t size,
                         struct err *err) MUST_CHECK;

/* mariadb_policy_rows(text, n, ret_rows, err): An INSERT of constants into one table.
 * mariadb_policy_value(text, n, err): SET @v1 = '...', or SET @v1 = CONCAT(@v1, '...'). */
int mariadb_policy_rows(const char *text, size_t n, uint64_t *ret_rows, struct err *err) MUST_CHECK;
int mariadb_policy_value(const char *text, size_t n, struct err *err) MUST_CHECK;

/* mariadb_policy_schema(text, n, charset, collation, size, err): ALTER DATABASE CHARACTER SET ...
 */
int mariadb_policy_schema(const char *text, size_t n, char *charset, char *collation, size_t size,
                          struct err *err) MUST_CHECK;

/* What the next object is parsed with. */
struct mariadb_policy_context {
        char sql_mode[512], charset[64], collation[64], zone[64]; /* "": as every session */
};

/* mariadb_policy_charset(charset): May an object of a dump be written in it?
 * mariadb_policy_context(text, n, ret_context, err): SET of those; ERR_UNSUPPORTED: it may not. */
bool mariadb_policy_charset(const char *charset);
int mariadb_policy_context(const char *text, size_t n, struct mariadb_policy_context *ret_context,
                           struct err *err) MUST_CHECK;

/* mariadb_policy_object(text, n, sql_mode, user, sql, kind, name, size, err): CREATE of something
 * else, which will be parsed in ${sql_mode}, put into ${sql} as ${user}'s ("name@host", or a name
 * alone); its kind and name. */
int mariadb_policy_object(const char *text, size_t n, const char *sql_mode, const char *user,
                          struct mariadb_sql *sql, char kind[static 16], char *name, size_t size,
                          struct err *err) MUST_CHECK;

#endif
