/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_HOLD_H
#define DBDUMP_SQLITE_HOLD_H

/*
 * The view of a schema: all its databases at one instant.
 *
 *   opened -> held -> released        the instant lasts in WAL mode and for a read-only schema
 *                  -> (deadline)      the helper let the writers go on; the instant is lost
 *
 * How a copy is made follows from where the schema lies and how it journals:
 *
 *   read-only schema               as files, at any time: nobody writes
 *   file system clones files       as files, clones, inside the hold
 *   else, all in WAL mode          page by page from the pinned readers, after the release
 *   else                           as files inside the hold, at half the time of page by page
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "dbdump/sqlite_dir.h"
#include "dbdump/sqlite_helper.h"

#define SQLITE_HEADER_BYTES 100

/* What a database had at the instant.  To count rows takes as long as the tables are large, for
 * which no writer is to be held: of an instant that ends with the hold the database's header
 * stands for them.  It has a counter that every transaction raises, it comes first when a file is
 * copied, and it is noted after that: a copy of two instants would have another. */
struct sqlite_noted {
        char *facts;  /* sqlite_view_facts(); NULL when not asked yet */
        bool counted; /* with the numbers of rows; if not: */
        unsigned char header[SQLITE_HEADER_BYTES];
        uint64_t bytes;
};

struct sqlite_hold {
        char schema[NAME_MAX + 1];
        struct sqlite_dir *dir;       /* as it was inside the hold; modes as when it is writable */
        struct sqlite_helper *helper; /* NULL when all is noted and the view is over */
        bool clones;                  /* the file system clones files from the schema to the root */
        bool in_hold;                 /* the copy is to be made inside the hold */
        bool held;                    /* not released yet */
        struct sqlite_noted *noted;   /* per entry */
};

/* sqlite_hold_plan(root_fd, schema, uid, ret_in_hold, ret_clones, err): Must a copy of it be made
 * inside a hold, and is it made by clones?  ERR_NOT_FOUND: no such schema, or no database in it. */
int sqlite_hold_plan(int root_fd, const char *schema, uid_t uid, bool *ret_in_hold,
                     bool *ret_clones, struct err *err) MUST_CHECK;

/* sqlite_hold_begin(root_fd, schema, uid, gid, deadline_usec, ret_hold, err): Hold the writers of
 * every database of ${schema} until ${deadline_usec} of the boot clock, 0 for no deadline.
 * ERR_BUSY, ERR_CORRUPT and others name the database. */
int sqlite_hold_begin(int root_fd, const char *schema, uid_t uid, gid_t gid, int64_t deadline_usec,
                      struct sqlite_hold **ret_hold, struct err *err) MUST_CHECK;

/* sqlite_hold_check(hold, err): ERR_TIMEOUT when the deadline was before now. */
int sqlite_hold_check(struct sqlite_hold *hold, struct err *err) MUST_CHECK;

/* sqlite_hold_release(hold, err): Writers go on.  ERR_TIMEOUT: they had done so before. */
int sqlite_hold_release(struct sqlite_hold *hold, struct err *err) MUST_CHECK;

/* sqlite_hold_note(hold, uid, err): Remember what the databases have whose instant ends with the
 * hold.  After they were copied. */
int sqlite_hold_note(struct sqlite_hold *hold, uid_t uid, struct err *err) MUST_CHECK;

/* sqlite_hold_compare(hold, uid, copy, helper, err): Has ${copy}, on which ${helper} has begun a
 * view, the same?  ERR_CORRUPT names the first object that differs. */
int sqlite_hold_compare(struct sqlite_hold *hold, uid_t uid, const struct sqlite_dir *copy,
                        struct sqlite_helper *helper, struct err *err) MUST_CHECK;

/* sqlite_hold_start_helper(dir, uid, gid, flags, deadline_usec, ret_helper, err): Start a helper
 * on ${dir} and let it begin a view of all its databases. */
int sqlite_hold_start_helper(const struct sqlite_dir *dir, uid_t uid, gid_t gid, unsigned flags,
                             int64_t deadline_usec, struct sqlite_helper **ret_helper,
                             struct err *err) MUST_CHECK;

/* sqlite_hold_end(hold): Let go of everything; NULL is fine. */
void sqlite_hold_end(struct sqlite_hold *hold);
DEFINE_CLEANUP(struct sqlite_hold *, sqlite_hold_end);

#endif
