/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "dbdump/identifier.h"
#include "dbdump/sqlite_view.h"

#define HEAP_BYTES  (256LL << 20) /* what a hostile schema may make SQLite allocate */
#define CHUNK_BYTES (16 << 20)    /* copied between two ticks */
#define TICK_OPS    200000        /* virtual machine steps between two ticks, some milliseconds */
#define SETTLE_MSEC 2000

static inline void finalizep(sqlite3_stmt **stmt)
{
        (void)sqlite3_finalize(*stmt);
}

static inline void sqlite_closep(sqlite3 **db)
{
        (void)sqlite3_close(*db);
}

/* What SQLite says, in our words: the first column of a table from its codes to ours. */
static int fail(struct err *err, sqlite3 *db, int rc, const char *name, const char *what)
{
        static const struct {
                int rc;
                enum err_code code;
        } codes[] = {
                { SQLITE_LOCKED, ERR_BUSY },       { SQLITE_CORRUPT, ERR_CORRUPT },
                { SQLITE_NOTADB, ERR_CORRUPT },    { SQLITE_FULL, ERR_NO_SPACE },
                { SQLITE_CANTOPEN, ERR_DENIED },   { SQLITE_READONLY, ERR_DENIED },
                { SQLITE_PERM, ERR_DENIED },       { SQLITE_INTERRUPT, ERR_TIMEOUT },
                { SQLITE_ERROR, ERR_UNSUPPORTED }, { SQLITE_TOOBIG, ERR_UNSUPPORTED },
        };
        enum err_code code = ERR_IO;
        int os = 0;

        if ((rc & 0xff) == SQLITE_BUSY)
                return err_fail(err, ERR_BUSY, 0,
                                "the database '%s': a writer did not let us in before the "
                                "deadline; try again when the site is less busy",
                                name);
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
                if (codes[i].rc == (rc & 0xff))
                        code = codes[i].code;
        /* The errno of the call that failed is kept by the VFS, of interest for I/O only. */
        if (code == ERR_IO && db != NULL)
                os = sqlite3_system_errno(db);
        return err_fail(err, code, os, "the database '%s': %s: %s", name, what,
                        db == NULL || rc == SQLITE_NOMEM ? sqlite3_errstr(rc) : sqlite3_errmsg(db));
}

/* SQLite makes a path absolute and resolves links in it, which ends in a directory this process
 * may not walk to.  Ours begin at a descriptor ("/proc/self/fd/N/") and stay as they are. */
static int keep_path(sqlite3_vfs *vfs, const char *path, int n, char *out)
{
        (void)vfs;
        return snprintf(out, (size_t)n, "%s", path) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

int sqlite_view_init(struct err *err)
{
        static sqlite3_vfs vfs;
        const sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);

        if (unix_vfs == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "SQLite has no file system layer");
        vfs = *unix_vfs;
        vfs.zName = "sitesnap";
        vfs.pNext = NULL;
        vfs.xFullPathname = keep_path;
        if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
                return err_fail(err, ERR_UNSUPPORTED, 0, "SQLite takes no file system layer");
        (void)sqlite3_hard_heap_limit64(HEAP_BYTES);
        return 0;
}

/* Wait in small steps: SQLite's own back-off reaches 100 ms and never gets between the commits
 * of a busy writer. */
static int wait_for_lock(void *arg, int times)
{
        const struct sqlite_view *view = arg;

        (void)times;
        if (clock_boot_usec() >= view->deadline_usec)
                return 0;
        (void)usleep(1000);
        return 1;
}

/* A collation that only the application has (Drupal's NOCASE_UTF8) would keep us from even
 * counting rows.  Nothing here compares: order by bytes will do. */
static int compare_bytes(void *arg, int na, const void *a, int nb, const void *b)
{
        int n = memcmp(a, b, (size_t)(na < nb ? na : nb));

        (void)arg;
        return n != 0 ? n : na - nb;
}

static void give_collation(void *arg, sqlite3 *db, int encoding, const char *name)
{
        (void)arg;
        (void)sqlite3_create_collation(db, name, encoding, NULL, compare_bytes);
}

/* Opened under the same conditions for reading the original and for writing the copy. */
static int connect_file(int dir_fd, const char *name, int flags, sqlite3 **ret_db, struct err *err)
{
        /* The schema may be an enemy's ("Defense Against The Dark Arts" in the manual). */
        static const int switches[][2] = {
                { SQLITE_DBCONFIG_DEFENSIVE, 1 },      { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
                { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 }, { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
                { SQLITE_DBCONFIG_DQS_DML, 0 },
        };
        char path[NAME_MAX + 64];
        int rc;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
        rc = sqlite3_open_v2(path, ret_db, flags | SQLITE_OPEN_PRIVATECACHE, "sitesnap");
        if (rc != SQLITE_OK)
                return fail(err, *ret_db, rc, name, "cannot open it");
        for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
                (void)sqlite3_db_config(*ret_db, switches[i][0], switches[i][1], NULL);
        (void)sqlite3_collation_needed(*ret_db, NULL, give_collation);
        rc = sqlite3_exec(*ret_db,
                          "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY",
                          NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : fail(err, *ret_db, rc, name, "cannot prepare it");
}

/* The first column of the first row; a statement that gives no row is an error of ours. */
static int query_text(sqlite3 *db, const char *sql, char *out, size_t size)
{
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

        if (rc != SQLITE_OK)
                return rc;
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
                return rc == SQLITE_DONE ? SQLITE_ERROR : rc;
        (void)snprintf(out, size, "%s",
                       sqlite3_column_text(stmt, 0) == NULL
                               ? ""
                               : (const char *)sqlite3_column_text(stmt, 0));
        return SQLITE_OK;
}

/* The first read finds a hot journal and rolls it back, recovers a WAL without its index, and
 * parses the schema: all of it before anybody is held. */
static int connect_live(struct sqlite_view *view, sqlite3 **ret_db, struct err *err)
{
        char text[32];
        int rc;

        if (connect_file(view->dir_fd, view->name, SQLITE_OPEN_READWRITE, ret_db, err) < 0)
                return -1;
        (void)sqlite3_busy_handler(*ret_db, wait_for_lock, view);
        rc = query_text(*ret_db, "SELECT count(*) FROM sqlite_master", text, sizeof(text));
        if (rc == SQLITE_OK)
                rc = query_text(*ret_db, "PRAGMA journal_mode", text, sizeof(text));
        if (rc != SQLITE_OK)
                return fail(err, *ret_db, rc, view->name, "cannot read its schema");
        view->wal = strcmp(text, "wal") == 0;
        return 0;
}

int sqlite_view_open(int dir_fd, const char *name, bool with_writer, int64_t deadline_usec,
                     struct sqlite_view *view, struct err *err)
{
        memset(view, 0, sizeof(*view));
        (void)snprintf(view->name, sizeof(view->name), "%s", name);
        view->dir_fd = dir_fd;
        view->deadline_usec = deadline_usec;
        view->held = with_writer;
        if (with_writer && connect_live(view, &view->writer, err) < 0)
                return -1;
        return connect_live(view, &view->reader, err);
}

/* The order makes the instant: no writer from the first line on, the reader's snapshot in the
 * second. */
int sqlite_view_begin(struct sqlite_view *view, struct err *err)
{
        char text[32];
        int rc = SQLITE_OK;

        if (view->writer != NULL) {
                rc = sqlite3_exec(view->writer, "BEGIN IMMEDIATE", NULL, NULL, NULL);
                if (rc != SQLITE_OK)
                        return fail(err, view->writer, rc, view->name, "cannot hold it");
        }
        rc = sqlite3_exec(view->reader, "BEGIN", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = query_text(view->reader, "SELECT count(*) FROM sqlite_master", text,
                                sizeof(text));
        return rc == SQLITE_OK ? 0 : fail(err, view->reader, rc, view->name, "cannot read it");
}

void sqlite_view_back_off(struct sqlite_view *view)
{
        /* Without a transaction this fails and changes nothing. */
        (void)sqlite3_exec(view->reader, "ROLLBACK", NULL, NULL, NULL);
        if (view->writer != NULL)
                (void)sqlite3_exec(view->writer, "ROLLBACK", NULL, NULL, NULL);
}

void sqlite_view_release(struct sqlite_view *view)
{
        /* A close rolls back what is open. */
        (void)sqlite3_close(view->writer);
        view->writer = NULL;
        if (view->held && !view->wal) {
                (void)sqlite3_close(view->reader);
                view->reader = NULL;
        }
}

void sqlite_view_close(struct sqlite_view *view)
{
        (void)sqlite3_close(view->writer);
        (void)sqlite3_close(view->reader);
        view->writer = view->reader = NULL;
}

struct ticker {
        sqlite_tick tick;
        void *arg;
        struct err *err;
        bool stopped;
};

static int tick_ops(void *arg)
{
        struct ticker *ticker = arg;

        ticker->stopped |= ticker->tick(0, 0, ticker->arg, ticker->err) < 0;
        return ticker->stopped;
}

/* One line is one object, whatever its name is. */
static void put_escaped(FILE *out, const unsigned char *text)
{
        for (; text != NULL && *text != '\0'; text++)
                if (*text < 0x20 || *text == 0x7f || *text == '\\')
                        (void)fprintf(out, "\\x%02x", *text);
                else
                        (void)fputc(*text, out);
}

/* A table whose rows cannot be counted here (it needs a function of the application's) has the
 * reason for its count, which is the same in the copy. */
static int put_rows(struct sqlite_view *view, const char *table, FILE *out)
{
        char quoted[512], text[256];
        struct err why;
        CLEANUP(freep) char *sql = NULL;
        int rc;

        if (identifier_quote(&identifier_sqlite, table, quoted, sizeof(quoted), &why) < 0)
                return fprintf(out, "(%s)", why.msg) < 0 ? SQLITE_NOMEM : SQLITE_OK;
        if (asprintf(&sql, "SELECT count(*) FROM %s NOT INDEXED", quoted) < 0)
                return SQLITE_NOMEM;
        rc = query_text(view->reader, sql, text, sizeof(text));
        if (rc == SQLITE_ERROR)
                (void)snprintf(text, sizeof(text), "(%s)", sqlite3_errmsg(view->reader));
        else if (rc != SQLITE_OK)
                return rc;
        put_escaped(out, (const unsigned char *)text);
        return SQLITE_OK;
}

/* Every row of the schema, of which only tables of their own (with a root page) have rows to count;
 * a virtual table keeps its rows in others. */
static int put_facts(struct sqlite_view *view, bool count, FILE *out)
{
        CLEANUP(finalizep) sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(view->reader,
                                    "SELECT type, name, type = 'table' AND rootpage > 0, tbl_name,"
                                    " sql FROM sqlite_master ORDER BY type, name, sql",
                                    -1, &stmt, NULL);

        while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                const char *name = (const char *)sqlite3_column_text(stmt, 1);

                put_escaped(out, (const unsigned char *)view->name);
                (void)fputc('\t', out);
                put_escaped(out, sqlite3_column_text(stmt, 0));
                (void)fputc('\t', out);
                put_escaped(out, sqlite3_column_text(stmt, 1));
                (void)fputc('\t', out);
                rc = SQLITE_OK;
                if (count && name != NULL && sqlite3_column_int(stmt, 2) != 0)
                        rc = put_rows(view, name, out);
                else
                        (void)fputc('-', out);
                (void)fputc('\t', out);
                put_escaped(out, sqlite3_column_text(stmt, 3));
                (void)fputc('\t', out);
                put_escaped(out, sqlite3_column_text(stmt, 4));
                (void)fputc('\n', out);
        }
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Counting reads whole tables, so it can be stopped and its time is watched. */
int sqlite_view_facts(struct sqlite_view *view, bool count, int fd, sqlite_tick tick, void *arg,
                      struct err *err)
{
        CLEANUP(fclosep) FILE *out = NULL;
        struct ticker ticker = { tick, arg, err, false };
        int own_fd, rc;

        if (view->reader == NULL)
                return err_fail(err, ERR_INVALID, 0, "the view of '%s' is over", view->name);
        own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own_fd < 0 || (out = fdopen(own_fd, "w")) == NULL) {
                if (own_fd >= 0)
                        (void)close(own_fd);
                return err_fail(err, ERR_IO, errno, "cannot write facts");
        }
        sqlite3_progress_handler(view->reader, TICK_OPS, tick_ops, &ticker);
        rc = put_facts(view, count, out);
        sqlite3_progress_handler(view->reader, 0, NULL, NULL);
        if (ticker.stopped)
                return -1;
        if (rc != SQLITE_OK)
                return fail(err, view->reader, rc, view->name, "cannot count its rows");
        if (fflush(out) != 0)
                return err_fail(err, ERR_IO, errno, "cannot write facts");
        return 0;
}

/* Steps of a backup restart when the source changed in between, and never end under a writer;
 * not so here, where the reader's transaction is open all along and pins the instant. */
static int backup_pages(struct sqlite_view *view, sqlite3 *to, sqlite_tick tick, void *arg,
                        struct err *err)
{
        sqlite3_backup *backup = sqlite3_backup_init(to, "main", view->reader, "main");
        char text[32];
        uint64_t page_bytes, all;
        int rc, stopped = 0;

        if (backup == NULL)
                return fail(err, to, sqlite3_extended_errcode(to), view->name, "cannot copy it");
        if (query_text(view->reader, "PRAGMA page_size", text, sizeof(text)) != SQLITE_OK)
                text[0] = '\0';
        page_bytes = strtoul(text, NULL, 10);
        page_bytes = page_bytes == 0 ? 4096 : page_bytes;
        /* SQLITE_OK: there is more; SQLITE_DONE: that was all. */
        do {
                rc = sqlite3_backup_step(backup, (int)(CHUNK_BYTES / page_bytes));
                all = (uint64_t)sqlite3_backup_pagecount(backup);
                if (rc == SQLITE_OK)
                        stopped = tick((all - (uint64_t)sqlite3_backup_remaining(backup)) *
                                               page_bytes,
                                       all * page_bytes, arg, err);
        } while (rc == SQLITE_OK && stopped == 0);
        (void)sqlite3_backup_finish(backup);
        if (stopped < 0)
                return -1;
        return rc == SQLITE_DONE ? 0 : fail(err, to, rc, view->name, "cannot copy it");
}

/* The copy has the source's page size and, its first page being the source's, its journal mode. */
int sqlite_view_copy(struct sqlite_view *view, int to_fd, sqlite_tick tick, void *arg,
                     struct err *err)
{
        CLEANUP(sqlite_closep) sqlite3 *to = NULL;
        int rc;

        if (view->reader == NULL)
                return err_fail(err, ERR_INVALID, 0, "the view of '%s' is over", view->name);
        if (connect_file(to_fd, view->name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &to, err) <
            0)
                return -1;
        /* Nobody sees the file before it is synced as a whole: no journal, no syncs of its own. */
        rc = sqlite3_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                return fail(err, to, rc, view->name, "cannot prepare the copy");
        return backup_pages(view, to, tick, arg, err);
}

/* quick_check, as it is linear: comparing each index with its table takes many times as long, and a
 * copy by pages or blocks has the indexes that its source has. */
int sqlite_view_integrity(struct sqlite_view *view, sqlite_tick tick, void *arg, struct err *err)
{
        struct ticker ticker = { tick, arg, err, false };
        char text[256];
        int rc;

        sqlite3_progress_handler(view->reader, TICK_OPS, tick_ops, &ticker);
        rc = query_text(view->reader, "PRAGMA quick_check(1)", text, sizeof(text));
        sqlite3_progress_handler(view->reader, 0, NULL, NULL);
        if (ticker.stopped)
                return -1;
        if (rc != SQLITE_OK)
                return fail(err, view->reader, rc, view->name, "cannot check it");
        if (strcmp(text, "ok") != 0)
                return err_fail(err, ERR_CORRUPT, 0, "the database '%s': %s", view->name, text);
        return 0;
}

/* The connection is alone here, so the mode can be changed, and its close is the last one. */
int sqlite_view_settle(int dir_fd, const char *name, bool wal, bool durable, struct err *err)
{
        CLEANUP(sqlite_closep) sqlite3 *db = NULL;
        const char *want = wal ? "wal" : "delete";
        struct sqlite_view waiter = { .deadline_usec = clock_boot_usec() + SETTLE_MSEC * 1000 };
        char text[32] = "";
        int rc;

        if (connect_file(dir_fd, name, SQLITE_OPEN_READWRITE, &db, err) < 0)
                return -1;
        (void)sqlite3_busy_handler(db, wait_for_lock, &waiter);
        /* With -wal beside it, the last close brings everything home and removes it. */
        rc = durable ? SQLITE_OK : sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = query_text(db, "SELECT count(*) FROM sqlite_master", text, sizeof(text));
        if (rc == SQLITE_OK)
                rc = query_text(db, wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE",
                                text, sizeof(text));
        if (rc != SQLITE_OK)
                return fail(err, db, rc, name, "cannot set its journal mode");
        /* The pragma does not fail when it cannot: it says which mode it is. */
        if (strcmp(text, want) != 0)
                return err_fail(err, ERR_BUSY, 0,
                                "the database '%s' stays in journal mode %s: somebody has it open",
                                name, text);
        /* A close would keep quiet about a checkpoint that did not fit on the disk. */
        if (wal)
                rc = query_text(db, "PRAGMA wal_checkpoint(TRUNCATE)", text, sizeof(text));
        if (rc != SQLITE_OK)
                return fail(err, db, rc, name, "cannot empty its log");
        rc = sqlite3_close(db);
        db = NULL;
        return rc == SQLITE_OK ? 0 : fail(err, NULL, rc, name, "cannot close it");
}
