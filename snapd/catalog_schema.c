/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "snapd/catalog_schema.h"
#include "snapd/sql.h"

#define APPLICATION_ID 0x53735370 /* "SsSp": what file(1) sees in the header */

static const char *const scripts[] = {
        /* 1 */
        /* Numbers given out; a row outlives its site, so that no number comes twice. */
        "CREATE TABLE counters ("
        "  name TEXT PRIMARY KEY,"
        "  next INTEGER NOT NULL CHECK (next > 0)"
        ") WITHOUT ROWID;"

        "CREATE TABLE sites ("
        "  name TEXT PRIMARY KEY,"
        "  driver TEXT NOT NULL,"
        "  pool TEXT NOT NULL"
        ") WITHOUT ROWID;"

        "CREATE TABLE versions ("
        "  site TEXT NOT NULL REFERENCES sites (name) ON DELETE CASCADE,"
        "  number INTEGER NOT NULL CHECK (number > 0),"
        "  state TEXT NOT NULL CHECK (state IN ('active', 'kept', 'pruning')),"
        "  mark TEXT NOT NULL CHECK (mark IN ('none', 'good', 'bad')),"
        "  pinned INTEGER NOT NULL,"
        "  mounted INTEGER NOT NULL,"
        "  parent INTEGER NOT NULL,"
        "  tree INTEGER NOT NULL,"
        "  database TEXT NOT NULL,"
        "  label TEXT NOT NULL,"
        "  reason TEXT NOT NULL,"
        "  mark_reason TEXT NOT NULL,"
        "  verb TEXT NOT NULL,"
        "  operation INTEGER NOT NULL,"
        "  by INTEGER NOT NULL,"
        "  created INTEGER NOT NULL,"
        "  active INTEGER NOT NULL,"
        "  files_bytes INTEGER NOT NULL,"
        "  freed_bytes INTEGER NOT NULL,"
        "  database_bytes INTEGER NOT NULL,"
        "  PRIMARY KEY (site, number)"
        ") WITHOUT ROWID;"
        "CREATE UNIQUE INDEX versions_one_active ON versions (site) WHERE state = 'active';"

        /* No reference to sites: an operation is queued before its site is there and is
         * remembered after the site has gone. */
        "CREATE TABLE ops ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  site TEXT NOT NULL,"
        "  verb TEXT NOT NULL,"
        "  request TEXT NOT NULL,"
        "  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'undoing', 'rescuing', 'held',"
        "                                       'done', 'failed', 'rolled-back')),"
        "  held_state TEXT,"
        "  by INTEGER NOT NULL,"
        "  reason TEXT NOT NULL,"
        "  created INTEGER NOT NULL,"
        "  ended INTEGER NOT NULL DEFAULT 0,"
        "  seq INTEGER NOT NULL DEFAULT 1,"
        "  version INTEGER NOT NULL DEFAULT 0,"
        "  pivot INTEGER NOT NULL DEFAULT 0,"
        "  abort INTEGER NOT NULL DEFAULT 0,"
        "  error_code TEXT,"
        "  error_os INTEGER,"
        "  error_msg TEXT,"
        "  held_code TEXT,"
        "  held_os INTEGER,"
        "  held_msg TEXT"
        ");"
        "CREATE UNIQUE INDEX ops_one_open ON ops (site)"
        "  WHERE state IN ('queued', 'running', 'undoing', 'rescuing', 'held');"
        "CREATE INDEX ops_by_site ON ops (site, id);"

        "CREATE TABLE steps ("
        "  op INTEGER NOT NULL REFERENCES ops (id) ON DELETE CASCADE,"
        "  part INTEGER NOT NULL CHECK (part IN (0, 1)),"
        "  n INTEGER NOT NULL,"
        "  kind TEXT NOT NULL,"
        "  args TEXT NOT NULL,"
        "  once INTEGER NOT NULL,"
        "  mark TEXT NOT NULL"
        "    CHECK (mark IN ('planned', 'running', 'done', 'undoing', 'undone')),"
        "  started INTEGER NOT NULL DEFAULT 0,"
        "  ended INTEGER NOT NULL DEFAULT 0,"
        "  PRIMARY KEY (op, part, n)"
        ") WITHOUT ROWID;",
};

#define SCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

/* A new file has neither tables nor numbers; any other must be ours. */
static int schema_read(sqlite3 *db, uint64_t *ret_version, struct err *err)
{
        uint64_t id = 0, version = 0, tables = 0;

        if (sql_number(db, "PRAGMA application_id", NULL, &id, err) < 0 ||
            sql_number(db, "PRAGMA user_version", NULL, &version, err) < 0 ||
            sql_number(db, "SELECT count(*) FROM sqlite_schema", NULL, &tables, err) < 0)
                return -1;
        if (id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
                return err_fail(err, ERR_CORRUPT, 0, "it is not a catalog of sitesnap");
        if (version > SCRIPTS)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "it was written by a newer sitesnap (schema %" PRIu64
                                ", this one knows %zu): install that one again",
                                version, SCRIPTS);
        *ret_version = version;
        return 0;
}

static int schema_run(sqlite3 *db, struct err *err)
{
        char done[96];
        uint64_t version;

        if (schema_read(db, &version, err) < 0)
                return -1;
        for (; version < SCRIPTS; version++)
                if (sql_script(db, scripts[version], err) < 0)
                        return -1;
        (void)snprintf(done, sizeof(done), "PRAGMA application_id = %d; PRAGMA user_version = %zu",
                       APPLICATION_ID, SCRIPTS);
        return sql_script(db, done, err);
}

/* What ${work} reads is of one moment, and what it writes is there whole or not at all. */
static int in_transaction(sqlite3 *db, const char *begin, int (*work)(sqlite3 *, struct err *),
                          struct err *err)
{
        int result;

        if (sql_script(db, begin, err) < 0)
                return -1;
        result = work(db, err);
        if (result >= 0 && sql_script(db, "COMMIT", err) < 0)
                result = -1;
        if (result < 0)
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
        return result;
}

/* 1 when there is something to do. */
static int schema_is_old(sqlite3 *db, struct err *err)
{
        uint64_t version;

        if (schema_read(db, &version, err) < 0)
                return -1;
        return version < SCRIPTS;
}

/* Looked at without the writer's lock first: nearly always there is nothing to do. */
int catalog_schema_update(sqlite3 *db, struct err *err)
{
        int old = in_transaction(db, "BEGIN", schema_is_old, err);

        return old <= 0 ? old : in_transaction(db, "BEGIN IMMEDIATE", schema_run, err);
}
