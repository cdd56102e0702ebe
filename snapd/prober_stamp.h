/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_STAMP_H
#define SNAPD_PROBER_STAMP_H

/*
 * The time that a line of an access log is of.  Private to snapd/prober_*.c.
 */

#include <stdint.h>

#define STAMP_MAX         40
#define STAMP_SECONDS_MAX 1e11 /* since 1970; what is later is no time */

/* stamp_read(text): "20/Nov/2026:13:00:00 +0100" or "2026-11-20T13:00:00+01:00", as microseconds
 * since 1970.  0 when it is neither: one that does not say its distance from UTC may be any. */
int64_t stamp_read(const char *text);

#endif
