/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "snapd/args.h"
#include "snapd/plan.h"
#include "snapd/steps.h"
#include "snapd/switcher.h"

/* Where the database files of a site were before it was adopted. */
static void database_origin(const struct site *site, char *path, size_t size)
{
        if (site->database.path[0] == '/')
                (void)snprintf(path, size, "%s", site->database.path);
        else
                (void)snprintf(path, size, "%s/%s", site->docroot, site->database.path);
}

/* Files outside the docroot are reached by a link of ours. */
static bool database_is_outside(const struct site *site)
{
        return site->database.path != NULL && site->database.path[0] == '/';
}

/* add_shares(env, database, plan, kind, err): One step of ${kind} for each thing that versions
 * share, and for the database. */
static int add_shares(const struct step_env *env, const char *database, struct plan *plan,
                      const struct step_kind *kind, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct site *site = env->site;
        char from[PATH_MAX], to[PATH_MAX];

        for (size_t i = 0; i < site->n_shared; i++) {
                (void)snprintf(from, sizeof(from), "%s/%s", site->docroot, site->shared[i]);
                (void)snprintf(to, sizeof(to), "shared/%s", site->shared[i]);
                ADD(*kind, "{s:s, s:s}", "from", from, "to", to);
        }
        if (database[0] == '\0' || site_database_serves(site))
                return 0;
        database_origin(site, from, sizeof(from));
        (void)snprintf(to, sizeof(to), "db/%s", database);
        ADD(*kind, "{s:s, s:s}", "from", from, "to", to);
        return 0;
}

static int add_switch(json_int_t number, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        ADD(step_fs_switch, "{s:I, s:I}", "from", (json_int_t)0, "to", number);
        return 0;
}

/* The directory is taken over while it is served: it is shown at versions/N as it is, and the
 * docroot's name becomes a link to that. */
static int add_show(const struct step_env *env, json_int_t number, json_int_t tree,
                    const char *database, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s, s:s}", "version", number, "tree", tree,
            "read_only", 0, "database", database, "plain", env->site->docroot);
        return switcher_mounts(env->site) ? 0 : add_switch(number, plan, err);
}

/* A docroot that is a mount point is emptied first: there is a moment between the two in which
 * nothing is served, the price of that switcher. */
static int add_late_switch(const struct step_env *env, json_int_t number, struct plan *plan,
                           struct err *err)
{
        return switcher_mounts(env->site) ? add_switch(number, plan, err) : 0;
}

/* With a driver that takes directories as they are, the link is all. */
static int add_move(const struct step_env *env, json_int_t number, json_int_t head,
                    const char *database, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const char *docroot = env->site->docroot;

        ADD(step_fs_import, "{s:s, s:I}", "docroot", docroot, "head", head);
        if (add_show(env, number, 0, database, plan, err) < 0)
                return -1;
        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_docroot_take, "{s:s, s:I}", "docroot", docroot, "head", head);
        if (add_late_switch(env, number, plan, err) < 0)
                return -1;
        ADD(step_fs_stubs, "{s:I, s:s}", "head", head, "database", database);

        /* What was a link is a directory from now on. */
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s, s:b}", "version", number, "tree", head,
            "read_only", 0, "database", database, "live", 1);
        return 0;
}

/* With one that copies, the site goes on in its own directory, which is now seen through our mount
 * alone, while it is copied; then that mount is read-only for as long as it takes to bring over
 * what changed meanwhile, so that nothing written can be lost unnoticed. */
static int add_copy(const struct step_env *env, json_int_t number, json_int_t head,
                    const char *database, struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        char taken[PATH_MAX];

        (void)snprintf(taken, sizeof(taken), "%s/adopted-docroot", env->site->home);
        if (add_show(env, number, 0, database, plan, err) < 0)
                return -1;
        ADD(step_docroot_take, "{s:s, s:I}", "docroot", env->site->docroot, "head", head);
        if (add_late_switch(env, number, plan, err) < 0)
                return -1;
        ADD(step_fs_import, "{s:s, s:I}", "docroot", taken, "head", head);
        ADD(step_fs_seal, "{s:I}", "version", number);
        ADD(step_fs_import, "{s:s, s:I}", "docroot", taken, "head", head);
        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_fs_mount, "{s:I, s:I, s:b, s:s, s:b}", "version", number, "tree", head,
            "read_only", 0, "database", database, "live", 1);
        return add_late_switch(env, number, plan, err);
}

int plan_add_site(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                  uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        char copy[DB_NAME_MAX] = "", counter[64], from[PATH_MAX], to[PATH_MAX];
        const char *database = copy;
        json_int_t now = clock_wall_usec();
        uint64_t tree, number;

        (void)snprintf(counter, sizeof(counter), "version:%s", env->site->name);
        if (catalog_take(env->catalog, "tree", 1, &tree, err) < 0 ||
            catalog_take(env->catalog, counter, 1, &number, err) < 0)
                return -1;
        /* Files move to HOME and get a name of ours; what a server has stays where it is. */
        if (site_database_serves(env->site))
                database = env->site->database.name;
        else if (env->site->database.engine != NULL && plan_copy_name(env, copy, err) < 0)
                return -1;
        ADD(step_fs_survey, "{s:s}", "docroot", env->site->docroot);
        ADD(step_site_dirs, "{s:s}", "pool", facts->pool);
        ADD(step_site_register, "{s:s, s:s, s:b}", "driver", facts->driver->name, "pool",
            facts->pool, "own_file", json_object_get(facts->request, "home") == NULL);
        if (add_shares(env, database, plan, &step_share_out, err) < 0 ||
            (facts->moves ? add_move(env, (json_int_t)number, (json_int_t)tree, database, plan, err)
                          : add_copy(env, (json_int_t)number, (json_int_t)tree, database, plan,
                                     err)) < 0)
                return -1;
        ADD(step_catalog_commit, "{s:[{s:I, s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:I}]}", "set",
            "number", (json_int_t)number, "state", "active", "tree", (json_int_t)tree, "database",
            database, "verb", "add", "reason", arg_text(facts->request, "reason"), "created_usec",
            now, "active_usec", now, "by", (json_int_t)facts->by);
        if (database[0] != '\0')
                ADD(step_schema_note, "{s:I, s:s}", "version", (json_int_t)number, "database",
                    database);
        if (plan_add_after(env, plan, part, (json_int_t)number, err) < 0)
                return -1;

        /* Nobody shall use the live database behind the back of its version. */
        if (database_is_outside(env->site)) {
                database_origin(env->site, from, sizeof(from));
                (void)snprintf(to, sizeof(to), "db/%s", database);
                ADD(step_share_unlink, "{s:s, s:s}", "from", from, "to", to);
        }
        *ret_version = number;
        return 0;
}

/* What is shared is a link in the tree that is given back, until it is moved there. */
static json_t *links(const struct site *site, const char *database)
{
        json_t *list = json_array();
        char to[PATH_MAX];

        for (size_t i = 0; i < site->n_shared; i++) {
                (void)snprintf(to, sizeof(to), "shared/%s", site->shared[i]);
                (void)json_array_append_new(
                        list, json_pack("{s:s, s:s}", "path", site->shared[i], "to", to));
        }
        if (database[0] != '\0' && site->database.path != NULL && site->database.path[0] != '/') {
                (void)snprintf(to, sizeof(to), "db/%s", database);
                (void)json_array_append_new(
                        list, json_pack("{s:s, s:s}", "path", site->database.path, "to", to));
        }
        return list;
}

static int add_give(const struct step_env *env, const struct plan_facts *facts, json_int_t tree,
                    struct plan *plan, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        const struct version *active = facts->active;
        char from[PATH_MAX], to[PATH_MAX];

        ADD(step_fs_seal, "{s:I}", "version", (json_int_t)active->number);
        ADD(step_fs_capture, "{s:I, s:I}", "head", (json_int_t)active->tree, "frozen", tree);
        ADD(step_fs_branch, "{s:I, s:I}", "frozen", tree, "head", tree + 1);
        /* The tree's own files name the database that was there first. */
        ADD(step_fs_flatten, "{s:I, s:o, s:I, s:s}", "head", tree + 1, "links",
            links(env->site, active->database), "version", (json_int_t)active->number, "database",
            site_database_serves(env->site) &&
                            strcmp(active->database, env->site->database.name) != 0
                    ? active->database
                    : "");
        if (active->database[0] != '\0' && database_is_outside(env->site)) {
                database_origin(env->site, from, sizeof(from));
                (void)snprintf(to, sizeof(to), "db/%s", active->database);
                ADD(step_share_link, "{s:s, s:s}", "from", from, "to", to);
        }
        plan->pivot = plan->parts[PLAN_MAIN].n;
        ADD(step_docroot_give, "{s:s, s:I, s:b}", "docroot", env->site->docroot, "head", tree + 1,
            "give", 1);
        if (plan_add_after(env, plan, part, (json_int_t)active->number, err) < 0)
                return -1;
        return 0;
}

/* The other versions go; the active one is a plain directory by now. */
static int add_clear(const struct plan_facts *facts, json_int_t tree, struct plan *plan,
                     struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        for (size_t i = 0; i < facts->versions.n; i++) {
                const struct version *version = &facts->versions.items[i];

                ADD(step_fs_remove, "{s:I}", "tree", (json_int_t)version->tree);
                if (version != facts->active && plan_add_drop(plan, version->database, err) < 0)
                        return -1;
        }
        ADD(step_fs_remove, "{s:I}", "tree", tree);
        ADD(step_fs_remove, "{s:I}", "tree", tree + 1);
        ADD(step_site_unregister, "{}");
        return 0;
}

int plan_remove_site(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                     uint64_t *ret_version, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;
        uint64_t tree;

        if (catalog_take(env->catalog, "tree", 2, &tree, err) < 0 ||
            add_give(env, facts, (json_int_t)tree, plan, err) < 0)
                return -1;
        for (size_t i = 0; i < facts->versions.n; i++)
                ADD(step_fs_retire, "{s:I, s:b, s:b}", "version",
                    (json_int_t)facts->versions.items[i].number, "show", 0, "wait", 1);
        ADD(step_fs_switch, "{s:I, s:I}", "from", (json_int_t)facts->active->number, "to",
            (json_int_t)0);
        ADD(step_docroot_clear, "{}");
        if (add_shares(env, facts->active->database, plan, &step_share_in, err) < 0 ||
            add_clear(facts, (json_int_t)tree, plan, err) < 0)
                return -1;
        *ret_version = 0;
        return 0;
}
