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

/* What is still written to has no one instant that a file could show. */
static int export_version(const struct plan_facts *facts, const struct version **ret_version,
                          struct err *err)
{
        uint64_t number = json_get_u64(facts->request, "version");

        for (size_t i = 0; i < facts->versions.n; i++) {
                const struct version *version = &facts->versions.items[i];

                if (version->number != number || version->state == VERSION_PRUNING)
                        continue;
                if (version->state == VERSION_ACTIVE)
                        return err_fail(
                                err, ERR_REFUSED, 0,
                                "version %" PRIu64 " is active and changes while it would "
                                "be written: an upgrade (of 'true', if need be) keeps it as "
                                "it is now, and then it can be exported",
                                number);
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

int plan_export(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *version;

        (void)env;
        if (export_version(facts, &version, err) < 0)
                return -1;
        ADD(step_bundle_write, "{s:I, s:I, s:s, s:s, s:I, s:b}", "version",
            (json_int_t)version->number, "tree", (json_int_t)version->tree, "database",
            version->database, "file", arg_text(facts->request, "file"), "by",
            (json_int_t)facts->by, "shared", json_get_bool(facts->request, "shared"));
        plan->pivot = plan->parts[PLAN_MAIN].n;
        *ret_version = version->number;
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
