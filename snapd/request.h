/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REQUEST_H
#define SNAPD_REQUEST_H

/*
 * Requests: the one way in.  What a person, a schedule or the guard wants done to a site is a
 * verb and a JSON object; it is checked here, written to the journal and then run by an operation
 * process (snapd/operation.h).
 */

#include <jansson.h>
#include <sys/types.h>

#include "snapd/dirs.h"
#include "snapd/journal.h"

/* request_check(dirs, catalog, site, request, err): Is ${request} (with its "verb") a well-formed
 * request that could be begun now?  Unknown members, versions that are not there, refusals by
 * policy are found here, before anything is written. */
int request_check(const struct dirs *dirs, struct catalog *catalog, const char *site,
                  const json_t *request, struct err *err) MUST_CHECK;

/* request_submit(dirs, catalog, site, request, by, cause, ret_id, err): Check and queue it, within
 * a transaction of the catalog or alone.  Starting the process is the caller's.  ${cause} is what
 * made the guard ask, and is kept with the operation; NULL for a person, who cannot give one. */
int request_submit(const struct dirs *dirs, struct catalog *catalog, const char *site,
                   const json_t *request, uid_t by, const json_t *cause, op_id *ret_id,
                   struct err *err) MUST_CHECK;

/* Questions that open pools and parse configuration: they run in a process of their own (`snapd
 * --query`), which reads {"query": NAME, "site": ..., ...} and writes the answer of docs/api.md:
 *
 *   plan   "request": the dry run of a request     diff   "from", "to"
 *   probe  "probe": ask one probe, or all of them, now; also while an operation runs
 *   check  a site's configuration                  web-config  "server"
 */
int request_query(const struct dirs *dirs, const json_t *query, json_t **ret_answer,
                  struct err *err) MUST_CHECK;

#endif
