/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/progress.h"
#include "snapctl/text.h"
#include "snapctl/version.h"

/* Versions that a range leaves out.  One that is named by its own number is sent, and the daemon
 * says why it must stay. */
static const char *stays(const json_t *version)
{
        static const char *const reasons[] = { "active", "pinned", "last-good" };

        for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
                if (version_has_state(version, reasons[i]))
                        return reasons[i];
        return NULL;
}

static bool has_number(const json_t *numbers, uint64_t number)
{
        const json_t *item;
        size_t i;

        json_array_foreach ((json_t *)numbers, i, item)
                if ((uint64_t)json_integer_value(item) == number)
                        return true;
        return false;
}

/* Add to ${numbers} what a "3" or "3-7" means among the site's versions. */
static int add_range(const struct ctl *ctl, const char *word, const json_t *versions,
                     json_t *numbers, struct err *err)
{
        uint64_t first = 0, last = 0;
        const json_t *version;
        size_t i;

        if (!text_parse_range(word, &first, &last))
                return err_fail(err, ERR_INVALID, 0, "'%s' is no range", word);
        if (first == last && !has_number(numbers, first))
                return json_array_append_new(numbers, json_integer((json_int_t)first)) < 0
                               ? err_oom(err)
                               : 0;
        json_array_foreach ((json_t *)versions, i, version) {
                uint64_t number = json_get_u64(version, "number");
                const char *why = stays(version);

                if (number < first || number > last || has_number(numbers, number))
                        continue;
                if (why != NULL) {
                        ctl_note(ctl, "version %" PRIu64 " stays: it is %s", number, why);
                        continue;
                }
                if (json_array_append_new(numbers, json_integer((json_int_t)number)) < 0)
                        return err_oom(err);
        }
        return 0;
}

/* What would be lost, before the question; ${numbers} NULL: all of them. */
static void list_losses(const struct ctl *ctl, const json_t *versions, const json_t *numbers)
{
        const json_t *version;
        uint64_t sum = 0;
        size_t i, n = 0;
        char size[TEXT_SIZE_MAX];

        json_array_foreach ((json_t *)versions, i, version) {
                uint64_t number = json_get_u64(version, "number");
                uint64_t freed = json_get_u64(version, "freed_bytes");
                const char *label = json_get_string(version, "label");
                const char *created = json_get_string(version, "created");

                if (numbers != NULL && !has_number(numbers, number))
                        continue;
                text_size(freed, size);
                ctl_note(ctl, "  version %" PRIu64 "  %s  %s  %s", number,
                         created != NULL ? created : "", size, label != NULL ? label : "");
                sum += freed;
                n++;
        }
        text_size(sum, size);
        ctl_note(
                ctl,
                "%zu version%s would be removed for good, with %s database%s; at least %s would be "
                "free.",
                n, n == 1 ? "" : "s", n == 1 ? "its" : "their", n == 1 ? "" : "s", size);
}

/* By policy only the daemon knows which: its plan is the list. */
static int list_planned_losses(struct ctl *ctl, const json_t *body, struct err *err)
{
        CLEANUP(json_decrefp) json_t *asked = json_copy((json_t *)body);
        CLEANUP(json_decrefp) json_t *plan = NULL;
        char path[CLIENT_PATH_MAX];
        const json_t *versions;

        if (ctl_set(asked, "verb", json_string("prune"), err) < 0 ||
            ctl_set(asked, "dry_run", json_true(), err) < 0)
                return -1;
        (void)snprintf(path, sizeof(path), "/v1/sites/%s/operations", args_word(ctl->args, 0));
        if (client_call(ctl->client, "POST", path, asked, &plan, err) < 0 ||
            answer_array(plan, "versions", &versions, err) < 0)
                return -1;
        list_losses(ctl, versions, NULL);
        return 0;
}

/* Fill ${body} from the ranges, or with --keep, and ask. */
static int choose(struct ctl *ctl, json_t *body, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *keep = args_option(ctl->args, OPT_KEEP), *site = args_word(ctl->args, 0);
        uint64_t count = 0;
        json_t *numbers, *versions;
        bool ask = !ctl->dry_run && !ctl->yes;

        if (keep != NULL && args_word(ctl->args, 1) != NULL)
                return err_fail(err, ERR_INVALID, 0, "either versions or --keep, not both");
        if (keep != NULL && text_parse_u64(keep, &count) &&
            ctl_set(body, "keep", json_integer((json_int_t)count), err) < 0)
                return -1;
        if (args_word(ctl->args, 1) == NULL) {
                if (ask && list_planned_losses(ctl, body, err) < 0)
                        return -1;
                return ask ? ctl_confirm(ctl, "Go on?", err) : 0;
        }

        if (version_list(ctl, site, "", &answer, err) < 0)
                return -1;
        versions = json_object_get(answer, "versions");
        numbers = json_array();
        if (ctl_set(body, "versions", numbers, err) < 0)
                return -1;
        for (size_t i = 1; args_word(ctl->args, i) != NULL; i++)
                if (add_range(ctl, args_word(ctl->args, i), versions, numbers, err) < 0)
                        return -1;
        if (json_array_size(numbers) == 0)
                return err_fail(err, ERR_NOTHING, 0, "no version of '%s' is there to remove", site);
        if (ask)
                list_losses(ctl, versions, numbers);
        return ask ? ctl_confirm(ctl, "Remove them?", err) : 0;
}

int cmd_prune(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *op = NULL;
        int status;

        if (body == NULL)
                return err_oom(err);
        if (choose(ctl, body, err) < 0)
                return -1;
        status = operation_run_verb(ctl, "prune", json_incref(body), &op, err);
        if (op == NULL)
                return status;
        ctl_say(ctl, "%s: the versions are removed.", args_word(ctl->args, 0));
        return 0;
}
