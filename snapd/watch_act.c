/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "snapd/ballast.h"
#include "snapd/notice_op.h"
#include "snapd/request.h"
#include "snapd/watch_ward.h"

#define TURNED_USEC  (60 * (int64_t)USEC_PER_SEC) /* neighbours that began to fail with this one */
#define UNKNOWN_USEC (60 * (int64_t)USEC_PER_SEC) /* then a person hears that it is not judged */
#define AGAIN_USEC   USEC_PER_SEC                 /* a rollback that failed is tried again */
#define ALERT_USEC   (3600 * (int64_t)USEC_PER_SEC)
#define TRIES_MAX    3
#define VERIFY_FACTOR                                                                              \
        10 /* a verification that says nothing for so many times its length is over                \
            */
#define OWNERS_MAX 64

/* An old version fails that does so for that long: what the broken one leaves behind, requests that
 * are queued and caches that are empty, is gone by then.  It is served in any case. */
#define RECOVERED_USEC (30 * (int64_t)USEC_PER_SEC)

static void tell(const struct ward *ward, enum notice_phase phase, const char *what,
                 const char *why)
{
        const struct probation *trial = &ward->trial;
        struct notice notice = {
                .phase = phase,
                .site = ward->name,
                .verb = phase == NOTICE_HELD ? "rollback" : NULL,
                .operation = trial->operation,
                .from = trial->prior,
                .to = trial->version,
                .what = what,
                .why = why,
                .evidence = trial->cause,
        };
        struct version version;
        struct err err;
        bool known;

        notice_site(&notice, sitecache_site(ward->watch->needs.sites, ward->name, NULL));
        log_warning("site '%s': %s%s%s", ward->name, notice_phase_name(phase),
                    why == NULL ? "" : ": ", why == NULL ? "" : why);
        if (ward->watch->needs.outbox == NULL)
                return;
        known = catalog_version(ward->watch->needs.catalog, ward->name, trial->version, &version,
                                &err) == 0;
        if (known)
                notice.label = version.label;
        if (notice_put(ward->watch->needs.outbox, &notice, &err) < 0)
                log_error("a notice about '%s' cannot be put: %s", ward->name, err.msg);
        if (known)
                version_done(&version);
}

static void set_cause(struct ward *ward, const struct guard_decision *decision)
{
        json_t *cause = ward_cause(ward, decision);

        if (cause == NULL)
                return;
        json_decref(ward->trial.cause);
        ward->trial.cause = cause;
}

static const char *cause_text(const struct ward *ward)
{
        const char *text = json_get_string(ward->trial.cause, "text");

        return text == NULL ? "" : text;
}

/* The sites of the same owner count one by one: nobody harms himself.  Those of another owner
 * count as one, so that nobody stops a neighbour's rollback by breaking many sites of his own. */
static struct guard_neighbours neighbours(const struct ward *ward)
{
        struct guard_neighbours sum = { 0 };
        struct {
                uid_t owner;
                unsigned judged, failing;
        } owners[OWNERS_MAX];
        int64_t since = guard_began_failing(ward->guard);
        size_t n = 0;

        for (const struct ward *other = ward->watch->wards; other != NULL; other = other->next) {
                bool failing = other->turned_usec != 0;
                size_t i = 0;

                if (other == ward || other->seen_usec <= since ||
                    (failing && other->turned_usec < since - TURNED_USEC))
                        continue;
                while (i < n && owners[i].owner != other->owner)
                        i++;
                if (other->owner == ward->owner || i == OWNERS_MAX) {
                        sum.judged++;
                        sum.failing += failing;
                        continue;
                }
                if (i == n) {
                        owners[n].owner = other->owner;
                        owners[n].judged = owners[n].failing = 0;
                        n++;
                }
                owners[i].judged++;
                owners[i].failing += failing;
        }
        for (size_t i = 0; i < n; i++) {
                sum.judged++;
                sum.failing += owners[i].failing == owners[i].judged;
        }
        return sum;
}

/* The version's mark, its release, the request and what we know of it: one commit. */
static int rollback_queue(struct ward *ward, op_id *ret_id, struct err *err)
{
        const struct watch_needs *needs = &ward->watch->needs;
        CLEANUP(json_decrefp) json_t *request = NULL;
        struct probation trial = ward->trial;
        struct catalog_site site = { 0 };
        struct version version;
        int ret = -1;

        if (catalog_version(needs->catalog, ward->name, ward->active, &version, err) < 0)
                return -1;
        if (version.state != VERSION_ACTIVE) {
                version_done(&version);
                return err_fail(err, ERR_BUSY, 0, "another version is served by now");
        }
        request = json_pack("{s:s, s:s}", "verb", "rollback", "reason", cause_text(ward));
        version.mark = MARK_BAD;
        free(version.mark_reason);
        version.mark_reason = strdup(cause_text(ward));
        if (catalog_put_version(needs->catalog, ward->name, &version, err) == 0 &&
            probation_release_bad(needs->catalog, ward->name, version.label, version.number,
                                  cause_text(ward), err) == 0 &&
            catalog_site(needs->catalog, ward->name, &site, err) == 0 &&
            request_submit(needs->dirs, needs->catalog, ward->name, request, 0, trial.cause, ret_id,
                           err) == 0) {
                trial.state = PROBATION_ROLLING;
                trial.version = ward->active;
                trial.prior = site.last_good;
                trial.operation = *ret_id;
                ret = probation_put(needs->catalog, ward->name, &trial, err);
        }
        catalog_site_done(&site);
        version_done(&version);
        if (ret == 0)
                ward->trial = trial;
        return ret;
}

static int rollback_file(struct ward *ward, struct err *err)
{
        const struct watch_needs *needs = &ward->watch->needs;
        struct probation before = ward->trial;
        op_id id;

        if (catalog_begin(needs->catalog, err) < 0)
                return -1;
        if (rollback_queue(ward, &id, err) < 0 || catalog_commit(needs->catalog, err) < 0) {
                catalog_rollback(needs->catalog);
                ward->trial = before;
                return -1;
        }
        ward->op = id;
        spawner_start(needs->spawner, id);
        return 0;
}

/* Nothing more is done by itself. */
static void hold(struct ward *ward, const char *what, const char *why)
{
        ward->trial.state = PROBATION_HELD;
        ward_save(ward);
        tell(ward, NOTICE_HELD, what, why);
}

static void roll_back(struct ward *ward)
{
        struct err err = { 0 };

        if (clock_boot_usec() < ward->again_usec || ward->op != 0)
                return;
        if (rollback_file(ward, &err) == 0) {
                log_warning(
                        "site '%s': version %" PRIu64 " is taken back by operation %" PRIu64 ": %s",
                        ward->name, ward->trial.version, ward->trial.operation, cause_text(ward));
                return;
        }
        ward->again_usec = clock_boot_usec() + USEC_PER_SEC;
        if (err.code == ERR_NO_SPACE && ballast_drop(ward->watch->needs.dirs->state_fd))
                ward->again_usec = 0;
        if (err.code == ERR_NOTHING)
                hold(ward, "The new version fails, and there is none to go back to.", err.msg);
        else if (err.code != ERR_BUSY || ward->tries++ == 0)
                log_error("site '%s' cannot be rolled back now: %s", ward->name, err.msg);
}

void ward_rolled_back(struct ward *ward, const struct op *op)
{
        if (ward_op_done(op)) {
                ward_verify(ward); /* the operation itself tells who wants to know */
        } else if (op->state == OP_FAILED && ++ward->tries < TRIES_MAX) {
                log_error("site '%s': the rollback failed and is tried again: %s", ward->name,
                          op->error.msg);
                ward->trial.state = PROBATION_GOING;
                ward->again_usec = clock_boot_usec() + AGAIN_USEC;
                ward_save(ward);
        } else {
                hold(ward, "The new version fails, and it could not be rolled back.",
                     op->error.msg);
        }
}

static void breach(struct ward *ward, const struct guard_decision *decision)
{
        const char *word = ward_word(ward, false);

        set_cause(ward, decision);
        if (strcmp(word, "rollback") == 0) {
                roll_back(ward);
                return;
        }
        ward->trial.state = strcmp(word, "freeze") == 0 ? PROBATION_FROZEN : PROBATION_ALERTED;
        ward->alerted_usec = clock_boot_usec();
        ward_save(ward);
        tell(ward, ward->trial.state == PROBATION_FROZEN ? NOTICE_FREEZE : NOTICE_ALERT, NULL,
             cause_text(ward));
        ward_normal(ward);
}

/* After probation the guard compares with the hour before. */
static void breach_later(struct ward *ward, const struct guard_decision *decision)
{
        const char *word = ward_word(ward, true);
        int64_t now = clock_boot_usec();

        if (strcmp(word, "off") == 0 || ward->trial.state == PROBATION_HELD)
                return;
        if (strcmp(word, "rollback") == 0 && ward->active == ward->trial.version &&
            ward->trial.state == PROBATION_GOOD) {
                ward_normal_restore(ward);
                json_decref(ward->trial.baseline);
                ward->trial.baseline = ward_baselines_json(ward);
                set_cause(ward, decision);
                roll_back(ward);
                return;
        }
        if (ward->alerted_usec != 0 && now - ward->alerted_usec < ALERT_USEC)
                return;
        ward->alerted_usec = now;
        set_cause(ward, decision);
        tell(ward, NOTICE_ALERT, NULL, cause_text(ward));
}

static void healthy(struct ward *ward)
{
        const struct watch_needs *needs = &ward->watch->needs;
        char reason[96], length[32];
        struct version version;
        struct err err;
        int ret;

        (void)snprintf(length, sizeof(length), "%" PRId64 " s",
                       (clock_wall_usec() - ward->trial.began_usec) / USEC_PER_SEC);
        (void)snprintf(reason, sizeof(reason), "its probes were well for %s after the upgrade",
                       length);
        if (catalog_version(needs->catalog, ward->name, ward->trial.version, &version, &err) < 0)
                return;
        ret = 0;
        /* What a person said counts more. */
        if (version.mark == MARK_NONE) {
                version.mark = MARK_GOOD;
                free(version.mark_reason);
                version.mark_reason = strdup(reason);
                ret = catalog_put_version(needs->catalog, ward->name, &version, &err);
        }
        version_done(&version);
        if (ret < 0) {
                log_error("site '%s' cannot be marked: %s", ward->name, err.msg);
                return;
        }
        log_info("site '%s': version %" PRIu64 " is good: %s", ward->name, ward->trial.version,
                 reason);
        ward->trial.state = PROBATION_GOOD;
        ward_save(ward);
        ward_normal(ward);
}

/* A person hears once that nothing is watched where everybody thinks it is. */
static void unknown(struct ward *ward, const struct guard_decision *decision)
{
        int64_t now = clock_boot_usec();

        if (ward->unknown_usec == 0)
                ward->unknown_usec = now;
        if (ward->told_unknown || now - ward->unknown_usec < UNKNOWN_USEC)
                return;
        ward->told_unknown = true;
        set_cause(ward, decision);
        tell(ward, NOTICE_ALERT, "The new version cannot be judged.", cause_text(ward));
}

static void warn(struct ward *ward, const struct guard_decision *decision)
{
        if (ward->told_warning)
                return;
        ward->told_warning = true;
        set_cause(ward, decision);
        ward_save(ward);
        tell(ward, NOTICE_ALERT, "A probe that is wanted, not required, fails.", cause_text(ward));
}

static void judge_trial(struct ward *ward, const struct guard_decision *decision)
{
        if (decision->verdict == GUARD_BREACH)
                breach(ward, decision);
        else if (decision->verdict == GUARD_HEALTHY)
                healthy(ward);
        else if (decision->verdict == GUARD_WARN)
                warn(ward, decision);
        if (decision->verdict == GUARD_UNKNOWN)
                unknown(ward, decision);
        else
                ward->unknown_usec = 0;
}

static void judge_verification(struct ward *ward, const struct guard_decision *decision)
{
        int64_t waited = clock_boot_usec() - ward->verify_usec;
        struct guard_policy policy;
        char why[GUARD_TEXT_MAX];

        ward_policy(ward, &policy);
        if (decision->verdict == GUARD_BREACH ||
            (decision->verdict == GUARD_UNKNOWN && decision->why == GUARD_WHY_SICK)) {
                if (ward->fails_usec == 0)
                        ward->fails_usec = decision->from_usec;
                if (decision->to_usec - ward->fails_usec < RECOVERED_USEC) {
                        ward_verify_anew(ward);
                        return;
                }
                guard_explain(ward->guard, decision, why);
                hold(ward, "The old version fails too: nothing more is done by itself.", why);
                ward_normal(ward);
        } else if (decision->verdict == GUARD_HEALTHY ||
                   waited > VERIFY_FACTOR * 10 * policy.interval_usec + 60 * USEC_PER_SEC) {
                log_info("site '%s': version %" PRIu64 " is served again%s", ward->name,
                         ward->active,
                         decision->verdict == GUARD_HEALTHY ? " and well"
                                                            : "; it was not measured");
                ward->trial.state = PROBATION_BACK;
                ward_save(ward);
                ward_normal(ward);
        }
}

void ward_judge(struct ward *ward)
{
        struct guard_neighbours around = { 0 };

        if (ward->guard == NULL || ward->op != 0)
                return;
        if (guard_began_failing(ward->guard) != 0)
                around = neighbours(ward);
        guard_judge(ward->guard, clock_boot_usec(), &around, &ward->last);
        if (ward->trial.state == PROBATION_GOING)
                judge_trial(ward, &ward->last);
        else if (ward->trial.state == PROBATION_VERIFYING)
                judge_verification(ward, &ward->last);
        else if (ward->last.verdict == GUARD_BREACH)
                breach_later(ward, &ward->last);
}
