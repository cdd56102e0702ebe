/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "common/json.h"
#include "snapd/module.h"
#include "snapd/prober.h"
#include "snapd/prober_tally.h"

int prober_ask(const struct dirs *dirs, const struct site *site, const struct probe_list *probes,
               enum prober_which which, int cwd_fd, prober_database_ask *database,
               struct prober_answers *ret_answers, struct err *err)
{
        prober_once_function *once;
        void *found;

        *ret_answers = (struct prober_answers){ 0 };
        if (probes->n == 0)
                return 0;
        if (module_find("ask", "prober_once", &found, err) < 0)
                return -1;
        once = (prober_once_function *)found;
        return once(dirs, site, probes, which, cwd_fd, database, ret_answers, err);
}

void prober_answers_done(struct prober_answers *answers)
{
        for (size_t i = 0; i < answers->n; i++)
                tally_done(&answers->items[i].sample);
        free(answers->items);
        *answers = (struct prober_answers){ 0 };
}

json_t *prober_answers_json(const struct prober_answers *answers)
{
        json_t *list = json_array();

        for (size_t i = 0; list != NULL && i < answers->n; i++) {
                const struct prober_answer *answer = &answers->items[i];
                const char *what =
                        json_get_string(json_array_get(answer->sample.examples, 0), "what");

                (void)json_array_append_new(
                        list,
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:O*}", "probe",
                                  answer->probe->name, "kind", probe_kind_name(answer->probe->kind),
                                  "weight", probe_weight_name(answer->probe->weight), "when",
                                  probe_when_name(answer->probe->when), "verdict",
                                  probe_verdict_name(answer->verdict), "msec",
                                  (json_int_t)answer->msec, "what", what == NULL ? "" : what,
                                  "examples", answer->sample.examples));
        }
        return list;
}
