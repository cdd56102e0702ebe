/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PLAN_H
#define SNAPD_PLAN_H

/*
 * Planning: a request becomes a list of steps with every number and name they will use.
 *
 * plan_prepare() asks the world what a plan depends on and refuses what cannot be begun;
 * plan_make() gives out numbers and writes the steps, within a catalog transaction, so that a
 * plan that is not journalled takes no number.
 */

#include "snapd/bundle.h"
#include "snapd/env.h"
#include "snapd/front.h"
#include "snapd/step.h"

struct plan_facts {
        const char *verb;
        const json_t *request;
        uid_t by;
        struct version_list versions;
        const struct version *active;    /* NULL before adoption */
        const struct version *last_good; /* or NULL */
        struct front_temporary temporary; /* what is in force, when there is one */
        bool has_temporary;
        bool remounts;                   /* FS_CAPTURE_REMOUNTS */
        bool probed;                     /* probes are asked after an upgrade */
        bool moves;                      /* FS_IMPORT_MOVES */
        bool copy_in_hold;               /* DB_COPY_IN_HOLD */
        const struct fs_driver *driver;  /* of a site that is being added */
        char *pool;                      /* the same */
        uint64_t needed_bytes, free_bytes; /* 0 when it was not asked */
        json_t *drift;                     /* what has become of the active version's schema: lines
                                            * with a sign; NULL: nothing */
        bool has_forecast;
        struct db_forecast forecast; /* what the database's copy costs */
        struct bundle_facts bundle;  /* what an archive that is to be imported says of itself */
};

/* plan_facts_load(...): The part of plan_prepare() that only the catalog is asked for. */
int plan_facts_load(struct catalog *catalog, const char *site, const char *verb,
                    const json_t *request, uid_t by, struct plan_facts *facts,
                    struct err *err) MUST_CHECK;

/* plan_prepare(env, verb, request, by, facts, err): Ask the world what the plan depends on, and
 * refuse what cannot be begun: no space (with the numbers), a database that cannot be read, a site
 * that somebody changed by hand.  Give ${facts} to plan_facts_done(), also on failure. */
int plan_prepare(struct step_env *env, const char *verb, const json_t *request, uid_t by,
                 struct plan_facts *facts, struct err *err) MUST_CHECK;
/* plan_facts_done(facts): Free what they hold; zeroed ones are fine. */
void plan_facts_done(struct plan_facts *facts);

/* plan_make(env, facts, plan, ret_version, err): ${ret_version} is the version the operation makes
 * or goes to, 0 for none.  Give the plan to plan_done(), also on failure. */
int plan_make(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
              uint64_t *ret_version, struct err *err) MUST_CHECK;

/* One function a verb, in plan_*.c; called by plan_make() only. */
typedef int (*plan_function)(struct step_env *env, const struct plan_facts *facts,
                             struct plan *plan, uint64_t *ret_version, struct err *err);
int plan_upgrade(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                 uint64_t *ret_version, struct err *err);
int plan_activate(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                  uint64_t *ret_version, struct err *err);
int plan_mount(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
               uint64_t *ret_version, struct err *err);
int plan_umount(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err);
int plan_prune(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
               uint64_t *ret_version, struct err *err);
int plan_add_site(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                  uint64_t *ret_version, struct err *err);
int plan_export(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err);
int plan_import(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                uint64_t *ret_version, struct err *err);
int plan_remove_site(struct step_env *env, const struct plan_facts *facts, struct plan *plan,
                     uint64_t *ret_version, struct err *err);

/* plan_target(facts, ret_version, err): The version that activate, rollback, forward, mount or
 * umount means.  ERR_NOT_FOUND, ERR_NOTHING, ERR_REFUSED. */
int plan_target(const struct plan_facts *facts, const struct version **ret_version,
                struct err *err) MUST_CHECK;

/* plan_copy_name(env, name, err): A name for a copy that was never given out, and that nothing on
 * the site's server has: another machine's sitesnap may use the same server. */
int plan_copy_name(struct step_env *env, char name[static DB_NAME_MAX], struct err *err) MUST_CHECK;

/* plan_add_drop(env, plan, database, err): A database goes with its version, in the main part; one
 * that is not a copy, but was the site's before it was added, is left. */
int plan_add_drop(struct plan *plan, const char *database, struct err *err) MUST_CHECK;

/* plan_free_space(env, ret_bytes, err): What is free on the file system of HOME. */
int plan_free_space(struct step_env *env, uint64_t *ret_bytes, struct err *err) MUST_CHECK;

/* plan_prune_list(env, facts, ret_numbers, ret_n, err): The versions that a prune removes, oldest
 * first: what was asked for, or what the site's policy says.  ERR_REFUSED: one of them is active,
 * pinned or the last good one; ERR_NOTHING.  The caller frees. */
int plan_prune_list(struct step_env *env, const struct plan_facts *facts, uint64_t **ret_numbers,
                    size_t *ret_n, struct err *err) MUST_CHECK;

/* ADD(kind, format, ...): In a plan_function with `plan`, `part` and `err`: append a step with the
 * arguments that json_pack() makes, or leave the function with -1. */
#define ADD(kind, ...)                                                                             \
        do {                                                                                       \
                if (plan_add(plan, part, &(kind), json_pack(__VA_ARGS__), err) < 0)                \
                        return -1;                                                                 \
        } while (0)

/* plan_view(version): {version, tree, read_only, database} of a kept version, as fs.mount shows
 * it; NULL when memory is short. */
json_t *plan_view(const struct version *version);

/* plan_add_after(env, plan, part, version, err): The administrator's command after a switch, where
 * the site has one. */
int plan_add_after(const struct step_env *env, struct plan *plan, enum plan_part part,
                   json_int_t version, struct err *err) MUST_CHECK;

/* plan_is_shown(facts, version): Is it mounted by rule: active, last good, or asked for? */
bool plan_is_shown(const struct plan_facts *facts, const struct version *version);

#endif
