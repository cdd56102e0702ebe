/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "snapd/plan.h"
#include "snapd/steps.h"

/* Why a version stays, whatever is asked; NULL: it may go. */
static const char *protection(const struct plan_facts *facts, const struct version *version)
{
        if (version->state == VERSION_ACTIVE)
                return "it is active";
        if (version->pinned)
                return "it is pinned";
        if (facts->has_temporary && version->number == facts->temporary.back)
                return "a temporary rollback goes back to it";
        if (facts->has_temporary && version->number == facts->temporary.version)
                return "visitors get it while a temporary rollback lasts";
        if (version == facts->last_good)
                return "it is the last good one, which a rollback needs";
        return NULL;
}

static const struct version *find(const struct plan_facts *facts, uint64_t number)
{
        for (size_t i = 0; i < facts->versions.n; i++)
                if (facts->versions.items[i].number == number)
                        return &facts->versions.items[i];
        return NULL;
}

static int asked_for(struct step_env *env, const struct plan_facts *facts, const json_t *wanted,
                     uint64_t *numbers, size_t *n, struct err *err)
{
        struct version gone;
        json_t *item;
        size_t i;

        json_array_foreach (wanted, i, item) {
                uint64_t number = (uint64_t)json_integer_value(item);
                const struct version *version = find(facts, number);
                const char *why;

                if (version == NULL)
                        return catalog_version(env->catalog, env->site->name, number, &gone, err);
                why = protection(facts, version);
                if (why != NULL)
                        return err_fail(err, ERR_REFUSED, 0,
                                        "version %" PRIu64 " of '%s' is not removed: %s; nothing "
                                        "was removed",
                                        number, env->site->name, why);
                numbers[(*n)++] = number;
        }
        return 0;
}

/* The site's policy, oldest first: what is over the maximum, too old, over the space, or needed
 * for the free space it asks for; never below the minimum. */
static size_t by_policy(struct step_env *env, const struct plan_facts *facts, uint64_t keep,
                        uint64_t *numbers)
{
        const struct site_keep *policy = &env->site->keep;
        int64_t oldest = clock_wall_usec() - policy->age_sec * USEC_PER_SEC;
        uint64_t max = keep != 0 ? keep : policy->max, used = 0, freed = 0;
        size_t left = facts->versions.n, n = 0;

        for (size_t i = 0; i < facts->versions.n; i++)
                used += facts->versions.items[i].freed_bytes > 0
                                ? (uint64_t)facts->versions.items[i].freed_bytes
                                : 0;
        for (size_t i = 0; i < facts->versions.n; i++) {
                const struct version *version = &facts->versions.items[i];
                bool goes = (max != 0 && left > max) ||
                            (keep == 0 && policy->age_sec != 0 && version->created_usec < oldest) ||
                            (keep == 0 && policy->space_bytes != 0 && used > policy->space_bytes) ||
                            (keep == 0 && policy->free_bytes != 0 &&
                             facts->free_bytes + freed < policy->free_bytes);

                if (!goes || left <= policy->min || protection(facts, version) != NULL)
                        continue;
                numbers[n++] = version->number;
                left--;
                if (version->freed_bytes > 0) {
                        used -= (uint64_t)version->freed_bytes;
                        freed += (uint64_t)version->freed_bytes;
                }
        }
        return n;
}

int plan_prune_list(struct step_env *env, const struct plan_facts *facts, uint64_t **ret_numbers,
                    size_t *ret_n, struct err *err)
{
        const json_t *wanted = json_object_get(facts->request, "versions");
        size_t room = facts->versions.n + json_array_size(wanted) + 1;
        uint64_t *numbers = calloc(room, sizeof(*numbers));
        size_t n = 0;
        int ret = 0;

        if (numbers == NULL)
                return err_oom(err);
        if (json_array_size(wanted) > 0)
                ret = asked_for(env, facts, wanted, numbers, &n, err);
        else
                n = by_policy(env, facts, json_get_u64(facts->request, "keep"), numbers);
        if (ret == 0 && n == 0)
                ret = err_fail(err, ERR_NOTHING, 0, "no version of '%s' is to be removed",
                               env->site->name);
        if (ret < 0) {
                free(numbers);
                return -1;
        }
        *ret_numbers = numbers;
        *ret_n = n;
        return 0;
}

/* A version that somebody looks at is not removed; that is found out before anything is. */
static int add_unmounts(const struct plan_facts *facts, const uint64_t *numbers, size_t n,
                        struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        for (size_t i = 0; i < n; i++) {
                const struct version *version = find(facts, numbers[i]);

                ADD(step_fs_unmount, "{s:I, s:o*}", "version", (json_int_t)numbers[i], "before",
                    plan_is_shown(facts, version) ? plan_view(version) : NULL);
        }
        return 0;
}

static int add_removals(const struct plan_facts *facts, const uint64_t *numbers, size_t n,
                        struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_t *pruning = json_array(), *forget = json_array();

        for (size_t i = 0; i < n; i++) {
                (void)json_array_append_new(pruning,
                                            json_pack("{s:I, s:s}", "number",
                                                      (json_int_t)numbers[i], "state", "pruning"));
                (void)json_array_append_new(forget, json_integer((json_int_t)numbers[i]));
        }
        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_catalog_commit, "{s:o}", "set", pruning);
        for (size_t i = 0; i < n; i++) {
                const struct version *version = find(facts, numbers[i]);

                ADD(step_fs_remove, "{s:I}", "tree", (json_int_t)version->tree);
                if (plan_add_drop(plan, version->database, err) < 0)
                        return -1;
        }
        ADD(step_catalog_commit, "{s:o}", "forget", forget);
        return 0;
}

int plan_prune(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
               uint64_t *ret_version, struct err *err)
{
        uint64_t *numbers;
        size_t n;
        int ret;

        if (plan_prune_list(env, facts, &numbers, &n, err) < 0)
                return -1;
        ret = add_unmounts(facts, numbers, n, plan, err) < 0
                      ? -1
                      : add_removals(facts, numbers, n, plan, err);
        free(numbers);
        *ret_version = 0;
        return ret;
}
