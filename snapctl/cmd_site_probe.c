/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A site's probes, asked once and now. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"

/* Is a required one bad? */
static bool is_breach(const json_t *probe)
{
        const char *verdict = json_get_string(probe, "verdict");
        const char *weight = json_get_string(probe, "weight");

        return verdict != NULL && weight != NULL && strcmp(verdict, "bad") == 0 &&
               strcmp(weight, "required") == 0;
}

/* As of a check: 1 when something is wrong. */
int cmd_site_probe(struct ctl *ctl, struct err *err)
{
        static const struct column columns[] = {
                { "probe", "Probe", CELL_TEXT, 0 },
                { "kind", "Kind", CELL_TEXT, 0 },
                { "weight", "Weight", CELL_TEXT, 0 },
                { "verdict", "Verdict", CELL_TEXT, 0 },
                { "msec", "ms", CELL_NUMBER, 0 },
                { "what", "What", CELL_TEXT, COLUMN_FLEXIBLE },
        };
        static const struct table table = { .member = "probes",
                                            .columns = columns,
                                            .n_columns = sizeof(columns) / sizeof(columns[0]) };
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *name = args_word(ctl->args, 0);
        const json_t *probes, *probe;
        char path[128];
        int status = 0;
        size_t i;

        (void)snprintf(path, sizeof(path), "/v1/sites/%s/probes/run", name);
        if (client_call(ctl->client, "POST", path, NULL, &answer, err) < 0 ||
            answer_array(answer, "probes", &probes, err) < 0)
                return -1;
        if (json_array_size(probes) == 0)
                ctl_say(ctl, "%s: nothing is asked: add [guard] presets or a [probe NAME]", name);
        json_array_foreach ((json_t *)probes, i, probe)
                if (is_breach(probe))
                        status = 1;
        return table_print(&table, answer, &ctl->look, err) < 0 ? -1 : status;
}
