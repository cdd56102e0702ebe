/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "snapd/watch_ward.h"

#define STALE_USEC       (3600 * (int64_t)USEC_PER_SEC)
#define VERIFY_INTERVALS 10

static void tell_served(const struct ward *ward)
{
        const struct watch_prober *prober = &ward->watch->needs.prober;

        if (prober->served != NULL)
                prober->served(prober->arg, ward->name, ward->active);
}

static void tell_pace(const struct ward *ward, unsigned msec)
{
        const struct watch_prober *prober = &ward->watch->needs.prober;

        if (prober->pace != NULL)
                prober->pace(prober->arg, ward->name, msec);
}

/* A file with a mistake in it leaves the rules at their presets. */
static void guard_conf(const struct ward *ward, struct site_guard *conf, const char **word,
                       const char **after)
{
        static const struct site_guard presets = {
                .probation_sec = 1800,
                .interval_msec = 1000,
                .min_samples = 100,
                .confirm = 3,
                .error_rate_ppm = 10000,
                .error_factor_milli = 3000,
                .latency_factor_milli = 3000,
                .latency_floor_msec = 250,
        };
        const struct site *site = sitecache_site(ward->watch->needs.sites, ward->name, NULL);

        *conf = site == NULL ? presets : site->guard;
        *word = site == NULL ? "alert" : site->guard.policy;
        *after = site == NULL ? "alert" : site->guard.after;
}

void ward_policy(const struct ward *ward, struct guard_policy *ret_policy)
{
        const char *word, *after;
        struct site_guard conf;

        guard_conf(ward, &conf, &word, &after);
        *ret_policy = (struct guard_policy){
                .probation_usec = (int64_t)conf.probation_sec * USEC_PER_SEC,
                .interval_usec = (int64_t)conf.interval_msec * 1000,
                .min_samples = conf.min_samples,
                .confirm = conf.confirm,
                .error_rate = conf.error_rate_ppm / 1e6,
                .error_factor = conf.error_factor_milli / 1e3,
                .latency_factor = conf.latency_factor_milli / 1e3,
                .latency_floor_msec = conf.latency_floor_msec,
        };
}

const char *ward_word(const struct ward *ward, bool after)
{
        const char *word, *later;
        struct site_guard conf;

        guard_conf(ward, &conf, &word, &later);
        return after ? later : word;
}

void ward_guard(struct ward *ward, const struct guard_policy *policy,
                const struct guard_baseline *baselines, int64_t spent_usec)
{
        struct guard_probe probes[GUARD_PROBES_MAX];
        struct err err;

        for (size_t i = 0; i < ward->n; i++)
                probes[i] = ward->probes[i].probe;
        guard_close(ward->guard);
        ward->guard = NULL;
        ward->last = (struct guard_decision){ 0 };
        ward->unknown_usec = 0;
        if (guard_open(policy, probes, ward->n, baselines, clock_boot_usec(), spent_usec,
                       &ward->guard, &err) < 0)
                log_error("site '%s' is not judged: %s", ward->name, err.msg);
}

void ward_save(struct ward *ward)
{
        struct probation *trial = &ward->trial;
        int64_t now = clock_boot_usec();
        struct err err;

        if (trial->state == PROBATION_GOING && trial->boot_usec != 0)
                trial->spent_usec += now - trial->boot_usec;
        trial->boot_usec = now;
        (void)snprintf(trial->boot, sizeof(trial->boot), "%s", ward->watch->boot);
        ward->saved_usec = now;
        if (probation_put(ward->watch->needs.catalog, ward->name, trial, &err) < 0)
                log_error("what is known of '%s' cannot be written: %s", ward->name, err.msg);
}

static void ward_baselines(const struct ward *ward, const json_t *json,
                           struct guard_baseline baselines[GUARD_PROBES_MAX])
{
        CLEANUP(json_decrefp) json_t *now = NULL;

        if (json == NULL)
                json = now = ward_baselines_json(ward);
        ward_baselines_read(ward, json, baselines);
}

void ward_normal(struct ward *ward)
{
        struct guard_baseline baselines[GUARD_PROBES_MAX];
        struct guard_policy policy;

        ward_policy(ward, &policy);
        policy.probation_usec = INT64_MAX / 4;
        ward_baselines(ward, NULL, baselines);
        for (size_t i = 0; i < ward->n; i++)
                ward->probes[i].compared = baselines[i];
        ward_guard(ward, &policy, baselines, 0);
        ward->tries = 0;
        tell_pace(ward, 0);
}

void ward_normal_restore(struct ward *ward)
{
        for (size_t i = 0; i < ward->n; i++) {
                ward->probes[i].rolls[0] = (struct guard_baseline){ 0 };
                ward->probes[i].rolls[1] = ward->probes[i].compared;
        }
}

void ward_forget(struct ward *ward)
{
        ward->trial.state = PROBATION_NONE;
        json_decref(ward->trial.cause);
        ward->trial.cause = NULL;
        ward_save(ward);
        ward_normal(ward);
}

void ward_verify_anew(struct ward *ward)
{
        struct guard_baseline baselines[GUARD_PROBES_MAX];
        struct guard_policy policy;

        ward_policy(ward, &policy);
        policy.probation_usec = VERIFY_INTERVALS * policy.interval_usec;
        ward_baselines(ward, ward->trial.baseline, baselines);
        ward_guard(ward, &policy, baselines, 0);
}

void ward_verify(struct ward *ward)
{
        struct guard_policy policy;

        ward_policy(ward, &policy);
        ward_verify_anew(ward);
        ward->trial.state = PROBATION_VERIFYING;
        ward->verify_usec = clock_boot_usec();
        ward->fails_usec = 0;
        ward_save(ward);
        tell_pace(ward, (unsigned)(policy.interval_usec / 1000));
}

/* Judge the trial that the row speaks of, from where it was. */
static void trial_go(struct ward *ward)
{
        struct guard_baseline baselines[GUARD_PROBES_MAX];
        struct guard_policy policy;

        ward_policy(ward, &policy);
        ward_baselines(ward, ward->trial.baseline, baselines);
        ward_guard(ward, &policy, baselines, ward->trial.spent_usec);
        ward->told_warning = ward->told_unknown = false;
        ward->tries = 0;
        ward->again_usec = 0;
        tell_pace(ward, (unsigned)(policy.interval_usec / 1000));
}

bool ward_op_done(const struct op *op)
{
        return op->state == OP_DONE || (op->state == OP_RUNNING && op->served_usec != 0);
}

static bool op_is_done(const struct ward *ward, op_id id)
{
        struct op op = { 0 };
        struct err err;
        bool done = journal_get(ward->watch->needs.catalog, id, false, &op, &err) == 0 &&
                    ward_op_done(&op);

        op_done(&op);
        return done;
}

static bool any_required(const struct ward *ward)
{
        for (size_t i = 0; i < ward->n; i++)
                if (ward->probes[i].probe.required)
                        return true;
        return false;
}

/* A version that is newer than what was looked at: is it on trial from now on? */
static void trial_consider(struct ward *ward)
{
        struct probation *trial = &ward->trial;
        struct guard_policy policy;
        struct version version;
        struct err err;
        bool fresh;

        if (ward->active <= trial->seen || catalog_version(ward->watch->needs.catalog, ward->name,
                                                           ward->active, &version, &err) < 0)
                return;
        fresh = strcmp(version.verb, "upgrade") == 0 && version.mark == MARK_NONE &&
                (trial->baseline != NULL || clock_wall_usec() - version.created_usec < STALE_USEC);
        if (fresh && !op_is_done(ward, version.operation)) {
                version_done(&version); /* looked at again when it has ended */
                return;
        }
        trial->seen = ward->active;
        if (!fresh || !any_required(ward)) {
                version_done(&version);
                ward_save(ward);
                return;
        }
        ward_policy(ward, &policy);
        if (trial->baseline == NULL)
                trial->baseline = ward_baselines_json(ward);
        trial->state = PROBATION_GOING;
        trial->version = version.number;
        trial->prior = version.parent;
        trial->operation = 0;
        trial->began_usec = clock_wall_usec();
        trial->until_usec = trial->began_usec + policy.probation_usec;
        trial->spent_usec = trial->boot_usec = 0;
        json_decref(trial->cause);
        trial->cause = NULL;
        version_done(&version);
        trial_go(ward);
        ward_save(ward);
        log_info("site '%s': version %" PRIu64 " is on probation for %" PRId64 " s", ward->name,
                 trial->version, policy.probation_usec / USEC_PER_SEC);
}

/* Does what is served belong to the trial still? */
static bool is_of_trial(const struct ward *ward)
{
        const struct probation *trial = &ward->trial;

        switch (trial->state) {
        case PROBATION_GOING:
        case PROBATION_GOOD:
        case PROBATION_FROZEN:
        case PROBATION_ALERTED:
                return ward->active == trial->version;
        case PROBATION_VERIFYING:
        case PROBATION_BACK:
                return ward->active == trial->prior;
        case PROBATION_HELD:
                return ward->active == trial->prior || ward->active == trial->version;
        default:
                return true;
        }
}

void ward_refresh(struct ward *ward)
{
        struct catalog_site site = { 0 };
        struct err err;

        if (catalog_site(ward->watch->needs.catalog, ward->name, &site, &err) < 0)
                return;
        if (site.active != ward->active) {
                ward->active = site.active;
                ward->seen_usec = ward->turned_usec = 0;
                tell_served(ward);
        }
        catalog_site_done(&site);
        if (!is_of_trial(ward)) {
                if (ward->trial.state == PROBATION_ALERTED && ward->active == ward->trial.prior)
                        ward_normal_restore(ward);
                ward_forget(ward);
        }
        if (ward->trial.state != PROBATION_ROLLING)
                trial_consider(ward);
}

/* What the catalog says: a trial goes on, a rollback is looked after. */
void ward_take_up(struct ward *ward)
{
        struct probation *trial = &ward->trial;
        struct op op = { 0 };
        struct err err;

        if (trial->state == PROBATION_GOING) {
                if (strcmp(trial->boot, ward->watch->boot) == 0)
                        trial->spent_usec += clock_boot_usec() - trial->boot_usec;
                trial->boot_usec = clock_boot_usec();
                trial_go(ward);
        } else if (trial->state == PROBATION_ROLLING) {
                ward_normal(ward);
                if (journal_get(ward->watch->needs.catalog, trial->operation, false, &op, &err) ==
                    0) {
                        bool going = op_is_open(op.state) && !ward_op_done(&op);

                        ward->op = going ? op.id : 0;
                        if (!going || op.state == OP_HELD)
                                ward_rolled_back(ward, &op);
                }
                op_done(&op);
        } else if (trial->state == PROBATION_VERIFYING) {
                ward_verify(ward);
        } else {
                ward_normal(ward);
        }
}
