/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "snapd/plan_verb.h"

#define COMMON_MEMBERS "verb:s reason:s dry_run:b "

/* name, planner, urgent, targets, what an owner needs, members */
static const struct plan_verb verbs[] = {
        { "upgrade", plan_upgrade, false, false, MAY_UPGRADE,
          "label:s command:l timeout_sec:n closed:b staged:b " },
        { "activate", plan_activate, true, true, MAY_ACTIVATE, "version:n temporary:s for_sec:n " },
        { "rollback", plan_activate, true, true, MAY_ACTIVATE, "" },
        { "forward", plan_activate, true, true, MAY_ACTIVATE, "" },
        { "mount", plan_mount, false, true, MAY_MOUNT, "version:n " },
        { "umount", plan_umount, true, true, MAY_MOUNT, "version:n " },
        { "prune", plan_prune, true, false, MAY_PRUNE, "versions:v keep:n " },
        { "export", plan_export, false, false, 0, "version:n file:s shared:b " },
        { "import", plan_import, false, false, 0, "file:s " },
        { "remove", plan_remove_site, false, false, 0, "" },
        { "add", plan_add_site, false, false, 0,
          "name:s home:s owner:s docroot:s driver:s pool:s shared:l database:o config:o guard:o "
          "command:l switcher:s " },
};

const struct plan_verb *plan_verb_by_name(const char *name)
{
        for (size_t i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

/* The type letter of a member, 0 when the list has none of that name. */
static char member_type(const char *members, const char *name)
{
        size_t n = strlen(name);

        for (const char *at = members; at != NULL && *at != '\0'; at = strchr(at, ' ') + 1)
                if (strncmp(at, name, n) == 0 && at[n] == ':')
                        return at[n + 1];
        return 0;
}

static bool all_of(const json_t *list, bool texts)
{
        json_t *item;
        size_t i;

        json_array_foreach (list, i, item)
                if (texts ? !json_is_string(item)
                          : !json_is_integer(item) || json_integer_value(item) < 1)
                        return false;
        return json_is_array(list) && json_array_size(list) < 256;
}

static bool is_of_type(const json_t *value, char type)
{
        switch (type) {
        case 's':
                return json_is_string(value) && json_string_length(value) < 4096;
        case 'n':
                return json_is_integer(value) && json_integer_value(value) >= 0 &&
                       json_integer_value(value) <= INT32_MAX;
        case 'b':
                return json_is_boolean(value);
        case 'l':
                return all_of(value, true);
        case 'v':
                return all_of(value, false);
        default:
                return true;
        }
}

static int check_command(const json_t *command, struct err *err)
{
        const char *program = json_string_value(json_array_get(command, 0));

        if (command != NULL && (program == NULL || program[0] != '/'))
                return err_fail(err, ERR_INVALID, 0,
                                "a command begins with the absolute path of a program");
        return 0;
}

int plan_verb_check(const struct plan_verb *verb, const json_t *request, struct err *err)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)request, key, value) {
                char type = member_type(verb->members, key);

                if (type == 0)
                        type = member_type(COMMON_MEMBERS, key);
                if (type == 0)
                        return err_fail(err, ERR_INVALID, 0, "'%s' has no '%s'", verb->name, key);
                if (!is_of_type(value, type))
                        return err_fail(err, ERR_INVALID, 0, "'%s' of '%s' is of the wrong type",
                                        key, verb->name);
        }
        return check_command(json_object_get(request, "command"), err);
}

int plan_make(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
              uint64_t *ret_version, struct err *err)
{
        const struct plan_verb *verb = plan_verb_by_name(facts->verb);

        if (verb == NULL)
                return err_fail(err, ERR_INVALID, 0, "there is no verb '%s'", facts->verb);
        return verb->plan(env, facts, plan, ret_version, err);
}
