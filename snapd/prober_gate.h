/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_GATE_H
#define SNAPD_PROBER_GATE_H

/*
 * How many of something there are at a time: of handshakes of TLS, which take 100 KB each, and of
 * requests by TLS, 35 KB each from the end of the handshake to that of the answer.  A thousand that
 * servers leave unfinished would be more than the process may use.  Private to snapd/prober_*.c.
 *
 * Whoever comes when it is full does not wait for servers that hang: the oldest of those that hung
 * before is turned out, else the oldest that takes longer than two seconds; what it would have
 * answered is not known then.  Those that hung before come last, and turn out only their like.  So
 * there is a wait only while that many are all young and of servers that were well.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/error.h"

struct gate;

/* Zeroed at first; whoever owns it calls gate_leave() before it is gone. */
struct gate_slot {
        void *owner;
        struct gate_slot *next, *previous;
        enum { GATE_OUTSIDE, GATE_WAITING, GATE_INSIDE } state;
        bool suspect; /* its server hung the last time */
        int64_t since_usec;
};

typedef void (*gate_call)(struct gate_slot *slot);

/* gate_open(event, most, go, turn_out, ret_gate, err): ${go} is called when a slot is inside, of
 * which there are at most so many, ${turn_out} when it is so no more, for one that was. */
int gate_open(sd_event *event, size_t most, gate_call go, gate_call turn_out,
              struct gate **ret_gate, struct err *err) MUST_CHECK;
void gate_close(struct gate *gate);

/* gate_enter(gate, slot): ${go} is called, now or later. */
void gate_enter(struct gate *gate, struct gate_slot *slot);

/* gate_leave(gate, slot): It is over, or nobody wants it any more; also when it never
 * came or has gone.  Nobody is called before this returns. */
void gate_leave(struct gate *gate, struct gate_slot *slot);

#endif
