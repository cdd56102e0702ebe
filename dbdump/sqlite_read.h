/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_READ_H
#define DBDUMP_SQLITE_READ_H

/*
 * What is asked of schemas of SQLite beside copies: their objects, the rows in which two differ,
 * and dumps.  The parent's half: a helper reads the databases as the tenant.
 */

#include "dbdump/dbdriver.h"

struct sqlite_where {
        int root_fd;
        uid_t uid;
        gid_t gid;
};

/* As the calls of the same names in struct db_driver. */
int sqlite_read_fingerprint(const struct sqlite_where *where, const char *schema, char **ret_text,
                            struct err *err) MUST_CHECK;
int sqlite_read_diff(const struct sqlite_where *where, const char *from, const char *to,
                     db_row_report report, void *arg, struct err *err) MUST_CHECK;

#endif
