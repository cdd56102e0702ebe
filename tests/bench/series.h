/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_BENCH_SERIES_H
#define TESTS_BENCH_SERIES_H

/* The times of one thing that is measured, in microseconds, and a line of a report. */

#include <stddef.h>
#include <time.h>

struct series {
        double *usec; /* lives as long as the program */
        size_t n, room;
};

/* Now, by this clock; only differences mean something. */
double series_clock(clockid_t clock);
double series_now(void); /* CLOCK_MONOTONIC */

/* What has gone by since ${started}, or what was measured otherwise. */
void series_note(struct series *series, double started);
void series_add(struct series *series, double usec);

double series_least(struct series *series);
double series_median(struct series *series);

/* "#   WHAT   LEAST / MEDIAN ms", and both as multiples of ${base}'s unless that is NULL.  An empty
 * series has no line. */
void series_report(const char *what, struct series *series, struct series *base);

#endif
