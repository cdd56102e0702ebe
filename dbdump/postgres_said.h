/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_SAID_H
#define DBDUMP_POSTGRES_SAID_H

/*
 * What a server says of a failure, without what stands in rows.
 *
 * Our errors go into logs, notices and records, which others read than the site's database.  A
 * server's message may quote a value: "Key (email)=(...)", a failing row, a text that is no number,
 * anything in what a function raises.  Of those the cause is told in words of ours, with the names
 * of table, column and constraint that come beside it; other messages are the server's.
 */

#include <libpq-fe.h>

#define POSTGRES_SAID_MAX 400

/* postgres_said(result, said): Of a result that is a failure and has an SQLSTATE. */
void postgres_said(const PGresult *result, char said[static POSTGRES_SAID_MAX]);

#endif
