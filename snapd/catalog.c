/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "snapd/catalog.h"
#include "snapd/catalog_schema.h"
#include "snapd/progress.h"
#include "snapd/sql.h"
#include "snapd/sql_file.h"
#include "snapd/wake.h"

#define FILE_NAME "state.db"

struct catalog {
        sqlite3 *db;
        struct progress_file progress;
        bool lazy; /* what is committed is synced with the next commit only */
};

static int open_parts(struct catalog *catalog, int dir_fd, struct err *err)
{
        if (sql_file_open(dir_fd, FILE_NAME, &catalog->db, err) < 0 ||
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

int catalog_ready(struct catalog *catalog, struct err *err)
{
        return sql_file_sync(catalog->db, err);
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
static int set_lazy(struct catalog *catalog, bool lazy, struct err *err)
{
        if (catalog->lazy == lazy)
                return 0;
        if (sql_script(catalog->db,
                       lazy ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", err) < 0)
                return -1;
        catalog->lazy = lazy;
        return 0;
}

int catalog_begin(struct catalog *catalog, struct err *err)
{
        if (set_lazy(catalog, false, err) < 0)
                return -1;
        return sql_script(catalog->db, "BEGIN IMMEDIATE", err);
}

int catalog_begin_lazily(struct catalog *catalog, struct err *err)
{
        if (set_lazy(catalog, true, err) < 0)
                return -1;
        return sql_script(catalog->db, "BEGIN IMMEDIATE", err);
}

int catalog_commit(struct catalog *catalog, struct err *err)
{
        struct err ignored;

        if (sql_script(catalog->db, "COMMIT", err) < 0) {
                catalog_rollback(catalog);
                return -1;
        }
        wake_send();
        /* What is no transaction is synced again, too; catalog_begin() tries again. */
        (void)set_lazy(catalog, false, &ignored);
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
