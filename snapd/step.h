/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_STEP_H
#define SNAPD_STEP_H

/*
 * Steps.
 *
 * A plan is a list of steps, made in full before anything happens.  A step is a kind, stored by
 * its name, and its arguments, so that a plan can be written to the journal and read back by the
 * next process after a crash.  A kind is code:
 *
 *   run     make it so
 *   undo    make it as before
 *
 * Both must be repeatable: the runner may call either when it had already been done, or had been
 * done half.  A step remembers nothing: what it needs is in its arguments or can be asked of the
 * world.
 *
 * A step before the pivot may say that it is *loose*, by an argument "loose": its undo is right
 * whatever there is of the steps before it.  That it begins is then not synced to disk, which costs
 * as much as the step: after a crash it is taken back whether it is known to have begun or not.
 * The one that the pivot follows is synced with the pivot.
 *
 * A plan has two parts.  *main* is run forward; its *pivot* is the point of no return: a failure
 * before the pivot's step has run takes back every step that was begun, in reverse; from the
 * pivot on nothing is taken back.  After the pivot a step that fails because the system did is
 * tried again.  A step that must not run twice (the site's own upgrade command) is not: when it
 * fails, or was cut off, the plan's *rescue* part is run (back to the kept version).
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct step_env; /* what a step may touch: snapd/env.h */

struct step_kind {
        const char *name; /* "fs.capture"; on disk, so never changed */
        int (*run)(struct step_env *env, const json_t *args, struct err *err);
        int (*undo)(struct step_env *env, const json_t *args, struct err *err); /* NULL: nothing
                                                                                 * to take back */

        bool once; /* must not run twice: when it did not end, the plan's rescue follows */

        bool fades; /* its effect is gone after a reboot: recovery runs it again */

        bool records; /* what it writes is the catalog: one commit with the mark that it is done.
                       * run() joins the transaction (catalog_enter()), so it is short, and what it
                       * does beside is done again with it when that was not committed.  Behind the
                       * pivot that commit also says that the step before it is done: a crash before
                       * it finds that one begun, and what is begun there is run again, as it would
                       * be when the crash came right before a commit of its own */

        /* One line for the log and for `snapctl upgrade --dry-run`; goes to buf. */
        void (*describe)(const json_t *args, char *buf, size_t size);
};

enum plan_part { PLAN_MAIN, PLAN_RESCUE, PLAN_PARTS };

struct step {
        const struct step_kind *kind;
        json_t *args; /* owned by the plan */
};

struct plan {
        struct {
                struct step *steps;
                size_t n;
        } parts[PLAN_PARTS];
        size_t pivot; /* index in main; == n of main: all of it can be taken back */

        /* So many steps of the part, all but the last of them, let visitors be served by the
         * version that it ends with and write that down: then the one who asked is answered, and
         * the rest goes on behind him.  0: he waits for all of it. */
        size_t answer[PLAN_PARTS];
};

/* plan_add(plan, part, kind, args, err): Append a step; takes ${args} over, also on failure. */
int plan_add(struct plan *plan, enum plan_part part, const struct step_kind *kind, json_t *args,
             struct err *err) MUST_CHECK;
void plan_done(struct plan *plan);

/* step_kind_by_name(name): NULL when this build does not know it. */
const struct step_kind *step_kind_by_name(const char *name);

#endif
