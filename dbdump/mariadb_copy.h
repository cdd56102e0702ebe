/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_COPY_H
#define DBDUMP_MARIADB_COPY_H

/*
 * A copy from the views of a hold.
 *
 * Tables are made from the definitions that the server shows, with their foreign keys, and their
 * rows are streamed (mariadb_stream.h); then come the counters and the other objects
 * (mariadb_objects.h).  Nothing that was changed meanwhile gets through: the objects'
 * fingerprint from before the lock has to be that at the end.
 */

#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_hold.h"

struct mariadb_files;

struct mariadb_copy {
        const struct mariadb_login *login;
        struct mariadb_conn *control; /* names in UTF-8; its current schema changes */
        struct mariadb_hold *hold;    /* from where */
        const char *to;
        const char *prefix;          /* or NULL */
        const char *app_user;        /* or NULL */
        struct mariadb_files *files; /* of those that go as files */
        db_report report;
        void *arg;
        struct db_progress progress;
};

/* mariadb_copy_make(copy, err): After it copy->to is whole; after a failure it is not there.
 * copied of each table in the hold says how many rows it has. */
int mariadb_copy_make(struct mariadb_copy *copy, struct err *err) MUST_CHECK;

/* mariadb_copy_report(copy, err): Tell how far it is; -1 when it shall stop or the hold is over. */
int mariadb_copy_report(struct mariadb_copy *copy, struct err *err) MUST_CHECK;

#endif
