/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "snapd/probation.h"
#include "snapd/sql.h"

static const char *const state_names[PROBATION_STATES] = {
        [PROBATION_NONE] = "none",           [PROBATION_GOING] = "probation",
        [PROBATION_GOOD] = "good",           [PROBATION_ROLLING] = "rolling-back",
        [PROBATION_VERIFYING] = "verifying", [PROBATION_BACK] = "rolled-back",
        [PROBATION_HELD] = "held",           [PROBATION_FROZEN] = "frozen",
        [PROBATION_ALERTED] = "alerted",
};

const char *probation_state_name(enum probation_state state)
{
        return (unsigned)state < PROBATION_STATES ? state_names[state] : NULL;
}

bool probation_is_open(enum probation_state state)
{
        return state == PROBATION_GOING || state == PROBATION_ROLLING ||
               state == PROBATION_VERIFYING;
}

void probation_done(struct probation *probation)
{
        json_decref(probation->baseline);
        json_decref(probation->cause);
        *probation = (struct probation){ 0 };
}

/* What cannot be read is as if it had not been there: a rule is not broken by it. */
static json_t *column_json(sqlite3_stmt *stmt, int i)
{
        const char *text = (const char *)sqlite3_column_text(stmt, i);
        struct err ignored;
        json_t *json;

        if (text == NULL || text[0] == '\0' || json_parse(text, strlen(text), &json, &ignored) < 0)
                return NULL;
        return json;
}

static enum probation_state state_of(const char *name)
{
        for (enum probation_state state = 0; state < PROBATION_STATES; state++)
                if (name != NULL && strcmp(name, state_names[state]) == 0)
                        return state;
        return PROBATION_NONE;
}

int probation_get(struct catalog *catalog, const char *site, struct probation *probation,
                  struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        const char *boot;
        int row;

        *probation = (struct probation){ 0 };
        if (sql_prepare(catalog_db(catalog),
                        "SELECT state, version, prior, seen, operation, began, until, spent,"
                        "  boot_time, boot, baseline, cause FROM probations WHERE site = ?",
                        SQL_ARGS(sql_text(site)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row <= 0)
                return row;
        boot = (const char *)sqlite3_column_text(stmt, 9);
        *probation = (struct probation){
                .state = state_of((const char *)sqlite3_column_text(stmt, 0)),
                .version = sql_column_u64(stmt, 1),
                .prior = sql_column_u64(stmt, 2),
                .seen = sql_column_u64(stmt, 3),
                .operation = sql_column_u64(stmt, 4),
                .began_usec = sqlite3_column_int64(stmt, 5),
                .until_usec = sqlite3_column_int64(stmt, 6),
                .spent_usec = sqlite3_column_int64(stmt, 7),
                .boot_usec = sqlite3_column_int64(stmt, 8),
                .baseline = column_json(stmt, 10),
                .cause = column_json(stmt, 11),
        };
        (void)snprintf(probation->boot, sizeof(probation->boot), "%s", boot == NULL ? "" : boot);
        return 0;
}

int probation_put(struct catalog *catalog, const char *site, const struct probation *probation,
                  struct err *err)
{
        CLEANUP(freep) char *baseline = NULL;
        CLEANUP(freep) char *cause = NULL;

        if (probation->baseline != NULL)
                baseline = json_dumps(probation->baseline, JSON_COMPACT);
        if (probation->cause != NULL)
                cause = json_dumps(probation->cause, JSON_COMPACT);
        if ((probation->baseline != NULL && baseline == NULL) ||
            (probation->cause != NULL && cause == NULL))
                return err_oom(err);
        if (sql_run(catalog_db(catalog),
                    "INSERT OR REPLACE INTO probations (site, state, version, prior, seen,"
                    "  operation, began, until, spent, boot_time, boot, baseline, cause)"
                    "  SELECT name, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13"
                    "  FROM sites WHERE name = ?1",
                    SQL_ARGS(sql_text(site), sql_text(state_names[probation->state]),
                             sql_uint(probation->version), sql_uint(probation->prior),
                             sql_uint(probation->seen), sql_uint(probation->operation),
                             sql_int(probation->began_usec), sql_int(probation->until_usec),
                             sql_int(probation->spent_usec), sql_int(probation->boot_usec),
                             sql_text(probation->boot), sql_text(baseline), sql_text(cause)),
                    err) < 0)
                return -1;
        if (sqlite3_changes(catalog_db(catalog)) == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no site '%s'", site);
        return 0;
}

int probation_release_bad(struct catalog *catalog, const char *site, const char *label,
                          uint64_t version, const char *reason, struct err *err)
{
        if (label == NULL || label[0] == '\0')
                return 0;
        return sql_run(catalog_db(catalog),
                       "INSERT OR REPLACE INTO bad_releases (site, label, version, reason, created)"
                       "  SELECT name, ?2, ?3, ?4, ?5 FROM sites WHERE name = ?1",
                       SQL_ARGS(sql_text(site), sql_text(label), sql_uint(version),
                                sql_text(reason), sql_int(clock_wall_usec())),
                       err);
}

int probation_release_check(struct catalog *catalog, const char *site, const char *label,
                            struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        uint64_t version;
        int row;

        if (label == NULL || label[0] == '\0')
                return 0;
        if (sql_prepare(catalog_db(catalog),
                        "SELECT version, reason FROM bad_releases WHERE site = ? AND label = ?",
                        SQL_ARGS(sql_text(site), sql_text(label)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row <= 0)
                return row;
        version = sql_column_u64(stmt, 0);
        return err_fail(err, ERR_REFUSED, 0,
                        "'%.60s' was taken back here as version %" PRIu64 " (%.200s): when that is "
                        "put right, '" SITESNAP_CTL " mark %s %" PRIu64
                        " none --reason ...' lets it be installed again",
                        label, version, (const char *)sqlite3_column_text(stmt, 1), site, version);
}

int probation_lift(struct catalog *catalog, const char *site, uint64_t version, const char *reason,
                   bool *ret_lifted, struct err *err)
{
        uint64_t n = 0;

        *ret_lifted = false;
        if (sql_number(catalog_db(catalog),
                       "SELECT count(*) FROM bad_releases WHERE site = ? AND version = ?",
                       SQL_ARGS(sql_text(site), sql_uint(version)), &n, err) < 0)
                return -1;
        if (n == 0)
                return 0;
        if (reason == NULL || reason[0] == '\0')
                return err_fail(err, ERR_INVALID, 0,
                                "version %" PRIu64 " was taken back because it failed: say with "
                                "--reason why it may be installed again",
                                version);
        if (sql_run(catalog_db(catalog), "DELETE FROM bad_releases WHERE site = ? AND version = ?",
                    SQL_ARGS(sql_text(site), sql_uint(version)), err) < 0)
                return -1;
        *ret_lifted = true;
        return 0;
}
