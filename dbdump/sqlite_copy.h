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

/* Where a schema grows; sqlite_dump.h has one that does so, too. */
#define SQLITE_COPY_NEW "new"
struct sqlite_growth {
        int root_fd;
        const char *to;
        uid_t uid;
        gid_t gid;
        char partial[SQLITE_COPY_PARTIAL_MAX];
        int partial_fd, new_fd;
};

static inline void sqlite_growth_init(struct sqlite_growth *growth, int root_fd, const char *to,
                                      uid_t uid, gid_t gid)
{
        *growth = (struct sqlite_growth){
                .root_fd = root_fd, .to = to, .uid = uid, .gid = gid, .partial_fd = -1, .new_fd = -1
        };
}

static inline void sqlite_growth_donep(struct sqlite_growth **growth)
{
        closep(&(*growth)->partial_fd);
        closep(&(*growth)->new_fd);
}

/* sqlite_copy_check_name(root_fd, to, err): May a schema be made under this name?  ERR_EXISTS:
 * there is one that is not a copy of ours; ERR_INVALID. */
int sqlite_copy_check_name(int root_fd, const char *to, struct err *err) MUST_CHECK;

/* sqlite_copy_begin(growth, err): An empty "new", the tenant's, in a directory that is root's. */
int sqlite_copy_begin(struct sqlite_growth *growth, struct err *err) MUST_CHECK;

/* sqlite_copy_publish(growth, err): "new", which is synced, takes its name, durably; a copy that
 * has it goes. */
int sqlite_copy_publish(const struct sqlite_growth *growth, struct err *err) MUST_CHECK;

#endif
