/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_SIBLING_H
#define SNAPD_PROBER_SIBLING_H

/*
 * Is it the site that cannot be connected to, or is it everything?  An address that several sites
 * share is a front door, and a front door that is shut says nothing about one of them.
 */

#include <netinet/in.h>

#include "snapd/prober_task.h"

/* sibling_look(event, canary, ...): As tasks_siblings(); ${canary} is a listener of ours on the
 * loopback. */
int sibling_look(sd_event *event, const struct sockaddr_in *canary, struct tasks *tasks,
                 const struct task *task, sibling_end end, void *arg, struct sibling_ask **ret_ask,
                 struct err *err) MUST_CHECK;

#endif
