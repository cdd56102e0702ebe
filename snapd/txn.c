/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "snapd/fault.h"
#include "snapd/txn.h"

/* After the pivot the system's own failures are waited out: 20, 40, ... 640 ms. */
#define TRIES            6
#define FIRST_PAUSE_MSEC 20

/* The plan of a loaded operation, with its kinds looked up. */
struct txn {
        struct step_env *env;
        struct op *op;
        size_t first_rescue; /* index into op->steps */
        size_t pivot;
};

static void pause_msec(unsigned msec)
{
        struct timespec ts = { .tv_sec = msec / 1000, .tv_nsec = (long)(msec % 1000) * 1000000 };

        (void)nanosleep(&ts, NULL);
}

static const struct step_kind *kind_of(const struct txn *txn, size_t i)
{
        return step_kind_by_name(txn->op->steps[i].kind);
}

static int mark(struct txn *txn, size_t i, enum step_mark to, struct err *err)
{
        struct op_step *step = &txn->op->steps[i];

        if (journal_mark(txn->env->catalog, txn->op->id, step->part, step->n, to, err) < 0)
                return -1;
        step->mark = to;
        return 0;
}

/* Is everything done that the one who asked waits for? */
static bool is_answered(const struct txn *txn, size_t i)
{
        const struct op_step *step = &txn->op->steps[i];

        return step->n + 1 == txn->op->answer[step->part];
}

static bool has_next(const struct txn *txn, size_t i)
{
        const struct op_step *steps = txn->op->steps;

        return i + 1 < txn->op->n_steps && steps[i + 1].part == steps[i].part &&
               steps[i + 1].mark == STEP_PLANNED;
}

/* May the step after i be done in the commit that says that i is?  What only records is nothing but
 * that commit: a crash before it leaves the one begun and the other not, as if it had come right
 * before the mark.  Not up to the pivot, where somebody may still ask to stop. */
static bool joins(const struct txn *txn, size_t i)
{
        return i >= txn->pivot && has_next(txn, i) && kind_of(txn, i + 1)->records;
}

static bool is_loose(const struct txn *txn, size_t i)
{
        return i < txn->pivot && json_get_bool(txn->op->steps[i].args, "loose");
}

/* Need the disk not know yet that the step after i begins? */
static bool begins_loosely(const struct txn *txn, size_t i)
{
        return has_next(txn, i) && is_loose(txn, i + 1);
}

/* After a crash: what may have begun without the disk knowing has. */
static void presume_begun(struct txn *txn)
{
        struct op_step *steps = txn->op->steps;

        for (size_t i = 1; i < txn->pivot; i++)
                if (steps[i].mark == STEP_PLANNED && is_loose(txn, i) &&
                    (steps[i - 1].mark == STEP_RUNNING || steps[i - 1].mark == STEP_DONE))
                        steps[i].mark = STEP_RUNNING;
}

/* Within a transaction: what one commit says when step i is done. */
static int record(struct txn *txn, size_t i, struct err *err)
{
        const struct op_step *steps = txn->op->steps;
        const struct step_kind *kind = kind_of(txn, i);
        struct catalog *catalog = txn->env->catalog;

        txn->env->step = steps[i].n;
        if (kind->records) {
                if (kind->run(txn->env, steps[i].args, err) < 0)
                        return -1;
                fault_point("", kind->name, "after");
        }
        if (journal_mark(catalog, txn->op->id, steps[i].part, steps[i].n, STEP_DONE, err) < 0 ||
            (has_next(txn, i) && journal_mark(catalog, txn->op->id, steps[i + 1].part,
                                              steps[i + 1].n, STEP_RUNNING, err) < 0))
                return -1;
        if (is_answered(txn, i) && journal_serve(catalog, txn->op->id, err) < 0)
                return -1;
        return 0;
}

/* Step i and, unless it is to be alone, those that join it. */
static int record_all(struct txn *txn, size_t i, bool alone, size_t *ret_end, struct err *err)
{
        while (record(txn, i, err) == 0) {
                *ret_end = i + 1;
                if (alone || !joins(txn, i))
                        return 0;
                i++;
                fault_point("", kind_of(txn, i)->name, "before");
        }
        return -1;
}

static int commit_done(struct txn *txn, size_t i, bool alone, struct err *err)
{
        struct op_step *steps = txn->op->steps;
        size_t end;

        if ((begins_loosely(txn, i) ? catalog_begin_lazily : catalog_begin)(txn->env->catalog,
                                                                            err) < 0)
                return -1;
        if (record_all(txn, i, alone, &end, err) < 0 ||
            catalog_commit(txn->env->catalog, err) < 0) {
                catalog_rollback(txn->env->catalog);
                return -1;
        }
        if (has_next(txn, end - 1))
                steps[end].mark = STEP_RUNNING;
        for (; i < end; i++) {
                steps[i].mark = STEP_DONE;
                fault_point("", kind_of(txn, i)->name, "marked");
        }
        return 0;
}

/* That a step is done and that the next one begins is one commit: a mark costs a sync, and a step
 * that is marked but not begun is taken back, or run again, like one that was. */
static int mark_done(struct txn *txn, size_t i, struct err *err)
{
        if (!joins(txn, i))
                return commit_done(txn, i, true, err);
        if (commit_done(txn, i, false, err) == 0)
                return 0;
        /* What joined may have failed, which is nothing that this step did: it is told of when that
         * is tried by itself. */
        return commit_done(txn, i, true, err);
}

static int run_step(struct txn *txn, size_t i, struct err *err)
{
        const struct op_step *step = &txn->op->steps[i];
        const struct step_kind *kind = kind_of(txn, i);

        txn->env->part = step->part;
        txn->env->step = step->n;
        if (step->mark != STEP_RUNNING && mark(txn, i, STEP_RUNNING, err) < 0)
                return -1;
        fault_point("", kind->name, "before");
        if (!kind->records) {
                if (kind->run(txn->env, step->args, err) < 0)
                        return -1;
                fault_point("", kind->name, "after");
        }
        return mark_done(txn, i, err);
}

/* What must not fail may use the room that was kept for it; everything else is waited out.  A
 * connection that a server has lost is of no more use. */
static void before_next_try(struct txn *txn, const struct err *why, unsigned *msec)
{
        if (why->code == ERR_IO)
                env_database_forget(txn->env);
        if (why->code == ERR_NO_SPACE && env_make_room(txn->env))
                return;
        pause_msec(*msec);
        *msec *= 2;
}

/* From the pivot on only the system can refuse, and it is asked again. */
static int run_step_patiently(struct txn *txn, size_t i, struct err *err)
{
        unsigned msec = FIRST_PAUSE_MSEC;

        txn->env->must = true;
        for (unsigned tries = 0; tries < TRIES; tries++) {
                if (run_step(txn, i, err) == 0)
                        return 0;
                before_next_try(txn, err, &msec);
        }
        return -1;
}

static int undo_once(struct txn *txn, size_t i, const struct step_kind *kind, struct err *err)
{
        if (mark(txn, i, STEP_UNDOING, err) < 0)
                return -1;
        fault_point("undo-", kind->name, "before");
        if (kind->undo != NULL && kind->undo(txn->env, txn->op->steps[i].args, err) < 0)
                return -1;
        fault_point("undo-", kind->name, "after");
        return mark(txn, i, STEP_UNDONE, err);
}

static int undo_step(struct txn *txn, size_t i, struct err *err)
{
        const struct op_step *step = &txn->op->steps[i];
        const struct step_kind *kind = kind_of(txn, i);
        unsigned msec = FIRST_PAUSE_MSEC;
        int ret = -1;

        txn->env->part = step->part;
        txn->env->step = step->n;
        txn->env->must = true;
        for (unsigned tries = 0; ret < 0 && tries < TRIES; tries++) {
                ret = undo_once(txn, i, kind, err);
                if (ret < 0)
                        before_next_try(txn, err, &msec);
        }
        if (ret < 0)
                return err_wrap(err, "taking back %s", kind->name);
        fault_point("undo-", kind->name, "marked");
        return 0;
}

/* The journal itself is on a disk that can be full. */
static int move_state(struct txn *txn, enum op_state state, const struct err *cause,
                      struct err *err)
{
        struct catalog *catalog = txn->env->catalog;

        if (journal_state(catalog, txn->op->id, state, cause, err) == 0)
                return 0;
        if (err->code != ERR_NO_SPACE || !env_make_room(txn->env))
                return -1;
        return journal_state(catalog, txn->op->id, state, cause, err);
}

/* Neither forward nor back: the site keeps serving what it serves, nothing is deleted, and
 * nobody else may begin anything until `resume`. */
static int hold_site(struct txn *txn, const struct err *cause, struct err *err)
{
        struct err held = *cause, why;

        (void)err_wrap(&held, "'%s' is held: operation %" PRIu64 " could not be finished",
                       txn->op->site, txn->op->id);
        held.code = ERR_HELD;
        if (move_state(txn, OP_HELD, &held, &why) < 0)
                (void)err_wrap(&held, "%s; and the journal could not be written", why.msg);
        *err = held;
        return -1;
}

static int take_back(struct txn *txn, const struct err *cause, struct err *err)
{
        struct err why = { 0 };

        if (move_state(txn, OP_UNDOING, cause, &why) < 0)
                return hold_site(txn, &why, err);
        for (size_t i = txn->first_rescue; i-- > 0;) {
                enum step_mark m = txn->op->steps[i].mark;

                if (m != STEP_PLANNED && m != STEP_UNDONE && undo_step(txn, i, &why) < 0)
                        return hold_site(txn, &why, err);
        }
        if (move_state(txn, OP_FAILED, cause, &why) < 0)
                return hold_site(txn, &why, err);
        *err = *cause;
        return -1;
}

/* A later step of the same kind for the same version has the last word on what is to be seen. */
static bool is_superseded(const struct txn *txn, size_t i, size_t to)
{
        const struct op_step *step = &txn->op->steps[i];

        for (size_t later = i + 1; later < to; later++) {
                const struct op_step *other = &txn->op->steps[later];

                if (other->mark != STEP_PLANNED && strcmp(other->kind, step->kind) == 0 &&
                    json_equal(json_object_get(other->args, "version"),
                               json_object_get(step->args, "version")))
                        return true;
        }
        return false;
}

/* What a reboot took: mounts of steps that are done.  They are end states, so that making them
 * again where nothing was lost does nothing. */
static int refresh(struct txn *txn, size_t from, size_t to, struct err *err)
{
        for (size_t i = from; i < to; i++) {
                const struct step_kind *kind = kind_of(txn, i);

                if (kind->fades && !is_superseded(txn, i, to) &&
                    txn->op->steps[i].mark == STEP_DONE &&
                    kind->run(txn->env, txn->op->steps[i].args, err) < 0)
                        return err_wrap(err, "%s again", kind->name);
        }
        return 0;
}

static int rescue(struct txn *txn, const struct err *cause, struct err *err)
{
        struct err rolled_back = *cause, why = { 0 };

        if (move_state(txn, OP_RESCUING, cause, &why) < 0)
                return hold_site(txn, &why, err);
        if (refresh(txn, txn->first_rescue, txn->op->n_steps, &why) < 0)
                return hold_site(txn, &why, err);
        for (size_t i = txn->first_rescue; i < txn->op->n_steps; i++)
                if (txn->op->steps[i].mark != STEP_DONE && run_step_patiently(txn, i, &why) < 0)
                        return hold_site(txn, &why, err);
        rolled_back.code = ERR_ROLLED_BACK;
        if (move_state(txn, OP_ROLLED_BACK, &rolled_back, &why) < 0)
                return hold_site(txn, &why, err);
        *err = rolled_back;
        return -1;
}

static bool has_rescue(const struct txn *txn)
{
        return txn->first_rescue < txn->op->n_steps;
}

/* Is there a step at or after i, in main, that must not run twice? */
static bool once_ahead(const struct txn *txn, size_t i)
{
        for (; i < txn->first_rescue; i++)
                if (kind_of(txn, i)->once && txn->op->steps[i].mark != STEP_DONE)
                        return true;
        return false;
}

static int fail_at(struct txn *txn, size_t i, const struct err *cause, struct err *err)
{
        if (i <= txn->pivot)
                return take_back(txn, cause, err);
        if (has_rescue(txn) && once_ahead(txn, i))
                return rescue(txn, cause, err);
        return hold_site(txn, cause, err);
}

static int forward(struct txn *txn, struct err *err)
{
        struct err why = { 0 };

        for (size_t i = 0; i < txn->first_rescue; i++) {
                const struct step_kind *kind = kind_of(txn, i);
                int ret;

                if (txn->op->steps[i].mark == STEP_DONE)
                        continue;
                if (i <= txn->pivot && journal_abort_asked(txn->env->catalog, txn->op->id)) {
                        (void)err_fail(&why, ERR_REFUSED, 0, "stopped as asked");
                        return take_back(txn, &why, err);
                }
                ret = i > txn->pivot && !kind->once ? run_step_patiently(txn, i, &why)
                                                    : run_step(txn, i, &why);
                /* Going to another version must work on a full disk; an upgrade need not. */
                if (ret < 0 && why.code == ERR_NO_SPACE && !has_rescue(txn) &&
                    env_make_room(txn->env))
                        ret = run_step(txn, i, &why);
                if (ret < 0)
                        return fail_at(txn, i, &why, err);
        }
        if (move_state(txn, OP_DONE, NULL, &why) < 0)
                return hold_site(txn, &why, err);
        return 0;
}

/* What a process that died left: the first step of main that is not done decides. */
static int settle(struct txn *txn, struct err *err)
{
        struct err cause, why = { 0 };
        size_t i = 0;

        while (i < txn->first_rescue && txn->op->steps[i].mark == STEP_DONE)
                i++;
        (void)err_fail(&cause, ERR_IO, 0, "the operation was interrupted%s%s",
                       i < txn->first_rescue ? " in " : "",
                       i < txn->first_rescue ? txn->op->steps[i].kind : "");
        if (i < txn->pivot ||
            (i == txn->pivot && i < txn->first_rescue && txn->op->steps[i].mark == STEP_PLANNED))
                return take_back(txn, &cause, err);
        /* The pivot itself may have been done or not; what follows, a rescue too, builds on it. */
        if (i == txn->pivot && i < txn->first_rescue) {
                /* What it did before the crash, visitors may have seen: it is not taken back. */
                if (refresh(txn, 0, i + 1, &why) < 0 || run_step_patiently(txn, i, &why) < 0)
                        return hold_site(txn, &why, err);
                i++;
        }
        if (has_rescue(txn) && once_ahead(txn, i))
                return rescue(txn, &cause, err);
        if (refresh(txn, 0, i, &cause) < 0)
                return hold_site(txn, &cause, err);
        return forward(txn, err);
}

static int check_kinds(const struct txn *txn, struct err *err)
{
        for (size_t i = 0; i < txn->op->n_steps; i++)
                if (kind_of(txn, i) == NULL)
                        return err_fail(err, ERR_UNSUPPORTED, 0,
                                        "operation %" PRIu64
                                        " has a step '%s' that this build does "
                                        "not know: finish it with the sitesnap that began it",
                                        txn->op->id, txn->op->steps[i].kind);
        return 0;
}

static int dispatch(struct txn *txn, bool recover, struct err *err)
{
        struct op *op = txn->op;
        enum op_state state = op->state == OP_HELD ? op->held_state : op->state;
        struct err cause = op->cause;

        if (recover || op->state == OP_HELD)
                presume_begun(txn);
        switch (state) {
        case OP_UNDOING:
                return take_back(txn, &cause, err);
        case OP_RESCUING:
                return rescue(txn, &cause, err);
        case OP_RUNNING:
                return recover || op->state == OP_HELD ? settle(txn, err) : forward(txn, err);
        case OP_DONE:
                return 0;
        case OP_FAILED:
        case OP_ROLLED_BACK:
                *err = cause;
                return -1;
        default:
                return err_fail(err, ERR_CORRUPT, 0, "operation %" PRIu64 " has no plan", op->id);
        }
}

int txn_run(struct step_env *env, op_id id, bool recover, struct err *err)
{
        struct op op = { 0 };
        struct txn txn = { .env = env, .op = &op };
        int ret;

        if (journal_get(env->catalog, id, true, &op, err) < 0)
                return -1;
        env->operation = id;
        txn.pivot = op.pivot;
        while (txn.first_rescue < op.n_steps && op.steps[txn.first_rescue].part == PLAN_MAIN)
                txn.first_rescue++;
        ret = check_kinds(&txn, err) < 0 ? -1 : dispatch(&txn, recover, err);
        env->must = false;
        op_done(&op);
        return ret;
}
