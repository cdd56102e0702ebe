/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_DBPROBE_H
#define SNAPD_DBPROBE_H

/*
 * Probes of kind database: does the live version's database answer?
 */

#include "snapd/env.h"
#include "snapd/prober.h"

/* dbprobe_ask(dirs, site, sample): For prober_ask(): ask through the site's driver, as
 * everything else that reads a tenant's database is asked.  Bad: the server or the file does not
 * answer, or the database is not there.  Unknown: what is wrong is ours (no driver, no user to
 * connect as, no password file). */
void dbprobe_ask(const struct dirs *dirs, const struct site *site, struct sample *sample);

#endif
