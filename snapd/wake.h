/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WAKE_H
#define SNAPD_WAKE_H

/*
 * An operation process tells snapd that there is news, so that clients who wait for it need not
 * poll.  The descriptor is inherited, its number is in the environment; it is the writing end of a
 * pipe or a connected socket.  Without it, or when snapd has gone, nothing happens.
 */

#define WAKE_ENV "SITESNAP_NOTIFY_FD"

/* wake_send(): One byte, without waiting and without a SIGPIPE. */
void wake_send(void);

#endif
