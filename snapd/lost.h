/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_LOST_H
#define SNAPD_LOST_H

/*
 * What two versions do not have alike since they parted: rows of their databases, and files in
 * what is shared.  After a rollback that is what was written meanwhile and is not served any more.
 *
 * Rows are counted table by table as they come and not kept; a text of them is bounded.
 */

#include "snapd/env.h"

enum lost_format { LOST_COUNTS, LOST_SQL, LOST_CSV, LOST_FORMATS };

/* lost_format_by_name(name): LOST_FORMATS when there is none; NULL is LOST_COUNTS. */
enum lost_format lost_format_by_name(const char *name);

/* lost_writes(env, from, to, table, format, ret_answer, err): The answer of the API, about one
 * table or, when that is NULL, all.  ERR_UNSUPPORTED: the driver cannot compare, or the text would
 * be too long. */
int lost_writes(struct step_env *env, uint64_t from, uint64_t to, const char *table,
                enum lost_format format, json_t **ret_answer, struct err *err) MUST_CHECK;

#endif
