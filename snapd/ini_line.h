/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_INI_LINE_H
#define SNAPD_INI_LINE_H

/*
 * inih knows no line numbers and reports only the first line it cannot read.  So it is given one
 * line at a time by a reader that counts them and keeps back what is not well formed.
 */

#include <stdbool.h>

/* ini_line_take(next, to, room): The line at *next, without its end, is in ${to}, and *next is
 * behind it.  False, with ${to} empty, when it does not fit. */
bool ini_line_take(const char **next, char *to, int room);

#endif
