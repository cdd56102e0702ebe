/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "snapd/args.h"
#include "snapd/plan.h"
#include "snapd/steps.h"

/*
 * An upgrade in place: the new number is served at once, and the command runs in what is served.
 *
 * A staged one does the same in another order.  The new number has the files and the database
 * that were live, as ever, and nobody visits it: the old one is served from what is kept of it,
 * read-only, until the command has ended well, and the flip comes then.  So nothing that visitors
 * could write is lost, whichever way it ends, and nobody sees a half of an upgrade.
 */

/* Every number and name of one upgrade.  The old version's tree is `head` before and `kept`
 * afterwards; the new one lives on in `head`; should it fail, `back` is where the old one lives on
 * and `bad` what is kept of the new. */
struct names {
        uint64_t version;
        fs_id head, kept, back, bad;
        char copy[DB_NAME_MAX];
        const char *live;
        bool has_db;
        bool staged;
        enum front_mode closed; /* while the command runs; FRONT_OPEN: visitors go on */
};

static enum front_mode mode_of(const struct step_env *env, const struct plan_facts *facts,
                               bool staged)
{
        if (env->site->upgrade_closed || json_get_bool(facts->request, "closed"))
                return FRONT_CLOSED;
        return staged ? FRONT_READ_ONLY : FRONT_OPEN;
}

static int give_names(struct step_env *env, const struct plan_facts *facts, struct names *names,
                      struct err *err)
{
        char counter[64];
        uint64_t tree;

        *names = (struct names){
                .head = facts->active->tree,
                .live = facts->active->database,
                .has_db = facts->active->database[0] != '\0',
                .staged = env->site->upgrade_staged || json_get_bool(facts->request, "staged"),
        };
        names->closed = mode_of(env, facts, names->staged);
        (void)snprintf(counter, sizeof(counter), "version:%s", env->site->name);
        if (catalog_take(env->catalog, counter, 1, &names->version, err) < 0 ||
            catalog_take(env->catalog, "tree", 3, &tree, err) < 0)
                return -1;
        names->kept = tree;
        names->back = tree + 1;
        names->bad = tree + 2;
        if (!names->has_db)
                return 0;
        return plan_copy_name(env, names->copy, err);
}

static int add_copy(struct plan *plan, const struct names *names, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        ADD(step_db_copy, "{s:s, s:s}", "from", names->live, "to", names->copy);
        return 0;
}

/* Visitors are sent away, or cannot write, while the command runs, where that is wanted. */
static int add_closed(const struct plan_facts *facts, struct plan *plan, enum plan_part part,
                      const struct names *names, bool closed, struct err *err)
{
        json_int_t old = (json_int_t)facts->active->number, new = (json_int_t)names->version;
        json_t *state;

        if (names->closed == FRONT_OPEN)
                return 0;
        state = json_pack("{s:s, s:I, s:I, s:I, s:I}", "mode", front_mode_name(names->closed),
                          "version", names->staged ? old : new, "back", new, "until_usec",
                          (json_int_t)0, "since_usec", (json_int_t)clock_wall_usec());
        if (closed)
                ADD(step_front_set, "{s:o, s:n}", "to", state, "before");
        else
                ADD(step_front_set, "{s:n, s:o}", "to", "before", state);
        return 0;
}

/* The files and the database as they are, under the new number: nothing has changed yet. */
static int add_head(const struct plan_facts *facts, struct plan *plan, const struct names *names,
                    struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_int_t old = (json_int_t)facts->active->number, new = (json_int_t)names->version;

        if (names->has_db)
                ADD(step_db_hold, "{s:s}", "database", names->live);
        ADD(step_fs_capture, "{s:I, s:I}", "head", (json_int_t)names->head, "frozen",
            (json_int_t)names->kept);
        if (names->has_db && facts->copy_in_hold && add_copy(plan, names, err) < 0)
                return -1;
        if (names->has_db)
                ADD(step_db_release, "{}");
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s}", "version", new, "tree", (json_int_t)names->head,
            "read_only", 0, "database", names->live);
        if (facts->remounts)
                ADD(step_fs_cover, "{s:I, s:I, s:I, s:s}", "version", old, "by", new, "tree",
                    (json_int_t)names->head, "database", names->live);
        return 0;
}

/* Up to the moment when both versions are whole. */
static int add_keep(const struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                    const struct names *names, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_int_t old = (json_int_t)facts->active->number, new = (json_int_t)names->version;

        if (names->staged && add_closed(facts, plan, part, names, true, err) < 0)
                return -1;
        if (add_head(facts, plan, names, err) < 0)
                return -1;
        if (!names->staged) {
                ADD(step_fs_switch, "{s:I, s:I}", "from", old, "to", new);
                if (plan_add_after(env, plan, part, new, err) < 0)
                        return -1;
        }
        if (!names->has_db)
                return 0;
        if (!facts->copy_in_hold && add_copy(plan, names, err) < 0)
                return -1;
        ADD(step_db_verify, "{s:s, s:s}", "from", names->live, "to", names->copy);
        ADD(step_schema_note, "{s:I, s:s}", "version", old, "database", names->copy);
        ADD(step_db_writable, "{s:s, s:b}", "database", names->copy, "writable", 0);
        return 0;
}

/* The old version from what is kept of it.  To switch to what is served already waits until no
 * interpreter goes by the configuration that was there before. */
static int add_stage(const struct plan_facts *facts, struct plan *plan, const struct names *names,
                     struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_int_t old = (json_int_t)facts->active->number;

        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s, s:{s:I, s:I, s:b, s:s}}", "version", old, "tree",
            (json_int_t)names->kept, "read_only", 1, "database", names->copy, "before", "version",
            old, "tree", (json_int_t)names->head, "read_only", 0, "database", names->live);
        ADD(step_fs_switch, "{s:I, s:I}", "from", old, "to", old);
        return 0;
}

static int add_commit(const struct plan_facts *facts, struct plan *plan, const struct names *names,
                      struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_int_t old = (json_int_t)facts->active->number, new = (json_int_t)names->version;
        json_int_t now = clock_wall_usec();

        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_catalog_commit,
            "{s:[{s:I, s:s, s:I, s:s}, {s:I, s:s, s:I, s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:I}]}",
            "set", "number", old, "state", "kept", "tree", (json_int_t)names->kept, "database",
            names->copy, "number", new, "state", "active", "tree", (json_int_t)names->head,
            "database", names->live, "parent", old, "label", arg_text(facts->request, "label"),
            "reason", arg_text(facts->request, "reason"), "verb", "upgrade", "created_usec", now,
            "active_usec", now, "by", (json_int_t)facts->by);
        if (!names->staged)
                ADD(step_fs_retire, "{s:I, s:b, s:b, s:I, s:s}", "version", old, "show", 1, "wait",
                    1, "tree", (json_int_t)names->kept, "database", names->copy);
        return 0;
}

static int add_hook(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                    const struct names *names, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_t *command = json_deep_copy(json_object_get(facts->request, "command"));
        uint64_t timeout = json_get_u64(facts->request, "timeout_sec");

        if (command == NULL) {
                command = json_array();
                for (char **word = env->site->command; word != NULL && *word != NULL; word++)
                        (void)json_array_append_new(command, json_string(*word));
        }
        if (timeout == 0)
                timeout = env->site->timeout_sec;
        ADD(step_hook_run, "{s:I, s:o, s:I}", "version", (json_int_t)names->version, "command",
            command, "timeout_sec", (json_int_t)timeout);
        if (names->has_db)
                ADD(step_schema_note, "{s:I, s:s, s:I}", "version", (json_int_t)names->version,
                    "database", names->live, "before", (json_int_t)facts->active->number);
        return 0;
}

/* The command, and what has to be true of the new version afterwards.  A site that nobody can visit
 * answers no probe; one that nobody can write to stays so until they have answered. */
static int add_upgrade(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                       const struct names *names, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        json_int_t old = (json_int_t)facts->active->number, new = (json_int_t)names->version;
        bool later = names->closed == FRONT_READ_ONLY;

        if (!names->staged && add_closed(facts, plan, part, names, true, err) < 0)
                return -1;
        if (add_hook(env, facts, plan, names, err) < 0)
                return -1;
        if (names->staged) {
                ADD(step_fs_switch, "{s:I, s:I}", "from", old, "to", new);
                if (plan_add_after(env, plan, part, new, err) < 0)
                        return -1;
        }
        if (!later && add_closed(facts, plan, part, names, false, err) < 0)
                return -1;
        if (facts->probed)
                ADD(step_probe_run, "{s:I}", "version", new);
        if (later && add_closed(facts, plan, part, names, false, err) < 0)
                return -1;
        if (facts->last_good != NULL && !facts->last_good->mounted)
                ADD(step_fs_unmount, "{s:I, s:b}", "version", (json_int_t)facts->last_good->number,
                    "lenient", 1);
        return 0;
}

/* Back to the kept version: a fresh head of its tree, its own copy; the new version keeps the
 * database that its command may have left half-migrated. */
static int add_rescue(const struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                      const struct names *names, struct err *err)
{
        const enum plan_part part = PLAN_RESCUE;
        json_int_t old = (json_int_t)facts->active->number, new = (json_int_t)names->version;

        ADD(step_fs_branch, "{s:I, s:I}", "frozen", (json_int_t)names->kept, "head",
            (json_int_t)names->back);
        if (names->has_db)
                ADD(step_db_writable, "{s:s, s:b}", "database", names->copy, "writable", 1);
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s}", "version", old, "tree", (json_int_t)names->back,
            "read_only", 0, "database", names->copy);
        ADD(step_fs_switch, "{s:I, s:I}", "from", new, "to", old);
        ADD(step_catalog_commit, "{s:[{s:I, s:s, s:s, s:b, s:b}, {s:I, s:s, s:I, s:s}]}", "set",
            "number", new, "state", "kept", "mark", "bad", "why", 1, "leaving", 1, "number", old,
            "state", "active", "tree", (json_int_t)names->back, "database", names->copy);
        if (add_closed(facts, plan, part, names, false, err) < 0 ||
            plan_add_after(env, plan, part, old, err) < 0)
                return -1;
        plan->answer[PLAN_RESCUE] = plan->parts[PLAN_RESCUE].n;
        ADD(step_fs_drain, "{s:I}", "version", new);
        if (names->has_db)
                ADD(step_db_writable, "{s:s, s:b, s:b}", "database", names->live, "writable", 0,
                    "lenient", 1);
        ADD(step_fs_capture, "{s:I, s:I}", "head", (json_int_t)names->head, "frozen",
            (json_int_t)names->bad);
        ADD(step_catalog_commit, "{s:[{s:I, s:I, s:b}]}", "set", "number", new, "tree",
            (json_int_t)names->bad, "leaving", 0);
        ADD(step_fs_retire, "{s:I, s:b, s:b}", "version", new, "show", 0, "wait", 0);
        return 0;
}

int plan_upgrade(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                 uint64_t *ret_version, struct err *err)
{
        struct names names;

        if (give_names(env, facts, &names, err) < 0 ||
            add_keep(env, facts, plan, &names, err) < 0 ||
            (names.staged && add_stage(facts, plan, &names, err) < 0) ||
            add_commit(facts, plan, &names, err) < 0 ||
            add_upgrade(env, facts, plan, &names, err) < 0 ||
            add_rescue(env, facts, plan, &names, err) < 0)
                return -1;
        *ret_version = names.version;
        return 0;
}
