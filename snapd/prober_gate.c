/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "common/clock.h"
#include "snapd/prober_gate.h"

#define PATIENT_USEC INT64_C(2000000)
#define LOOK_USEC    UINT64_C(50000) /* while it is full of others that are young */

struct queue {
        struct gate_slot *first, *last;
};

struct gate {
        gate_call go, turn_out;
        sd_event_source *timer;
        struct queue inside, waiting, suspects; /* each by age */
        size_t n_inside, most;
};

static void queue_add(struct queue *queue, struct gate_slot *slot)
{
        slot->next = NULL;
        slot->previous = queue->last;
        *(queue->last == NULL ? &queue->first : &queue->last->next) = slot;
        queue->last = slot;
}

static void queue_remove(struct queue *queue, struct gate_slot *slot)
{
        *(slot->previous == NULL ? &queue->first : &slot->previous->next) = slot->next;
        *(slot->next == NULL ? &queue->last : &slot->next->previous) = slot->previous;
}

static struct queue *queue_of(struct gate *gate, const struct gate_slot *slot)
{
        return slot->state == GATE_INSIDE ? &gate->inside
               : slot->suspect            ? &gate->suspects
                                          : &gate->waiting;
}

static void timer_set(const struct gate *gate, uint64_t usec)
{
        (void)sd_event_source_set_time_relative(gate->timer, usec);
        (void)sd_event_source_set_enabled(gate->timer, SD_EVENT_ONESHOT);
}

static void admit(struct gate *gate, struct gate_slot *slot)
{
        slot->state = GATE_INSIDE;
        slot->since_usec = clock_boot_usec();
        queue_add(&gate->inside, slot);
        gate->n_inside++;
        gate->go(slot);
}

void gate_enter(struct gate *gate, struct gate_slot *slot)
{
        if (gate->n_inside < gate->most && gate->waiting.first == NULL &&
            gate->suspects.first == NULL) {
                admit(gate, slot);
                return;
        }
        slot->state = GATE_WAITING;
        queue_add(queue_of(gate, slot), slot);
        timer_set(gate, 0);
}

void gate_leave(struct gate *gate, struct gate_slot *slot)
{
        if (slot->state == GATE_OUTSIDE)
                return;
        queue_remove(queue_of(gate, slot), slot);
        if (slot->state == GATE_INSIDE)
                gate->n_inside--;
        slot->state = GATE_OUTSIDE;
        if (gate->waiting.first != NULL || gate->suspects.first != NULL)
                timer_set(gate, 0);
}

/* Who makes way for ${next}?  NULL: nobody yet. */
static struct gate_slot *victim_of(const struct gate *gate, const struct gate_slot *next)
{
        int64_t old_usec = clock_boot_usec() - PATIENT_USEC;
        struct gate_slot *oldest = gate->inside.first, *suspect = oldest;

        while (suspect != NULL && !suspect->suspect)
                suspect = suspect->next;
        if (suspect != NULL && (!next->suspect || suspect->since_usec <= old_usec))
                return suspect;
        return !next->suspect && oldest->since_usec <= old_usec ? oldest : NULL;
}

static int on_turn(sd_event_source *source, uint64_t usec, void *arg)
{
        struct gate *gate = arg;
        struct gate_slot *next;

        (void)source;
        (void)usec;
        while ((next = gate->waiting.first) != NULL || (next = gate->suspects.first) != NULL) {
                if (gate->n_inside >= gate->most) {
                        struct gate_slot *victim = victim_of(gate, next);

                        if (victim == NULL) {
                                timer_set(gate, LOOK_USEC);
                                break;
                        }
                        gate_leave(gate, victim);
                        gate->turn_out(victim);
                        continue; /* the world may be another now */
                }
                queue_remove(queue_of(gate, next), next);
                admit(gate, next);
        }
        return 0;
}

int gate_open(sd_event *event, size_t most, gate_call go, gate_call turn_out,
              struct gate **ret_gate, struct err *err)
{
        struct gate *gate = calloc(1, sizeof(*gate));

        if (gate == NULL)
                return err_oom(err);
        *gate = (struct gate){ .go = go, .turn_out = turn_out, .most = most };
        if (sd_event_add_time_relative(event, &gate->timer, CLOCK_BOOTTIME, 0, 1000, on_turn,
                                       gate) < 0 ||
            sd_event_source_set_enabled(gate->timer, SD_EVENT_OFF) < 0) {
                gate_close(gate);
                return err_oom(err);
        }
        *ret_gate = gate;
        return 0;
}

void gate_close(struct gate *gate)
{
        if (gate == NULL)
                return;
        (void)sd_event_source_disable_unref(gate->timer);
        free(gate);
}
