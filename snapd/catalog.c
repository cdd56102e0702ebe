/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "snapd/catalog.h"
#include "snapd/catalog_schema.h"
#include "snapd/progress.h"
#include "snapd/sql.h"
#include "snapd/wake.h"

#define FILE_NAME "state.db"
#define BUSY_MSEC 10000LL

struct catalog {
        sqlite3 *db;
        struct progress_file progress;
};

/* SQLite would make the file as the umask says; -wal and -shm then take its mode over.  A file that
 * is there is only looked at: closing a descriptor of it drops the locks of every connection that
 * this process has. */
static int file_make(int dir_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;

        if (fstatat(dir_fd, FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0) {
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
        fd = openat(dir_fd, FILE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST)
                return 0; /* by another process, a moment ago */
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "create");
        return file_sync_dir(dir_fd, err);
}

/* SQLite takes paths only.  The directory is root's alone, and NOFOLLOW refuses any link in what
 * the kernel says its path is. */
static int db_open(int dir_fd, sqlite3 **ret_db, struct err *err)
{
        char link[64], path[PATH_MAX];
        sqlite3 *db = NULL;
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
        n = readlink(link, path, sizeof(path));
        if (n < 0)
                return err_fail(err, ERR_IO, errno, "readlink '%s'", link);
        if ((size_t)n + sizeof("/" FILE_NAME) > sizeof(path))
                return err_fail(err, ERR_INVALID, 0, "the path of the state directory is too long");
        memcpy(path + n, "/" FILE_NAME, sizeof("/" FILE_NAME));

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

static int open_parts(struct catalog *catalog, int dir_fd, struct err *err)
{
        if (file_make(dir_fd, err) < 0 || db_open(dir_fd, &catalog->db, err) < 0 ||
            db_set_up_patiently(catalog->db, err) < 0 ||
            catalog_schema_update(catalog->db, err) < 0)
                return err_wrap(err, "the catalog '%s'", FILE_NAME);
        progress_open(dir_fd, &catalog->progress);
        return 0;
}

int catalog_open(int dir_fd, struct catalog **ret_catalog, struct err *err)
{
        CLEANUP(catalog_closep) struct catalog *catalog = calloc(1, sizeof(*catalog));

        if (catalog == NULL)
                return err_oom(err);
        catalog->progress.fd = -1;
        if (open_parts(catalog, dir_fd, err) < 0)
                return -1;
        *ret_catalog = STEAL(catalog);
        return 0;
}

void catalog_close(struct catalog *catalog)
{
        if (catalog == NULL)
                return;
        progress_close(&catalog->progress);
        sql_close(catalog->db);
        free(catalog);
}

sqlite3 *catalog_db(struct catalog *catalog)
{
        return catalog->db;
}

struct progress_file *catalog_progress(struct catalog *catalog)
{
        return &catalog->progress;
}

/* IMMEDIATE: the lock is taken where waiting for it is possible.  A reader that turns writer in
 * the middle is refused at once when another has written. */
int catalog_begin(struct catalog *catalog, struct err *err)
{
        return sql_script(catalog->db, "BEGIN IMMEDIATE", err);
}

int catalog_commit(struct catalog *catalog, struct err *err)
{
        if (sql_script(catalog->db, "COMMIT", err) < 0) {
                catalog_rollback(catalog);
                return -1;
        }
        wake_send();
        return 0;
}

void catalog_rollback(struct catalog *catalog)
{
        /* Some errors have ended the transaction already. */
        if (sqlite3_get_autocommit(catalog->db) == 0)
                (void)sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL, NULL);
}

int catalog_enter(struct catalog *catalog, bool *ret_own, struct err *err)
{
        bool own = sqlite3_get_autocommit(catalog->db) != 0;

        if (own && catalog_begin(catalog, err) < 0)
                return -1;
        *ret_own = own;
        return 0;
}

int catalog_leave(struct catalog *catalog, bool own, int result, struct err *err)
{
        if (!own)
                return result;
        if (result == 0)
                return catalog_commit(catalog, err);
        catalog_rollback(catalog);
        return result;
}

uint64_t catalog_change(struct catalog *catalog)
{
        uint64_t version = 0;
        struct err err;

        /* No error but a broken file, which the next real question reports. */
        if (sql_number(catalog->db, "PRAGMA data_version", NULL, &version, &err) < 0)
                return 0;
        return version;
}

int catalog_take(struct catalog *catalog, const char *counter, unsigned n, uint64_t *ret_first,
                 struct err *err)
{
        int row = sql_number(catalog->db,
                             "INSERT INTO counters (name, next) VALUES (?1, 1 + ?2)"
                             "  ON CONFLICT (name) DO UPDATE SET next = next + ?2"
                             "  RETURNING next - ?2",
                             SQL_ARGS(sql_text(counter), sql_uint(n)), ret_first, err);

        if (row == 0)
                return err_fail(err, ERR_CORRUPT, 0, "the counter '%s' gave no number", counter);
        return row < 0 ? -1 : 0;
}
