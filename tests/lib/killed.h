/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_KILLED_H
#define TESTS_LIB_KILLED_H

/*
 * Killed at any moment: a call is made in a child that is killed as it enters its n-th system call
 * that changes something (or asks another process to), for n = 1, 2, ... until it comes to its end.
 */

#include <stdbool.h>

#define KILLED_MOST 2000 /* more such calls than any operation makes */

/* killed_at(run, arg, nth): Make the call; true: it came to its end, with 0, before the ${nth}
 * change.  A failure of it fails the test.  Skips the test where no process can be traced. */
bool killed_at(int (*run)(void *arg), void *arg, unsigned nth);

#endif
