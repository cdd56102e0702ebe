/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ROUTES_H
#define SNAPD_ROUTES_H

/*
 * The API: which calls there are, who may make them, and what answers them.
 */

#include "snapd/routes_call.h"

/* routes_answer(api, call, answer, err): Find the route, see that the peer may, and call its
 * handler.  What no row of the table allows is refused; what the peer may not see is
 * ERR_NOT_FOUND with the same words as what does not exist. */
int routes_answer(struct api *api, const struct call *call, struct answer *answer,
                  struct err *err) MUST_CHECK;

/* routes_visit(visit, arg): Every route, for tests. */
void routes_visit(void (*visit)(const char *method, const char *pattern, void *arg), void *arg);

#endif
