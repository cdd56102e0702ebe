/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions: the answer is the exit status, and a sentence. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/operation.h"

int cmd_check(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *site = NULL;
        const char *name = args_word(ctl->args, 0), *state;
        uint64_t operation;

        if (client_get(ctl->client, &site, err, "/v1/sites/%s", name) < 0)
                return -1;
        state = json_get_string(site, "state");
        operation = json_get_u64(site, "operation");
        if (state == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no 'state'");
        if (ctl->look.format == FORMAT_JSON && json_print(site, &ctl->look.term, err) < 0)
                return -1;
        if (operation != 0)
                ctl_say(ctl, "%s: %s, operation %" PRIu64, name, state, operation);
        else
                ctl_say(ctl, "%s: %s", name, state);
        return strcmp(state, "ok") == 0 ? 0 : EXIT_NO;
}

int cmd_pending(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *name = args_word(ctl->args, 0);
        const json_t *op;
        size_t i;

        if (operation_list(ctl, name, 0, &answer, err) < 0)
                return -1;
        json_array_foreach (json_object_get(answer, "operations"), i, op) {
                const char *state = json_get_string(op, "state");
                const char *verb = json_get_string(op, "verb");

                if (state == NULL || verb == NULL || strcmp(state, "queued") != 0 ||
                    strcmp(verb, "upgrade") != 0)
                        continue;
                if (ctl->plain)
                        (void)printf("%" PRIu64 "\n", json_get_u64(op, "id"));
                ctl_say(ctl, "%s: an upgrade waits, operation %" PRIu64, name,
                        json_get_u64(op, "id"));
                return 0;
        }
        ctl_say(ctl, "%s: no upgrade waits", name);
        return EXIT_NO;
}

/* Print the mistakes of one site as compilers do; returns how many, or -1. */
static int check_site(struct ctl *ctl, const char *name, json_t *ret_all, struct err *err)
{
        static const struct column columns[] = {
                { "file", "File", CELL_TEXT, 0 },
                { "line", "Line", CELL_NUMBER, 0 },
                { "key", "Key", CELL_TEXT, 0 },
                { "message", "Mistake", CELL_TEXT, 0 },
        };
        static const struct table table = { .member = "problems",
                                            .columns = columns,
                                            .n_columns = 4 };
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *problems, *problem;
        size_t i;

        if (client_get(ctl->client, &answer, err, "/v1/sites/%s/check", name) < 0 ||
            answer_array(answer, "problems", &problems, err) < 0)
                return -1;
        if (json_object_set(ret_all, name, answer) < 0)
                return err_oom(err);
        if (ctl->look.format == FORMAT_CSV && table_print(&table, answer, &ctl->look, err) < 0)
                return -1;
        json_array_foreach ((json_t *)problems, i, problem) {
                const char *file = json_get_string(problem, "file");
                const char *key = json_get_string(problem, "key");
                const char *message = json_get_string(problem, "message");

                if (json_get_u64(problem, "line") == 0) /* of no line, but of a server */
                        ctl_say(ctl, "%s: %s: %s", name, key != NULL ? key : "?",
                                message != NULL ? message : "?");
                else
                        ctl_say(ctl, "%s:%" PRIu64 ": %s%s%s", file != NULL ? file : name,
                                json_get_u64(problem, "line"), key != NULL ? key : "",
                                key != NULL ? ": " : "", message != NULL ? message : "?");
        }
        if (json_array_size(problems) == 0 && !json_get_bool(answer, "ok"))
                return err_fail(err, ERR_CORRUPT, 0,
                                "the daemon's answer for '%s' says neither "
                                "that it is well nor why not",
                                name);
        json_array_foreach (json_object_get(answer, "notes"), i, problem)
                ctl_say(ctl, "%s: note: %s", name,
                        json_is_string(problem) ? json_string_value(problem) : "?");
        if (json_array_size(problems) == 0)
                ctl_say(ctl, "%s: no mistakes", name);
        return (int)json_array_size(problems);
}

/* Mistakes are a failure of the check, so 1; 10 is for questions. */
int cmd_site_check(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        CLEANUP(json_decrefp) json_t *all = json_object();
        const char *name = args_word(ctl->args, 0);
        const json_t *sites, *site;
        int found, sum = 0;
        size_t i;

        if (all == NULL)
                return err_oom(err);
        if (name != NULL) {
                sum = check_site(ctl, name, all, err);
                if (sum < 0)
                        return -1;
        } else {
                if (client_get(ctl->client, &answer, err, "/v1/sites") < 0 ||
                    answer_array(answer, "sites", &sites, err) < 0)
                        return -1;
                json_array_foreach ((json_t *)sites, i, site) {
                        name = json_get_string(site, "name");
                        if (name == NULL || !word_specs[WORD_SITE].valid(name))
                                return err_fail(err, ERR_CORRUPT, 0,
                                                "the daemon names a site that cannot be");
                        found = check_site(ctl, name, all, err);
                        if (found < 0)
                                return -1;
                        sum += found;
                }
        }
        if (ctl->look.format == FORMAT_JSON && json_print(all, &ctl->look.term, err) < 0)
                return -1;
        return sum > 0 ? 1 : 0;
}
