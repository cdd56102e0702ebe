/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/clock.h"
#include "snapd/plan.h"
#include "snapd/steps.h"

/*
 * Activation: the kept version lives on in a fresh head of its tree, with its own database; the
 * one it takes over from is kept with the database it has.  Nothing is copied, so that it costs
 * the same for a large site as for a small one.
 *
 * The flip is the point of no return: from then on visitors write to the new version, and taking
 * the flip back would lose what they wrote.
 */
static int add_flip(const struct step_env *env, const struct plan_facts *facts,
                    const struct version *to, json_int_t head, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *from = facts->active;
        json_int_t now = clock_wall_usec();

        ADD(step_fs_branch, "{s:I, s:I}", "frozen", (json_int_t)to->tree, "head", head);
        if (to->database[0] != '\0')
                ADD(step_db_writable, "{s:s, s:b}", "database", to->database, "writable", 1);
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s, s:o*}", "version", (json_int_t)to->number, "tree",
            head, "read_only", 0, "database", to->database, "before",
            plan_is_shown(facts, to) ? plan_view(to) : NULL);
        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_fs_switch, "{s:I, s:I}", "from", (json_int_t)from->number, "to",
            (json_int_t)to->number);
        /* One version is active at any time, so the one that was goes first. */
        ADD(step_catalog_commit, "{s:[{s:I, s:s, s:b}, {s:I, s:s, s:I, s:I}]}", "set", "number",
            (json_int_t)from->number, "state", "kept", "leaving", 1, "number",
            (json_int_t)to->number, "state", "active", "tree", head, "active_usec", now);
        if (plan_add_after(env, plan, part, (json_int_t)to->number, err) < 0)
                return -1;
        plan->answer[PLAN_MAIN] = plan->parts[PLAN_MAIN].n;
        return 0;
}

/* The version that was active is kept as it is when its last request has ended.  Nobody waits for
 * that but the next operation of the site. */
static int add_keep(const struct plan_facts *facts, json_int_t frozen, struct plan *plan,
                    struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *from = facts->active;
        bool show = from->mounted || from->mark != MARK_BAD;

        ADD(step_fs_drain, "{s:I}", "version", (json_int_t)from->number);
        if (from->database[0] != '\0')
                ADD(step_db_writable, "{s:s, s:b, s:b}", "database", from->database, "writable", 0,
                    "lenient", 1);
        ADD(step_fs_capture, "{s:I, s:I}", "head", (json_int_t)from->tree, "frozen", frozen);
        ADD(step_catalog_commit, "{s:[{s:I, s:I, s:b}]}", "set", "number", (json_int_t)from->number,
            "tree", frozen, "leaving", 0);
        ADD(step_fs_retire, "{s:I, s:b, s:b, s:I, s:s}", "version", (json_int_t)from->number,
            "show", show, "wait", 0, "tree", frozen, "database", from->database);
        return 0;
}

int plan_activate(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                  uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *to, *good = facts->last_good;
        uint64_t tree;

        if (plan_target(facts, &to, err) < 0 ||
            catalog_take(env->catalog, "tree", 2, &tree, err) < 0 ||
            add_flip(env, facts, to, (json_int_t)tree, plan, err) < 0 ||
            add_keep(facts, (json_int_t)tree + 1, plan, err) < 0)
                return -1;
        /* The one that is left becomes the last good; what was it before need not stay mounted. */
        if (good != NULL && good != to && !good->mounted && facts->active->mark != MARK_BAD)
                ADD(step_fs_unmount, "{s:I, s:b}", "version", (json_int_t)good->number, "lenient",
                    1);
        *ret_version = to->number;
        return 0;
}

int plan_mount(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
               uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *version;

        (void)env;
        if (plan_target(facts, &version, err) < 0)
                return -1;
        if (plan_add(plan, part, &step_fs_mount, plan_view(version), err) < 0)
                return -1;
        ADD(step_catalog_commit, "{s:[{s:I, s:b}]}", "set", "number", (json_int_t)version->number,
            "mounted", 1);
        plan->pivot = plan->parts[PLAN_MAIN].n;
        *ret_version = version->number;
        return 0;
}

int plan_umount(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *version;

        (void)env;
        if (plan_target(facts, &version, err) < 0)
                return -1;
        if (version != facts->last_good)
                ADD(step_fs_unmount, "{s:I, s:o*}", "version", (json_int_t)version->number,
                    "before", plan_view(version));
        ADD(step_catalog_commit, "{s:[{s:I, s:b}]}", "set", "number", (json_int_t)version->number,
            "mounted", 0);
        plan->pivot = plan->parts[PLAN_MAIN].n;
        *ret_version = version->number;
        return 0;
}
