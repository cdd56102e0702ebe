/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How two versions differ, in their files or in what their databases are made of. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

struct comparison {
        const char *question; /* of the API */
        const char *same;     /* said when there are no changes; NULL: nothing */
        struct column columns[2];
};

static void put(const json_t *change, const struct column *column, char end)
{
        const char *text = json_get_string(change, column->key);

        (void)text_put(stdout, text != NULL ? text : "?", UINT_MAX - 1);
        (void)putchar(end);
}

static int compare(struct ctl *ctl, const struct comparison *comparison, struct err *err)
{
        const struct table table = {
                .member = "changes",
                .columns = comparison->columns,
                .n_columns = 2,
        };
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *site = args_word(ctl->args, 0);
        uint64_t from = args_number(ctl->args, 1), to = args_number(ctl->args, 2);
        const json_t *changes, *change;
        size_t i;

        if (client_get(ctl->client, &answer, err, "/v1/sites/%s/%s?from=%" PRIu64 "&to=%" PRIu64,
                       site, comparison->question, from, to) < 0 ||
            answer_array(answer, "changes", &changes, err) < 0)
                return -1;
        if (ctl->look.format != FORMAT_TABLE || ctl->look.columns != NULL)
                return table_print(&table, answer, &ctl->look, err);

        /* As `snapper status` prints it: no header, nothing cut. */
        json_array_foreach ((json_t *)changes, i, change) {
                put(change, &comparison->columns[0], ' ');
                put(change, &comparison->columns[1], '\n');
        }
        if (json_array_size(changes) == 0 && comparison->same != NULL)
                ctl_say(ctl, "%s: the databases of versions %" PRIu64 " and %" PRIu64 " %s", site,
                        from, to, comparison->same);
        return 0;
}

int cmd_diff(struct ctl *ctl, struct err *err)
{
        static const struct comparison files = {
                .question = "diff",
                .columns = { { "status", "Status", CELL_TEXT, 0 },
                             { "path", "Path", CELL_TEXT, 0 } },
        };

        return compare(ctl, &files, err);
}

int cmd_schema_diff(struct ctl *ctl, struct err *err)
{
        static const struct comparison databases = {
                .question = "schema-diff",
                .same = "are made of the same",
                .columns = { { "sign", "Sign", CELL_TEXT, 0 }, { "line", "Object", CELL_TEXT, 0 } },
        };

        return compare(ctl, &databases, err);
}
