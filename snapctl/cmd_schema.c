/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What versions' databases are made of. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

static void put(const char *text)
{
        (void)text_put(stdout, text != NULL ? text : "?", UINT_MAX - 1);
}

int cmd_schema(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *site = args_word(ctl->args, 0);
        uint64_t number = args_number(ctl->args, 1);
        const json_t *lines, *line;
        int got;
        size_t i;

        got = number == 0 ? client_get(ctl->client, &answer, err, "/v1/sites/%s/schema", site)
                          : client_get(ctl->client, &answer, err,
                                       "/v1/sites/%s/schema?version=%" PRIu64, site, number);
        if (got < 0 || answer_array(answer, "lines", &lines, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON)
                return json_print(answer, &ctl->look.term, err);
        json_array_foreach ((json_t *)lines, i, line) {
                put(json_string_value(line));
                (void)putchar('\n');
        }
        return 0;
}
