/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_GUARD_RUN_H
#define SNAPD_GUARD_RUN_H

/*
 * The last judged intervals of one probe, and the test of snapd/guard.h on runs of them.  Sums are
 * kept, so that a run of any length costs one subtraction.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapd/guard.h"

/* Sums over a run; as 32 bits, of which differences are right as long as a run has fewer. */
struct run_sums {
        uint32_t answers, bad; /* good and bad ones, and the bad ones of them */
        uint32_t timed, slow;  /* those whose time is known, and the slow ones of them */
};

struct run_log {
        struct {
                int64_t from_usec;
                struct run_sums until; /* all intervals up to this one */
        } items[GUARD_WINDOW + 1];     /* one more than a run has: its end before the first */
        uint64_t n;                    /* ever written */
};

/* What is tested: the pair of counts, and what is allowed. */
enum run_count { RUN_BAD, RUN_SLOW };

struct run_rule {
        enum run_count count;
        double allowed;   /* share; 1 or more: cannot be broken */
        unsigned confirm; /* pieces */
        unsigned min;     /* answers */
};

struct run_found {
        int64_t from_usec;
        unsigned intervals, answers, bad;
};

/* run_add(log, from_usec, sums): Append one interval. */
void run_add(struct run_log *log, int64_t from_usec, const struct run_sums *sums);

/* run_forget(log): As if nothing had been added. */
void run_forget(struct run_log *log);

/* run_broken(log, rule, ret_found): Is the rule broken by a run that ends with the newest
 * interval?  The shortest one is found. */
bool run_broken(const struct run_log *log, const struct run_rule *rule,
                struct run_found *ret_found);

/* run_newest(log, intervals): The sums of the newest ones, or of all when there are fewer. */
struct run_sums run_newest(const struct run_log *log, unsigned intervals);

/* run_failing_since(log): The beginning of the newest intervals that all have bad answers; 0 when
 * the newest has none. */
int64_t run_failing_since(const struct run_log *log);

/* run_share_most(k, n, z), run_share_least(k, n, z): The ends of Wilson's interval of k/n. */
double run_share_most(double k, double n, double z);
double run_share_least(double k, double n, double z);

#endif
