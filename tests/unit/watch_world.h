/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_WATCH_WORLD_H
#define TESTS_UNIT_WATCH_WORLD_H

/*
 * The watch over a catalog in which the test plays the operations, and with samples of its own.
 * There is one site, "shop", whose version 1 is served; its probe "front" is required, "log"
 * wanted.
 */

#include "snapd/request.h"
#include "snapd/sql.h"
#include "snapd/watch.h"

extern struct err err;
extern struct dirs dirs;
extern struct watch_needs needs;
extern struct watch *watch;
extern int64_t played_usec; /* until when samples were played */

/* What the prober was told last. */
extern uint64_t told_served;
extern unsigned told_pace;
extern int told_hold;

/* begin(guard): A site whose file has these lines in [guard], and the daemon. */
void begin(const char *guard);
void daemon_begin(void);
void daemon_end(void);

/* daemon_dies(): As if it had been killed: nothing is written any more. */
void daemon_dies(void);

void sql(const char *script);
void site_put(const char *site, const char *owner, const char *guard);
void version_put(const char *site, uint64_t number, enum version_state how, uint64_t op,
                 const char *label);

/* play(): One second of a site's front page; the time stays.  plays(): Some of the shop's. */
void play(const char *site, uint64_t version, unsigned good, unsigned bad, unsigned unknown);
void plays(unsigned seconds, uint64_t version, bool well);

/* upgrade(to, label): From the request to the end, as the journal and the catalog show it. */
void upgrade(uint64_t to, const char *label);
op_id upgrade_begins(const char *label);
void op_is(op_id id, const char *how);
void now_active(uint64_t from, uint64_t to);

/* breaks(): From good to bad, with an upgrade to version 2 in between. */
void breaks(void);

/* newest_op(): It is valid until the next call. */
struct op newest_op(void);
const char *state_now(void);
uint64_t notices(const char *phase);

#endif
