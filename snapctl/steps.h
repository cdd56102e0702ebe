/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_STEPS_H
#define SNAPCTL_STEPS_H

/*
 * The steps of an operation, shown as they change.
 */

#include <jansson.h>
#include <stdbool.h>

#include "snapctl/term.h"

struct steps; /* what of an operation has been shown */

/* steps_open(term, quiet): Show on ${term}; NULL when there is no memory.  Give it to
 * steps_close(), which leaves the line clean. */
struct steps *steps_open(const struct term *term, bool quiet);
void steps_close(struct steps *steps);
void steps_closep(struct steps **steps);

/* steps_show_begun(steps, op): Show what is new in ${op} since the last call, as far as it came
 * before the output of the site's command: not the end of that command, nor what came after it.
 * steps_show() shows the rest, and redraws the bar. */
void steps_show_begun(struct steps *steps, const json_t *op);
void steps_show(struct steps *steps, const json_t *op);

/* steps_clear(steps): Take the bar away, so that other lines can be printed; the next
 * steps_show() draws it again. */
void steps_clear(struct steps *steps);

/* steps_command(op, ret_running): Was a command of the site's begun in ${op}, and is it running? */
bool steps_command(const json_t *op, bool *ret_running);

/* steps_list(op, term, utc): All steps with their marks and times, for `ops show`. */
void steps_list(const json_t *op, const struct term *term, bool utc);

#endif
