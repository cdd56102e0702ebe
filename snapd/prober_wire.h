/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_WIRE_H
#define SNAPD_PROBER_WIRE_H

/*
 * Messages between whoever wants to know and the process that measures: a JSON object each, of at
 * most 64 KiB, over a SOCK_SEQPACKET socket pair, some with a descriptor.
 *
 *   to it     {"set": ID, "site", "agent", "secret", "once", "probe": {...}}   replaces ID; with
 *                                       the members of hold, pace and served as far as they hold
 *             {"drop": ID}   {"hold": SITE, "on": BOOL}   {"pace": ID, "msec": N}
 *             {"served": SITE, "version", "since", "settle"}
 *             {"log": ID} and the descriptor of a log     {"ping": N}
 *   from it   {"sample": ID, ...}   {"pong": N}   {"ready": true}
 *
 * Sending never waits: what the other side does not take yet is kept.  When more than 64 MiB are,
 * the other side counts as dead.
 */

#include <jansson.h>
#include <systemd/sd-event.h>

#include "common/error.h"
#include "snapd/sample.h"

#define PROBER_IDS (1u << 17) /* ids are below */

struct prober_wire;

/* prober_wire_message: ${fd} is -1 or the callee's. */
typedef void (*prober_wire_message)(const json_t *message, int fd, void *arg);
/* prober_wire_broken: The other side is gone, or said what makes no sense.  prober_wire_close() may
 * be called. */
typedef void (*prober_wire_broken)(const struct err *err, void *arg);

/* prober_wire_pair(ret_ours, ret_theirs, err): The two ends. */
int prober_wire_pair(int *ret_ours_fd, int *ret_theirs_fd, struct err *err) MUST_CHECK;

/* prober_wire_open(event, fd, message, broken, arg, ret_wire, err): Takes ${fd}, on success. */
int prober_wire_open(sd_event *event, int fd, prober_wire_message message,
                     prober_wire_broken broken, void *arg, struct prober_wire **ret_wire,
                     struct err *err) MUST_CHECK;
void prober_wire_close(struct prober_wire *wire);

/* prober_wire_send(wire, message, fd, err): Takes ${message} over, also on failure; ${fd} (or -1)
 * is copied.  ERR_INVALID: NULL or longer than a message can be. */
int prober_wire_send(struct prober_wire *wire, json_t *message, int fd, struct err *err) MUST_CHECK;

/* prober_wire_sample(id, sample): The message; NULL when memory is short.
 * prober_wire_sample_read(message, ret_sample, err): Its sample, of which nothing but the bounds is
 * believed; examples are a new reference.  ERR_INVALID. */
json_t *prober_wire_sample(unsigned id, const struct sample *sample);
int prober_wire_sample_read(const json_t *message, struct sample *ret_sample,
                            struct err *err) MUST_CHECK;

#endif
