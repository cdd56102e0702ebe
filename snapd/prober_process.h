/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_PROCESS_H
#define SNAPD_PROBER_PROCESS_H

/*
 * The process that measures: `snapd --probe`.
 */

/* prober_main(): Speak snapd/prober_wire.h over stdin until the other side goes away.  The exit
 * status. */
int prober_main(void);

#endif
