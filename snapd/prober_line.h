/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_LINE_H
#define SNAPD_PROBER_LINE_H

/*
 * One line of an access log, which visitors write as they like: in the name they log in with, the
 * address they ask for, the page they come from and the name of their browser.  Web servers escape
 * quotes and line ends in these; a line in which that does not come out even is not counted.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapd/probe.h"

#define LINE_MAX_BYTES 16384

struct line {
        unsigned status;
        int64_t usec;      /* how long it took; -1: the line does not say */
        int64_t wall_usec; /* its time, whole seconds rounded down; 0: the same */
        bool asked;        /* that is when it was asked for; else when it was answered */
        /* All of them are cut, and "" when the line does not say. */
        char host[256], path[300], agent[256];
        char method[12], query[300];
        char address[64]; /* of who asked: may be a name, or a proxy's */
};

/* line_read(probe, text, n, ret_line): False when it is not a line of probe->format. */
bool line_read(const struct site_probe *probe, const char *text, size_t n, struct line *ret_line);

#endif
