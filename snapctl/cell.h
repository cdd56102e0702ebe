/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_CELL_H
#define SNAPCTL_CELL_H

/*
 * The text of one value.  It points into the JSON or into ${buf} and still holds what strangers
 * put in.
 */

#include "snapctl/table.h"

#define CELL_MAX 4096

/* cell_machine(value, buf): Numbers and times as they came, a list with commas, "" for null. */
const char *cell_machine(const json_t *value, char buf[static CELL_MAX]);

/* cell_human(kind, value, look, buf): As such a kind is read by people. */
const char *cell_human(enum cell kind, const json_t *value, const struct look *look,
                       char buf[static CELL_MAX]);

#endif
