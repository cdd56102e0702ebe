/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "snapd/journal.h"
#include "snapd/progress.h"
#include "snapd/sql.h"
#include "snapd/wake.h"

#define REMEMBERED 1000
#define WHO_MAX    64
#define BIT(state) (1U << (state))

/* The arrows of journal.h. */
static const unsigned next_states[OP_STATES] = {
        [OP_QUEUED] = BIT(OP_RUNNING) | BIT(OP_FAILED) | BIT(OP_HELD),
        [OP_RUNNING] = BIT(OP_UNDOING) | BIT(OP_RESCUING) | BIT(OP_DONE) | BIT(OP_HELD),
        [OP_UNDOING] = BIT(OP_FAILED) | BIT(OP_HELD),
        [OP_RESCUING] = BIT(OP_ROLLED_BACK) | BIT(OP_HELD),
};

/* Who asked, by name where there is one. */
static void user_name(uid_t uid, char name[static WHO_MAX])
{
        struct passwd entry, *found = NULL;
        char buf[4096];

        if (getpwuid_r(uid, &entry, buf, sizeof(buf), &found) == 0 && found != NULL)
                (void)snprintf(name, WHO_MAX, "%s", found->pw_name);
        else
                (void)snprintf(name, WHO_MAX, "user %u", uid);
}

static int busy_fail(const char *site, sqlite3_stmt *stmt, struct err *err)
{
        const char *verb = (const char *)sqlite3_column_text(stmt, 1);
        const char *state = (const char *)sqlite3_column_text(stmt, 2);
        op_id id = sql_column_u64(stmt, 0);
        char who[WHO_MAX], when[CLOCK_ISO_MAX];

        if (verb == NULL || state == NULL)
                return err_oom(err);
        user_name((uid_t)sql_column_u64(stmt, 3), who);
        clock_iso(sqlite3_column_int64(stmt, 4), 0, when);
        if (strcmp(state, op_state_name(OP_HELD)) == 0)
                return err_fail(err, ERR_BUSY, 0,
                                "site '%s' is held: %s (operation %" PRIu64
                                ", asked for by %s at %s) could not be taken back; see '%s ops "
                                "show %" PRIu64 "', then '%s ops resume %" PRIu64 "'",
                                site, verb, id, who, when, SITESNAP_CTL, id, SITESNAP_CTL, id);
        return err_fail(err, ERR_BUSY, 0,
                        "site '%s' is busy: %s (operation %" PRIu64
                        ", asked for by %s at %s) is going on",
                        site, verb, id, who, when);
}

/* The list of states is that of the index ops_open: written so, SQLite uses it. */
static int site_is_free(sqlite3 *db, const char *site, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(db,
                        "SELECT id, verb, state, by, created FROM ops WHERE site = ?"
                        "  AND state IN ('queued', 'running', 'undoing', 'rescuing', 'held')"
                        "  AND (served = 0 OR state = 'held')",
                        SQL_ARGS(sql_text(site)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        return row > 0 ? busy_fail(site, stmt, err) : row;
}

int journal_before(struct catalog *catalog, const char *site, op_id id, op_id *ret_before,
                   struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        const char *state;
        int row;

        if (sql_prepare(catalog_db(catalog),
                        "SELECT id, verb, state, by, created FROM ops WHERE site = ?1 AND id < ?2"
                        "  AND state IN ('queued', 'running', 'undoing', 'rescuing', 'held')",
                        SQL_ARGS(sql_text(site), sql_uint(id)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row < 0)
                return -1;
        *ret_before = row == 0 ? 0 : sql_column_u64(stmt, 0);
        state = row == 0 ? NULL : (const char *)sqlite3_column_text(stmt, 2);
        return state != NULL && strcmp(state, op_state_name(OP_HELD)) == 0
                       ? busy_fail(site, stmt, err)
                       : 0;
}

static int forget_old(sqlite3 *db, const char *site, struct err *err)
{
        return sql_run(db,
                       "DELETE FROM ops WHERE site = ?1 AND ended != 0 AND id <= ("
                       "  SELECT id FROM ops WHERE site = ?1 AND ended != 0"
                       "  ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                       SQL_ARGS(sql_text(site), sql_int(REMEMBERED)), err);
}

static int queue_insert(sqlite3 *db, const char *site, const char *verb, const json_t *request,
                        uid_t by, op_id *ret_id, struct err *err)
{
        const char *reason = json_get_string(request, "reason");
        CLEANUP(freep) char *text = json_dumps(request, JSON_COMPACT);

        if (text == NULL)
                return err_oom(err);
        if (site_is_free(db, site, err) < 0 || forget_old(db, site, err) < 0 ||
            sql_run(db,
                    "INSERT INTO ops (site, verb, request, state, by, reason, created)"
                    "  VALUES (?, ?, ?, 'queued', ?, ?, ?)",
                    SQL_ARGS(sql_text(site), sql_text(verb), sql_text(text), sql_int(by),
                             sql_text(reason == NULL ? "" : reason), sql_int(clock_wall_usec())),
                    err) < 0)
                return -1;
        *ret_id = (op_id)sqlite3_last_insert_rowid(db);
        return 0;
}

int journal_queue(struct catalog *catalog, const char *site, const char *verb,
                  const json_t *request, uid_t by, op_id *ret_id, struct err *err)
{
        op_id id = 0;
        bool own;
        int result;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        result = queue_insert(catalog_db(catalog), site, verb, request, by, &id, err);
        if (catalog_leave(catalog, own, result, err) < 0)
                return -1;
        *ret_id = id;
        return 0;
}

static int read_state(sqlite3 *db, op_id id, enum op_state *ret_state, enum op_state *ret_held,
                      struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(db, "SELECT state, held_state FROM ops WHERE id = ?",
                        SQL_ARGS(sql_uint(id)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row < 0)
                return -1;
        if (row == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no operation %" PRIu64, id);
        *ret_state = op_state_by_name((const char *)sqlite3_column_text(stmt, 0));
        *ret_held = op_state_by_name((const char *)sqlite3_column_text(stmt, 1));
        return 0;
}

static bool may_become(enum op_state from, enum op_state held, enum op_state to)
{
        if (from == to)
                return true;
        if (from == OP_HELD) {
                if (to == held)
                        return true;
                from = held;
        }
        return from < OP_STATES && (next_states[from] & BIT(to)) != 0;
}

static int state_write(sqlite3 *db, op_id id, enum op_state to, const struct err *error,
                       struct err *err)
{
        enum op_state from, held;

        if (read_state(db, id, &from, &held, err) < 0)
                return -1;
        if (!may_become(from, held, to))
                return err_fail(err, ERR_CORRUPT, 0,
                                "operation %" PRIu64 " cannot go from %s to %s", id,
                                op_state_name(from), op_state_name(to));
        if (from != to && to == OP_HELD)
                held = from;
        if (sql_run(db,
                    "UPDATE ops SET state = ?2, held_state = ?3, seq = seq + 1,"
                    "  ended = CASE WHEN ?4 AND ended = 0 THEN ?5 ELSE ended END WHERE id = ?1",
                    SQL_ARGS(sql_uint(id), sql_text(op_state_name(to)),
                             sql_text(to == OP_HELD ? op_state_name(held) : NULL),
                             sql_int(!op_is_open(to)), sql_int(clock_wall_usec())),
                    err) < 0)
                return -1;
        if (error == NULL)
                return 0;
        /* Why it is held stands beside why it was taken back: that is the reason in the end. */
        return sql_run(
                db,
                to == OP_HELD
                        ? "UPDATE ops SET held_code = ?2, held_os = ?3, held_msg = ?4 WHERE id = ?1"
                        : "UPDATE ops SET error_code = ?2, error_os = ?3, error_msg = ?4"
                          "  WHERE id = ?1",
                SQL_ARGS(sql_uint(id), sql_text(err_name(error->code)), sql_int(error->os),
                         sql_text(error->msg)),
                err);
}

int journal_state(struct catalog *catalog, op_id id, enum op_state state, const struct err *error,
                  struct err *err)
{
        bool own;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        return catalog_leave(catalog, own, state_write(catalog_db(catalog), id, state, error, err),
                             err);
}

static int step_insert(sqlite3 *db, op_id id, enum plan_part part, size_t n,
                       const struct step *step, struct err *err)
{
        CLEANUP(freep) char *args = json_dumps(step->args, JSON_COMPACT);

        if (args == NULL)
                return err_oom(err);
        return sql_run(db,
                       "INSERT INTO steps (op, part, n, kind, args, once, mark)"
                       "  VALUES (?, ?, ?, ?, ?, ?, 'planned')",
                       SQL_ARGS(sql_uint(id), sql_int(part), sql_uint(n),
                                sql_text(step->kind->name), sql_text(args),
                                sql_int(step->kind->once)),
                       err);
}

static int mark_write(sqlite3 *db, op_id id, enum plan_part part, size_t step, enum step_mark mark,
                      struct err *err)
{
        bool begins = mark == STEP_RUNNING || mark == STEP_UNDOING;
        bool ends = mark == STEP_DONE || mark == STEP_UNDONE;

        if (sql_run(db,
                    "UPDATE steps SET mark = ?4,"
                    "  started = CASE WHEN ?5 AND started = 0 THEN ?7 ELSE started END,"
                    "  ended = CASE WHEN ?6 THEN ?7 ELSE 0 END"
                    "  WHERE op = ?1 AND part = ?2 AND n = ?3",
                    SQL_ARGS(sql_uint(id), sql_int(part), sql_uint(step),
                             sql_text(step_mark_name(mark)), sql_int(begins), sql_int(ends),
                             sql_int(clock_wall_usec())),
                    err) < 0)
                return -1;
        if (sqlite3_changes(db) == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "operation %" PRIu64 " has no step %zu", id,
                                step);
        return sql_run(db, "UPDATE ops SET seq = seq + 1 WHERE id = ?", SQL_ARGS(sql_uint(id)),
                       err);
}

static int plan_write(sqlite3 *db, op_id id, const struct plan *plan, uint64_t version,
                      struct err *err)
{
        enum op_state state, held;

        if (read_state(db, id, &state, &held, err) < 0)
                return -1;
        if (state != OP_QUEUED)
                return err_fail(err, ERR_CORRUPT, 0, "operation %" PRIu64 " has a plan already",
                                id);
        for (enum plan_part part = 0; part < PLAN_PARTS; part++)
                for (size_t n = 0; n < plan->parts[part].n; n++)
                        if (step_insert(db, id, part, n, &plan->parts[part].steps[n], err) < 0)
                                return -1;
        if (sql_run(db,
                    "UPDATE ops SET version = ?2, pivot = ?3, answer_main = ?4, answer_rescue = ?5"
                    "  WHERE id = ?1",
                    SQL_ARGS(sql_uint(id), sql_uint(version), sql_uint(plan->pivot),
                             sql_uint(plan->answer[PLAN_MAIN]),
                             sql_uint(plan->answer[PLAN_RESCUE])),
                    err) < 0)
                return -1;
        if (plan->parts[PLAN_MAIN].n > 0 && mark_write(db, id, PLAN_MAIN, 0, STEP_RUNNING, err) < 0)
                return -1;
        return state_write(db, id, OP_RUNNING, NULL, err);
}

int journal_plan(struct catalog *catalog, op_id id, const struct plan *plan, uint64_t version,
                 struct err *err)
{
        bool own;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        return catalog_leave(catalog, own, plan_write(catalog_db(catalog), id, plan, version, err),
                             err);
}

int journal_mark(struct catalog *catalog, op_id id, enum plan_part part, size_t step,
                 enum step_mark mark, struct err *err)
{
        bool own;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        return catalog_leave(catalog, own,
                             mark_write(catalog_db(catalog), id, part, step, mark, err), err);
}

static int serve_write(sqlite3 *db, op_id id, struct err *err)
{
        return sql_run(db, "UPDATE ops SET served = ?2, seq = seq + 1 WHERE id = ?1 AND served = 0",
                       SQL_ARGS(sql_uint(id), sql_int(clock_wall_usec())), err);
}

int journal_serve(struct catalog *catalog, op_id id, struct err *err)
{
        bool own;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        return catalog_leave(catalog, own, serve_write(catalog_db(catalog), id, err), err);
}

void journal_progress(struct catalog *catalog, op_id id, enum plan_part part, size_t step,
                      uint64_t done, uint64_t all)
{
        struct progress progress = {
                .op = id, .part = part, .step = step, .done = done, .all = all
        };

        if (progress_put(catalog_progress(catalog), &progress))
                wake_send();
}

/* Past the pivot the way back is the rescue, and it is open until the step that must not run twice
 * is done (snapd/step.h). */
static int past_return(sqlite3 *db, op_id id, bool *ret_past, struct err *err)
{
        uint64_t past = 0;

        if (sql_number(db,
                       "SELECT EXISTS (SELECT 1 FROM steps, ops WHERE op = ?1 AND id = ?1"
                       "    AND part = 0 AND n >= pivot AND mark = 'done')"
                       "  AND NOT EXISTS (SELECT 1 FROM steps"
                       "    WHERE op = ?1 AND part = 0 AND once AND mark != 'done')",
                       SQL_ARGS(sql_uint(id)), &past, err) < 0)
                return -1;
        *ret_past = past != 0;
        return 0;
}

static int abort_write(sqlite3 *db, op_id id, struct err *err)
{
        enum op_state state, held;
        bool past;

        if (read_state(db, id, &state, &held, err) < 0 || past_return(db, id, &past, err) < 0)
                return -1;
        if (!op_is_open(state))
                return err_fail(err, ERR_NOTHING, 0, "operation %" PRIu64 " has ended", id);
        if (state == OP_UNDOING || state == OP_RESCUING)
                return err_fail(err, ERR_NOTHING, 0,
                                "operation %" PRIu64 " is being taken back already", id);
        if (state == OP_HELD)
                return err_fail(err, ERR_REFUSED, 0,
                                "operation %" PRIu64 " is held: use '%s ops resume %" PRIu64 "'",
                                id, SITESNAP_CTL, id);
        if (past)
                return err_fail(err, ERR_REFUSED, 0,
                                "operation %" PRIu64 " is past its point of no return", id);
        return sql_run(db, "UPDATE ops SET abort = 1, seq = seq + 1 WHERE id = ?",
                       SQL_ARGS(sql_uint(id)), err);
}

int journal_ask_abort(struct catalog *catalog, op_id id, struct err *err)
{
        bool own;

        if (catalog_enter(catalog, &own, err) < 0)
                return -1;
        return catalog_leave(catalog, own, abort_write(catalog_db(catalog), id, err), err);
}
