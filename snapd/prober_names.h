/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_NAMES_H
#define SNAPD_PROBER_NAMES_H

/*
 * Names of hosts: /etc/hosts as it was at the start, then DNS by c-ares in the event loop. Threads,
 * which libcurl's own resolver takes, make whoever ends a request wait for the slowest resolver.
 */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/error.h"

#define NAMES_ADDRESSES_MAX 400

struct names;
struct names_ask;

/* names_end: ${addresses} as "A,B,[C]", or NULL with why in ${error}. */
typedef void (*names_end)(const char *addresses, const char *error, void *arg);

/* names_open(event, ret_names, err): Read /etc/hosts and /etc/resolv.conf; they are not read again.
 */
int names_open(sd_event *event, struct names **ret_names, struct err *err) MUST_CHECK;
/* names_close(names): Whoever asked is not told; NULL is fine. */
void names_close(struct names *names);

/* names_look(names, name, buf): Is it known now: an address itself, in /etc/hosts, or asked for not
 * long ago?  1: yes; 0: it has to be asked; -1: it failed just now. */
int names_look(struct names *names, const char *name, char buf[static NAMES_ADDRESSES_MAX]);

/* names_ask(names, name, end, arg, ret_ask, err): Ask; ${end} is called once, never before this
 * returns.  names_forget(): It is not called. */
int names_ask(struct names *names, const char *name, names_end end, void *arg,
              struct names_ask **ret_ask, struct err *err) MUST_CHECK;
void names_forget(struct names_ask *ask);

#endif
