/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_VERIFY_H
#define DBDUMP_MARIADB_VERIFY_H

#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_hold.h"

/* mariadb_verify(login, hold, copy, prefix, err): ${copy} has the objects and as many rows as the
 * hold's views had, passes CHECK TABLE, and its FULLTEXT indexes answer.  ERR_CORRUPT names the
 * first thing that is not so. */
int mariadb_verify(const struct mariadb_login *login, const struct mariadb_hold *hold,
                   const char *copy, const char *prefix, struct err *err) MUST_CHECK;

#endif
