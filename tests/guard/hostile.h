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

/* hostile_tls_start(version, ret_port): One that answers by TLS, up to TLS1_2_VERSION or
 * TLS1_3_VERSION, at every address of the loopback, and closes; its page says "handshake whole by
 * TLSv1.3", or "shortened" when a session was taken up again. */
pid_t hostile_tls_start(int version, unsigned *ret_port);

/* hostile_mute_start(ret_port): One that takes connections, at every address of the loopback, and
 * neither reads nor says anything. */
pid_t hostile_mute_start(unsigned *ret_port);

#endif
