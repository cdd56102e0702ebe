/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WATCH_WARD_H
#define SNAPD_WATCH_WARD_H

/*
 * One watched site.  Private to snapd/watch*.c.
 */

#include "common/clock.h"
#include "snapd/probe.h"
#include "snapd/watch.h"

#define WARD_RECENT   60 /* samples that are kept as evidence */
#define WARD_EXAMPLES 5  /* bad answers */

struct ward_recent {
        int64_t wall_usec;
        uint64_t version;
        uint32_t good, bad, unknown;
};

struct ward_probe {
        struct guard_probe probe; /* its name is ${name} */
        char name[PROBE_NAME_MAX];
        /* What is normal: this half hour and the one before. */
        struct guard_baseline rolls[2];
        struct guard_baseline compared; /* what was normal when ward_normal() was called */
        struct watch_counts counts;
        struct ward_recent recent[WARD_RECENT];
        uint64_t n_recent;
        json_t *examples; /* the newest bad answers, oldest first */
};

struct ward {
        struct watch *watch;
        struct ward *next;
        char name[SITE_NAME_MAX];
        struct ward_probe *probes;
        size_t n;
        uid_t owner;
        int64_t rolled_usec; /* when the rolls changed places last */

        uint64_t active;
        op_id op; /* that is open; 0: none */
        struct probation trial;
        struct guard *guard;   /* of a trial, or of what is normal */
        int64_t saved_usec;    /* when the trial was written last */
        int64_t verify_usec;   /* when the verification began */
        int64_t fails_usec;    /* since when the rules are broken in it; 0: never yet */
        int64_t unknown_usec;  /* since when it cannot be judged; 0: it can */
        int64_t again_usec;    /* no rollback is filed before */
        int64_t alerted_usec;  /* when a person was told of a failure after probation */
        unsigned tries;
        bool told_warning, told_unknown;
        struct guard_decision last;

        int64_t seen_usec;   /* the end of the newest sample that says something */
        int64_t turned_usec; /* when it began to fail; 0: it does not */
};

struct watch {
        struct watch_needs needs;
        struct ward *wards;
        sd_event_source *timer;
        char boot[40];
};

/* What follows is watch_trial.c's, if nothing else is said.
 *
 * ward_policy(ward, ret_policy): The rules of the site's file as it is now. */
void ward_policy(const struct ward *ward, struct guard_policy *ret_policy);

/* ward_word(ward, after): What is to follow a breach, "rollback", "alert", ...; ${after}
 * probation. */
const char *ward_word(const struct ward *ward, bool after);

/* ward_normal_restore(ward): What a version showed that is taken back is not what is normal: that
 * is what it was compared with. */
void ward_normal_restore(struct ward *ward);

/* ward_guard(ward, policy, baselines, spent_usec): Begin to judge anew; nothing is judged when
 * memory is short. */
void ward_guard(struct ward *ward, const struct guard_policy *policy,
                const struct guard_baseline *baselines, int64_t spent_usec);

/* ward_save(ward): Write the trial down.  What fails is logged and tried again. */
void ward_save(struct ward *ward);

/* ward_verify(ward): The rollback has been made: look whether it helped. */
void ward_verify(struct ward *ward);

/* ward_verify_anew(ward): What was seen since then says nothing. */
void ward_verify_anew(struct ward *ward);

/* ward_forget(ward): Something else happened to the site: no trial goes on. */
void ward_forget(struct ward *ward);

/* ward_normal(ward): No trial goes on: judge by what was measured in the last hour. */
void ward_normal(struct ward *ward);

/* ward_op_done(op): Has it done what it was asked for?  What it left may still be being kept. */
bool ward_op_done(const struct op *op);

/* ward_refresh(ward): Look at what the catalog says is served: begin a trial, or end one that is
 * about something else. */
void ward_refresh(struct ward *ward);

/* ward_take_up(ward): Go on with the trial that was read from the catalog. */
void ward_take_up(struct ward *ward);

/* ward_judge(ward): Ask the guard and do what it decides; watch_act.c. */
void ward_judge(struct ward *ward);

/* ward_rolled_back(ward, op): The rollback's operation has ended; watch_act.c. */
void ward_rolled_back(struct ward *ward, const struct op *op);

/* ward_baselines_json(ward), ward_baselines_read(ward, json, baselines): What is normal, by the
 * names of probes; watch_evidence.c. */
json_t *ward_baselines_json(const struct ward *ward);
void ward_baselines_read(const struct ward *ward, const json_t *json,
                         struct guard_baseline *baselines);

/* ward_cause(ward, decision): CAUSE of docs/api.md; watch_evidence.c. */
json_t *ward_cause(const struct ward *ward, const struct guard_decision *decision);

/* ward_remember(probe, sample): Keep what may be evidence; watch_evidence.c. */
void ward_remember(struct ward_probe *probe, const struct sample *sample);

#endif
