/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapd/prober_gate.h"
#include "tests/guard/guard_world.h"
#include "tests/lib/test.h"

#define MOST  4
#define SLOTS 12

static struct err err;
static sd_event *event;
static struct gate *gate;
static struct gate_slot slots[SLOTS];
static struct gate_slot *out[SLOTS];
static size_t n_out, n_in;

static void on_go(struct gate_slot *slot)
{
        ASSERT(slot->state == GATE_INSIDE);
        n_in++;
}

static void on_out(struct gate_slot *slot)
{
        ASSERT(slot->state == GATE_OUTSIDE);
        n_in--;
        out[n_out++] = slot;
}

static void world(void)
{
        ASSERT(sd_event_new(&event) >= 0);
        ASSERT_OK(gate_open(event, MOST, on_go, on_out, &gate, &err));
}

static void enter(size_t first, size_t n)
{
        for (size_t i = first; i < first + n; i++)
                gate_enter(gate, &slots[i]);
}

static void world_end(void)
{
        for (size_t i = 0; i < SLOTS; i++)
                gate_leave(gate, &slots[i]);
        gate_close(gate);
        (void)sd_event_unref(event);
}

TEST(who_comes_when_it_is_full_waits_for_the_young)
{
        world();
        enter(0, MOST + 2);
        guard_turn(event, 300);
        ASSERT_EQ(n_in, MOST);
        ASSERT_EQ(n_out, 0);
        gate_leave(gate, &slots[1]);
        n_in--;
        guard_turn(event, 100);
        ASSERT_EQ(n_in, MOST);
        ASSERT(slots[MOST].state == GATE_INSIDE && slots[MOST + 1].state == GATE_WAITING);
        world_end();
}

TEST(the_oldest_makes_way_after_two_seconds)
{
        int64_t began = clock_boot_usec();

        world();
        enter(0, MOST);
        enter(MOST, 1);
        GUARD_TURN_UNTIL(event, n_out > 0);
        ASSERT(clock_boot_usec() - began >= 2 * USEC_PER_SEC);
        ASSERT_EQ(n_out, 1);
        ASSERT(out[0] == &slots[0]);
        ASSERT(slots[MOST].state == GATE_INSIDE);
        world_end();
}

TEST(one_that_hung_before_makes_way_at_once_and_turns_out_only_its_like)
{
        world();
        for (size_t i = 2; i < MOST; i++)
                slots[i].suspect = true;
        enter(0, MOST);
        enter(MOST, 2);
        GUARD_TURN_UNTIL(event, n_out == 2);
        ASSERT(out[0] == &slots[2] && out[1] == &slots[3]);

        /* Nobody is left whom one of them could turn out. */
        slots[MOST + 2].suspect = true;
        enter(MOST + 2, 1);
        guard_turn(event, 2500);
        ASSERT_EQ(n_out, 2);
        ASSERT(slots[MOST + 2].state == GATE_WAITING);

        /* Who was well before comes before it. */
        enter(MOST + 3, 1);
        gate_leave(gate, &slots[0]);
        n_in--;
        guard_turn(event, 100);
        ASSERT(slots[MOST + 3].state == GATE_INSIDE);
        ASSERT(slots[MOST + 2].state == GATE_WAITING);
        world_end();
}
