/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_JOURNAL_H
#define SNAPD_JOURNAL_H

/*
 * The journal: what snapd has promised to finish or take back, and the record of what it did.
 *
 * One row an operation, one a step, in the catalog's SQLite file.  journal_mark() returns only
 * when the mark is on stable storage.
 *
 *   step        PLANNED -> RUNNING -> DONE                           (forward)
 *                          RUNNING or DONE -> UNDOING -> UNDONE      (back)
 *
 *   operation   QUEUED -> RUNNING -> DONE
 *               QUEUED -> FAILED                                     (no plan could be made)
 *                         RUNNING -> UNDOING -> FAILED               (before the pivot)
 *                         RUNNING -> RESCUING -> ROLLED_BACK         (after it)
 *                         any of them -> HELD -> where it was        (resume)
 *
 * An operation that goes to another version is *served* when visitors are served by that version
 * and the catalog says so (plan.answer): whoever asked is answered then, how it ends is decided,
 * and what is left to do is to keep the version that was left.
 *
 * A site has at most one open operation that is not served; a unique index of the database says so.
 * The next one may be queued behind one that is served, and begins when that has ended.  The last
 * 1,000 ended operations of a site are remembered.
 *
 * Everything is durable when the function returns (one fsync), or with the commit of the
 * transaction it was called in.
 */

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "snapd/catalog.h"
#include "snapd/step.h"

typedef uint64_t op_id;

enum op_state {
        OP_QUEUED,
        OP_RUNNING,
        OP_UNDOING,
        OP_RESCUING,
        OP_HELD, /* the ones up to here are open */
        OP_DONE,
        OP_FAILED,
        OP_ROLLED_BACK,
        OP_STATES
};

enum step_mark { STEP_PLANNED, STEP_RUNNING, STEP_DONE, STEP_UNDOING, STEP_UNDONE, STEP_MARKS };

struct op_step {
        enum plan_part part;
        size_t n; /* within its part, from 0 */
        char *kind;
        json_t *args;
        enum step_mark mark;
        int64_t started_usec, ended_usec; /* 0: not yet */
        uint64_t progress_done, progress_all;
};

struct op {
        op_id id;
        char *site, *verb;
        json_t *request;                 /* as accepted: see docs/api.md */
        enum op_state state, held_state; /* held_state: what it was before it was held */
        uid_t by;
        char *reason;
        int64_t created_usec, ended_usec;
        int64_t served_usec; /* 0: not yet, or it has no such moment */
        uint64_t seq;        /* rises with every change */
        uint64_t version;    /* the version it makes or goes to; 0 while unknown */
        bool abort;          /* someone asked it to stop */
        size_t pivot;        /* of the plan, see snapd/step.h, as is the next */
        size_t answer[PLAN_PARTS];
        struct err cause;      /* why it is or was taken back; code 0: nothing failed */
        struct err error;      /* the same, or why it is held */
        struct op_step *steps; /* main part first; NULL when not asked for */
        size_t n_steps;
};

struct op_list {
        struct op *items;
        size_t n;
};

/* op_done(op), op_list_done(list): Free what journal_get() and journal_list() filled in. */
void op_done(struct op *op);
void op_list_done(struct op_list *list);

/* journal_queue(...): Write a request down as a queued operation; its reason is the request's
 * member "reason".  ERR_BUSY names the operation that is open and not served, or held, its verb and
 * who asked for it. */
int journal_queue(struct catalog *catalog, const char *site, const char *verb,
                  const json_t *request, uid_t by, op_id *ret_id, struct err *err) MUST_CHECK;

/* journal_plan(...): Write the whole plan before anything happens and make the operation RUNNING:
 * every step PLANNED, but the first of main, which comes next, RUNNING, as a commit costs a sync.
 * Call within catalog_begin/commit, with the numbers it uses.  ERR_CORRUPT: the operation is not
 * QUEUED. */
int journal_plan(struct catalog *catalog, op_id id, const struct plan *plan, uint64_t version,
                 struct err *err) MUST_CHECK;

/* journal_mark(...): On stable storage when it returns.  A step's times are those of its first
 * RUNNING or UNDOING and of its last DONE or UNDONE.  ERR_NOT_FOUND: the plan has no such step. */
int journal_mark(struct catalog *catalog, op_id id, enum plan_part part, size_t step,
                 enum step_mark mark, struct err *err) MUST_CHECK;

/* journal_serve(catalog, id, err): From now on it is served; once more changes nothing. */
int journal_serve(struct catalog *catalog, op_id id, struct err *err) MUST_CHECK;

/* journal_progress(...): How far a running step is, for people only: not synced to disk, failure is
 * ignored.  Cheap enough for every file: at most ten a second are written. */
void journal_progress(struct catalog *catalog, op_id id, enum plan_part part, size_t step,
                      uint64_t done, uint64_t all);

/* journal_state(catalog, id, state, error, err): Move the operation to ${state}; ${error} is kept
 * with it (that of HELD beside the one before), NULL keeps the one that is there.  ERR_CORRUPT: the
 * picture above has no such arrow; the state it is in already is fine. */
int journal_state(struct catalog *catalog, op_id id, enum op_state state, const struct err *error,
                  struct err *err) MUST_CHECK;

/* journal_get(catalog, id, with_steps, ret_op, err): ERR_NOT_FOUND.  Give it to op_done(). */
int journal_get(struct catalog *catalog, op_id id, bool with_steps, struct op *ret_op,
                struct err *err) MUST_CHECK;

/* journal_list(catalog, site, open_only, limit, ret_list, err): Newest first, without steps;
 * ${site} NULL for all. */
int journal_list(struct catalog *catalog, const char *site, bool open_only, unsigned limit,
                 struct op_list *ret_list, struct err *err) MUST_CHECK;

/* journal_knows(catalog, id, ret_known, err): Is the operation remembered? */
int journal_knows(struct catalog *catalog, op_id id, bool *ret_known, struct err *err) MUST_CHECK;

/* journal_life(catalog, site, ret_first, err): The first operation of the present life of the name
 * ${site}: what was done before, a site that is gone may have done for another owner.  0: none. */
int journal_life(struct catalog *catalog, const char *site, op_id *ret_first,
                 struct err *err) MUST_CHECK;

/* journal_is_open(catalog, id): Has the operation not ended? */
bool journal_is_open(struct catalog *catalog, op_id id);

/* journal_has_answer(catalog, id): Has it ended, or is it served? */
bool journal_has_answer(struct catalog *catalog, op_id id);

/* journal_before(catalog, site, id, ret_before, err): The open operation of ${site} that was
 * accepted before ${id} and has to end first; 0 when there is none.  ERR_BUSY: it is held. */
int journal_before(struct catalog *catalog, const char *site, op_id id, op_id *ret_before,
                   struct err *err) MUST_CHECK;

/* journal_somebody_waits(catalog, site, id): Was an operation of ${site} accepted after ${id}? */
bool journal_somebody_waits(struct catalog *catalog, const char *site, op_id id);

/* journal_seq(catalog, id): The operation's seq, 0 when there is none.  Costs one read. */
uint64_t journal_seq(struct catalog *catalog, op_id id);

/* journal_ask_abort(...): The operation is asked to stop and take back.  ERR_REFUSED: it is past
 * its point of no return and of the step that a rescue would answer, or is held; ERR_NOTHING: it
 * has ended or is being taken back already; ERR_NOT_FOUND. */
int journal_ask_abort(struct catalog *catalog, op_id id, struct err *err) MUST_CHECK;
bool journal_abort_asked(struct catalog *catalog, op_id id);

/* The names of the API; op_state_by_name() is OP_STATES for NULL and for no such name. */
bool op_is_open(enum op_state state);
const char *op_state_name(enum op_state state);
enum op_state op_state_by_name(const char *name);
const char *step_mark_name(enum step_mark mark);

#endif
