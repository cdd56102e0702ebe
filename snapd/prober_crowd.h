/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_CROWD_H
#define SNAPD_PROBER_CROWD_H

/*
 * How many of a site's visitors meet a failure, and where: so that no single one of them can make a
 * version look broken by asking again and again for what fails.  Private to snapd/prober_*.c.
 *
 * Who asks is a network, 24 bits of an IPv4 address and 48 of an IPv6 one, since nobody has one
 * address only; what he asks for is a URL: method, path and query.  A failure counts when one of
 * these is so:
 *
 *   - His network has no more than its part of what counted before: CROWD_FREE, and a quarter of
 *     all.  So one network counts four times at most, three about thirty times together, and what
 *     more of them meet counts whole.  Of a URL that nobody was answered well at nothing says that
 *     it ever worked: there the path has to have no more than its part either.
 *   - His network has more than a quarter of all answers, so it is a proxy before the site or the
 *     site has few visitors, and this URL was answered well: as often as it was.
 *
 * What counts is never more than what failed, and what failed before an upgrade is measured whole:
 * so nothing is taken back that would not have been by the plain numbers.
 *
 * All of it fades over CROWD_FADE intervals.  URLs that were answered well are remembered by a
 * keyed hash, CROWD_URLS of them, the most asked for first; what is new takes the place of what was
 * asked for least, so a flood of addresses that are made up moves no page out that has visitors.
 *
 * What this does not see through: visitors of four networks or more who agree with each other; and
 * behind one proxy, a visitor who asks as much as a quarter of all and knows how to make pages fail
 * that are well for others.  What it does not see: behind one proxy, that pages fail which nobody
 * was answered well at lately, and without one, that a single page does which nobody was.  That is
 * for active probes.
 */

#include <stdbool.h>

#include "common/error.h"
#include "snapd/prober_line.h"

#define CROWD_FREE     3   /* failures that count of each network, and of each unknown path */
#define CROWD_PART     4   /* and this part of all */
#define CROWD_FADE     256 /* intervals; as many as the guard looks at */
#define CROWD_URLS     512
#define CROWD_NETWORKS 32 /* that are remembered for their failures, and as many paths */

struct crowd;

/* crowd_open(ret_crowd, err), crowd_close(crowd): Nobody has asked for anything yet. */
int crowd_open(struct crowd **ret_crowd, struct err *err) MUST_CHECK;
void crowd_close(struct crowd *crowd);

/* crowd_interval(crowd): One is over. */
void crowd_interval(struct crowd *crowd);

/* crowd_well(crowd, line): It was answered well, now or some time ago. */
void crowd_well(struct crowd *crowd, const struct line *line);

/* crowd_fails(crowd, line): It failed; is that to count? */
bool crowd_fails(struct crowd *crowd, const struct line *line);

#endif
