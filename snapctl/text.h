/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_TEXT_H
#define SNAPCTL_TEXT_H

/*
 * Text for people: strings of strangers made harmless, sizes, times, and the words a person
 * types read back into numbers.
 *
 * Labels, reasons, file names and the output of a site's command come from the site's owner and
 * may hold escape sequences that rewrite what a terminal shows.  Whatever is printed for a person
 * goes through text_put().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

#define TEXT_SIZE_MAX 32
#define TEXT_TIME_MAX 48

/* text_put(out, s, max): Print at most ${max} terminal columns of the UTF-8 string ${s}, with '?'
 * for control characters, invisible and direction-changing characters and malformed bytes.  With
 * ${out} NULL nothing is printed.  Returns the columns it takes. */
unsigned text_put(FILE *out, const char *s, unsigned max);

/* text_width(s): Columns that text_put() of all of ${s} takes. */
unsigned text_width(const char *s);

/* text_put_lines(out, s, n): Print ${n} bytes as text_put(), keeping line ends and tabs; a
 * carriage return becomes a line end. */
void text_put_lines(FILE *out, const char *s, size_t n);

/* text_number(value, buf): The decimal number, without the price of printf(); returns its bytes. */
size_t text_number(uint64_t value, char buf[static TEXT_SIZE_MAX]);

/* text_size(bytes, buf): "1.4 GiB". */
void text_size(uint64_t bytes, char buf[static TEXT_SIZE_MAX]);

/* text_duration(usec, buf): "0.3 s", "4 min 10 s", "2 h 5 min". */
void text_duration(int64_t usec, char buf[static TEXT_TIME_MAX]);

/* text_ago(then_usec, now_usec, buf): "2 hours ago"; the date when that is long ago, or not in
 * the past at all. */
void text_ago(int64_t then_usec, int64_t now_usec, char buf[static TEXT_TIME_MAX]);

/* text_parse_time(s, ret_usec): Microseconds since 1970 of an ISO 8601 time; false when it is
 * none. */
bool text_parse_time(const char *s, int64_t *ret_usec);

/* text_parse_until(s, ret_usec): As text_parse_time(); also a duration from now ("2h"), the local
 * time of day that comes next ("18:30"), and a local date and time without a zone. */
bool text_parse_until(const char *s, int64_t *ret_usec);

/* text_parse_u64(s, ret_value): A decimal number from 1, nothing around it. */
bool text_parse_u64(const char *s, uint64_t *ret_value);

/* text_parse_range(s, ret_first, ret_last): "3" or "3-7". */
bool text_parse_range(const char *s, uint64_t *ret_first, uint64_t *ret_last);

/* text_distance(a, b): How many letters must be changed, added, removed or swapped with the next
 * to make ${a} of ${b}; words are compared in their first 31 bytes. */
unsigned text_distance(const char *a, const char *b);

#endif
