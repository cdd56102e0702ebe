/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "snapd/catalog.h"
#include "snapd/sql.h"

/* Versions whose schemas are alike share one text; one that nobody has any more goes. */
static int put(struct catalog *catalog, const char *site, uint64_t number, const char *text,
               int changed, struct err *err)
{
        sqlite3 *db = catalog_db(catalog);

        if (sql_run(db, "INSERT OR IGNORE INTO fingerprint_texts (text) VALUES (?)",
                    SQL_ARGS(sql_text(text)), err) < 0 ||
            sql_run(db,
                    "INSERT INTO fingerprints (site, number, text, changed)"
                    " SELECT ?, ?, id, ? FROM fingerprint_texts WHERE text = ?"
                    " ON CONFLICT (site, number) DO UPDATE SET text = excluded.text,"
                    " changed = CASE excluded.changed WHEN -1 THEN changed"
                    " ELSE excluded.changed END",
                    SQL_ARGS(sql_text(site), sql_uint(number), sql_int(changed), sql_text(text)),
                    err) < 0)
                return -1;
        return sql_run(db,
                       "DELETE FROM fingerprint_texts WHERE id NOT IN"
                       " (SELECT text FROM fingerprints)",
                       NULL, err);
}

int catalog_put_fingerprint(struct catalog *catalog, const char *site, uint64_t number,
                            const char *text, int changed, struct err *err)
{
        bool own;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        return catalog_leave(catalog, own, put(catalog, site, number, text, changed, err), err);
}

int catalog_fingerprint(struct catalog *catalog, const char *site, uint64_t number, char **ret_text,
                        struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT t.text FROM fingerprints AS f JOIN fingerprint_texts AS t"
                        " ON t.id = f.text WHERE f.site = ? AND f.number = ?",
                        SQL_ARGS(sql_text(site), sql_uint(number)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row < 0)
                return -1;
        if (row == 0)
                return err_fail(err, ERR_NOT_FOUND, 0,
                                "the schema of version %" PRIu64 " of '%s' is not known", number,
                                site);
        return sql_column_copy(stmt, 0, ret_text, err);
}
