/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_DAEMON_H
#define SNAPD_DAEMON_H

/*
 * The daemon: everything that lives as long as it does, in the order in which it begins.
 *
 * It lies in a module (snapd/module.h): libmicrohttpd brings GnuTLS and its ten libraries, and an
 * operation, which visitors' switch waits for, needs none of them.
 */

#include "snapd/dirs.h"

/* daemon_main(dirs): Serve until a signal ends it; the exit status. */
int daemon_main(const struct dirs *dirs);

#endif
