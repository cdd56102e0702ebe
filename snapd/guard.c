/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "snapd/guard.h"
#include "snapd/guard_run.h"

#define SICK         0.10 /* a probe that failed more often before the upgrade breaks no rule */
#define SLOW_ALLOWED 0.05 /* one answer in twenty is above the 95th percentile */
#define WELL         0.50 /* an interval in which more answers failed is no measured health */

/* What makes the newest intervals old news: so many of them have passed without an answer. */
#define SILENT_INTERVALS 5
#define SILENT_MIN_USEC  (10 * USEC_PER_SEC)

/* The ends of intervals at 95 % and 99.9 %, for the two kinds of probes. */
static const double deviations[] = { [GUARD_ACTIVE] = 1.645, [GUARD_VISITORS] = 3.291 };

struct watched {
        struct guard_probe probe;
        bool measured; /* before the upgrade */
        double before; /* share that failed then */
        bool sick;     /* it breaks no rule */
        double errors_allowed, slow_allowed;
        unsigned slow_bucket; /* the first one; SAMPLE_BUCKETS: no answer is too slow */
        unsigned limit_msec, before_msec;
        struct run_log log;
        int64_t last_usec;     /* the end of the newest sample */
        int64_t answered_usec; /* the end of the newest that says something */
        int64_t well_usec;     /* for how long it was measured and well */
        uint64_t answers, bad;
};

struct guard {
        struct guard_policy policy;
        int64_t began_usec; /* the probation, had it run in one go */
        size_t n;
        struct watched watched[];
};

static double edge_msec(unsigned bucket)
{
        return pow(2, bucket / 2.0);
}

/* The bucket that holds the 95th percentile. */
static unsigned percentile_bucket(const struct guard_baseline *baseline, uint64_t timed)
{
        uint64_t below = 0;
        unsigned bucket = 0;

        for (; bucket < SAMPLE_BUCKETS - 1; bucket++) {
                below += baseline->latency[bucket];
                if (20 * below >= 19 * timed)
                        break;
        }
        return bucket;
}

static void set_latency(struct watched *watched, const struct guard_policy *policy,
                        const struct guard_baseline *baseline)
{
        double z = deviations[watched->probe.kind], limit;
        uint64_t timed = 0, slow = 0;

        for (unsigned i = 0; i < SAMPLE_BUCKETS; i++)
                timed += baseline->latency[i];
        watched->slow_bucket = SAMPLE_BUCKETS;
        if (timed == 0)
                return;
        watched->before_msec = (unsigned)ceil(edge_msec(percentile_bucket(baseline, timed)));
        limit = fmax(policy->latency_floor_msec, policy->latency_factor * watched->before_msec);
        watched->limit_msec = (unsigned)fmin(limit, UINT32_MAX);

        /* Bucket i begins at the edge of the one before. */
        for (unsigned i = 1; i < SAMPLE_BUCKETS; i++)
                if (edge_msec(i - 1) >= limit) {
                        watched->slow_bucket = i;
                        break;
                }
        for (unsigned i = watched->slow_bucket; i < SAMPLE_BUCKETS; i++)
                slow += baseline->latency[i];
        watched->slow_allowed = fmax(SLOW_ALLOWED, run_share_most((double)slow, (double)timed, z));
}

static void set_watched(struct watched *watched, const struct guard_policy *policy,
                        const struct guard_baseline *baseline)
{
        double n = (double)(baseline->good + baseline->bad), bad = (double)baseline->bad;
        double z = deviations[watched->probe.kind];

        watched->measured = n > 0;
        watched->before = n > 0 ? bad / n : 0;
        watched->sick = n == 0 || watched->before > SICK;
        watched->errors_allowed = policy->error_rate;

        /* Where nothing was measured, nothing is known that would allow more: it is told. */
        if (n > 0)
                watched->errors_allowed =
                        fmax(policy->error_rate, fmax(policy->error_factor * watched->before,
                                                      run_share_most(bad, n, z)));
        set_latency(watched, policy, baseline);
}

int guard_open(const struct guard_policy *policy, const struct guard_probe *probes, size_t n,
               const struct guard_baseline *baselines, int64_t now_usec, int64_t spent_usec,
               struct guard **ret_guard, struct err *err)
{
        struct guard *guard;

        if (n > GUARD_PROBES_MAX)
                return err_fail(err, ERR_INVALID, 0, "a site has at most %d probes",
                                GUARD_PROBES_MAX);
        guard = calloc(1, sizeof(*guard) + n * sizeof(guard->watched[0]));
        if (guard == NULL)
                return err_oom(err);
        guard->policy = *policy;
        guard->began_usec = now_usec - spent_usec;
        guard->n = n;
        for (size_t i = 0; i < n; i++) {
                guard->watched[i].probe = probes[i];
                guard->watched[i].answered_usec = now_usec;
                set_watched(&guard->watched[i], policy, &baselines[i]);
        }
        *ret_guard = guard;
        return 0;
}

void guard_close(struct guard *guard)
{
        free(guard);
}

void guard_baseline_add(struct guard_baseline *baseline, const struct sample *sample)
{
        baseline->good += sample->good;
        baseline->bad += sample->bad;
        for (unsigned i = 0; i < SAMPLE_BUCKETS; i++)
                baseline->latency[i] += sample->latency[i];
}

static int64_t silent_after(const struct guard *guard)
{
        int64_t usec = SILENT_INTERVALS * guard->policy.interval_usec;

        return usec > SILENT_MIN_USEC ? usec : SILENT_MIN_USEC;
}

/* A sample speaks for the time since the one before, unless that is too long ago. */
static int64_t covered_usec(const struct guard *guard, const struct watched *watched,
                            const struct sample *sample)
{
        int64_t since = sample->to_usec - watched->last_usec;

        return since <= silent_after(guard) ? since : sample->to_usec - sample->from_usec;
}

void guard_feed(struct guard *guard, size_t probe, const struct sample *sample)
{
        uint32_t bad = sample->bad - sample->lone;
        struct run_sums sums = { .answers = sample->good + bad, .bad = bad };
        struct watched *watched;
        int64_t covered;

        if (probe >= guard->n || sample->to_usec <= guard->watched[probe].last_usec)
                return;
        watched = &guard->watched[probe];
        covered = covered_usec(guard, watched, sample);
        watched->last_usec = sample->to_usec;
        if (sums.answers == 0)
                return;
        watched->answered_usec = sample->to_usec;
        for (unsigned i = 0; i < SAMPLE_BUCKETS; i++) {
                sums.timed += sample->latency[i];
                if (i >= watched->slow_bucket)
                        sums.slow += sample->latency[i];
        }
        watched->answers += sums.answers;
        watched->bad += sums.bad;
        if (sums.bad <= WELL * sums.answers)
                watched->well_usec += covered;
        run_add(&watched->log, sample->from_usec, &sums);
}

static bool breaks_rule(const struct guard *guard, size_t i, struct guard_decision *decision)
{
        const struct watched *watched = &guard->watched[i];
        struct run_rule rules[] = {
                [GUARD_ERRORS] = { .count = RUN_BAD, .allowed = watched->errors_allowed },
                [GUARD_LATENCY] = { .count = RUN_SLOW, .allowed = watched->slow_allowed },
        };
        struct run_found found;

        for (enum guard_rule rule = GUARD_ERRORS; rule <= GUARD_LATENCY; rule++) {
                rules[rule].confirm = guard->policy.confirm;
                rules[rule].min =
                        watched->probe.kind == GUARD_VISITORS ? guard->policy.min_samples : 0;
                if (!run_broken(&watched->log, &rules[rule], &found))
                        continue;
                if (watched->sick && !watched->probe.required)
                        return false; /* nobody would be called for what was so before */
                *decision = (struct guard_decision){
                        .verdict = watched->sick             ? GUARD_UNKNOWN
                                   : watched->probe.required ? GUARD_BREACH
                                                             : GUARD_WARN,
                        .why = watched->sick ? GUARD_WHY_SICK : GUARD_WHY_NONE,
                        .rule = rule,
                        .probe = i,
                        .from_usec = found.from_usec,
                        .to_usec = watched->answered_usec,
                        .intervals = found.intervals,
                        .answers = found.answers,
                        .bad = found.bad,
                        .allowed = rules[rule].allowed,
                        .before = watched->before,
                        .limit_msec = watched->limit_msec,
                        .before_msec = watched->before_msec,
                };
                return true;
        }
        return false;
}

/* The gravest decision of all probes; what a required one breaks counts before everything. */
static bool find_broken(const struct guard *guard, struct guard_decision *decision)
{
        static const int gravity[] = {
                [GUARD_BREACH] = 3,
                [GUARD_WARN] = 2,
                [GUARD_UNKNOWN] = 1,
                [GUARD_GOING] = 0,
        };
        struct guard_decision one;

        for (size_t i = 0; i < guard->n; i++)
                if (breaks_rule(guard, i, &one) &&
                    gravity[one.verdict] > gravity[decision->verdict])
                        *decision = one;
        return decision->verdict != GUARD_GOING;
}

/* Has any required probe said something lately? */
static bool is_silent(const struct guard *guard, int64_t now_usec)
{
        for (size_t i = 0; i < guard->n; i++)
                if (guard->watched[i].probe.required &&
                    now_usec - guard->watched[i].answered_usec <= silent_after(guard))
                        return false;
        return true;
}

/* Is it well now, and was it well in all? */
static bool is_well(const struct guard *guard, const struct watched *watched)
{
        struct run_sums newest = run_newest(&watched->log, guard->policy.confirm);
        double z = deviations[watched->probe.kind];
        double least = run_share_least((double)watched->bad, (double)watched->answers, z);

        return newest.answers > 0 && newest.bad <= WELL * newest.answers &&
               least <= watched->errors_allowed &&
               (double)watched->bad <= SICK * (double)watched->answers;
}

/* Every required active probe has to have proved the version, being measured and well for at least
 * half of the time; where there is none, the visitors.  Nothing proves it while visitors fail. */
static bool all_proved(const struct guard *guard)
{
        size_t active = 0, proved = 0;

        for (size_t i = 0; i < guard->n; i++) {
                const struct watched *watched = &guard->watched[i];
                bool enough = watched->well_usec >= guard->policy.probation_usec / 2;
                bool visitors = watched->probe.kind == GUARD_VISITORS;

                if (!watched->probe.required ||
                    (visitors && watched->answers < guard->policy.min_samples))
                        continue;
                if (!is_well(guard, watched) || (!visitors && !enough))
                        return false;
                active += !visitors;
                proved += visitors && enough;
        }
        return active + proved > 0;
}

static bool is_common(const struct guard_neighbours *neighbours)
{
        return neighbours->judged >= 2 && 2 * neighbours->failing > neighbours->judged;
}

void guard_judge(struct guard *guard, int64_t now_usec, const struct guard_neighbours *neighbours,
                 struct guard_decision *ret_decision)
{
        struct guard_decision decision = { .verdict = GUARD_GOING };

        bool over = now_usec - guard->began_usec >= guard->policy.probation_usec;

        if (find_broken(guard, &decision)) {
                if (decision.verdict == GUARD_WARN && over && all_proved(guard)) {
                        decision = (struct guard_decision){ .verdict = GUARD_HEALTHY };
                } else if (is_common(neighbours)) {
                        for (size_t i = 0; i < guard->n; i++)
                                run_forget(&guard->watched[i].log);
                        decision = (struct guard_decision){ .verdict = GUARD_UNKNOWN,
                                                            .why = GUARD_WHY_COMMON };
                }
        } else if (is_silent(guard, now_usec)) {
                decision = (struct guard_decision){ .verdict = GUARD_UNKNOWN,
                                                    .why = GUARD_WHY_SILENT };
        } else if (over) {
                bool proved = all_proved(guard);

                decision.verdict = proved ? GUARD_HEALTHY : GUARD_UNKNOWN;
                decision.why = proved ? GUARD_WHY_NONE : GUARD_WHY_UNPROVED;
        }
        *ret_decision = decision;
}

int64_t guard_began_failing(const struct guard *guard)
{
        int64_t since = 0;

        for (size_t i = 0; i < guard->n; i++) {
                int64_t one = run_failing_since(&guard->watched[i].log);

                if (one != 0 && (since == 0 || one < since))
                        since = one;
        }
        return since;
}

static const char *const verdicts[] = {
        [GUARD_GOING] = "going",  [GUARD_HEALTHY] = "healthy", [GUARD_BREACH] = "breach",
        [GUARD_WARN] = "warning", [GUARD_UNKNOWN] = "unknown",
};
static const char *const rules[] = {
        [GUARD_ERRORS] = "errors",
        [GUARD_LATENCY] = "latency",
};
static const struct {
        const char *name, *text;
} whys[] = {
        [GUARD_WHY_NONE] = { "none", "" },
        [GUARD_WHY_SILENT] = { "silent", "no probe has had an answer that says anything lately" },
        [GUARD_WHY_COMMON] = { "common", "most sites of this host fail at once" },
        [GUARD_WHY_SICK] = { "sick", "it fails, and failed or was not measured before" },
        [GUARD_WHY_UNPROVED] = { "unproved", "probation is over, but it was not measured for long "
                                             "enough, or is not well" },
};

const char *guard_verdict_name(enum guard_verdict verdict)
{
        return (size_t)verdict < sizeof(verdicts) / sizeof(verdicts[0]) ? verdicts[verdict] : NULL;
}

const char *guard_rule_name(enum guard_rule rule)
{
        return (size_t)rule < sizeof(rules) / sizeof(rules[0]) ? rules[rule] : NULL;
}

const char *guard_why_name(enum guard_why why)
{
        return (size_t)why < sizeof(whys) / sizeof(whys[0]) ? whys[why].name : NULL;
}

void guard_explain(const struct guard *guard, const struct guard_decision *decision,
                   char buf[static GUARD_TEXT_MAX])
{
        double share = decision->answers > 0 ? 100.0 * decision->bad / decision->answers : 0;
        double sec = (double)(decision->to_usec - decision->from_usec) / USEC_PER_SEC;
        const struct watched *watched;
        char before[32];

        if (decision->answers == 0) {
                (void)snprintf(buf, GUARD_TEXT_MAX, "%s", whys[decision->why].text);
                return;
        }
        watched = &guard->watched[decision->probe];
        (void)snprintf(before, sizeof(before), watched->measured ? "%.1f %%" : "not measured",
                       100 * decision->before);
        if (decision->rule == GUARD_LATENCY)
                (void)snprintf(buf, GUARD_TEXT_MAX,
                               "probe '%.60s': %u of %u answers in %.0f s took longer than %u ms "
                               "(%.1f %%; before, 19 of 20 took less than %u ms)",
                               watched->probe.name, decision->bad, decision->answers, sec,
                               decision->limit_msec, share, decision->before_msec);
        else
                (void)snprintf(buf, GUARD_TEXT_MAX,
                               "probe '%.60s': %u of %u answers in %.0f s failed (%.1f %%; before, "
                               "%s; allowed are %.1f %%)",
                               watched->probe.name, decision->bad, decision->answers, sec, share,
                               before, 100 * decision->allowed);
}
