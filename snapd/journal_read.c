/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "snapd/journal.h"
#include "snapd/progress.h"
#include "snapd/sql.h"

/* The names are those of the schema and of the API. */
static const char *const state_names[OP_STATES] = {
        [OP_QUEUED] = "queued",   [OP_RUNNING] = "running",
        [OP_UNDOING] = "undoing", [OP_RESCUING] = "rescuing",
        [OP_HELD] = "held",       [OP_DONE] = "done",
        [OP_FAILED] = "failed",   [OP_ROLLED_BACK] = "rolled-back",
};
static const char *const mark_names[STEP_MARKS] = {
        [STEP_PLANNED] = "planned", [STEP_RUNNING] = "running", [STEP_DONE] = "done",
        [STEP_UNDOING] = "undoing", [STEP_UNDONE] = "undone",
};

#define COLUMNS                                                                                    \
        "id, site, verb, request, state, held_state, by, reason, created, ended, seq, version,"    \
        " pivot, abort, error_code, error_os, error_msg, held_code, held_os, held_msg,"            \
        " answer_main, answer_rescue, served"

/* [open only][of one site]: four texts, so that each finds its index. */
#define OPEN        "state IN ('queued', 'running', 'undoing', 'rescuing', 'held')"
#define LIST(where) "SELECT " COLUMNS " FROM ops WHERE " where " ORDER BY id DESC LIMIT ?1"
static const char *const list_queries[2][2] = {
        { LIST("true"), LIST("site = ?2") },
        { LIST(OPEN), LIST("site = ?2 AND " OPEN) },
};

bool op_is_open(enum op_state state)
{
        return state <= OP_HELD;
}

const char *op_state_name(enum op_state state)
{
        return (unsigned)state < OP_STATES ? state_names[state] : NULL;
}

enum op_state op_state_by_name(const char *name)
{
        for (enum op_state state = 0; name != NULL && state < OP_STATES; state++)
                if (strcmp(name, state_names[state]) == 0)
                        return state;
        return OP_STATES;
}

const char *step_mark_name(enum step_mark mark)
{
        return (unsigned)mark < STEP_MARKS ? mark_names[mark] : NULL;
}

void op_done(struct op *op)
{
        free(op->site);
        free(op->verb);
        free(op->reason);
        json_decref(op->request);
        for (size_t i = 0; i < op->n_steps; i++) {
                free(op->steps[i].kind);
                json_decref(op->steps[i].args);
        }
        free(op->steps);
        memset(op, 0, sizeof(*op));
}

void op_list_done(struct op_list *list)
{
        for (size_t i = 0; i < list->n; i++)
                op_done(&list->items[i]);
        free(list->items);
        memset(list, 0, sizeof(*list));
}

static int column_json(sqlite3_stmt *stmt, int i, json_t **ret_json, struct err *err)
{
        const char *text = (const char *)sqlite3_column_text(stmt, i);

        if (text == NULL)
                return err_oom(err);
        if (json_parse(text, (size_t)sqlite3_column_bytes(stmt, i), ret_json, err) == 0)
                return 0;
        err->code = ERR_CORRUPT; /* we wrote it ourselves */
        return err_wrap(err, "the journal");
}

/* Three columns from ${first} on. */
static void read_error(sqlite3_stmt *stmt, int first, struct err *error)
{
        const char *code = (const char *)sqlite3_column_text(stmt, first);
        const char *msg = (const char *)sqlite3_column_text(stmt, first + 2);

        if (code == NULL)
                return;
        error->code = err_by_name(code);
        error->os = sqlite3_column_int(stmt, first + 1);
        if (msg != NULL)
                (void)snprintf(error->msg, sizeof(error->msg), "%s", msg);
}

/* A row of COLUMNS; on failure ${op} holds what there is so far. */
static int op_read(sqlite3_stmt *stmt, const struct progress_file *file, struct op *op,
                   struct err *err)
{
        struct progress progress;

        memset(op, 0, sizeof(*op));
        if (sql_column_copy(stmt, 1, &op->site, err) < 0 ||
            sql_column_copy(stmt, 2, &op->verb, err) < 0 ||
            column_json(stmt, 3, &op->request, err) < 0 ||
            sql_column_copy(stmt, 7, &op->reason, err) < 0)
                return -1;
        op->id = sql_column_u64(stmt, 0);
        op->state = op_state_by_name((const char *)sqlite3_column_text(stmt, 4));
        op->held_state = op_state_by_name((const char *)sqlite3_column_text(stmt, 5));
        op->by = (uid_t)sql_column_u64(stmt, 6);
        op->created_usec = sqlite3_column_int64(stmt, 8);
        op->ended_usec = sqlite3_column_int64(stmt, 9);
        op->seq = sql_column_u64(stmt, 10);
        op->version = sql_column_u64(stmt, 11);
        op->pivot = sql_column_u64(stmt, 12);
        op->abort = sql_column_u64(stmt, 13) != 0;
        read_error(stmt, 14, &op->cause);
        op->error = op->cause;
        if (op->state == OP_HELD)
                read_error(stmt, 17, &op->error);
        op->answer[PLAN_MAIN] = sql_column_u64(stmt, 20);
        op->answer[PLAN_RESCUE] = sql_column_u64(stmt, 21);
        op->served_usec = sqlite3_column_int64(stmt, 22);
        if (progress_get(file, op->id, &progress))
                op->seq += progress.count;
        return 0;
}

static enum step_mark mark_by_name(const char *name)
{
        for (enum step_mark mark = 0; name != NULL && mark < STEP_MARKS; mark++)
                if (strcmp(name, mark_names[mark]) == 0)
                        return mark;
        return STEP_MARKS;
}

static int step_read(sqlite3_stmt *stmt, struct op_step *step, struct err *err)
{
        memset(step, 0, sizeof(*step));
        if (sql_column_copy(stmt, 2, &step->kind, err) < 0 ||
            column_json(stmt, 3, &step->args, err) < 0)
                return -1;
        step->part = sql_column_u64(stmt, 0) == PLAN_MAIN ? PLAN_MAIN : PLAN_RESCUE;
        step->n = sql_column_u64(stmt, 1);
        step->mark = mark_by_name((const char *)sqlite3_column_text(stmt, 4));
        step->started_usec = sqlite3_column_int64(stmt, 5);
        step->ended_usec = sqlite3_column_int64(stmt, 6);
        return 0;
}

static int steps_read(sqlite3 *db, struct op *op, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(db,
                        "SELECT part, n, kind, args, mark, started, ended FROM steps"
                        "  WHERE op = ? ORDER BY part, n",
                        SQL_ARGS(sql_uint(op->id)), &stmt, err) < 0)
                return -1;
        while ((row = sql_step(stmt, err)) > 0) {
                struct op_step *steps = reallocarray(op->steps, op->n_steps + 1, sizeof(*steps));

                if (steps == NULL)
                        return err_oom(err);
                op->steps = steps;
                op->n_steps++;
                if (step_read(stmt, &steps[op->n_steps - 1], err) < 0)
                        return -1;
        }
        return row;
}

/* Progress is news of the step that runs; that of an earlier one is over. */
static void steps_add_progress(struct op *op, const struct progress_file *file)
{
        struct progress progress;

        if (!progress_get(file, op->id, &progress))
                return;
        for (size_t i = 0; i < op->n_steps; i++) {
                struct op_step *step = &op->steps[i];

                if (step->part != progress.part || step->n != progress.step ||
                    (step->mark != STEP_RUNNING && step->mark != STEP_UNDOING))
                        continue;
                step->progress_done = progress.done;
                step->progress_all = progress.all;
        }
}

static int get_parts(struct catalog *catalog, op_id id, bool with_steps, struct op *op,
                     struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        int row;

        if (sql_prepare(catalog_db(catalog), "SELECT " COLUMNS " FROM ops WHERE id = ?",
                        SQL_ARGS(sql_uint(id)), &stmt, err) < 0)
                return -1;
        row = sql_step(stmt, err);
        if (row < 0)
                return -1;
        if (row == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no operation %" PRIu64, id);
        if (op_read(stmt, catalog_progress(catalog), op, err) < 0)
                return -1;
        if (!with_steps)
                return 0;
        /* The first statement is still open: both read the same moment. */
        if (steps_read(catalog_db(catalog), op, err) < 0)
                return -1;
        steps_add_progress(op, catalog_progress(catalog));
        return 0;
}

int journal_get(struct catalog *catalog, op_id id, bool with_steps, struct op *ret_op,
                struct err *err)
{
        struct op op = { 0 };

        if (get_parts(catalog, id, with_steps, &op, err) < 0) {
                op_done(&op);
                return -1;
        }
        *ret_op = op;
        return 0;
}

static int list_read(struct catalog *catalog, sqlite3_stmt *stmt, struct op_list *list,
                     struct err *err)
{
        int row;

        while ((row = sql_step(stmt, err)) > 0) {
                struct op *items = reallocarray(list->items, list->n + 1, sizeof(*items));

                if (items == NULL)
                        return err_oom(err);
                list->items = items;
                list->n++;
                if (op_read(stmt, catalog_progress(catalog), &items[list->n - 1], err) < 0)
                        return -1;
        }
        return row;
}

int journal_list(struct catalog *catalog, const char *site, bool open_only, unsigned limit,
                 struct op_list *ret_list, struct err *err)
{
        CLEANUP(sql_donep) sqlite3_stmt *stmt = NULL;
        const struct sql_value *args = SQL_ARGS(sql_uint(limit), sql_text(site));
        struct op_list list = { 0 };

        if (sql_prepare(catalog_db(catalog), list_queries[open_only][site != NULL],
                        site == NULL ? SQL_ARGS(sql_uint(limit)) : args, &stmt, err) < 0)
                return -1;
        if (list_read(catalog, stmt, &list, err) < 0) {
                op_list_done(&list);
                return -1;
        }
        *ret_list = list;
        return 0;
}

/* Operations are forgotten oldest first, so without an "add" there is none of an earlier life. */
int journal_life(struct catalog *catalog, const char *site, op_id *ret_first, struct err *err)
{
        *ret_first = 0;
        return sql_number(catalog_db(catalog),
                          "SELECT id FROM ops WHERE site = ? AND verb = 'add'"
                          "  ORDER BY id DESC LIMIT 1",
                          SQL_ARGS(sql_text(site)), ret_first, err) < 0
                       ? -1
                       : 0;
}

int journal_knows(struct catalog *catalog, op_id id, bool *ret_known, struct err *err)
{
        uint64_t one;
        int row = sql_number(catalog_db(catalog), "SELECT 1 FROM ops WHERE id = ?",
                             SQL_ARGS(sql_uint(id)), &one, err);

        *ret_known = row > 0;
        return row < 0 ? -1 : 0;
}

static bool op_is(struct catalog *catalog, op_id id, const char *query)
{
        uint64_t is = 0;
        struct err err;

        return sql_number(catalog_db(catalog), query, SQL_ARGS(sql_uint(id)), &is, &err) > 0 &&
               is != 0;
}

/* One that cannot be read is taken for ended: then the one who waits is told why. */
bool journal_is_open(struct catalog *catalog, op_id id)
{
        return op_is(catalog, id, "SELECT ended = 0 FROM ops WHERE id = ?");
}

bool journal_has_answer(struct catalog *catalog, op_id id)
{
        return !op_is(catalog, id, "SELECT ended = 0 AND served = 0 FROM ops WHERE id = ?");
}

bool journal_somebody_waits(struct catalog *catalog, const char *site, op_id id)
{
        uint64_t waits = 0;
        struct err err;

        /* Asked again a moment later. */
        return sql_number(catalog_db(catalog),
                          "SELECT EXISTS (SELECT 1 FROM ops WHERE site = ?1 AND id > ?2 AND " OPEN
                          ")",
                          SQL_ARGS(sql_text(site), sql_uint(id)), &waits, &err) > 0 &&
               waits != 0;
}

uint64_t journal_seq(struct catalog *catalog, op_id id)
{
        struct progress progress;
        uint64_t seq = 0;
        struct err err;

        /* What cannot be read has not changed; the question that follows reports it. */
        if (sql_number(catalog_db(catalog), "SELECT seq FROM ops WHERE id = ?",
                       SQL_ARGS(sql_uint(id)), &seq, &err) <= 0)
                return 0;
        if (progress_get(catalog_progress(catalog), id, &progress))
                seq += progress.count;
        return seq;
}

bool journal_abort_asked(struct catalog *catalog, op_id id)
{
        uint64_t asked = 0;
        struct err err;

        /* Asked again a moment later; stopping on an unreadable answer would be the wrong guess. */
        if (sql_number(catalog_db(catalog), "SELECT abort FROM ops WHERE id = ?",
                       SQL_ARGS(sql_uint(id)), &asked, &err) <= 0)
                return false;
        return asked != 0;
}
