/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The crash matrix over the real transaction, journal and catalog, with fake steps.
 *
 * The oracle knows nothing of how the transaction works: an operation ends, with a reason; the
 * world is wholly old (FAILED), wholly new (DONE) or rescued (ROLLED_BACK); HELD only while
 * something fails for ever, and `resume` then ends it; running recovery once more changes nothing.
 *
 * tests/crash/mutants.py breaks the real code on purpose; each mutant has to make this program
 * fail with a line "# violation:".
 */
#include <stdbool.h>
#include <stdio.h>

#include "tests/crash/txn_world.h"
#include "tests/lib/test.h"

#define DEPTH             3
#define TRIES_AFTER_PIVOT 6 /* of txn.c: fewer failures than this are waited out */

static const struct shape shapes[] = {
        /* A rescue answers the command. */
        { "upgrade", { 6, 3 }, 2, 4, { 1, 0 }, { 0, 2 }, 5, 0 },
        /* Forward from the pivot on; that all but the first begin is known to memory alone. */
        { "activate", { 6, 0 }, 3, NO_CELL, { 5, NO_CELL }, { 5, 0 }, 4, 1 << 1 | 1 << 2 },
        /* No way back from the first step on. */
        { "prune", { 3, 0 }, 0, NO_CELL, { NO_CELL, NO_CELL }, { 0, 0 }, 1, 0 },
        /* All of it can be taken back. */
        { "mount", { 3, 0 }, 3, NO_CELL, { NO_CELL, NO_CELL }, { 0, 0 }, NO_CELL, 0 },
        /* The commit is the point of no return. */
        { "import", { 4, 0 }, 2, NO_CELL, { NO_CELL, NO_CELL }, { 3, 0 }, 2, 0 },
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static const char *scenario = "";
static unsigned crash[DEPTH + 1]; /* where each life so far was ended */
static unsigned long points, lives;

static void report(void)
{
        printf("# violation: %s%s, ended at points %u %u %u: %s\n", scenario,
               world->power ? ", power cut" : "", crash[0], crash[1], crash[2], world->violation);
        test_fail(__FILE__, __LINE__, "after %lu points", points);
}

static void expect_cells(unsigned part, enum cell want)
{
        for (unsigned i = 0; i < world->shape.n[part]; i++)
                if (world->now[part][i] != want)
                        world_violate("%s, but cell %u.%u is %d", op_state_name(world->state), part,
                                      i, (int)world->now[part][i]);
}

static bool fails_for_ever(void)
{
        for (unsigned i = 0; i < CELLS; i++)
                if (world->run_fails[PLAN_MAIN][i] < 0 || world->run_fails[PLAN_RESCUE][i] < 0 ||
                    world->undo_fails[i] < 0)
                        return true;
        return false;
}

/* Who was answered was told how it ends. */
static void judge_answer(void)
{
        const unsigned *answer = world->shape.answer;
        bool decided = (world->state == OP_DONE && answer[PLAN_MAIN] > 0) ||
                       (world->state == OP_ROLLED_BACK && answer[PLAN_RESCUE] > 0);

        if (world->served != decided)
                world_violate("%s, but it was %sserved", op_state_name(world->state),
                              world->served ? "" : "not ");
        for (unsigned part = 0; part < PLAN_PARTS; part++)
                if (answer[part] > 0 && world->marked[part][answer[part] - 1] &&
                    world->state != (part == PLAN_MAIN ? OP_DONE : OP_ROLLED_BACK))
                        world_violate("%s after the answer of part %u", op_state_name(world->state),
                                      part);
}

/* What every ended operation owes. */
static void judge_end(void)
{
        unsigned once = world->shape.once;

        switch (world->state) {
        case OP_DONE:
                expect_cells(PLAN_MAIN, CELL_NEW);
                expect_cells(PLAN_RESCUE, CELL_OLD);
                break;
        case OP_FAILED:
                expect_cells(PLAN_MAIN, CELL_OLD);
                expect_cells(PLAN_RESCUE, CELL_OLD);
                if (world->marked[PLAN_MAIN][world->shape.pivot])
                        world_violate("failed after the point of no return");
                break;
        case OP_ROLLED_BACK:
                expect_cells(PLAN_RESCUE, CELL_NEW);
                if (once < CELLS && world->marked[PLAN_MAIN][once])
                        world_violate("rolled back after its last chance to");
                break;
        default:
                world_violate("left %s", op_state_name(world->state));
        }
        if ((world->ret == 0) != (world->state == OP_DONE))
                world_violate("%s, but it returned %d", op_state_name(world->state), world->ret);
        if (world->ret < 0 &&
            (world->state == OP_ROLLED_BACK) != (world->err.code == ERR_ROLLED_BACK))
                world_violate("%s with the code '%s'", op_state_name(world->state),
                              err_name(world->err.code));
        if (world->ret < 0 && world->err.code == ERR_HELD)
                world_violate("%s, but it says that it is held", op_state_name(world->state));
        judge_answer();
        if (world->restless)
                world_violate("a second recovery changed something");
}

/* A life has ended by itself.  A held operation is resumed when what failed works again. */
static void judge(void)
{
        lives++;
        if (world->state == OP_HELD && world->violation[0] == '\0') {
                if (!fails_for_ever())
                        world_violate("held, but nothing fails for ever: %s", world->err.msg);
                if (world->ret == 0 || world->err.code != ERR_HELD)
                        world_violate("held without saying so");
                memset(world->run_fails, 0, sizeof(world->run_fails));
                memset(world->undo_fails, 0, sizeof(world->undo_fails));
                (void)world_live(true, 0, ACT_NONE);
        }
        judge_end();
        if (world->violation[0] != '\0')
                report();
}

/* End this life at every ${stride}th point, and go on from there ${depth} times. */
static void explore(bool recover, unsigned depth, const unsigned *strides)
{
        unsigned level = DEPTH - depth, n;
        void *begin = world_save();

        crash[level] = 0;
        (void)world_live(recover, 0, ACT_NONE);
        n = world->points_run;
        judge();
        /* The deepest has no stride of its own. */
        for (unsigned at = depth == 0 ? n + 1 : 1 + (unsigned)(points % strides[0]); at <= n;
             at += strides[0]) {
                world_load(begin);
                crash[level] = at;
                points++;
                if (world_live(recover, at, ACT_KILL))
                        world_violate("it took another way the second time");
                if (world->violation[0] != '\0')
                        report();
                explore(true, depth - 1, strides + 1);
        }
        crash[level] = 0;
        free(begin);
}

static void expect_state(enum op_state want)
{
        (void)world_live(false, 0, ACT_NONE);
        if (world->state != want)
                world_violate("%s, not %s", op_state_name(world->state), op_state_name(want));
        if (world->violation[0] != '\0')
                report();
}

/* Every shape, killed and cut off: ${prepare} sets the world up and says how it must end. */
static void each(unsigned depth, const unsigned *strides, const char *name,
                 enum op_state (*prepare)(unsigned variant), unsigned variants)
{
        for (unsigned i = 0; i < SHAPES * 2 * variants; i++) {
                const struct shape *shape = &shapes[i % SHAPES];
                char text[64];
                enum op_state want;
                void *begin;

                world_begin(shape, i / SHAPES % 2 == 1);
                want = prepare((unsigned)(i / SHAPES / 2));
                if (want == OP_STATES)
                        continue;
                (void)snprintf(text, sizeof(text), "%s, %s %zu", shape->name, name, i / SHAPES / 2);
                scenario = text;
                begin = world_save();
                expect_state(want);
                world_load(begin);
                explore(false, depth, strides);
                free(begin);
        }
        printf("# measured: txn matrix, %s: %lu points, %lu recoveries, 0 torn\n", name, points,
               lives);
}

static enum op_state nothing_fails(unsigned variant)
{
        (void)variant;
        return OP_DONE;
}

TEST(a_crash_leaves_old_or_new_three_deep)
{
        world_open();
        each(3, (const unsigned[]){ 1, 7, 40 }, "all well", nothing_fails, 1);
}

/* How often, and whether it leaves the cell half turned. */
static const struct {
        int times;
        bool half;
} failures[] = { { 1, false }, { 3, true }, { -1, true } };

#define FAILURES (sizeof(failures) / sizeof(failures[0]))

static enum op_state main_step_fails(unsigned variant)
{
        unsigned cell = variant / FAILURES;
        int times = failures[variant % FAILURES].times;
        const struct shape *shape = &world->shape;

        if (cell >= shape->n[PLAN_MAIN])
                return OP_STATES;
        world->run_fails[PLAN_MAIN][cell] = times;
        world->fails_half = failures[variant % FAILURES].half;
        if (cell <= shape->pivot)
                return OP_FAILED;
        if (cell == shape->once)
                return OP_ROLLED_BACK;
        if (times > 0 && times < TRIES_AFTER_PIVOT)
                return OP_DONE;
        return shape->once < CELLS && cell < shape->once ? OP_ROLLED_BACK : OP_HELD;
}

TEST(a_step_that_fails_is_taken_back_waited_out_or_rescued)
{
        world_open();
        each(2, (const unsigned[]){ 13, 37 }, "step fails", main_step_fails, 6 * FAILURES);
}

static enum op_state undo_fails(unsigned variant)
{
        unsigned cell = variant / FAILURES;
        int times = failures[variant % FAILURES].times;
        unsigned last = world->shape.pivot < world->shape.n[PLAN_MAIN]
                                ? world->shape.pivot
                                : world->shape.n[PLAN_MAIN] - 1;

        if (cell > last)
                return OP_STATES;
        world->run_fails[PLAN_MAIN][last] = -1;
        world->undo_fails[cell] = times;
        world->fails_half = failures[variant % FAILURES].half;
        return times < 0 ? OP_HELD : OP_FAILED;
}

TEST(an_undo_that_fails_is_tried_again_or_holds_the_site)
{
        world_open();
        each(2, (const unsigned[]){ 11, 31 }, "undo fails", undo_fails, 4 * FAILURES);
}

static enum op_state rescue_fails(unsigned variant)
{
        unsigned cell = variant / FAILURES;
        int times = failures[variant % FAILURES].times;

        if (cell >= world->shape.n[PLAN_RESCUE])
                return OP_STATES;
        world->run_fails[PLAN_MAIN][world->shape.once] = 1;
        world->run_fails[PLAN_RESCUE][cell] = times;
        world->fails_half = failures[variant % FAILURES].half;
        return times < 0 ? OP_HELD : OP_ROLLED_BACK;
}

TEST(a_rescue_that_fails_is_tried_again_or_holds_the_site)
{
        world_open();
        each(2, (const unsigned[]){ 11, 31 }, "rescue fails", rescue_fails, 3 * FAILURES);
}

/* Somebody asks to stop at each point of each shape, and then it may crash besides. */
TEST(an_abort_is_heard_in_time_or_refused)
{
        unsigned heard = 0, refused = 0;

        world_open();
        for (unsigned i = 0; i < SHAPES; i++) {
                unsigned n = 1;

                scenario = shapes[i].name;
                for (unsigned at = 1; at <= n; at++) {
                        world_begin(&shapes[i], false);
                        (void)world_live(false, at, ACT_ABORT);
                        n = world->points_run;
                        crash[0] = at;
                        points++;
                        if (!world->acted)
                                continue;
                        if (world->abort_in_time && world->state != OP_FAILED)
                                world_violate("asked to stop in time, but %s",
                                              op_state_name(world->state));
                        if (!world->abort_accepted && world->state != OP_DONE)
                                world_violate("refused to stop, but did");
                        judge();
                        heard += world->abort_in_time;
                        refused += !world->abort_accepted;
                }
        }
        ASSERT(heard > 20);
        ASSERT(refused > 20);
        printf("# measured: txn matrix, abort: %lu points, %u in time, %u refused\n", points, heard,
               refused);
}

/* The disk of the journal fails at each flush: whatever it then says, nothing is torn, and when
 * the disk works again the operation ends. */
static void flush_fails(const struct shape *shape, enum action action, bool power)
{
        unsigned n = 1;

        for (unsigned at = 1; at <= n; at += 2) {
                bool told;

                world_begin(shape, power);
                world->run_fails[PLAN_MAIN][shape->n[PLAN_MAIN] - 1] = at % 3 == 0;
                (void)world_live(false, at, action);
                if (world->points_run > n)
                        n = world->points_run;
                crash[0] = at;
                points++;
                told = world->ended && world->ret == 0;
                if (world->violation[0] != '\0')
                        report();
                (void)world_live(true, 0, ACT_NONE);
                if (told && world->state != OP_DONE)
                        world_violate("said to be done, but %s", op_state_name(world->state));
                judge();
        }
}

TEST(a_journal_that_cannot_be_written_tears_nothing)
{
        world_open();
        for (unsigned i = 0; i < SHAPES * 4; i++) {
                scenario = shapes[i % SHAPES].name;
                flush_fails(&shapes[i % SHAPES],
                            i / SHAPES % 2 == 0 ? ACT_FLUSH_ERROR : ACT_FLUSH_ERRORS,
                            i / SHAPES / 2 == 1);
        }
        printf("# measured: txn matrix, journal fails: %lu points, 0 torn\n", points);
}
