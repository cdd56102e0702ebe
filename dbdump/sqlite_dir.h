/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_DIR_H
#define DBDUMP_SQLITE_DIR_H

/*
 * A schema of SQLite: a directory of database files, seen from outside.
 *
 * Nothing here parses a database: the directory is listed, sorted into kinds and removed, with
 * every file opened beneath a descriptor.  All of it belongs to a tenant who may change it at any
 * moment.  Kinds:
 *
 *   database   a regular file that begins with SQLite's magic, whatever its name
 *   side       NAME-wal, NAME-shm, NAME-journal, NAME-mj... of a database NAME
 *   file       any other regular file (.htaccess, an empty file): copied as it is
 *   dir        a directory that holds nothing but empty files (MediaWiki's locks/): made anew
 *
 * Anything else (a symlink, a FIFO, a directory with content) is ERR_UNSUPPORTED and named: left
 * out silently it could be a part of the database.  So are a file with a second name and one of
 * another owner (ERR_REFUSED): root would read it for the tenant.
 *
 * A process that has a database open must not use this on its directory: closing any descriptor
 * of a file drops all POSIX locks the process holds on it.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"

#define SQLITE_DIR_ENTRIES 256

/* Written into a schema that is read-only: what each entry was before (sqlite_mode.h). */
#define SQLITE_DIR_RECORD ".sitesnap-before-read-only"

enum sqlite_kind {
        SQLITE_KIND_DATABASE,
        SQLITE_KIND_SIDE,
        SQLITE_KIND_FILE,
        SQLITE_KIND_DIR,
        SQLITE_KIND_RECORD, /* ours */
};

struct sqlite_entry {
        char name[NAME_MAX + 1];
        enum sqlite_kind kind;
        mode_t mode; /* permission bits only */
        uint64_t bytes;
        bool wal; /* a database whose header says WAL */
};

struct sqlite_dir {
        int fd; /* O_PATH: enough for ...at() calls */
        mode_t mode;
        bool read_only; /* belongs to root: the tenant can change nothing in it */
        size_t n;
        struct sqlite_entry *entries; /* sorted by name */
};

/* sqlite_dir_open(root_fd, name, uid, ret_dir, err): List the schema ${name} of the tenant ${uid}.
 * ERR_NOT_FOUND: there is none.  The caller closes the result. */
int sqlite_dir_open(int root_fd, const char *name, uid_t uid, struct sqlite_dir **ret_dir,
                    struct err *err) MUST_CHECK;

/* sqlite_dir_close(dir): Forget a listing; NULL is fine. */
void sqlite_dir_close(struct sqlite_dir *dir);
DEFINE_CLEANUP(struct sqlite_dir *, sqlite_dir_close);

/* sqlite_dir_open_file(dir, name, uid, flags, ret_fd, err): Open a regular file of the directory
 * that has one name and belongs to ${uid} or, when the schema is read-only, to root. */
int sqlite_dir_open_file(const struct sqlite_dir *dir, const char *name, uid_t uid, int flags,
                         int *ret_fd, struct err *err) MUST_CHECK;

/* sqlite_dir_find(dir, name): The entry of that name, or NULL. */
const struct sqlite_entry *sqlite_dir_find(const struct sqlite_dir *dir, const char *name);

/* sqlite_dir_databases(dir): How many databases there are. */
size_t sqlite_dir_databases(const struct sqlite_dir *dir);

/* sqlite_dir_same(a, b): Have both the same databases in the same journal modes? */
bool sqlite_dir_same(const struct sqlite_dir *a, const struct sqlite_dir *b);

/* sqlite_dir_bytes(dir): The length of all files together. */
uint64_t sqlite_dir_bytes(const struct sqlite_dir *dir);

/* sqlite_dir_name_valid(name, err): Can ${name} be a schema's?  One component, of the length that
 * every engine has, not the name of something unfinished.  ERR_INVALID. */
int sqlite_dir_name_valid(const char *name, struct err *err) MUST_CHECK;

/* sqlite_dir_remove(root_fd, name, err): After it there is no ${name} in ${root_fd}, durably,
 * whatever a tenant nested in it.  It is taken from the tenant before it is emptied.  One that is
 * not there is removed already. */
int sqlite_dir_remove(int root_fd, const char *name, struct err *err) MUST_CHECK;

#endif
