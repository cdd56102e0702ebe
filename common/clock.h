/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

/*
 * Time.  Deadlines count on the boot clock, which no administrator can set; the wall clock is for
 * people and for expiry only.
 */

#include <stddef.h>
#include <stdint.h>

#define USEC_PER_SEC 1000000
#define CLOCK_ISO_MAX 32

/* clock_wall_usec(): Microseconds since 1970. */
int64_t clock_wall_usec(void);

/* clock_boot_usec(): Microseconds since the machine started, sleep included. */
int64_t clock_boot_usec(void);

/* clock_iso(usec, utc, buf): "2026-03-01T12:00:00+01:00", or with a Z when ${utc}. */
void clock_iso(int64_t usec, int utc, char buf[static CLOCK_ISO_MAX]);

#endif
