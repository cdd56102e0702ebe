/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SAMPLE_H
#define SNAPD_SAMPLE_H

/*
 * What one probe of one site measured in one interval: counts, never a decision.
 *
 * An answer is good, bad or unknown.  Unknown is what says nothing about the site: an answer from
 * a cache, no traffic, a prober that is cut off, a name that does not resolve, a maintenance of
 * our own.  It never counts as bad and never as good.
 */

#include <jansson.h>
#include <stdint.h>

/* Bucket i counts the good and bad answers that took at least 2^((i-1)/2) ms and less than
 * 2^(i/2) ms; the first has everything below 1 ms, the last everything above 32 s. */
#define SAMPLE_BUCKETS      32
#define SAMPLE_EXAMPLES_MAX 3

struct sample {
        int64_t from_usec, to_usec; /* CLOCK_BOOTTIME: the clock of decisions */
        int64_t wall_usec;          /* to_usec on the wall clock: for people */
        uint64_t version;           /* what was served during the whole interval; 0 when that
                                     * changed: such a sample is nobody's */
        uint32_t good, bad, unknown;
        uint32_t lone; /* of the bad ones: too few visitors met them to be held against a version */
        uint32_t latency[SAMPLE_BUCKETS];
        json_t *examples; /* [{"verdict", "what", "url", "status", "excerpt"}], what was
                           * bad first, at most SAMPLE_EXAMPLES_MAX, already cut and
                           * cleaned; or NULL */
};

#endif
