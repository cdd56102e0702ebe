/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_VIEW_H
#define SNAPD_VIEW_H

/*
 * What the API shows: our records as the JSON of docs/api.md.
 *
 * Every function returns a new object, or NULL when there is no memory.  Strings that came from
 * file names or programs may hold anything; what is not UTF-8 in them is shown as U+FFFD.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "snapd/catalog.h"
#include "snapd/front.h"
#include "snapd/journal.h"
#include "snapd/site.h"

/* view_text(text, n, ret_used): A string of ${n} bytes.  With ${ret_used}, a character that is
 * cut at the end is left for later, and how many bytes were used is told. */
json_t *view_text(const char *text, size_t n, size_t *ret_used);

/* view_time(usec): ISO, UTC; null for 0.  view_user(uid): A name, or the number as text. */
json_t *view_time(int64_t usec);
json_t *view_user(uid_t uid);

/* view_temporary(temporary): TEMPORARY. */
json_t *view_temporary(const struct front_temporary *temporary);

/* view_status(code): The HTTP status of an error.  view_error(err): {"error": {...}}. */
unsigned view_status(enum err_code code);
json_t *view_error(const struct err *err);

/* view_site(name, catalog, site, open): SITE.  ${catalog} NULL: not adopted; ${site} NULL: its
 * configuration cannot be read; ${open}: the operation that is open on it, or NULL. */
json_t *view_site(const char *name, const struct catalog_site *catalog, const struct site *site,
                  const struct op *open);

/* The members of VERSION; a set of them is bits 1 << member. */
enum view_member {
        VIEW_NUMBER,
        VIEW_STATES,
        VIEW_LABEL,
        VIEW_REASON,
        VIEW_MARK_REASON,
        VIEW_CREATED,
        VIEW_BY,
        VIEW_VERB,
        VIEW_OPERATION,
        VIEW_PARENT,
        VIEW_PATH,
        VIEW_TREE,
        VIEW_DATABASE,
        VIEW_FILES_BYTES,
        VIEW_DATABASE_BYTES,
        VIEW_FREED_BYTES,
        VIEW_SCHEMA_CHANGED,
        VIEW_MEMBERS /* how many there are */
};
#define VIEW_ALL ((1u << VIEW_MEMBERS) - 1)

/* view_version(version, home, last_good, members): VERSION with these members.  ${home} may be
 * NULL, ${last_good} is a version's number or 0. */
json_t *view_version(const struct version *version, const char *home, uint64_t last_good,
                     unsigned members);

/* view_row(version, home, last_good, members): The values of these members alone, a list in the
 * order above; view_row_members(members): their names. */
json_t *view_row(const struct version *version, const char *home, uint64_t last_good,
                 unsigned members);
json_t *view_row_members(unsigned members);

/* view_members(list, ret_members, err): The set of a list like "number,label".  ERR_INVALID names
 * what is no member. */
int view_members(const char *list, unsigned *ret_members, struct err *err) MUST_CHECK;

/* view_operation(op, state, with_steps): OPERATION; ${state} is the state directory's path. */
json_t *view_operation(const struct op *op, const char *state, bool with_steps);

#endif
