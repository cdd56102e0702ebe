/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_CHILD_H
#define SNAPD_PROBER_CHILD_H

/*
 * The process that measures, from outside: started, told of probes, ended.  Private to
 * snapd/prober*.c.
 */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "snapd/dirs.h"
#include "snapd/probe.h"
#include "snapd/prober_wire.h"

#define PROBER_AGENT_MAX 96

struct prober_child {
        pid_t pid; /* 0: none */
        struct prober_wire *wire;
};

/* child_start(event, dirs, message, broken, arg, ret_child, err): ${message} and ${broken} as of
 * prober_wire_open().  Give the child to child_end(). */
int child_start(sd_event *event, const struct dirs *dirs, prober_wire_message message,
                prober_wire_broken broken, void *arg, struct prober_child *ret_child,
                struct err *err) MUST_CHECK;

/* child_end(child): End it, and wait until it is gone.  NULL-like is fine. */
void child_end(struct prober_child *child);

/* child_set(child, id, site, agent, probe, members, err): Let it measure this probe.  The secret is
 * read from its file here.  ${members} is merged into the message and taken over. */
int child_set(const struct prober_child *child, unsigned id, const char *site, const char *agent,
              const struct site_probe *probe, json_t *members, struct err *err) MUST_CHECK;

/* prober_agent(dirs, site, buf, err): The User-Agent of our requests to this site.  It has a
 * token that nobody but the site's owner can know, so that no visitor passes as us. */
int prober_agent(const struct dirs *dirs, const char *site, char buf[static PROBER_AGENT_MAX],
                 struct err *err) MUST_CHECK;

#endif
