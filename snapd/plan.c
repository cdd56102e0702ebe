/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "snapd/step.h"

int plan_add(struct plan *plan, enum plan_part part, const struct step_kind *kind, json_t *args,
             struct err *err)
{
        size_t n = plan->parts[part].n;
        struct step *more;

        if (args == NULL)
                return err_oom(err);
        more = realloc(plan->parts[part].steps, (n + 1) * sizeof(*more));
        if (more == NULL) {
                json_decref(args);
                return err_oom(err);
        }
        more[n] = (struct step){ .kind = kind, .args = args };
        plan->parts[part].steps = more;
        plan->parts[part].n = n + 1;
        return 0;
}

void plan_done(struct plan *plan)
{
        for (unsigned part = 0; part < PLAN_PARTS; part++) {
                for (size_t i = 0; i < plan->parts[part].n; i++)
                        json_decref(plan->parts[part].steps[i].args);
                free(plan->parts[part].steps);
        }
        *plan = (struct plan){ 0 };
}
