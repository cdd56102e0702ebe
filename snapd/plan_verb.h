/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PLAN_VERB_H
#define SNAPD_PLAN_VERB_H

/*
 * The verbs: what can be asked for, with what, by whom, and who plans it.
 */

#include "snapd/plan.h"
#include "snapd/site.h"

struct plan_verb {
        const char *name;
        plan_function plan;
        bool urgent;         /* may use the ballast: it goes back, or makes room */
        bool targets;        /* plan_target() says which version is meant */
        enum site_may may;   /* what an owner must be allowed; 0: administrators only */
        const char *members; /* of the request beside verb, reason and dry_run: "name:type " with
                              * type s text, n number, l list of texts, v list of numbers, o any */
};

/* plan_verb_by_name(name): NULL when there is none. */
const struct plan_verb *plan_verb_by_name(const char *name);

/* plan_verb_check(verb, request, err): ERR_INVALID names the first member that is unknown or of
 * the wrong type. */
int plan_verb_check(const struct plan_verb *verb, const json_t *request,
                    struct err *err) MUST_CHECK;

#endif
