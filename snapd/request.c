/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "snapd/adopt.h"
#include "snapd/ballast.h"
#include "snapd/plan_verb.h"
#include "snapd/probation.h"
#include "snapd/request.h"

DEFINE_CLEANUP(struct site *, site_free);

/* Is there anything to remove, and may it be? */
static int check_prune(const struct dirs *dirs, struct catalog *catalog, const char *name,
                       const json_t *request, struct err *err)
{
        struct plan_facts facts = { 0 };
        uint64_t *numbers = NULL;
        struct step_env env;
        struct site *site;
        size_t n;
        int ret;

        if (site_load(dirs->conf_fd, name, NULL, &site, err) < 0)
                return -1;
        env_init(&env, dirs, catalog, site);
        ret = plan_facts_load(catalog, name, "prune", request, 0, &facts, err);
        if (ret == 0)
                ret = plan_free_space(&env, &facts.free_bytes, err);
        if (ret == 0)
                ret = plan_prune_list(&env, &facts, &numbers, &n, err);
        free(numbers);
        plan_facts_done(&facts);
        env_done(&env);
        return ret;
}

static int check_temporary(const json_t *request, struct err *err)
{
        const char *mode = json_get_string(request, "temporary");

        if (mode != NULL && front_mode_by_name(mode) == FRONT_MODES)
                return err_fail(err, ERR_INVALID, 0,
                                "'temporary' is open, read-only, closed, redirect-302 or "
                                "redirect-307");
        if (mode == NULL && json_object_get(request, "for_sec") != NULL)
                return err_fail(err, ERR_INVALID, 0, "'for_sec' belongs to a temporary rollback");
        return 0;
}

/* A version that failed and was kept comes first, and a release that was taken back does not come
 * again by itself. */
static int check_trial(struct catalog *catalog, const char *site, const char *label,
                       struct err *err)
{
        struct probation probation;
        bool frozen;

        if (probation_get(catalog, site, &probation, err) < 0)
                return -1;
        frozen = probation.state == PROBATION_FROZEN;
        probation_done(&probation);
        if (frozen)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is frozen: its version failed its probes and waits for a "
                                "decision; '" SITESNAP_CTL " rollback %s' goes back, '" SITESNAP_CTL
                                " mark %s VERSION good --reason ...' keeps it",
                                site, site, site);
        return probation_release_check(catalog, site, label, err);
}

/* Where a label has numbers as releases have ("6.5.3", "v1.43"); NULL when it has not. */
static const char *release_of(const char *label)
{
        const char *at = label != NULL && label[0] == 'v' ? label + 1 : label;

        return at != NULL && at[0] >= '0' && at[0] <= '9' && strchr(at, '.') != NULL ? at : NULL;
}

/* Nobody's migrations go backwards: the way back is a version that was kept. */
static int check_downgrade(const struct plan_facts *facts, const char *site, const json_t *request,
                           struct err *err)
{
        const char *label = json_get_string(request, "label"), *wanted = release_of(label);
        const char *now = release_of(facts->active->label);

        if (wanted == NULL || now == NULL || strverscmp(wanted, now) >= 0)
                return 0;
        return err_fail(err, ERR_REFUSED, 0,
                        "'%s' is older than '%s', which version %" PRIu64
                        " of '%s' is: a database is never migrated down. A kept version has its "
                        "own: see 'snapctl list %s' and 'snapctl activate %s N'; nothing was "
                        "changed",
                        label, facts->active->label, facts->active->number, site, site, site);
}

/* Is where it leads to not there yet, because the operation that has the site makes it?  That the
 * site is busy is said when the request is queued. */
static bool is_being_made(struct catalog *catalog, const char *site, const json_t *request,
                          const struct err *why)
{
        struct op_list open = { 0 };
        struct err ignored;
        bool going_on;

        if (why->code != ERR_NOT_FOUND || json_object_get(request, "version") != NULL)
                return false;
        going_on = journal_list(catalog, site, true, 1, &open, &ignored) == 0 && open.n > 0;
        op_list_done(&open);
        return going_on;
}

/* What the catalog alone can answer. */
static int check_known(const struct dirs *dirs, struct catalog *catalog, const char *site,
                       const struct plan_verb *verb, const json_t *request, struct err *err)
{
        CLEANUP(site_freep) struct site *conf = NULL;
        struct plan_facts facts;
        const struct version *version;
        struct catalog_site row;
        int ret = 0;

        if (catalog_site(catalog, site, &row, err) < 0)
                return -1;
        catalog_site_done(&row);
        if (strcmp(verb->name, "upgrade") == 0 && json_object_get(request, "command") == NULL) {
                if (site_load(dirs->conf_fd, site, NULL, &conf, err) < 0)
                        return -1;
                if (conf->command == NULL)
                        return err_fail(err, ERR_INVALID, 0,
                                        "'%s' has no upgrade command: give one after '--', or set "
                                        "'command' in its file",
                                        site);
        }
        if (strcmp(verb->name, "upgrade") == 0 &&
            check_trial(catalog, site, json_get_string(request, "label"), err) < 0)
                return -1;
        if (strcmp(verb->name, "prune") == 0)
                return check_prune(dirs, catalog, site, request, err);
        if (plan_facts_load(catalog, site, verb->name, request, 0, &facts, err) < 0)
                return -1;
        if (facts.active == NULL)
                ret = err_fail(err, ERR_NOT_FOUND, 0, "'%s' has no active version", site);
        else if (check_temporary(request, err) < 0)
                ret = -1;
        else if (strcmp(verb->name, "upgrade") == 0)
                ret = check_downgrade(&facts, site, request, err);
        else if (verb->targets && plan_target(&facts, &version, err) < 0 &&
                 !is_being_made(catalog, site, request, err))
                ret = err_wrap(err, "'%s'", site);
        plan_facts_done(&facts);

        /* The catalog can tell a pruned number from one that never was. */
        if (ret < 0 && verb->targets && err->code == ERR_NOT_FOUND &&
            json_object_get(request, "version") != NULL) {
                struct version gone;

                return catalog_version(catalog, site, json_get_u64(request, "version"), &gone, err);
        }
        return ret;
}

static int check_new(const struct dirs *dirs, struct catalog *catalog, const char *name,
                     const json_t *request, struct err *err)
{
        CLEANUP(site_freep) struct site *site = NULL;
        struct catalog_site row;

        if (catalog_site(catalog, name, &row, err) == 0) {
                catalog_site_done(&row);
                return err_fail(err, ERR_EXISTS, 0, "there is a site '%s' already", name);
        }
        if (err->code != ERR_NOT_FOUND)
                return -1;
        return adopt_site(dirs, request, &site, err);
}

int request_check(const struct dirs *dirs, struct catalog *catalog, const char *site,
                  const json_t *request, struct err *err)
{
        const char *name = json_get_string(request, "verb");
        const struct plan_verb *verb = plan_verb_by_name(name);

        if (verb == NULL)
                return err_fail(err, ERR_INVALID, 0, "there is no verb '%s'",
                                name == NULL ? "" : name);
        if (plan_verb_check(verb, request, err) < 0)
                return -1;
        return strcmp(verb->name, "add") == 0
                       ? check_new(dirs, catalog, site, request, err)
                       : check_known(dirs, catalog, site, verb, request, err);
}

int request_submit(const struct dirs *dirs, struct catalog *catalog, const char *site,
                   const json_t *request, uid_t by, const json_t *cause, op_id *ret_id,
                   struct err *err)
{
        const char *verb = json_get_string(request, "verb");
        CLEANUP(json_decrefp) json_t *caused = NULL;
        int ret;

        if (request_check(dirs, catalog, site, request, err) < 0)
                return -1;
        if (cause != NULL) {
                caused = json_copy((json_t *)request);
                if (json_object_set(caused, "cause", (json_t *)cause) < 0)
                        return err_oom(err);
                request = caused;
        }
        ret = journal_queue(catalog, site, verb, request, by, ret_id, err);

        /* On a full disk there is room left for going back, and for making room. */
        if (ret < 0 && err->code == ERR_NO_SPACE && plan_verb_by_name(verb)->urgent &&
            ballast_drop(dirs->state_fd))
                ret = journal_queue(catalog, site, verb, request, by, ret_id, err);
        return ret;
}
