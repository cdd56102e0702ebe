/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_OUTBOX_H
#define SNAPD_OUTBOX_H

/*
 * The outbox: notices on their way to the people and programs that asked for them.
 *
 * `outbox.db` in the state directory, apart from the catalog, so that no notice ever waits for an
 * operation or the other way round.  Every process of snapd puts notices in; the daemon alone
 * routes them, has them delivered and marks what became of them.
 *
 *   a notice    what happened: phase, site and a JSON body (snapd/notice.h)
 *   a target    who is told: the name of a file in notices.d (snapd/notice_conf.h)
 *   a delivery  one notice for one target
 *
 *   notice put ──▶ routed: a delivery for each target that wants it
 *   delivery   WAITING ──▶ SENT
 *                 ▲ └ after the last attempt ──▶ DEAD ── outbox_retry() ──▶ WAITING
 *
 * What is marked SENT was accepted by the other side.  A crash between that and the mark sends it
 * once more, under the same id: nothing is lost, and a receiver can tell.
 *
 * Bounds: a body has at most 16 KiB, a site 200 notices, all sites together 4,000.  What is too
 * much goes, the oldest first, and what nobody waits for before what somebody does; sent ones are
 * remembered for 7 days, dead ones for 30.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"

#define OUTBOX_FILE     "outbox.db"
#define OUTBOX_BODY_MAX 16384
#define OUTBOX_SITE_MAX 200
#define OUTBOX_ALL_MAX  4000
#define OUTBOX_ATTEMPTS 27 /* spread over five days */

struct outbox;

enum delivery_state { DELIVERY_WAITING, DELIVERY_SENT, DELIVERY_DEAD, DELIVERY_STATES };

struct delivery {
        uint64_t id; /* never used again */
        uint64_t notice;
        char *target, *phase, *site, *body;
        enum delivery_state state;
        unsigned attempts;
        int64_t created_usec;          /* of the notice, wall clock as the next two */
        int64_t next_usec, ended_usec; /* when it is tried next; when it was sent or given up */
        char *why;                     /* what the last attempt said; "" before one */
};

struct delivery_list {
        struct delivery *items;
        size_t n;
};

/* delivery_list_done(list): Free what the functions below filled in; empty is fine. */
void delivery_list_done(struct delivery_list *list);

/* outbox_open(dir_fd, ret_outbox, err): Open outbox.db in ${dir_fd}, making it when there is none.
 */
int outbox_open(int dir_fd, struct outbox **ret_outbox, struct err *err) MUST_CHECK;
void outbox_close(struct outbox *outbox);
DEFINE_CLEANUP(struct outbox *, outbox_close);

struct outbox_put {
        const char *phase;
        const char *site; /* "" for the host */
        const char *body;
        const char *target; /* NULL: whoever wants it; else only this one */
        const char *key;    /* NULL, or what a notice of the same is known by for two days */
};

/* outbox_put(outbox, put, ret_id, err): One short transaction; durable when it returns.  ${ret_id}
 * (may be NULL) is 0 when there is one with its key, and nothing was put.  ERR_INVALID: the body is
 * too long; ERR_BUSY: somebody keeps the outbox locked for 2 s; ERR_UNSUPPORTED: ${outbox} is NULL,
 * since it could not be opened. */
int outbox_put(struct outbox *outbox, const struct outbox_put *put, uint64_t *ret_id,
               struct err *err) MUST_CHECK;

/* outbox_has(outbox, key): Was one with this key put? */
bool outbox_has(struct outbox *outbox, const char *key);

/* outbox_since_usec(outbox): When this outbox was made; what happened before is old news. */
int64_t outbox_since_usec(struct outbox *outbox);

/* What outbox_unrouted() visits; the texts live until it returns. */
struct outbox_notice {
        uint64_t id;
        const char *phase, *site;
};

/* A target that wants a notice: after ${delay_usec}, or together with what waits for it then. */
struct outbox_wish {
        const char *target;
        int64_t delay_usec;
};

/* outbox_unrouted(outbox, visit, arg, err): Visit notices that were put and not routed, oldest
 * first, at most 100; ${visit} may call outbox_route(). */
typedef int (*outbox_visit)(const struct outbox_notice *notice, void *arg, struct err *err);
int outbox_unrouted(struct outbox *outbox, outbox_visit visit, void *arg,
                    struct err *err) MUST_CHECK;

/* outbox_route(outbox, notice, wishes, n, now_usec, err): Make its deliveries.  One that nobody
 * wants is forgotten. */
int outbox_route(struct outbox *outbox, uint64_t notice, const struct outbox_wish *wishes, size_t n,
                 int64_t now_usec, struct err *err) MUST_CHECK;

/* outbox_due(outbox, target, now_usec, limit, ret_list, err): What ${target} is to be told now,
 * oldest first.  After the clock was set back nothing waits longer than it would have. */
int outbox_due(struct outbox *outbox, const char *target, int64_t now_usec, unsigned limit,
               struct delivery_list *ret_list, struct err *err) MUST_CHECK;

/* outbox_targets(outbox, now_usec, visit, arg, err): Visit each target that something is due for.
 */
typedef int (*outbox_target_visit)(const char *target, void *arg, struct err *err);
int outbox_targets(struct outbox *outbox, int64_t now_usec, outbox_target_visit visit, void *arg,
                   struct err *err) MUST_CHECK;

/* outbox_next(outbox, now_usec, ret_usec, err): When the next one is due, 0: nothing waits. */
int outbox_next(struct outbox *outbox, int64_t now_usec, int64_t *ret_usec,
                struct err *err) MUST_CHECK;

/* outbox_sent(outbox, id, now_usec, err), outbox_failed(outbox, id, why, final, now_usec, err):
 * What became of an attempt.  After a failure the next one is due 5 s later, then 30 s, 2 min, 10
 * min, 30 min, 1 h, 3 h and 6 h, until it is dead after 27 attempts; a ${final} one is dead at
 * once.  One that is not waiting any more is left as it is. */
int outbox_sent(struct outbox *outbox, uint64_t id, int64_t now_usec, struct err *err) MUST_CHECK;
int outbox_failed(struct outbox *outbox, uint64_t id, const char *why, bool final, int64_t now_usec,
                  struct err *err) MUST_CHECK;

/* outbox_backoff_usec(attempts): How long to wait after that many attempts; 0: no more. */
int64_t outbox_backoff_usec(unsigned attempts);

/* outbox_drop(outbox, id, err): The target does not want it after all. */
int outbox_drop(struct outbox *outbox, uint64_t id, struct err *err) MUST_CHECK;

/* outbox_retry(outbox, target, now_usec, ret_n, err): Everything that waits or is dead (of
 * ${target}, NULL: of all) is due now, as if it had never been tried. */
int outbox_retry(struct outbox *outbox, const char *target, int64_t now_usec, unsigned *ret_n,
                 struct err *err) MUST_CHECK;

/* outbox_deliveries(outbox, notice, limit, ret_list, err): Newest first, without bodies; ${notice}
 * 0 for all. */
int outbox_deliveries(struct outbox *outbox, uint64_t notice, unsigned limit,
                      struct delivery_list *ret_list, struct err *err) MUST_CHECK;

/* outbox_lag(outbox, ret_waiting, ret_oldest_usec, err): How many deliveries wait, and the wall
 * clock's time of the oldest notice among them, 0 for none. */
int outbox_lag(struct outbox *outbox, uint64_t *ret_waiting, int64_t *ret_oldest_usec,
               struct err *err) MUST_CHECK;

/* outbox_dropped(outbox): How many notices went before they were sent, because they were too many.
 */
uint64_t outbox_dropped(struct outbox *outbox);

/* outbox_switch(outbox, name, on, ret_changed, err): Remember that ${name} is on or off;
 * ${ret_changed}: it was not before.  What is told once and not again until it was off. */
int outbox_switch(struct outbox *outbox, const char *name, bool on, bool *ret_changed,
                  struct err *err) MUST_CHECK;

/* outbox_tidy(outbox, now_usec, err): Forget what ended long ago. */
int outbox_tidy(struct outbox *outbox, int64_t now_usec, struct err *err) MUST_CHECK;

/* The names of the schema and of the API. */
const char *delivery_state_name(enum delivery_state state);

#endif
