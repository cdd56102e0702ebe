/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_HOARD_H
#define SNAPD_PROBER_HOARD_H

/*
 * What answers are kept in until they end, 64 KB each at most and HOARD_MAX together: two thousand
 * servers that send most of a page and then nothing would be more than the process may use.
 * Private to snapd/prober_*.c.
 *
 * When it is full the oldest makes way that was begun more than two seconds ago, else the largest,
 * which may be the one that wants more: what it would have been is not known then.  So a page that
 * is whole soon is kept unless it is as large as what hangs.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOARD_MAX ((size_t)6 * 1024 * 1024)

/* One answer; zeroed at first. */
struct body {
        char *data; /* with a NUL behind; NULL: nothing yet */
        size_t n;
        bool dropped; /* it made way */
        int64_t since_usec;
        struct body *next, *previous;
};

/* Zeroed at first. */
struct hoard {
        struct body *first, *last; /* by age */
        size_t bytes;
};

/* hoard_add(hoard, body, data, n): Append.  False: it was dropped, now or before. */
bool hoard_add(struct hoard *hoard, struct body *body, const char *data, size_t n);

/* hoard_remove(hoard, body): Nobody wants it any more. */
void hoard_remove(struct hoard *hoard, struct body *body);

#endif
