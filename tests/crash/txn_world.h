/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_CRASH_TXN_WORLD_H
#define TESTS_CRASH_TXN_WORLD_H

/*
 * A small world for the real transaction code.
 *
 * It has a cell for every step of a plan; a step turns its cell from OLD over HALF to NEW, its undo
 * turns it back.  The world lies in memory that a killed process leaves behind, and a step watches
 * itself: one that runs too early, is taken back in the wrong order or runs twice where it must
 * not writes down a violation.
 *
 * A *life* is a process that runs the operation.  It passes *points*: each place within a step, and
 * each flush of the catalog, before and after.  A life can be told to end at one of them.  What it
 * leaves is either everything it wrote (it was killed) or only what was flushed (the power was
 * cut): fdatasync() of this program keeps a copy of each file as it was when it was last flushed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "snapd/journal.h"

#define CELLS    8
#define DISK_MAX (1 << 20)
#define NO_CELL  CELLS

enum cell { CELL_OLD, CELL_HALF, CELL_NEW };

/* What a plan looks like. */
struct shape {
        const char *name;
        unsigned n[PLAN_PARTS];
        unsigned pivot;
        unsigned once;               /* the step of main that must not run twice, or NO_CELL */
        unsigned fades[PLAN_PARTS];  /* the step whose effect a reboot takes, or NO_CELL */
        unsigned answer[PLAN_PARTS]; /* steps after which it is served; 0: none */
        unsigned records;            /* the step of main that writes the catalog, or NO_CELL */
        unsigned loose;              /* the steps of main that are, a bit each */
};

enum action {
        ACT_NONE,
        ACT_KILL,         /* at any point */
        ACT_ABORT,        /* somebody asks for it; at a point within a step */
        ACT_FLUSH_ERROR,  /* at a flush: it fails once */
        ACT_FLUSH_ERRORS, /* ... and every one after it */
};

enum disk_file { DISK_DB, DISK_WAL, DISK_FILES };

struct world {
        struct shape shape;
        bool power; /* what was not flushed is lost */

        enum cell now[PLAN_PARTS][CELLS], durable[PLAN_PARTS][CELLS];
        bool marked[PLAN_PARTS][CELLS]; /* the journal's DONE was acknowledged */
        int run_fails[PLAN_PARTS][CELLS], undo_fails[CELLS]; /* so often; -1: for ever */
        bool fails_half;                                     /* what fails leaves its cell HALF */
        unsigned once_starts;

        unsigned points, at; /* passed in this life; where to act, 0: nowhere */
        unsigned points_run; /* passed when the operation had returned */
        enum action action;
        bool acted;
        bool abort_accepted;
        bool abort_in_time; /* it was, before the pivot or the once step had begun */

        /* How the life ended, unless it was killed. */
        bool ended;
        int ret;
        struct err err;
        enum op_state state;
        bool served;
        bool restless; /* a second recovery changed something */

        char violation[256]; /* the first; "": none */

        struct {
                size_t n;
                char bytes[DISK_MAX];
        } disk[DISK_FILES];
};

extern struct world *world;

/* world_open(): Make the world and the directory of its catalog. */
void world_open(void);

/* world_begin(shape, power): Everything OLD, and a catalog with the plan of ${shape}. */
void world_begin(const struct shape *shape, bool power);

/* world_live(recover, at, action): One life; false when it was killed at ${at}.  Afterwards the
 * world is as the crash left it. */
bool world_live(bool recover, unsigned at, enum action action);

/* world_save(), world_load(saved): The whole world, to go on from the same crash again; the
 * caller frees. */
void *world_save(void);
void world_load(const void *saved);

/* world_violate(fmt, ...): Something that must never happen did. */
void world_violate(const char *fmt, ...) PRINTF(1, 2);

#endif
