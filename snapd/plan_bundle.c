/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/args.h"
#include "snapd/bundle_child.h"
#include "snapd/bundle_file.h"
#include "snapd/plan.h"
#include "snapd/plan_bundle.h"
#include "snapd/steps.h"

static int export_version(const struct plan_facts *facts, const struct version **ret_version,
                          struct err *err)
{
        uint64_t number = json_get_u64(facts->request, "version");

        for (size_t i = 0; i < facts->versions.n; i++) {
                const struct version *version = &facts->versions.items[i];

                if (version->number != number || version->state == VERSION_PRUNING)
                        continue;
                *ret_version = version;
                return 0;
        }
        return err_fail(err, ERR_NOT_FOUND, 0, "there is no version %" PRIu64, number);
}

int plan_bundle_prepare_export(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        const struct version *version;

        (void)env;
        if (export_version(facts, &version, err) < 0)
                return -1;
        return bundle_file_check(arg_text(facts->request, "file"), facts->by, err);
}

/* What is written, and where the tree and the database of that are. */
static int add_write(const struct plan_facts *facts, struct plan *plan,
                     const struct version *version, fs_id tree, const char *database,
                     struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const char *file = arg_text(facts->request, "file");
        char partial[BUNDLE_PARTIAL_MAX];

        if (bundle_file_partial(file, partial, err) < 0)
                return -1;
        ADD(step_bundle_write, "{s:I, s:I, s:s, s:s, s:s, s:I, s:b}", "version",
            (json_int_t)version->number, "tree", (json_int_t)tree, "database", database, "file",
            file, "partial", partial, "by", (json_int_t)facts->by, "shared",
            json_get_bool(facts->request, "shared"));
        return 0;
}

static int add_copy(struct plan *plan, const char *from, const char *to, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        ADD(step_db_copy, "{s:s, s:s}", "from", from, "to", to);
        return 0;
}

/* Where a capture changes what a head is mounted as, it is mounted anew: at a number that is
 * nobody's, of which the version then shows a second sight. */
static int add_sight(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                     struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *active = facts->active;
        uint64_t beside;
        char counter[64];

        if (!facts->remounts)
                return 0;
        (void)snprintf(counter, sizeof(counter), "version:%s", env->site->name);
        if (catalog_take(env->catalog, counter, 1, &beside, err) < 0)
                return -1;
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s}", "version", (json_int_t)beside, "tree",
            (json_int_t)active->tree, "read_only", 0, "database", active->database);
        ADD(step_fs_cover, "{s:I, s:I, s:I, s:s}", "version", (json_int_t)active->number, "by",
            (json_int_t)beside, "tree", (json_int_t)active->tree, "database", active->database);
        ADD(step_fs_unmount, "{s:I}", "version", (json_int_t)beside);
        return 0;
}

/* A version that is written to is captured as before an upgrade, and what was captured is written
 * and then thrown away: the site has no version more, and a rollback goes where it went before. */
static int plan_export_active(struct step_env *env, const struct plan_facts *facts,
                              struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *active = facts->active;
        bool has_db = active->database[0] != '\0';
        char copy[DB_NAME_MAX] = "";
        uint64_t frozen;

        if (catalog_take(env->catalog, "tree", 1, &frozen, err) < 0 ||
            (has_db && plan_copy_name(env, copy, err) < 0))
                return -1;
        if (has_db)
                ADD(step_db_hold, "{s:s}", "database", active->database);
        ADD(step_fs_capture, "{s:I, s:I}", "head", (json_int_t)active->tree, "frozen",
            (json_int_t)frozen);
        if (has_db && facts->copy_in_hold && add_copy(plan, active->database, copy, err) < 0)
                return -1;
        if (has_db)
                ADD(step_db_release, "{}");
        if (add_sight(env, facts, plan, err) < 0 ||
            (has_db && !facts->copy_in_hold && add_copy(plan, active->database, copy, err) < 0))
                return -1;
        if (has_db)
                ADD(step_db_verify, "{s:s, s:s}", "from", active->database, "to", copy);
        if (add_write(facts, plan, active, frozen, copy, err) < 0)
                return -1;
        plan->pivot = plan->parts[PLAN_MAIN].n;
        if (has_db)
                ADD(step_db_drop, "{s:s}", "database", copy);
        ADD(step_fs_remove, "{s:I}", "tree", (json_int_t)frozen);
        return 0;
}

int plan_export(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err)
{
        const struct version *version;

        if (export_version(facts, &version, err) < 0)
                return -1;
        *ret_version = version->number;
        if (version->state == VERSION_ACTIVE)
                return plan_export_active(env, facts, plan, err);
        if (add_write(facts, plan, version, version->tree, version->database, err) < 0)
                return -1;
        plan->pivot = plan->parts[PLAN_MAIN].n;
        return 0;
}

/* Before anything is written it is known whether the archive can become a version here. */
int plan_bundle_prepare_import(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        const char *file = arg_text(facts->request, "file"), *engine = env->site->database.engine;
        CLEANUP(closep) int in_fd = -1;
        struct bundle_unpack peek = { .dir_fd = -1 };

        if (bundle_file_open(file, facts->by, &in_fd, err) < 0)
                return -1;
        peek.in_fd = in_fd;
        if (bundle_child_run(&peek, env->site->uid, env->site->gid, &facts->bundle, err) < 0)
                return err_wrap(err, "'%s'", file);
        if (strcmp(facts->bundle.engine, engine == NULL ? "" : engine) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' has a database of '%s', and '%s' has one of '%s': it can "
                                "become a version of a site with the same kind of database only",
                                file,
                                facts->bundle.engine[0] == '\0' ? "none" : facts->bundle.engine,
                                env->site->name, engine == NULL ? "none" : engine);
        return 0;
}

static int add_kept(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                    json_int_t number, json_int_t frozen, const char *database, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct bundle_facts *bundle = &facts->bundle;
        char reason[512];

        (void)env;
        if (arg_text(facts->request, "reason")[0] != '\0')
                (void)snprintf(reason, sizeof(reason), "%s", arg_text(facts->request, "reason"));
        else
                (void)snprintf(reason, sizeof(reason),
                               "imported from '%s': version %" PRIu64 " of '%s'",
                               arg_text(facts->request, "file"), bundle->number, bundle->site);
        ADD(step_catalog_commit, "{s:[{s:I, s:s, s:I, s:s, s:I, s:s, s:s, s:s, s:I, s:I}]}", "set",
            "number", number, "state", "kept", "tree", frozen, "database", database, "parent",
            (json_int_t)0, "label", bundle->label, "reason", reason, "verb", "import",
            "created_usec", (json_int_t)clock_wall_usec(), "by", (json_int_t)facts->by);
        return 0;
}

int plan_import(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        char counter[64], staging[64], record[2 * BUNDLE_DIGEST_BYTES + 1], copy[DB_NAME_MAX] = "";
        uint64_t number, tree;

        for (size_t i = 0; i < BUNDLE_DIGEST_BYTES; i++)
                (void)snprintf(record + 2 * i, 3, "%02x", facts->bundle.record[i]);
        (void)snprintf(counter, sizeof(counter), "version:%s", env->site->name);
        if (catalog_take(env->catalog, counter, 1, &number, err) < 0 ||
            catalog_take(env->catalog, "tree", 2, &tree, err) < 0 ||
            (facts->bundle.engine[0] != '\0' && plan_copy_name(env, copy, err) < 0))
                return -1;
        (void)snprintf(staging, sizeof(staging), "import-%" PRIu64 ".partial", number);
        ADD(step_bundle_unpack, "{s:s, s:I, s:s, s:s}", "file", arg_text(facts->request, "file"),
            "by", (json_int_t)facts->by, "staging", staging, "record", record);
        ADD(step_bundle_tree, "{s:s, s:I}", "staging", staging, "head", (json_int_t)tree);
        ADD(step_fs_stubs, "{s:I, s:s}", "head", (json_int_t)tree, "database", copy);
        ADD(step_fs_capture, "{s:I, s:I}", "head", (json_int_t)tree, "frozen",
            (json_int_t)tree + 1);
        if (copy[0] != '\0') {
                ADD(step_bundle_load, "{s:s, s:s}", "staging", staging, "database", copy);
                ADD(step_db_writable, "{s:s, s:b}", "database", copy, "writable", 0);
        }
        plan->pivot = plan->parts[PLAN_MAIN].n;
        if (add_kept(env, facts, plan, (json_int_t)number, (json_int_t)tree + 1, copy, err) < 0)
                return -1;
        if (copy[0] != '\0')
                ADD(step_schema_note, "{s:I, s:s}", "version", (json_int_t)number, "database",
                    copy);
        ADD(step_fs_remove, "{s:I}", "tree", (json_int_t)tree);
        ADD(step_bundle_clear, "{s:s}", "staging", staging);
        *ret_version = number;
        return 0;
}
