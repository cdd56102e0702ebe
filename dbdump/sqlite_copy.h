/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_COPY_H
#define DBDUMP_SQLITE_COPY_H

/*
 * Making a copy of a held schema.
 *
 * It grows in "TO.partial/new", where TO.partial is root's alone (0700) and "new" the tenant's, so
 * that the helper can write there and nobody else can even look; "new" then takes the name TO.
 * TO is whole or absent in every state a crash can leave, and TO.partial is swept by whoever comes
 * next.
 */

#include <sys/types.h>

#include "common/error.h"
#include "dbdump/dbdriver.h"
#include "dbdump/sqlite_hold.h"

struct sqlite_copy {
        int root_fd;
        uid_t uid; /* who the copy belongs to */
        gid_t gid;
        struct sqlite_hold *hold;
        const char *to;
        db_report report; /* or NULL */
        void *arg;
};

/* sqlite_copy_make(copy, err): After it ${to} is the instant of the hold, durably, owned as the
 * source is and writable, each database in the source's journal mode and in one file.  A ${to}
 * that was there is replaced, if it is a copy of ours; else ERR_EXISTS.  ERR_NO_SPACE comes
 * before anything is written.  ERR_TIMEOUT: the hold ended on the way. */
int sqlite_copy_make(const struct sqlite_copy *copy, struct err *err) MUST_CHECK;

/* sqlite_copy_partial(name, partial): The name of what is unfinished. */
#define SQLITE_COPY_PARTIAL_MAX (DB_NAME_MAX + 16)
void sqlite_copy_partial(const char *name, char partial[static SQLITE_COPY_PARTIAL_MAX]);

#endif
