/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "snapd/catalog.h"
#include "snapd/sql.h"

int catalog_add_site(struct catalog *catalog, const char *site, const char *driver,
                     const char *pool, struct err *err)
{
        if (sql_run(catalog_db(catalog), "INSERT INTO sites (name, driver, pool) VALUES (?, ?, ?)",
                    SQL_ARGS(sql_text(site), sql_text(driver), sql_text(pool)), err) == 0)
                return 0;
        if (err->code == ERR_EXISTS)
                return err_fail(err, ERR_EXISTS, 0, "there is a site '%s' already", site);
        return -1;
}

static int site_missing(const char *site, struct err *err)
{
        return err_fail(err, ERR_NOT_FOUND, 0, "there is no site '%s'", site);
}

int catalog_remove_site(struct catalog *catalog, const char *site, struct err *err)
{
        if (sql_run(catalog_db(catalog), "DELETE FROM sites WHERE name = ?",
                    SQL_ARGS(sql_text(site)), err) < 0)
                return -1;
        return sqlite3_changes(catalog_db(catalog)) == 0 ? site_missing(site, err) : 0;
}

/* The order of "last good" is that of version_last_good(). */
int catalog_site(struct catalog *catalog, const char *site, struct catalog_site *ret_site,
                 struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        struct catalog_site found = { 0 };
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT name, driver, pool,"
                        "  (SELECT number FROM versions WHERE site = name AND state = 'active'),"
                        "  (SELECT number FROM versions WHERE site = name AND state = 'kept'"
                        "     AND mark != 'bad' ORDER BY active DESC, number DESC LIMIT 1),"
                        "  (SELECT count(*) FROM versions WHERE site = name)"
                        "  FROM sites WHERE name = ?",
                        SQL_ARGS(sql_text(site)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row <= 0)
                return row < 0 ? -1 : site_missing(site, err);
        if (sql_column_copy(stmt, 0, &found.name, err) < 0 ||
            sql_column_copy(stmt, 1, &found.driver, err) < 0 ||
            sql_column_copy(stmt, 2, &found.pool, err) < 0) {
                catalog_site_done(&found);
                return -1;
        }
        found.active = sql_column_u64(stmt, 3);
        found.last_good = sql_column_u64(stmt, 4);
        found.versions = sql_column_u64(stmt, 5);
        *ret_site = found;
        return 0;
}

void catalog_site_done(struct catalog_site *site)
{
        free(site->name);
        free(site->driver);
        free(site->pool);
        memset(site, 0, sizeof(*site));
}

struct names {
        char **items;
        size_t n;
};

static void names_done(struct names *names)
{
        for (size_t i = 0; i < names->n; i++)
                free(names->items[i]);
        free(names->items);
}

static int names_add(struct names *names, sqlite3_stmt *stmt, struct err *err)
{
        char **items = reallocarray(names->items, names->n + 1, sizeof(*items));

        if (items == NULL)
                return err_oom(err);
        names->items = items;
        if (sql_column_copy(stmt, 0, &items[names->n], err) < 0)
                return -1;
        names->n++;
        return 0;
}

/* Read to the end before the first visit: a statement that stays open pins the past, and a visit
 * that writes would be refused. */
int catalog_sites(struct catalog *catalog, catalog_visit visit, void *arg, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        CLEANUP(names_done) struct names names = { 0 };
        int row;

        if (sql_prepare(catalog_db(catalog), "SELECT name FROM sites ORDER BY name", NULL, &stmt,
                        err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0)
                if (names_add(&names, stmt, err) < 0)
                        return -1;
        if (row < 0)
                return -1;
        sql_done(STEAL(stmt));

        for (size_t i = 0; i < names.n; i++)
                if (visit(names.items[i], arg, err) < 0)
                        return -1;
        return 0;
}
