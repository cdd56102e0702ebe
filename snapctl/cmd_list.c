/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cause.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"
#include "snapctl/version.h"

static const struct column columns[] = {
        { "number", "#", CELL_NUMBER, 0 },
        { "states", "State", CELL_LIST, 0 },
        { "label", "Label", CELL_TEXT, COLUMN_FLEXIBLE },
        { "created", "When", CELL_TIME, 0 },
        { "by", "By", CELL_TEXT, 0 },
        { "files_bytes", "Files", CELL_BYTES, 0 },
        { "database_bytes", "Database", CELL_BYTES, 0 },
        { "freed_bytes", "Would free", CELL_BYTES, 0 },
        { "reason", "Reason", CELL_TEXT, COLUMN_FLEXIBLE },
        { "mark_reason", "Mark's reason", CELL_TEXT, COLUMN_FLEXIBLE | COLUMN_EXTRA },
        { "verb", "Made by", CELL_TEXT, COLUMN_EXTRA },
        { "operation", "Operation", CELL_NUMBER, COLUMN_EXTRA },
        { "parent", "From", CELL_NUMBER, COLUMN_EXTRA },
        { "path", "Path", CELL_TEXT, COLUMN_EXTRA },
        { "tree", "Tree", CELL_NUMBER, COLUMN_EXTRA },
        { "schema_changed", "New schema", CELL_TEXT, COLUMN_EXTRA },
        { "database", "Database copy", CELL_TEXT, COLUMN_EXTRA },
};

static bool has_state(const json_t *states, const char *state)
{
        const json_t *item;
        size_t i;

        json_array_foreach ((json_t *)states, i, item) {
                const char *text = json_string_value(item);

                if (text != NULL && strcmp(text, state) == 0)
                        return true;
        }
        return false;
}

bool version_has_state(const json_t *version, const char *state)
{
        return has_state(json_object_get(version, "states"), state);
}

static struct row_look look_of(const json_t *states)
{
        if (has_state(states, "active"))
                return (struct row_look){ '*', COLOUR_GREEN };
        if (has_state(states, "bad"))
                return (struct row_look){ ' ', COLOUR_RED };
        return (struct row_look){ ' ', COLOUR_NONE };
}

const struct table version_table = {
        .member = "versions",
        .columns = columns,
        .n_columns = sizeof(columns) / sizeof(*columns),
        .look_member = "states",
        .look = look_of,
        .empty = "There are no versions yet.",
};

int version_list(struct ctl *ctl, const char *site, const char *members, json_t **ret_answer,
                 struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *versions;

        if (client_get(ctl->client, &answer, err, "/v1/sites/%s/versions%s%s", site,
                       *members != '\0' ? "?members=" : "", members) < 0 ||
            answer_array(answer, "versions", &versions, err) < 0)
                return -1;
        *ret_answer = STEAL(answer);
        return 0;
}

static void print_footer(const struct ctl *ctl, const json_t *answer, size_t n)
{
        const json_t *left = json_object_get(answer, "free_bytes");
        char size[TEXT_SIZE_MAX];

        if (ctl->look.no_headers || ctl->look.format != FORMAT_TABLE || n == 0)
                return;
        text_size(json_get_u64(answer, "free_bytes"), size);
        if (json_is_integer(left))
                ctl_say(ctl, "\n%zu version%s, %s of disk left", n, n == 1 ? "" : "s", size);
        else
                ctl_say(ctl, "\n%zu version%s", n, n == 1 ? "" : "s");
}

int cmd_list(struct ctl *ctl, struct err *err)
{
        /* It goes with the process: a thousand versions take longer to free than to read through.
         */
        static json_t *answer;
        const json_t *versions, *version;
        char shown[CLIENT_PATH_MAX - 120], members[CLIENT_PATH_MAX - 100];
        size_t i;

        /* Of a thousand versions only what is shown, without a name for each value: the rest would
         * cost half of the time. */
        if (table_members(&version_table, &ctl->look, "states", shown, sizeof(shown), err) < 0)
                return -1;
        (void)snprintf(members, sizeof(members), "%s%s", shown,
                       ctl->look.format != FORMAT_JSON ? "&rows=1" : "");
        if (version_list(ctl, args_word(ctl->args, 0), ctl->plain ? "number" : members, &answer,
                         err) < 0)
                return -1;
        versions = json_object_get(answer, "versions");
        if (ctl->plain) {
                json_array_foreach ((json_t *)versions, i, version)
                        (void)printf("%" PRIu64 "\n", json_get_u64(version, "number"));
                return 0;
        }
        if (table_print(&version_table, answer, &ctl->look, err) < 0)
                return -1;
        print_footer(ctl, answer, json_array_size(versions));
        return 0;
}

int cmd_show(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *site = NULL;
        CLEANUP(json_decrefp) json_t *version = NULL;
        const char *name = args_word(ctl->args, 0);
        uint64_t number = args_number(ctl->args, 1);

        if (client_get(ctl->client, &site, err, "/v1/sites/%s", name) < 0)
                return -1;
        if (number == 0)
                number = json_get_u64(site, "active");
        if (number == 0)
                return err_fail(err, ERR_NOTHING, 0, "site '%s' has no active version yet", name);
        if (client_get(ctl->client, &version, err, "/v1/sites/%s/versions/%" PRIu64, name, number) <
            0)
                return -1;
        if (ctl->plain) {
                (void)printf("%" PRIu64 "\n", number);
                return 0;
        }
        if (table_print_object(&version_table, version, &ctl->look, err) < 0)
                return -1;
        /* What the guard knows is about one version. */
        if (ctl->look.format == FORMAT_TABLE && ctl->look.columns == NULL &&
            json_get_u64(json_object_get(site, "guard"), "version") == number)
                guard_print(ctl, json_object_get(site, "guard"));
        return 0;
}
