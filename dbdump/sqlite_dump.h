/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_DUMP_H
#define DBDUMP_SQLITE_DUMP_H

/*
 * A schema of SQLite as one stream of bytes, and a schema made from one.
 *
 * SQLite's files are the same on every machine, so a dump is the files: for each a header of fixed
 * size (struct sqlite_dump_header) and its bytes; then a header of kind 0 with the
 * directory's mode.  Numbers are little-endian.
 *
 * Reading one is reading a stranger's bytes.  Root looks at headers alone, checks each against a
 * short list, and writes the rest into new files of the tenant's; what they hold is looked at by
 * the helper, who is the tenant.
 */

#include "common/error.h"
#include "dbdump/dbdriver.h"
#include "dbdump/sqlite_hold.h"

#define SQLITE_DUMP_MAGIC "sndump1"

enum sqlite_dump_kind { SQLITE_DUMP_END, SQLITE_DUMP_FILE, SQLITE_DUMP_DIR };

struct sqlite_dump_header {
        char magic[8];
        uint32_t kind;
        uint32_t mode;
        uint64_t bytes;
        char name[256]; /* zeros behind */
};

/* sqlite_dump_write(hold, uid, sink, arg, err): Write the instant of the hold, which lasts until
 * the return.  ERR_TIMEOUT: it did not. */
int sqlite_dump_write(struct sqlite_hold *hold, uid_t uid, db_sink sink, void *arg,
                      struct err *err) MUST_CHECK;

struct sqlite_load {
        int root_fd;
        uid_t uid; /* who the schema belongs to */
        gid_t gid;
        const char *to;
        db_source source;
        void *arg;
};

/* sqlite_dump_load(load, err): After it ${to} is what was dumped, durably and writable, each
 * database in one file and found whole.  A ${to} that was there is replaced, if it is a copy of
 * ours; else ERR_EXISTS.  ERR_CORRUPT: it is no dump, or SQLite finds a database damaged;
 * ERR_NO_SPACE before it is written. */
int sqlite_dump_load(const struct sqlite_load *load, struct err *err) MUST_CHECK;

#endif
