/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_GUARD_H
#define SNAPD_GUARD_H

/*
 * The guard: counts over time in, a decision out.  It asks nothing and does nothing.
 *
 * A rule is broken when three things are true of some run of intervals that ends now:
 *
 *   evidence       The share of bad answers is above what is allowed, by more than chance: by
 *                  Chernoff's bound a site that is exactly at the limit shows such a run with a
 *                  probability below 10^-7.  The bound is n * KL(share || allowed), holds for any
 *                  n, and needs four failures of four at 1 %, or about 400 answers at 5 %.
 *   confirmation   Cut into `confirm` pieces of equal length, the run is above the limit in each
 *                  of them: a burst, however large, is one piece.
 *   samples        Of visitors there are at least `min_samples` answers: a site without traffic
 *                  is judged by its active probes alone.
 *
 * How soon that is depends on how many answers there are: after about 16 / KL(share || allowed) of
 * them, 390 at 5 % against 1 %, which are 10 s of 40 answers a second and 4 s of 100.  No test that
 * is wrong as seldom needs fewer on average (Wald): a CUSUM that is told what share is to be found
 * takes as many.
 *
 * What is allowed is the largest of error_rate, error_factor times the share before the upgrade,
 * and the upper end of that share's Wilson interval: what was measured on few answers only is
 * not held against the new version.  (95 % for active probes, whose failures are confirmed one by
 * one; 99.9 % for visitors, whose numbers find out the smallest mistake in the baseline.)
 *
 * Latency is judged by the same test.  An answer is slow when it took longer than latency_factor
 * times the 95th percentile of before, and longer than latency_floor; one in twenty may.
 *
 * What too few visitors met (snapd/prober_crowd.h) is in what was normal before, so that it allows
 * as much as it ever did, and is not held against the new version: nobody can ask a version down.
 *
 * Unknown answers are in no count: they neither break a rule nor end a probation.  A probe that
 * was not measured before the upgrade, or that failed in more than a tenth of its answers then,
 * breaks no rule.  Time is CLOCK_BOOTTIME, and only that of samples and of the caller.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "snapd/sample.h"

#define GUARD_WINDOW      256 /* judged intervals that a run may have */
#define GUARD_PROBES_MAX  32
#define GUARD_TEXT_MAX    256
#define GUARD_CONFIRM_MAX 60

struct guard_policy {
        int64_t probation_usec, interval_usec;
        unsigned min_samples, confirm;
        double error_rate;                   /* a share: 0.01 */
        double error_factor, latency_factor; /* of what it was before */
        unsigned latency_floor_msec;
};

enum guard_kind { GUARD_ACTIVE, GUARD_VISITORS };

struct guard_probe {
        const char *name;
        enum guard_kind kind;
        bool required; /* breaks a rule: rollback; else: a warning */
};

/* Sums of samples from before the upgrade. */
struct guard_baseline {
        uint64_t good, bad;
        uint64_t latency[SAMPLE_BUCKETS];
};

/* What the other sites of this host do at the same time: how many were measured since this one
 * began to fail, and how many of them were well before and fail now. */
struct guard_neighbours {
        unsigned judged, failing;
};

enum guard_verdict {
        GUARD_GOING,   /* nothing wrong, and not over yet */
        GUARD_HEALTHY, /* probation is over, and it was measured and well; a wanted probe may differ
                        */
        GUARD_BREACH,  /* a required probe broke a rule */
        GUARD_WARN,    /* a wanted one did */
        GUARD_UNKNOWN, /* it cannot be judged: see why */
};

enum guard_rule { GUARD_ERRORS, GUARD_LATENCY };

enum guard_why {
        GUARD_WHY_NONE,
        GUARD_WHY_SILENT,   /* no answer that says anything has come lately */
        GUARD_WHY_COMMON,   /* most sites of this host fail at once */
        GUARD_WHY_SICK,     /* it failed before the upgrade too */
        GUARD_WHY_UNPROVED, /* probation is over, and it was hardly measured or not well */
};

struct guard_decision {
        enum guard_verdict verdict;
        enum guard_why why;   /* of UNKNOWN */
        enum guard_rule rule; /* the rest is of BREACH and WARN */
        size_t probe;
        int64_t from_usec, to_usec;       /* of the run */
        unsigned intervals, answers, bad; /* in it; bad: failed, or too slow */
        double allowed;                   /* share */
        double before;                    /* share that failed, before the upgrade */
        unsigned limit_msec, before_msec; /* of GUARD_LATENCY; before_msec: the 95th percentile */
};

struct guard;

/* guard_open(policy, probes, n, baselines, now_usec, spent_usec, ret_guard, err): Begin a
 * probation of which ${spent_usec} are over already.  Everything is copied but the names of the
 * probes, which have to live as long as the guard.  ERR_INVALID: more than GUARD_PROBES_MAX. */
int guard_open(const struct guard_policy *policy, const struct guard_probe *probes, size_t n,
               const struct guard_baseline *baselines, int64_t now_usec, int64_t spent_usec,
               struct guard **ret_guard, struct err *err) MUST_CHECK;
void guard_close(struct guard *guard);

/* guard_feed(guard, probe, sample): Take a sample of the version on probation; one that does not
 * end after the last is left out. */
void guard_feed(struct guard *guard, size_t probe, const struct sample *sample);

/* guard_judge(guard, now_usec, neighbours, ret_decision): Decide by what was fed.  When most sites
 * fail at once, what this one showed until now is forgotten. */
void guard_judge(struct guard *guard, int64_t now_usec, const struct guard_neighbours *neighbours,
                 struct guard_decision *ret_decision);

/* guard_began_failing(guard): When the newest run of bad answers began, 0 when there is none:
 * since when the neighbours are to be looked at. */
int64_t guard_began_failing(const struct guard *guard);

/* guard_explain(guard, decision, buf): The decision as a person reads it. */
void guard_explain(const struct guard *guard, const struct guard_decision *decision,
                   char buf[static GUARD_TEXT_MAX]);

/* guard_baseline_add(baseline, sample): Take a sample from before the upgrade. */
void guard_baseline_add(struct guard_baseline *baseline, const struct sample *sample);

/* The names of the API; NULL for none. */
const char *guard_verdict_name(enum guard_verdict verdict);
const char *guard_rule_name(enum guard_rule rule);
const char *guard_why_name(enum guard_why why);

#endif
