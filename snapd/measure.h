/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_MEASURE_H
#define SNAPD_MEASURE_H

/*
 * Every site's probes, measured: configuration to the prober, samples to the watch.
 *
 * Sites are looked at one after the other, all of them within ten seconds, so that a file that
 * was changed, a site that was added and one that was removed are noticed without a moment at which
 * two thousand files are read.  Sites with a version on trial come first when snapd starts.
 *
 * A site that we have closed, made read-only or lead elsewhere (snapd/front.h) is known as such at
 * the end of the operation that did it, or when it is looked at: its 503 is unknown, and what comes
 * while visitors do not get the active version is of version 0.
 */

#include "snapd/history.h"
#include "snapd/watch.h"

struct measure;

/* measure_open(needs, ret_measure, err): Open a watch with these needs (the prober's part of them
 * is filled in here) and measure.  What ${needs} points to outlives it. */
int measure_open(const struct watch_needs *needs, struct measure **ret_measure,
                 struct err *err) MUST_CHECK;
void measure_close(struct measure *measure);

/* measure_watch(measure): The watch; it lives as long as ${measure}. */
struct watch *measure_watch(struct measure *measure);

/* measure_history(measure): The same for what was measured; NULL when it cannot be kept. */
struct history *measure_history(struct measure *measure);

#endif
