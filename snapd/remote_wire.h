/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REMOTE_WIRE_H
#define SNAPD_REMOTE_WIRE_H

/*
 * What goes over the socket between remote.c and remote_child.c: frames of a kind and a payload of
 * numbers and bytes.  Both ends are this program on this machine, so that numbers go as they lie.
 * A reader never reads behind the end: what is not there is 0 or NULL, and the frame is not ok.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define WIRE_MAX (64U << 20) /* bytes of a payload: a row is one */

enum wire_kind {
        /* to the child: one call at a time */
        WIRE_FEATURES = 1,
        WIRE_CHECK,
        WIRE_HOLD,
        WIRE_RELEASE,
        WIRE_COPY,
        WIRE_EXISTS,
        WIRE_VERIFY,
        WIRE_SET_WRITABLE,
        WIRE_SIZE,
        WIRE_DROP,
        WIRE_FORECAST,
        WIRE_FINGERPRINT,
        WIRE_DIFF,
        WIRE_DUMP,
        WIRE_LOAD,
        WIRE_LIST,
        WIRE_CALLS,
        /* to the child during a call */
        WIRE_STOP,  /* the caller has had enough */
        WIRE_BYTES, /* of a dump that is loaded; also from the child: of one that is made */
        /* from the child during a call */
        WIRE_PROGRESS,
        WIRE_TABLE,
        WIRE_ROW,
        WIRE_ASK,
        WIRE_NAME,
        /* from the child, last */
        WIRE_END,
};

struct wire {
        unsigned kind;
        char *data;
        size_t n, room;
        size_t at; /* read up to here */
        bool ok; /* false: memory was short, it grew too large, or less was there than asked for */
};

/* wire_begin(wire, kind): Empty it; what it had allocated stays. */
void wire_begin(struct wire *wire, unsigned kind);
void wire_done(struct wire *wire);
static inline void wire_donep(struct wire *wire)
{
        wire_done(wire);
}

/* Writing. */
void wire_put(struct wire *wire, uint64_t number);
void wire_put_bytes(struct wire *wire, const void *bytes, size_t n); /* NULL stays NULL */
void wire_put_text(struct wire *wire, const char *text);

/* Reading; what is returned lives as long as the payload and has a NUL behind it. */
uint64_t wire_get(struct wire *wire);
const char *wire_get_bytes(struct wire *wire, size_t *ret_n);
const char *wire_get_text(struct wire *wire); /* never NULL; a NUL inside ends it */

/* wire_send(fd, wire, err): Send it whole.  ERR_UNSUPPORTED: it is too large; ERR_IO: the other
 * end is gone. */
int wire_send(int fd, const struct wire *wire, struct err *err) MUST_CHECK;

/* wire_receive(fd, wire, timeout_msec, err): Wait for a frame and take it whole; -1 ms: for ever.
 * ERR_TIMEOUT: nothing began to come in that time.  ERR_IO: the other end is gone. */
int wire_receive(int fd, struct wire *wire, int timeout_msec, struct err *err) MUST_CHECK;

#endif
