/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/safepath.h"
#include "snapd/adopt.h"
#include "snapd/outline.h"
#include "snapd/plan.h"
#include "snapd/plan_bundle.h"
#include "snapd/served.h"
#include "snapd/smoke.h"
#include "snapd/steps.h"

#define DRIFT_MAX 200 /* lines that are told */

/* One fifth more than the estimate: metadata, and what is written while we work. */
#define MARGIN(bytes) ((bytes) + (bytes) / 5)

int plan_facts_load(struct catalog *catalog, const char *site, const char *verb,
                    const json_t *request, uid_t by, struct plan_facts *facts, struct err *err)
{
        int has;

        *facts = (struct plan_facts){ .verb = verb, .request = request, .by = by };
        /* A site that is being added has none, and no row. */
        if (catalog_versions(catalog, site, &facts->versions, err) < 0)
                return err->code == ERR_NOT_FOUND && strcmp(verb, "add") == 0 ? 0 : -1;
        for (size_t i = 0; i < facts->versions.n; i++)
                if (facts->versions.items[i].state == VERSION_ACTIVE)
                        facts->active = &facts->versions.items[i];
        facts->last_good = version_last_good(&facts->versions);
        has = front_temporary(catalog, site, &facts->temporary, err);
        facts->has_temporary = has > 0;
        return has < 0 ? -1 : 0;
}

void plan_facts_done(struct plan_facts *facts)
{
        version_list_done(&facts->versions);
        free(facts->pool);
        json_decref(facts->drift);
        *facts = (struct plan_facts){ 0 };
}

json_t *plan_view(const struct version *version)
{
        return json_pack("{s:I, s:I, s:b, s:s}", "version", (json_int_t)version->number, "tree",
                         (json_int_t)version->tree, "read_only", version->state != VERSION_ACTIVE,
                         "database", version->database);
}

bool plan_is_shown(const struct plan_facts *facts, const struct version *version)
{
        return version->state == VERSION_ACTIVE || version == facts->last_good || version->mounted;
}

int plan_add_after(const struct step_env *env, struct plan *plan, enum plan_part part,
                   json_int_t version, struct err *err)
{
        if (env->site->after_switch == NULL)
                return 0;
        return plan_add(plan, part, &step_site_after, json_pack("{s:I}", "version", version), err);
}

static const struct version *find(const struct plan_facts *facts, uint64_t number)
{
        for (size_t i = 0; i < facts->versions.n; i++)
                if (facts->versions.items[i].number == number)
                        return &facts->versions.items[i];
        return NULL;
}

static int target_rollback(const struct plan_facts *facts, const struct version **ret,
                           struct err *err)
{
        if (facts->last_good == NULL)
                return err_fail(err, ERR_NOTHING, 0,
                                "there is no kept version to go back to that is not marked bad");
        *ret = facts->last_good;
        return 0;
}

/* Where a temporary rollback came from.  What was found out meanwhile may be that it is bad: then
 * visitors are not given it because somebody, or the end of a time, says `forward`. */
static int target_back(const struct plan_facts *facts, const struct version **ret, struct err *err)
{
        const struct version *back = find(facts, facts->temporary.back);

        if (back == NULL || back->state == VERSION_PRUNING)
                return err_fail(err, ERR_NOT_FOUND, 0, "version %" PRIu64 " is not there any more",
                                facts->temporary.back);
        if (back->mark == MARK_BAD)
                return err_fail(err, ERR_REFUSED, 0,
                                "version %" PRIu64 " was marked bad (%s), so the temporary "
                                "rollback goes on: 'activate' of version %" PRIu64
                                " makes it lasting, 'mark %" PRIu64
                                " none' lets 'forward' go there all the same",
                                back->number, back->mark_reason, facts->temporary.version,
                                back->number);
        *ret = back;
        return 0;
}

/* The newest version that is newer than what is served. */
static int target_forward(const struct plan_facts *facts, const struct version **ret,
                          struct err *err)
{
        const struct version *newest = NULL;

        if (facts->has_temporary)
                return target_back(facts, ret, err);
        for (size_t i = 0; i < facts->versions.n; i++)
                if (facts->versions.items[i].state == VERSION_KEPT)
                        newest = &facts->versions.items[i];
        if (newest == NULL || newest->number < facts->active->number)
                return err_fail(err, ERR_NOTHING, 0, "version %" PRIu64 " is the newest there is",
                                facts->active->number);
        if (newest->mark == MARK_BAD)
                return err_fail(err, ERR_REFUSED, 0,
                                "version %" PRIu64 " is marked bad (%s); 'activate' goes there all "
                                "the same",
                                newest->number, newest->mark_reason);
        *ret = newest;
        return 0;
}

static int target_number(const struct plan_facts *facts, const struct version **ret,
                         struct err *err)
{
        uint64_t number = json_get_u64(facts->request, "version");
        const struct version *version = find(facts, number);

        if (version == NULL || version->state == VERSION_PRUNING)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no version %" PRIu64, number);
        if (version->state == VERSION_ACTIVE)
                return strcmp(facts->verb, "umount") == 0
                               ? err_fail(err, ERR_REFUSED, 0,
                                          "version %" PRIu64 " is active and stays mounted", number)
                               : err_fail(err, ERR_NOTHING, 0,
                                          "version %" PRIu64 " is active already", number);
        *ret = version;
        return 0;
}

int plan_target(const struct plan_facts *facts, const struct version **ret_version, struct err *err)
{
        if (facts->active == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "the site has no active version");
        if (strcmp(facts->verb, "rollback") == 0)
                return target_rollback(facts, ret_version, err);
        if (strcmp(facts->verb, "forward") == 0)
                return target_forward(facts, ret_version, err);
        return target_number(facts, ret_version, err);
}

int plan_free_space(struct step_env *env, uint64_t *ret_bytes, struct err *err)
{
        struct statvfs st;
        int home_fd;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        if (fstatvfs(home_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot ask '%s' for its space",
                                env->site->home);
        *ret_bytes = (uint64_t)st.f_bavail * st.f_frsize;
        return 0;
}

/* Space to clone the whole site, although copy-on-write will take less: an upgrade may rewrite
 * every file, and its rollback must still find room.  A server's disk is asked by its driver. */
static int check_space(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        const struct version *active = facts->active;
        bool files = active->database[0] != '\0' && !site_database_serves(env->site);
        struct fs_sizes sizes = { 0 };
        struct fs_pool *pool;
        uint64_t database = 0;
        struct db *db;

        /* Asked now: what was measured after the last operation, the live site has outgrown. */
        if (env_pool(env, &pool, err) < 0 || env->fs->sizes(pool, active->tree, &sizes, err) < 0)
                return -1;
        if (files && (env_database(env, &db, err) < 0 ||
                      env->database_driver->size(db, active->database, &database, err) < 0))
                return -1;
        if (plan_free_space(env, &facts->free_bytes, err) < 0)
                return -1;
        facts->needed_bytes = MARGIN(sizes.total_bytes + database);
        if (facts->needed_bytes > facts->free_bytes)
                return err_fail(err, ERR_NO_SPACE, 0,
                                "'%s' takes %" PRIu64 " MiB (files %" PRIu64 ", database %" PRIu64
                                ", one fifth spare) and '%s' has %" PRIu64
                                " MiB free: prune old versions or make room; nothing was changed",
                                env->site->name, facts->needed_bytes >> 20, sizes.total_bytes >> 20,
                                database >> 20, env->site->home, facts->free_bytes >> 20);
        return 0;
}

/* For as long as the hold may last writers wait, and no longer: a copy that needs more is not
 * begun. */
static int check_forecast(struct step_env *env, struct plan_facts *facts, struct db *db,
                          struct err *err)
{
        struct db_forecast *forecast = &facts->forecast;

        if (env->database_driver->forecast == NULL)
                return 0;
        if (env->database_driver->forecast(db, facts->active->database, forecast, err) < 0)
                return -1;
        facts->has_forecast = forecast->way != DB_WAY_AUTO;
        if (forecast->stall_msec <= env->site->hold_msec)
                return 0;
        return err_fail(err, ERR_REFUSED, 0,
                        "writers of '%s' would wait for about %" PRIu64
                        " ms while its database is copied (%s), and may wait for %u: set a longer "
                        "[upgrade] hold, or another [database] way; nothing was changed",
                        env->site->name, forecast->stall_msec, forecast->why, env->site->hold_msec);
}

static int add_drift(char sign, const char *line, void *arg, struct err *err)
{
        struct plan_facts *facts = arg;

        (void)err;
        if (facts->drift == NULL)
                facts->drift = json_array();
        if (json_array_size(facts->drift) < DRIFT_MAX)
                (void)json_array_append_new(facts->drift, json_sprintf("%c %s", sign, line));
        return 0;
}

/* Somebody changed the schema by hand, or the application did by itself: told before the upgrade,
 * since its migrations may not expect it.  It is knowledge, and no reason to refuse. */
static void look_for_drift(struct step_env *env, struct plan_facts *facts)
{
        struct err err;
        json_t *line;
        size_t i;

        if (outline_drift(env, facts->active, add_drift, facts, &err) < 0)
                env_note(env, "warning: the schema could not be compared: %s", err.msg);
        if (facts->drift != NULL)
                env_note(env,
                         "warning: the schema is not what version %" PRIu64
                         " had when it was written down:",
                         facts->active->number);
        json_array_foreach (facts->drift, i, line)
                env_note(env, "  %s", json_string_value(line));
}

static int check_database(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        const char *name = facts->active->database;
        unsigned features;
        struct db *db;

        if (name[0] == '\0')
                return 0;
        if (env_database(env, &db, err) < 0 || env->database_driver->check(db, name, err) < 0 ||
            env->database_driver->features(db, name, &features, err) < 0)
                return -1;
        facts->copy_in_hold = (features & DB_COPY_IN_HOLD) != 0;
        if (check_forecast(env, facts, db, err) < 0)
                return -1;
        look_for_drift(env, facts);
        return 0;
}

/* What serves has to be what we think: somebody may have changed it by hand. */
static int check_served(struct step_env *env, const struct plan_facts *facts, struct err *err)
{
        uint64_t current;
        int home_fd;

        if (env_home(env, &home_fd, err) < 0 || mount_shared_parent(home_fd, err) < 0 ||
            served_current(env, &current, err) < 0)
                return -1;
        if (current != facts->active->number)
                return err_fail(err, ERR_CORRUPT, 0,
                                "'%s/current' leads to version %" PRIu64 ", but version %" PRIu64
                                " is active: somebody changed it; a restart of snapd puts it right",
                                env->site->home, current, facts->active->number);
        return 0;
}

/* A site that is not well is not upgraded: whether the upgrade was good could not be told. */
static int check_probes(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1, cwd_fd = -1;
        bool wanted;
        char number[24];

        (void)snprintf(number, sizeof(number), "%" PRIu64, facts->active->number);
        if (smoke_wanted(env, PROBER_AFTER, &facts->probed, err) < 0 ||
            smoke_wanted(env, PROBER_BEFORE, &wanted, err) < 0)
                return -1;
        if (!wanted)
                return 0;
        if (served_versions_fd(env, &versions_fd, err) < 0 ||
            safepath_open_mounted(versions_fd, number, O_PATH | O_DIRECTORY, &cwd_fd, err) < 0)
                return -1;
        if (smoke_ask(env, PROBER_BEFORE, cwd_fd, err) < 0)
                return err->code == ERR_REFUSED
                               ? err_wrap(err,
                                          "'%s' is not well before the upgrade, so nothing was "
                                          "changed; mend it, or ask that probe only 'after'",
                                          env->site->name)
                               : -1;
        return 0;
}

static int prepare_upgrade(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        if (facts->has_temporary)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is rolled back to version %" PRIu64
                                " for the time being: end that first, by 'forward' or by "
                                "activating the version to upgrade",
                                env->site->name, facts->temporary.version);
        if (check_space(env, facts, err) < 0 || check_database(env, facts, err) < 0)
                return -1;
        return check_probes(env, facts, err);
}

/* What is written to is captured and copied first, as by an upgrade. */
static int prepare_export(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        if (plan_bundle_prepare_export(env, facts, err) < 0)
                return -1;
        return json_get_u64(facts->request, "version") == facts->active->number
                       ? check_database(env, facts, err)
                       : 0;
}

static int prepare_prune(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        return plan_free_space(env, &facts->free_bytes, err);
}

int plan_prepare(struct step_env *env, const char *verb, const json_t *request, uid_t by,
                 struct plan_facts *facts, struct err *err)
{
        static const struct {
                const char *verb;
                int (*prepare)(struct step_env *env, struct plan_facts *facts, struct err *err);
        } extra[] = {
                { "upgrade", prepare_upgrade },
                { "prune", prepare_prune },
                { "export", prepare_export },
                { "import", plan_bundle_prepare_import },
        };
        struct fs_pool *pool;

        if (plan_facts_load(env->catalog, env->site->name, verb, request, by, facts, err) < 0)
                return -1;
        if (strcmp(verb, "add") == 0)
                return adopt_prepare(env, facts, err);
        if (facts->active == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "'%s' has no active version",
                                env->site->name);
        if (check_served(env, facts, err) < 0 || env_pool(env, &pool, err) < 0)
                return -1;
        facts->remounts = (env->fs->features & FS_CAPTURE_REMOUNTS) != 0;
        for (size_t i = 0; i < sizeof(extra) / sizeof(extra[0]); i++)
                if (strcmp(extra[i].verb, verb) == 0)
                        return extra[i].prepare(env, facts, err);
        return 0;
}
