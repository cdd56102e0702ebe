/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_FAULT_H
#define SNAPD_FAULT_H

/*
 * Crash points for the crash matrix (tests/crash).  In a build with -Dfault=true the environment
 *
 *   SITESNAP_FAULT=kill@KIND[#N]:PLACE     PLACE: before, after, marked
 *   SITESNAP_FAULT=stop@KIND[#N]:PLACE
 *
 * ends the process with SIGKILL the N-th time (default 1) it comes to that place of a step:
 * before it runs, after its effect but before the mark, after the mark.  KIND is a step's name, or
 * "undo-" and a step's name.  With stop@ it is SIGSTOP: something else is broken meanwhile, a
 * server killed, and the process goes on when it is told to.
 *
 *   SITESNAP_REVALIDATE_MSEC=N     how long render_await() gives interpreters to notice a change:
 * the site of the crash matrix has none that keeps what it has read
 *
 * A shipped build has none of this.
 */

#include <stdint.h>

#ifdef SITESNAP_FAULT
/* fault_point(prefix, kind, place): Here is ${place} of the step ${kind}; ${prefix} is "" or
 * "undo-". */
void fault_point(const char *prefix, const char *kind, const char *place);

/* fault_revalidate_usec(usual): The time that the environment names, or ${usual}. */
int64_t fault_revalidate_usec(int64_t usual);
#else
static inline void fault_point(const char *prefix, const char *kind, const char *place)
{
        (void)prefix;
        (void)kind;
        (void)place;
}

static inline int64_t fault_revalidate_usec(int64_t usual)
{
        return usual;
}
#endif

#endif
