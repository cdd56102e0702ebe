/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_TALLY_H
#define SNAPD_PROBER_TALLY_H

/*
 * Counting answers into a sample.
 */

#include "snapd/probe.h"
#include "snapd/sample.h"

#define TALLY_WHAT_MAX 200

/* What one answer was. */
struct tally_answer {
        enum probe_verdict verdict;
        int64_t usec;              /* how long it took; -1: not known */
        char what[TALLY_WHAT_MAX]; /* "" needs no example */
        const char *url;           /* or NULL, as is the next */
        const char *excerpt;       /* bytes of a tenant's; cleaned here */
        size_t n_excerpt;
        unsigned status; /* 0: none */
};

/* tally_begin(sample): Nothing was seen, from now on. */
void tally_begin(struct sample *sample);

/* tally_add(sample, answer): Count it, and keep it as an example when there is room, or when it is
 * worse than one that is kept. */
void tally_add(struct sample *sample, const struct tally_answer *answer);

/* tally_end(sample): Until now. */
void tally_end(struct sample *sample);

/* tally_done(sample): Free what it holds. */
void tally_done(struct sample *sample);

/* tally_verdict(sample): Of all of it: bad if anything was, else unknown if anything was or nothing
 * was seen, else good. */
enum probe_verdict tally_verdict(const struct sample *sample);

/* tally_clean(buf, size, data, n): ${n} bytes of anybody's as one line of valid UTF-8: blanks run
 * together, what cannot be shown is '?', cut at ${size}. */
void tally_clean(char *buf, size_t size, const char *data, size_t n);

#endif
