/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_PROGRESS_H
#define SNAPCTL_PROGRESS_H

/*
 * Operations, begun and followed to their end.
 *
 * The steps go to stderr: on a terminal each with a mark and the running one with a bar that is
 * redrawn in place, elsewhere a line when a step begins and when it ends.  What the site's own
 * command prints goes to stdout while it runs (to stderr when a program reads stdout).  A restart
 * of the daemon is waited for: the operation goes on in its own process.
 */

#include "snapctl/ctl.h"

/* How long to stay: until visitors are served by the version that the operation ends with, or until
 * the version that was left is kept, too. */
enum follow_until { UNTIL_SERVED, UNTIL_END };

/* operation_follow(ctl, id, until, ret_op, err): Watch operation ${id} until it has ended, or is
 * served when that is enough; then ${ret_op} is it, the caller's.  When the person pressed Ctrl-C,
 * ${ret_op} is NULL and what goes on and how to follow or stop it has been said. */
int operation_follow(struct ctl *ctl, uint64_t id, enum follow_until until, json_t **ret_op,
                     struct err *err) MUST_CHECK;

/* operation_outcome(ctl, op, err): 0 when ${op} is done, or will be; else -1 and ${err} is its
 * error, with the exit status of the outcome and where the command's output is kept. */
int operation_outcome(const struct ctl *ctl, const json_t *op, struct err *err) MUST_CHECK;

/* operation_run(ctl, path, body, ret_op, err): POST ${body}, with "dry_run" for -n, and stay with
 * the operation until it is served, or with --wait to its end.  Returns the exit status, with the
 * operation when it was done, or NULL when there is nothing more to say: the plan was shown (-n),
 * its number printed
 * (--no-wait), or the person left. */
int operation_run(struct ctl *ctl, const char *path, json_t *body, json_t **ret_op,
                  struct err *err) MUST_CHECK;

/* operation_run_verb(ctl, verb, body, ret_op, err): The same for a verb of the site that is the
 * command's first word; takes ${body} over. */
int operation_run_verb(struct ctl *ctl, const char *verb, json_t *body, json_t **ret_op,
                       struct err *err) MUST_CHECK;

/* operation_stay(ctl, id, until, ret_op, err): What operation_run() does once it has the number. */
int operation_stay(struct ctl *ctl, uint64_t id, enum follow_until until, json_t **ret_op,
                   struct err *err) MUST_CHECK;

#endif
