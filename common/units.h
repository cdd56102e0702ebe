/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

/*
 * Durations and sizes as a person writes them, and exactly back.
 *
 *   duration  "30m", "1h30m", "500ms", "0"; units ms s m h d w
 *   size      "20G", "512M", "1G512M", "0"; units B K M G T P, each 1024 of the one before; "GB"
 * and "GiB" mean the same as "G"
 *
 * A number without a unit is refused, except 0: half of the readers would guess another unit.
 */

#include <stdint.h>

#include "common/error.h"

#define UNITS_MAX 32 /* bytes of a printed value with the NUL */

/* units_duration(text, ret_msec, err): ERR_INVALID says what is expected. */
int units_duration(const char *text, uint64_t *ret_msec, struct err *err) MUST_CHECK;

/* units_size(text, ret_bytes, err): ERR_INVALID says what is expected. */
int units_size(const char *text, uint64_t *ret_bytes, struct err *err) MUST_CHECK;

/* units_duration_print(msec, buf), units_size_print(bytes, buf): In the largest unit that loses
 * nothing, so that reading it back gives the same value. */
void units_duration_print(uint64_t msec, char buf[static UNITS_MAX]);
void units_size_print(uint64_t bytes, char buf[static UNITS_MAX]);

#endif
