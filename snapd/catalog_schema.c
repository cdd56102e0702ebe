/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapd/catalog_schema.h"
#include "snapd/sql_file.h"

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

        /* 2 */
        /* Who asked is answered before all is done; from then on the next one may ask. */
        "ALTER TABLE ops ADD COLUMN answer_main INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE ops ADD COLUMN answer_rescue INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE ops ADD COLUMN served INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE versions ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;"
        "DROP INDEX ops_one_open;"
        "CREATE UNIQUE INDEX ops_one_unserved ON ops (site)"
        "  WHERE state IN ('queued', 'running', 'undoing', 'rescuing', 'held') AND served = 0;"
        "CREATE INDEX ops_open ON ops (site)"
        "  WHERE state IN ('queued', 'running', 'undoing', 'rescuing', 'held');",

        /* 3 */
        /* Who is led to a version that is not the live one: a link's token or an address. */
        "CREATE TABLE passes ("
        "  site TEXT NOT NULL REFERENCES sites (name) ON DELETE CASCADE,"
        "  kind TEXT NOT NULL CHECK (kind IN ('link', 'from')),"
        "  name TEXT NOT NULL,"
        "  version INTEGER NOT NULL,"
        "  until INTEGER NOT NULL,"
        "  by INTEGER NOT NULL,"
        "  created INTEGER NOT NULL,"
        "  PRIMARY KEY (site, kind, name)"
        ") WITHOUT ROWID;"

        "CREATE TABLE temporary ("
        "  site TEXT PRIMARY KEY REFERENCES sites (name) ON DELETE CASCADE,"
        "  mode TEXT NOT NULL CHECK (mode IN ('open', 'read-only', 'closed', 'redirect-302',"
        "                                     'redirect-307')),"
        "  version INTEGER NOT NULL,"
        "  back INTEGER NOT NULL,"
        "  until INTEGER NOT NULL,"
        "  since INTEGER NOT NULL"
        ") WITHOUT ROWID;",

        /* 4 */
        /* A site that was there before the guard was: its active version is no news. */
        "CREATE TABLE probations ("
        "  site TEXT PRIMARY KEY REFERENCES sites (name) ON DELETE CASCADE,"
        "  state TEXT NOT NULL CHECK (state IN ('none', 'probation', 'good', 'rolling-back',"
        "    'verifying', 'rolled-back', 'held', 'frozen', 'alerted')),"
        "  version INTEGER NOT NULL,"
        "  prior INTEGER NOT NULL,"
        "  seen INTEGER NOT NULL,"
        "  operation INTEGER NOT NULL,"
        "  began INTEGER NOT NULL,"
        "  until INTEGER NOT NULL,"
        "  spent INTEGER NOT NULL,"
        "  boot_time INTEGER NOT NULL,"
        "  boot TEXT NOT NULL,"
        "  baseline TEXT,"
        "  cause TEXT"
        ") WITHOUT ROWID;"
        "INSERT INTO probations SELECT site, 'none', 0, 0, max(number), 0, 0, 0, 0, 0, '', NULL,"
        "  NULL FROM versions GROUP BY site;"
        "CREATE TABLE bad_releases ("
        "  site TEXT NOT NULL REFERENCES sites (name) ON DELETE CASCADE,"
        "  label TEXT NOT NULL,"
        "  version INTEGER NOT NULL,"
        "  reason TEXT NOT NULL,"
        "  created INTEGER NOT NULL,"
        "  PRIMARY KEY (site, label)"
        ") WITHOUT ROWID;",

        /* 5 */
        /* What the database of a version is made of.  Most versions have the text of the one
         * before. */
        "CREATE TABLE fingerprint_texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
        "CREATE TABLE fingerprints ("
        "  site TEXT NOT NULL,"
        "  number INTEGER NOT NULL,"
        "  text INTEGER NOT NULL REFERENCES fingerprint_texts (id),"
        "  changed INTEGER NOT NULL CHECK (changed IN (-1, 0, 1)),"
        "  PRIMARY KEY (site, number),"
        "  FOREIGN KEY (site, number) REFERENCES versions (site, number) ON DELETE CASCADE"
        ") WITHOUT ROWID;",
};

static const struct sql_schema schema = {
        .application_id = APPLICATION_ID,
        .what = "a catalog",
        .scripts = scripts,
        .n = sizeof(scripts) / sizeof(scripts[0]),
};

int catalog_schema_update(sqlite3 *db, struct err *err)
{
        return sql_schema_update(db, &schema, err);
}
