/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cause.h"
#include "snapctl/cmd.h"
#include "snapctl/operation.h"
#include "snapctl/progress.h"
#include "snapctl/steps.h"
#include "snapctl/text.h"

static const struct column columns[] = {
        { "id", "ID", CELL_NUMBER, 0 },
        { "site", "Site", CELL_TEXT, 0 },
        { "verb", "What", CELL_TEXT, 0 },
        { "state", "State", CELL_TEXT, 0 },
        { "version", "Version", CELL_NUMBER, 0 },
        { "created", "When", CELL_TIME, 0 },
        { "served", "Served", CELL_TIME, COLUMN_EXTRA },
        { "ended", "Ended", CELL_TIME, COLUMN_EXTRA },
        { "by", "By", CELL_TEXT, 0 },
        { "reason", "Reason", CELL_TEXT, COLUMN_FLEXIBLE },
        { "log", "Output", CELL_TEXT, COLUMN_EXTRA },
};

static struct row_look look_of(const json_t *value)
{
        const char *state = json_string_value(value);

        if (state == NULL)
                return (struct row_look){ ' ', COLOUR_NONE };
        if (word_is_choice("held rolled-back failed", state))
                return (struct row_look){ '!', COLOUR_RED };
        if (word_is_choice("queued running undoing rescuing", state))
                return (struct row_look){ '>', COLOUR_BOLD };
        return (struct row_look){ ' ', COLOUR_NONE };
}

const struct table operation_table = {
        .member = "operations",
        .columns = columns,
        .n_columns = sizeof(columns) / sizeof(*columns),
        .look_member = "state",
        .look = look_of,
        .empty = "Nothing was done yet.",
};

int operation_list(struct ctl *ctl, const char *site, uint64_t limit, json_t **ret_answer,
                   struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *list;
        char path[CLIENT_PATH_MAX] = "/v1/operations", sign = '?';
        size_t n = strlen(path);

        if (site != NULL) {
                n += (size_t)snprintf(path + n, sizeof(path) - n, "%csite=%s", sign, site);
                sign = '&';
        }
        if (limit != 0)
                (void)snprintf(path + n, sizeof(path) - n, "%climit=%" PRIu64, sign, limit);
        if (client_call(ctl->client, "GET", path, NULL, &answer, err) < 0 ||
            answer_array(answer, "operations", &list, err) < 0)
                return -1;
        *ret_answer = STEAL(answer);
        return 0;
}

int cmd_ops_list(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *limit = args_option(ctl->args, OPT_LIMIT);
        uint64_t count = 0;
        const json_t *op;
        size_t i;

        if (limit != NULL && !text_parse_u64(limit, &count))
                return err_fail(err, ERR_INVALID, 0, "--limit is no number");
        if (operation_list(ctl, args_word(ctl->args, 0), count, &answer, err) < 0)
                return -1;
        if (!ctl->plain)
                return table_print(&operation_table, answer, &ctl->look, err);
        json_array_foreach (json_object_get(answer, "operations"), i, op)
                (void)printf("%" PRIu64 "\n", json_get_u64(op, "id"));
        return 0;
}

int cmd_ops_show(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        const json_t *error;
        FILE *out = ctl->look.term.stream;

        if (client_get(ctl->client, &op, err, "/v1/operations/%" PRIu64,
                       args_number(ctl->args, 0)) < 0)
                return -1;
        if (ctl->look.format != FORMAT_TABLE || ctl->look.columns != NULL)
                return table_print_object(&operation_table, op, &ctl->look, err);
        if (table_print_object(&operation_table, op, &ctl->look, err) < 0)
                return -1;
        error = json_object_get(op, "error");
        if (json_is_object(error) && json_get_string(error, "message") != NULL) {
                (void)fprintf(out, "%s%*s: ", term_colour(&ctl->look.term, COLOUR_RED), 7, "Error");
                (void)text_put(out, json_get_string(error, "message"), 100000);
                (void)fprintf(out, "%s\n", term_colour(&ctl->look.term, COLOUR_NONE));
        }
        cause_print(ctl, json_object_get(op, "cause"));
        steps_list(op, &ctl->look.term, ctl->look.utc);
        return 0;
}

/* Stay with an operation that is there already, and leave with its outcome. */
static int stay(struct ctl *ctl, uint64_t id, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        int status = operation_stay(ctl, id, UNTIL_END, &op, err);

        if (op != NULL)
                ctl_say(ctl, "Operation %" PRIu64 " is done.", id);
        return status;
}

int cmd_ops_follow(struct ctl *ctl, struct err *err)
{
        return stay(ctl, args_number(ctl->args, 0), err);
}

int cmd_ops_abort(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        uint64_t id = args_number(ctl->args, 0);
        char path[CLIENT_PATH_MAX];
        const char *state;

        (void)snprintf(path, sizeof(path), "/v1/operations/%" PRIu64 "/abort", id);
        if (client_call(ctl->client, "POST", path, NULL, NULL, err) < 0)
                return -1;
        if (ctl->no_wait)
                return 0;
        if (operation_follow(ctl, id, UNTIL_END, &op, err) < 0)
                return -1;
        if (op == NULL)
                return 1;
        if (ctl->look.format == FORMAT_JSON && json_print(op, &ctl->look.term, err) < 0)
                return -1;
        state = json_get_string(op, "state");

        /* Taken back is what was asked for. */
        if (state != NULL && word_is_choice("failed rolled-back", state)) {
                ctl_say(ctl, "Operation %" PRIu64 " is stopped and taken back.", id);
                return 0;
        }
        if (operation_outcome(ctl, op, err) < 0)
                return -1;
        return err_fail(err, ERR_REFUSED, 0,
                        "operation %" PRIu64 " was done before it could be "
                        "stopped",
                        id);
}

int cmd_ops_resume(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        char path[CLIENT_PATH_MAX];
        uint64_t id;

        (void)snprintf(path, sizeof(path), "/v1/operations/%" PRIu64 "/resume",
                       args_number(ctl->args, 0));
        if (client_call(ctl->client, "POST", path, NULL, &answer, err) < 0 ||
            answer_u64(answer, "operation", &id, err) < 0)
                return -1;
        return stay(ctl, id, err);
}
