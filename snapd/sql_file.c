/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "snapd/sql_file.h"

#define BUSY_MSEC 10000LL

/* SQLite would make the file as the umask says; -wal and -shm then take its mode over.  A file that
 * is there is only looked at: closing a descriptor of it drops the locks of every connection that
 * this process has. */
static int file_make(int dir_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                if (!S_ISREG(st.st_mode))
                        return err_fail(err, ERR_REFUSED, 0, "it is not a regular file");
                if (st.st_uid != geteuid() || (st.st_mode & 0077) != 0)
                        return err_fail(err, ERR_REFUSED, 0,
                                        "others than its owner may read or change it: "
                                        "make it root's and 0600");
                return 0;
        }
        if (errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "stat");
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST)
                return 0; /* by another process, a moment ago */
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "create");
        return file_sync_dir(dir_fd, err);
}

/* SQLite takes paths only.  The directory is root's alone, and NOFOLLOW refuses any link in what
 * the kernel says its path is. */
static int db_open(int dir_fd, const char *name, sqlite3 **ret_db, struct err *err)
{
        char link[64], path[PATH_MAX];
        sqlite3 *db = NULL;
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
        n = readlink(link, path, sizeof(path));
        if (n < 0)
                return err_fail(err, ERR_IO, errno, "readlink '%s'", link);
        if ((size_t)snprintf(path + n, sizeof(path) - (size_t)n, "/%s", name) >=
            sizeof(path) - (size_t)n)
                return err_fail(err, ERR_INVALID, 0, "the path of the state directory is too long");

        /* On failure there is a connection too, which holds the error. */
        if (sqlite3_open_v2(path, &db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                            NULL) != SQLITE_OK) {
                if (db == NULL)
                        return err_oom(err);
                (void)sql_fail(db, err, "open");
                (void)sqlite3_close(db);
                return -1;
        }
        (void)sqlite3_extended_result_codes(db, 1);
        (void)sqlite3_busy_timeout(db, (int)BUSY_MSEC);
        *ret_db = db;
        return 0;
}

/* WAL is kept in the file; the rest belongs to the connection. */
static int db_set_up(sqlite3 *db, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        CLEANUP(freep) char *mode = NULL;
        int row;

        if (sql_script(db,
                       "PRAGMA trusted_schema = OFF;"
                       "PRAGMA foreign_keys = ON;"
                       "PRAGMA synchronous = FULL",
                       err) < 0 ||
            sql_prepare(db, "PRAGMA journal_mode = WAL", NULL, &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row < 0 || (row > 0 && sql_column_copy(stmt, 0, &mode, err) < 0))
                return -1;
        if (row == 0 || strcmp(mode, "wal") != 0)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the file system of the state directory cannot do shared memory");
        return 0;
}

/* Turning a new file to WAL asks for a lock without waiting for it (SQLite 3.40, vdbe.c,
 * OP_JournalMode), so two processes that make it at once have to do the waiting here. */
static int db_set_up_patiently(sqlite3 *db, struct err *err)
{
        int64_t deadline = clock_boot_usec() + BUSY_MSEC * 1000;

        while (db_set_up(db, err) < 0) {
                if (err->code != ERR_BUSY || clock_boot_usec() >= deadline)
                        return -1;
                (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        }
        return 0;
}

int sql_file_open(int dir_fd, const char *name, sqlite3 **ret_db, struct err *err)
{
        sqlite3 *db = NULL;

        if (file_make(dir_fd, name, err) < 0 || db_open(dir_fd, name, &db, err) < 0)
                return -1;
        if (db_set_up_patiently(db, err) < 0) {
                sql_close(db);
                return -1;
        }
        *ret_db = db;
        return 0;
}

int sql_file_sync(sqlite3 *db, struct err *err)
{
        sqlite3_file *log = NULL;
        uint64_t ignored;
        int rc;

        /* The log is opened by whoever first reads. */
        if (sql_number(db, "PRAGMA user_version", NULL, &ignored, err) < 0)
                return -1;
        rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
        if (rc == SQLITE_OK && log != NULL && log->pMethods != NULL)
                rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
        return rc == SQLITE_OK ? 0
                               : err_fail(err, ERR_IO, 0, "cannot sync the log of a database: %s",
                                          sqlite3_errstr(rc));
}

/* A new file has neither tables nor numbers; any other must be ours. */
static int schema_read(sqlite3 *db, const struct sql_schema *schema, uint64_t *ret_version,
                       struct err *err)
{
        uint64_t id = 0, version = 0, tables = 0;

        if (sql_number(db, "PRAGMA application_id", NULL, &id, err) < 0 ||
            sql_number(db, "PRAGMA user_version", NULL, &version, err) < 0 ||
            sql_number(db, "SELECT count(*) FROM sqlite_schema", NULL, &tables, err) < 0)
                return -1;
        if (id != schema->application_id && (id != 0 || version != 0 || tables != 0))
                return err_fail(err, ERR_CORRUPT, 0, "it is not %s of sitesnap", schema->what);
        if (version > schema->n)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "it was written by a newer sitesnap (schema %" PRIu64
                                ", this one knows %zu): install that one again",
                                version, schema->n);
        *ret_version = version;
        return 0;
}

static int schema_run(sqlite3 *db, const struct sql_schema *schema, struct err *err)
{
        char done[96];
        uint64_t version;

        if (schema_read(db, schema, &version, err) < 0)
                return -1;
        for (; version < schema->n; version++)
                if (sql_script(db, schema->scripts[version], err) < 0)
                        return -1;
        (void)snprintf(done, sizeof(done),
                       "PRAGMA application_id = %" PRIu32 "; PRAGMA user_version = %zu",
                       schema->application_id, schema->n);
        return sql_script(db, done, err);
}

typedef int (*schema_work)(sqlite3 *db, const struct sql_schema *schema, struct err *err);

/* What ${work} reads is of one moment, and what it writes is there whole or not at all. */
static int in_transaction(sqlite3 *db, const struct sql_schema *schema, const char *begin,
                          schema_work work, struct err *err)
{
        int result;

        if (sql_script(db, begin, err) < 0)
                return -1;
        result = work(db, schema, err);
        if (result >= 0 && sql_script(db, "COMMIT", err) < 0)
                result = -1;
        if (result < 0)
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
        return result;
}

/* 1 when there is something to do. */
static int schema_is_old(sqlite3 *db, const struct sql_schema *schema, struct err *err)
{
        uint64_t version;

        if (schema_read(db, schema, &version, err) < 0)
                return -1;
        return version < schema->n;
}

/* Looked at without the writer's lock first: nearly always there is nothing to do. */
int sql_schema_update(sqlite3 *db, const struct sql_schema *schema, struct err *err)
{
        int old = in_transaction(db, schema, "BEGIN", schema_is_old, err);

        return old <= 0 ? old : in_transaction(db, schema, "BEGIN IMMEDIATE", schema_run, err);
}
