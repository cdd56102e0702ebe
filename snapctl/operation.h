/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_OPERATION_H
#define SNAPCTL_OPERATION_H

/*
 * Operations as the API lists them; following one is snapctl/progress.h.
 */

#include "snapctl/ctl.h"

extern const struct table operation_table;

/* operation_list(ctl, site, limit, ret_answer, err): The answer with the list "operations",
 * newest first; of all sites when ${site} is NULL, as many as the daemon likes when ${limit} is
 * 0. */
int operation_list(struct ctl *ctl, const char *site, uint64_t limit, json_t **ret_answer,
                   struct err *err) MUST_CHECK;

#endif
