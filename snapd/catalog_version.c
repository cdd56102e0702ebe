/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "snapd/catalog.h"
#include "snapd/site.h"
#include "snapd/sql.h"

/* The names are those of the schema and of the API. */
static const char *const state_names[] = {
        [VERSION_ACTIVE] = "active",
        [VERSION_KEPT] = "kept",
        [VERSION_PRUNING] = "pruning",
};
static const char *const mark_names[] = {
        [MARK_NONE] = "none",
        [MARK_GOOD] = "good",
        [MARK_BAD] = "bad",
};

#define STATES (sizeof(state_names) / sizeof(state_names[0]))
#define MARKS  (sizeof(mark_names) / sizeof(mark_names[0]))

#define COLUMNS                                                                                    \
        "number, state, mark, pinned, mounted, parent, tree, database, label, reason,"             \
        " mark_reason, verb, operation, by, created, active, files_bytes, freed_bytes,"            \
        " database_bytes, leaving"

/* ... and what other tables know of it. */
#define SELECTED                                                                                   \
        COLUMNS ", coalesce((SELECT f.changed FROM fingerprints AS f"                              \
                " WHERE f.site = versions.site AND f.number = versions.number), -1)"

const char *version_state_name(enum version_state state)
{
        return (unsigned)state < STATES ? state_names[state] : NULL;
}

const char *version_mark_name(enum version_mark mark)
{
        return (unsigned)mark < MARKS ? mark_names[mark] : NULL;
}

void version_done(struct version *version)
{
        free(version->database);
        free(version->label);
        free(version->reason);
        free(version->mark_reason);
        free(version->verb);
        memset(version, 0, sizeof(*version));
}

void version_list_done(struct version_list *list)
{
        for (size_t i = 0; i < list->n; i++)
                version_done(&list->items[i]);
        free(list->items);
        memset(list, 0, sizeof(*list));
}

/* The index of a column's text among ${names}; the schema lets no other in. */
static unsigned column_name(sqlite3_stmt *stmt, int column, const char *const *names, size_t n)
{
        const char *text = (const char *)sqlite3_column_text(stmt, column);

        for (unsigned i = 0; i < n; i++)
                if (text != NULL && strcmp(text, names[i]) == 0)
                        return i;
        return 0;
}

/* A row of COLUMNS; on failure ${v} holds what there is so far. */
static int version_read(sqlite3_stmt *stmt, struct version *v, struct err *err)
{
        memset(v, 0, sizeof(*v));
        if (sql_column_copy(stmt, 7, &v->database, err) < 0 ||
            sql_column_copy(stmt, 8, &v->label, err) < 0 ||
            sql_column_copy(stmt, 9, &v->reason, err) < 0 ||
            sql_column_copy(stmt, 10, &v->mark_reason, err) < 0 ||
            sql_column_copy(stmt, 11, &v->verb, err) < 0)
                return -1;
        v->number = sql_column_u64(stmt, 0);
        v->state = column_name(stmt, 1, state_names, STATES);
        v->mark = column_name(stmt, 2, mark_names, MARKS);
        v->pinned = sql_column_u64(stmt, 3) != 0;
        v->mounted = sql_column_u64(stmt, 4) != 0;
        v->parent = sql_column_u64(stmt, 5);
        v->tree = sql_column_u64(stmt, 6);
        v->operation = sql_column_u64(stmt, 12);
        v->by = (uid_t)sql_column_u64(stmt, 13);
        v->created_usec = sqlite3_column_int64(stmt, 14);
        v->active_usec = sqlite3_column_int64(stmt, 15);
        v->files_bytes = sqlite3_column_int64(stmt, 16);
        v->freed_bytes = sqlite3_column_int64(stmt, 17);
        v->database_bytes = sqlite3_column_int64(stmt, 18);
        v->leaving = sql_column_u64(stmt, 19) != 0;
        v->schema_changed = (int)sqlite3_column_int64(stmt, 20);
        return 0;
}

static int list_add(struct version_list *list, size_t *room, sqlite3_stmt *stmt, struct err *err)
{
        if (list->n == *room) {
                size_t more = *room == 0 ? 16 : *room * 2;
                struct version *items = reallocarray(list->items, more, sizeof(*items));

                if (items == NULL)
                        return err_oom(err);
                list->items = items;
                *room = more;
        }
        list->n++;
        return version_read(stmt, &list->items[list->n - 1], err);
}

static int list_read(struct catalog *catalog, const char *site, struct version_list *list,
                     struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        size_t room = 0;
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT " SELECTED " FROM versions WHERE site = ? ORDER BY number",
                        SQL_ARGS(sql_text(site)), &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0)
                if (list_add(list, &room, stmt, err) < 0)
                        return -1;
        return row;
}

static int site_exists(struct catalog *catalog, const char *site, struct err *err)
{
        uint64_t one;
        int row = sql_number(catalog_db(catalog), "SELECT 1 FROM sites WHERE name = ?",
                             SQL_ARGS(sql_text(site)), &one, err);

        if (row == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no site '%s'", site);
        return row < 0 ? -1 : 0;
}

int catalog_versions(struct catalog *catalog, const char *site, struct version_list *ret_list,
                     struct err *err)
{
        struct version_list list = { 0 };

        if (list_read(catalog, site, &list, err) < 0 ||
            (list.n == 0 && site_exists(catalog, site, err) < 0)) {
                version_list_done(&list);
                return -1;
        }
        *ret_list = list;
        return 0;
}

/* Numbers rise and are never given out twice, so the counter knows which ones there were. */
static int version_missing(struct catalog *catalog, const char *site, uint64_t number,
                           struct err *err)
{
        char counter[sizeof("version:") + SITE_NAME_MAX];
        uint64_t next = 1;

        if (site_exists(catalog, site, err) < 0)
                return -1;
        (void)snprintf(counter, sizeof(counter), "version:%s", site);
        if (sql_number(catalog_db(catalog), "SELECT next FROM counters WHERE name = ?",
                       SQL_ARGS(sql_text(counter)), &next, err) < 0)
                return -1;
        if (number != 0 && number < next)
                return err_fail(err, ERR_NOT_FOUND, 0, "version %" PRIu64 " of '%s' was pruned",
                                number, site);
        return err_fail(err, ERR_NOT_FOUND, 0, "there is no version %" PRIu64 " of '%s'", number,
                        site);
}

int catalog_version(struct catalog *catalog, const char *site, uint64_t number,
                    struct version *ret_version, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        struct version version;
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT " SELECTED " FROM versions WHERE site = ? AND number = ?",
                        SQL_ARGS(sql_text(site), sql_uint(number)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row <= 0)
                return row < 0 ? -1 : version_missing(catalog, site, number, err);
        if (version_read(stmt, &version, err) < 0) {
                version_done(&version);
                return -1;
        }
        *ret_version = version;
        return 0;
}

static const char *text_or_empty(const char *text)
{
        return text == NULL ? "" : text;
}

/* An upsert, not REPLACE: that one would delete whichever row is in the way, the other active
 * version too. */
int catalog_put_version(struct catalog *catalog, const char *site, const struct version *v,
                        struct err *err)
{
        const struct sql_value *args = SQL_ARGS(
                sql_text(site), sql_uint(v->number), sql_text(version_state_name(v->state)),
                sql_text(version_mark_name(v->mark)), sql_int(v->pinned), sql_int(v->mounted),
                sql_uint(v->parent), sql_uint(v->tree), sql_text(text_or_empty(v->database)),
                sql_text(text_or_empty(v->label)), sql_text(text_or_empty(v->reason)),
                sql_text(text_or_empty(v->mark_reason)), sql_text(text_or_empty(v->verb)),
                sql_uint(v->operation), sql_int(v->by), sql_int(v->created_usec),
                sql_int(v->active_usec), sql_int(v->files_bytes), sql_int(v->freed_bytes),
                sql_int(v->database_bytes), sql_int(v->leaving));

        if (sql_run(catalog_db(catalog),
                    "INSERT INTO versions (site, " COLUMNS ")"
                    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
                    " ON CONFLICT (site, number) DO UPDATE SET state = excluded.state,"
                    " mark = excluded.mark, pinned = excluded.pinned, mounted = excluded.mounted,"
                    " parent = excluded.parent, tree = excluded.tree, database = excluded.database,"
                    " label = excluded.label, reason = excluded.reason,"
                    " mark_reason = excluded.mark_reason, verb = excluded.verb,"
                    " operation = excluded.operation, by = excluded.by, created = excluded.created,"
                    " active = excluded.active, files_bytes = excluded.files_bytes,"
                    " freed_bytes = excluded.freed_bytes, database_bytes = excluded.database_bytes,"
                    " leaving = excluded.leaving",
                    args, err) < 0)
                return err_wrap(err, "recording version %" PRIu64 " of '%s'", v->number, site);
        return 0;
}

int catalog_delete_version(struct catalog *catalog, const char *site, uint64_t number,
                           struct err *err)
{
        return sql_run(catalog_db(catalog), "DELETE FROM versions WHERE site = ? AND number = ?",
                       SQL_ARGS(sql_text(site), sql_uint(number)), err);
}

/* The same order as in catalog_site(). */
const struct version *version_last_good(const struct version_list *list)
{
        const struct version *best = NULL;

        for (size_t i = 0; i < list->n; i++) {
                const struct version *v = &list->items[i];

                if (v->state != VERSION_KEPT || v->mark == MARK_BAD)
                        continue;
                if (best == NULL || v->active_usec >= best->active_usec)
                        best = v;
        }
        return best;
}
