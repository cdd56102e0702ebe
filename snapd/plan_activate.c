/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "common/clock.h"
#include "snapd/args.h"
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

/* What an activation is about. */
struct flip {
        const struct version *to;
        json_int_t head, frozen; /* of the one that is gone to, of the one that is left */
        bool is_temporary;       /* else one that there is ends */
        struct front_temporary temporary;
};

static bool temporary_make(const struct plan_facts *facts, const struct version *to,
                           struct front_temporary *temporary)
{
        const char *mode = arg_text(facts->request, "temporary");
        uint64_t seconds = json_get_u64(facts->request, "for_sec");
        int64_t now = clock_wall_usec();

        *temporary = (struct front_temporary){
                .mode = front_mode_by_name(mode),
                .version = to->number,
                .back = facts->has_temporary ? facts->temporary.back : facts->active->number,
                .since_usec = now,
                .until_usec = seconds == 0 ? 0 : now + (int64_t)seconds * USEC_PER_SEC,
        };
        return temporary->mode < FRONT_MODES;
}

static json_t *temporary_json(bool there_is, const struct front_temporary *temporary)
{
        if (!there_is)
                return json_null();
        return json_pack(
                "{s:s, s:I, s:I, s:I, s:I}", "mode", front_mode_name(temporary->mode), "version",
                (json_int_t)temporary->version, "back", (json_int_t)temporary->back, "until_usec",
                (json_int_t)temporary->until_usec, "since_usec", (json_int_t)temporary->since_usec);
}

static int add_front(const struct plan_facts *facts, bool there_is,
                     const struct front_temporary *temporary, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        if (!there_is && !facts->has_temporary)
                return 0;
        ADD(step_front_set, "{s:o, s:o}", "to", temporary_json(there_is, temporary), "before",
            temporary_json(facts->has_temporary, &facts->temporary));
        return 0;
}

/* Visitors are led to the version, or away, and the live one stays what it is. */
static int plan_aside(const struct step_env *env, const struct plan_facts *facts,
                      const struct version *to, const struct front_temporary *temporary,
                      struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        if (temporary->mode != FRONT_CLOSED && !env->site->front.keep_version)
                return err_fail(err, ERR_REFUSED, 0,
                                "visitors can be led to version %" PRIu64 " of '%s' only when its "
                                "file says 'keep_version = yes' in [front] and the web server has "
                                "the lines that 'web-config' prints then",
                                to->number, env->site->name);
        if (!to->mounted) {
                if (!plan_is_shown(facts, to) &&
                    plan_add(plan, part, &step_fs_mount, plan_view(to), err) < 0)
                        return -1;
                ADD(step_catalog_commit, "{s:[{s:I, s:b}]}", "set", "number",
                    (json_int_t)to->number, "mounted", 1);
        }
        if (add_front(facts, true, temporary, plan, err) < 0)
                return -1;
        plan->pivot = plan->parts[PLAN_MAIN].n;
        return 0;
}

static int add_flip(const struct step_env *env, const struct plan_facts *facts,
                    const struct flip *flip, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *from = facts->active, *to = flip->to;
        json_int_t now = clock_wall_usec(), head = flip->head;
        bool read_only = flip->is_temporary && flip->temporary.mode == FRONT_READ_ONLY;

        ADD(step_fs_branch, "{s:I, s:I}", "frozen", (json_int_t)to->tree, "head", head);
        if (to->database[0] != '\0' && !read_only)
                ADD(step_db_writable, "{s:s, s:b, s:b}", "database", to->database, "writable", 1,
                    "loose", 1);
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s, s:b, s:o*}", "version", (json_int_t)to->number,
            "tree", head, "read_only", 0, "database", to->database, "loose", 1, "before",
            plan_is_shown(facts, to) ? plan_view(to) : NULL);
        /* Writing ends before the flip and begins again after it. */
        if (flip->is_temporary && add_front(facts, true, &flip->temporary, plan, err) < 0)
                return -1;
        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_fs_switch, "{s:I, s:I}", "from", (json_int_t)from->number, "to",
            (json_int_t)to->number);
        /* One version is active at any time, so the one that was goes first. */
        ADD(step_catalog_commit, "{s:[{s:I, s:s, s:b}, {s:I, s:s, s:I, s:I}]}", "set", "number",
            (json_int_t)from->number, "state", "kept", "leaving", 1, "number",
            (json_int_t)to->number, "state", "active", "tree", head, "active_usec", now);
        if (!flip->is_temporary && add_front(facts, false, NULL, plan, err) < 0)
                return -1;
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
        struct flip flip = { 0 };
        uint64_t tree;

        if (plan_target(facts, &to, err) < 0)
                return -1;
        *ret_version = to->number;
        flip.to = to;
        flip.is_temporary = temporary_make(facts, to, &flip.temporary);
        if (to->state == VERSION_ACTIVE) { /* it is live; visitors were led away from it */
                plan->pivot = 1;
                return add_front(facts, false, NULL, plan, err);
        }
        if (flip.is_temporary && !front_mode_flips(flip.temporary.mode))
                return plan_aside(env, facts, to, &flip.temporary, plan, err);
        if (catalog_take(env->catalog, "tree", 2, &tree, err) < 0)
                return -1;
        flip.head = (json_int_t)tree;
        flip.frozen = (json_int_t)tree + 1;
        if (add_flip(env, facts, &flip, plan, err) < 0 ||
            add_keep(facts, flip.frozen, plan, err) < 0)
                return -1;
        /* The one that is left becomes the last good; what was it before need not stay mounted. */
        if (good != NULL && good != to && !good->mounted && facts->active->mark != MARK_BAD)
                ADD(step_fs_unmount, "{s:I, s:b}", "version", (json_int_t)good->number, "lenient",
                    1);
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
