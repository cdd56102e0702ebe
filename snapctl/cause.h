/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_CAUSE_H
#define SNAPCTL_CAUSE_H

/*
 * What the guard thinks of a site, and why it took a version back.
 */

#include <jansson.h>

#include "snapctl/ctl.h"

/* cause_print(ctl, cause): CAUSE of docs/api.md: a line what happened, then the bad answers. */
void cause_print(const struct ctl *ctl, const json_t *cause);

/* guard_print(ctl, guard): GUARD of docs/api.md; nothing when it is null or has nothing to say. */
void guard_print(const struct ctl *ctl, const json_t *guard);

#endif
