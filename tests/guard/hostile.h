/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_GUARD_HOSTILE_H
#define TESTS_GUARD_HOSTILE_H

/*
 * A web server on the loopback that answers as a hostile or broken site would: the path says how.
 * A process for each connection, so that one that hangs holds up no other.
 */

#include <sys/types.h>

/* hostile_start(ret_port): Its process; it ends with the test. */
pid_t hostile_start(unsigned *ret_port);

#endif
