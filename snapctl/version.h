/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_VERSION_H
#define SNAPCTL_VERSION_H

/*
 * Versions of a site as the API tells them; for every command that prints some.
 */

#include "snapctl/ctl.h"

extern const struct table version_table;

/* version_list(ctl, site, members, ret_answer, err): The answer with the list "versions", oldest
 * first, each with these members ("a,b"); "" for all.  With "&rows=1" behind the members each is a
 * list of values, as table_print() takes it. */
int version_list(struct ctl *ctl, const char *site, const char *members, json_t **ret_answer,
                 struct err *err) MUST_CHECK;

/* version_has_state(version, state): "active", "pinned", ... */
bool version_has_state(const json_t *version, const char *state);

#endif
