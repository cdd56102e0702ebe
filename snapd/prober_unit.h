/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_UNIT_H
#define SNAPD_PROBER_UNIT_H

/*
 * A probe that is measured again and again, from the side of whoever wants to know.  Private to
 * snapd/prober*.c.
 */

#include <stdio.h>

#include "snapd/prober.h"
#include "snapd/prober_child.h"
#include "snapd/prober_tally.h"

struct unit;

struct place { /* a site */
        struct prober *prober;
        struct place *next;
        char name[SITE_NAME_MAX];
        char agent[PROBER_AGENT_MAX];
        uint64_t version;
        int64_t since_usec;  /* it is served */
        int64_t settle_usec; /* as of struct task_served */
        uint64_t latest;     /* that was served: ${version} unless that is 0 */
        bool held;
        unsigned pace_msec;
        struct unit *units[PROBES_MAX];
        size_t n;
};

struct unit {
        struct place *place;
        unsigned id;
        struct site_probe probe;
        int64_t from_usec; /* measured until then */
        dev_t log_dev;     /* of the log that was passed last; 0: none, as is the next */
        ino_t log_ino;
        void *local; /* of one that is not measured by the process: prober_command.c */
};

/* unit_tell(unit, sample): Hand a sample on, with the version that was served; what is impossible
 * in its times is put right.  One by the process has to have known that version: what is in a log
 * is taken apart there.  unit_unknown(unit, what): One that says nothing. */
void unit_tell(struct unit *unit, struct sample *sample);
void unit_unknown(struct unit *unit, const char *what);

/* unit_event(unit), unit_dirs(unit), unit_child(unit): What it shares with all others. */
sd_event *unit_event(const struct unit *unit);
const struct dirs *unit_dirs(const struct unit *unit);
const struct prober_child *unit_child(const struct unit *unit);

/* unit_is_remote(unit): Is it measured by the process? */
bool unit_is_remote(const struct unit *unit);

/* prober_command_ask(site, probe, cwd_fd, sample): Run its command, as the site's user in the
 * sandbox of the role hook, and wait.  The sample goes to tally_done(). */
void prober_command_ask(const struct site *site, const struct site_probe *probe, int cwd_fd,
                        struct sample *sample);

/* unit_local_start(unit, err), unit_local_stop(unit): Measure it from here. */
int unit_local_start(struct unit *unit, struct err *err) MUST_CHECK;
void unit_local_stop(struct unit *unit);

/* unit_log_pass(unit): Pass its log, if it has one.  unit_log_look(unit): Pass it again when there
 * is another file at its place. */
void unit_log_pass(struct unit *unit);
void unit_log_look(struct unit *unit);

#endif
