/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "snapd/front.h"
#include "snapd/sql.h"

static const char *const mode_names[FRONT_MODES] = {
        [FRONT_OPEN] = "open",
        [FRONT_READ_ONLY] = "read-only",
        [FRONT_CLOSED] = "closed",
        [FRONT_REDIRECT_302] = "redirect-302",
        [FRONT_REDIRECT_307] = "redirect-307",
};

static const char *const kind_names[] = { [FRONT_LINK] = "link", [FRONT_FROM] = "from" };

const char *front_mode_name(enum front_mode mode)
{
        return mode < FRONT_MODES ? mode_names[mode] : NULL;
}

enum front_mode front_mode_by_name(const char *name)
{
        for (enum front_mode mode = FRONT_OPEN; name != NULL && mode < FRONT_MODES; mode++)
                if (strcmp(mode_names[mode], name) == 0)
                        return mode;
        return FRONT_MODES;
}

bool front_mode_flips(enum front_mode mode)
{
        return mode == FRONT_OPEN || mode == FRONT_READ_ONLY;
}

int front_temporary(struct catalog *catalog, const char *site,
                    struct front_temporary *ret_temporary, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT mode, version, back, until, since FROM temporary WHERE site = ?",
                        SQL_ARGS(sql_text(site)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row > 0)
                *ret_temporary = (struct front_temporary){
                        .mode = front_mode_by_name((const char *)sqlite3_column_text(stmt, 0)),
                        .version = sql_column_u64(stmt, 1),
                        .back = sql_column_u64(stmt, 2),
                        .until_usec = sqlite3_column_int64(stmt, 3),
                        .since_usec = sqlite3_column_int64(stmt, 4),
                };
        return row;
}

int front_set_temporary(struct catalog *catalog, const char *site,
                        const struct front_temporary *temporary, struct err *err)
{
        if (temporary == NULL)
                return sql_run(catalog_db(catalog), "DELETE FROM temporary WHERE site = ?",
                               SQL_ARGS(sql_text(site)), err);
        return sql_run(catalog_db(catalog),
                       "INSERT OR REPLACE INTO temporary (site, mode, version, back, until, since)"
                       "  VALUES (?, ?, ?, ?, ?, ?)",
                       SQL_ARGS(sql_text(site), sql_text(front_mode_name(temporary->mode)),
                                sql_uint(temporary->version), sql_uint(temporary->back),
                                sql_int(temporary->until_usec), sql_int(temporary->since_usec)),
                       err);
}

int front_token(char name[static FRONT_NAME_MAX], struct err *err)
{
        unsigned char bytes[16];

        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                return err_fail(err, ERR_IO, errno, "the kernel gives no random numbers");
        for (size_t i = 0; i < sizeof(bytes); i++)
                (void)snprintf(name + 2 * i, 3, "%02x", bytes[i]);
        return 0;
}

int front_address(const char *text, char name[static FRONT_NAME_MAX], struct err *err)
{
        unsigned char address[sizeof(struct in6_addr)];

        for (size_t i = 0; i < 2; i++) {
                int family = i == 0 ? AF_INET : AF_INET6;

                if (inet_pton(family, text, address) == 1 &&
                    inet_ntop(family, address, name, FRONT_NAME_MAX) != NULL)
                        return 0;
        }
        return err_fail(err, ERR_INVALID, 0,
                        "'%.60s' is not the address of one machine, like 203.0.113.7 or "
                        "2001:db8::7",
                        text);
}

int front_passes(struct catalog *catalog, const char *site, struct front_passes *ret_passes,
                 struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        struct front_passes passes = { 0 };
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT kind, name, version, until, created, by FROM passes"
                        "  WHERE site = ? AND (until = 0 OR until > ?) ORDER BY kind, name",
                        SQL_ARGS(sql_text(site), sql_int(clock_wall_usec())), &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0) {
                struct front_pass *items = realloc(passes.items, (passes.n + 1) * sizeof(*items));
                struct front_pass *pass;

                if (items == NULL) {
                        row = err_oom(err);
                        break;
                }
                passes.items = items;
                pass = &items[passes.n++];
                pass->kind = strcmp((const char *)sqlite3_column_text(stmt, 0), "link") == 0
                                     ? FRONT_LINK
                                     : FRONT_FROM;
                (void)snprintf(pass->name, sizeof(pass->name), "%s", sqlite3_column_text(stmt, 1));
                pass->version = sql_column_u64(stmt, 2);
                pass->until_usec = sqlite3_column_int64(stmt, 3);
                pass->created_usec = sqlite3_column_int64(stmt, 4);
                pass->by = (uid_t)sql_column_u64(stmt, 5);
        }
        if (row < 0) {
                front_passes_done(&passes);
                return -1;
        }
        *ret_passes = passes;
        return 0;
}

void front_passes_done(struct front_passes *passes)
{
        free(passes->items);
        *passes = (struct front_passes){ 0 };
}

int front_put_pass(struct catalog *catalog, const char *site, const struct front_pass *pass,
                   struct err *err)
{
        return sql_run(
                catalog_db(catalog),
                "INSERT OR REPLACE INTO passes (site, kind, name, version, until, by, created)"
                "  VALUES (?, ?, ?, ?, ?, ?, ?)",
                SQL_ARGS(sql_text(site), sql_text(kind_names[pass->kind]), sql_text(pass->name),
                         sql_uint(pass->version), sql_int(pass->until_usec), sql_uint(pass->by),
                         sql_int(pass->created_usec)),
                err);
}

int front_drop_pass(struct catalog *catalog, const char *site, const char *name, struct err *err)
{
        if (sql_run(catalog_db(catalog), "DELETE FROM passes WHERE site = ? AND name = ?",
                    SQL_ARGS(sql_text(site), sql_text(name)), err) < 0)
                return -1;
        if (sqlite3_changes(catalog_db(catalog)) == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' has no such link and no such address",
                                site);
        return 0;
}

int front_next(struct catalog *catalog, int64_t *ret_usec, struct err *err)
{
        uint64_t next = 0;

        if (sql_number(catalog_db(catalog),
                       "SELECT min(until) FROM (SELECT until FROM passes WHERE until > 0"
                       "  UNION ALL SELECT until FROM temporary WHERE until > 0)",
                       NULL, &next, err) < 0)
                return -1;
        *ret_usec = (int64_t)next;
        return 0;
}

/* The names first: a visit changes what is being read. */
struct over {
        char site[64];
        bool temporary;
};

int front_expired(struct catalog *catalog, front_visit visit, void *arg, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        CLEANUP(freep) struct over *over = NULL;
        int64_t now = clock_wall_usec();
        size_t n = 0;
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT site, 0 FROM passes WHERE until > 0 AND until <= ?1 GROUP BY site "
                        "UNION ALL SELECT site, 1 FROM temporary WHERE until > 0 AND until <= ?1",
                        SQL_ARGS(sql_int(now)), &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0) {
                struct over *more = realloc(over, (n + 1) * sizeof(*more));

                if (more == NULL)
                        return err_oom(err);
                over = more;
                (void)snprintf(over[n].site, sizeof(over[n].site), "%s",
                               sqlite3_column_text(stmt, 0));
                over[n++].temporary = sqlite3_column_int(stmt, 1) != 0;
        }
        if (row < 0)
                return -1;
        /* A row goes when its link has gone: until then it says that there is something to do. */
        for (size_t i = 0; i < n; i++)
                if (visit(over[i].site, over[i].temporary, arg, err) == 0 && !over[i].temporary &&
                    sql_run(catalog_db(catalog),
                            "DELETE FROM passes WHERE site = ? AND until > 0 AND until <= ?",
                            SQL_ARGS(sql_text(over[i].site), sql_int(now)), err) < 0)
                        return -1;
        return 0;
}
