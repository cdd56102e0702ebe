/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_SAID_H
#define DBDUMP_MARIADB_SAID_H

/*
 * What a server says of a failure, without what stands in rows.
 *
 * Our errors go into logs, notices and records, which others read than the site's database.  A
 * server's message may quote a value: a visitor's address in a duplicate entry, his text in a
 * wrong one, anything in what a routine raises.  Names of tables, columns and keys stay.
 */

#include <stddef.h>

#define MARIADB_SAID_MAX 512

/* mariadb_said(number, state, text, said): The message ${text} of the error ${number}, whose
 * SQLSTATE is ${state}. */
void mariadb_said(unsigned number, const char *state, const char *text,
                  char said[static MARIADB_SAID_MAX]);

#endif
