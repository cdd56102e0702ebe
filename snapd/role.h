/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ROLE_H
#define SNAPD_ROLE_H

/*
 * The roles of workers: a table with a row a role, which says what it may.  It is said here and
 * nowhere else.
 *
 *   hook    the site's own command, as the site's user: own session, mount and pid namespace (so
 *           that nothing it starts outlives it), no new privileges, deadline
 *   render  reads a tenant's configuration file and writes the rendered one; as the site's user,
 *           no network, no new files; runs a function of ours, not a program
 *   database  a driver that speaks with a database server: as the user of this machine that the
 *           site's file names, with the network; what the server sends is parsed here and never by
 *           root
 *   probe   asks sites and reads logs that are passed to it, for snapd/prober.h: nobody's user,
 *           sockets and no files; a process of its own, `snapd --probe`, not one of worker.h
 *   after   the administrator's command after a switch (reload PHP-FPM, purge a cache), as root, in
 *           its own session; a service it started in another session stays
 *   unpack  reads an archive that a stranger may have made and writes what is in it into one
 *           directory, as the site's user, without a network (snapd/bundle_child.h)
 *   deliver takes notices to mail servers and webhooks; as a user of nobody's, network and what
 *           everybody may read; runs a function of ours
 */

#include <stdint.h>

#include "snapd/sandbox.h"

enum worker_role {
        WORKER_HOOK,
        WORKER_RENDER,
        WORKER_DATABASE,
        WORKER_AFTER,
        WORKER_DELIVER,
        WORKER_PROBE,
        WORKER_UNPACK,
        WORKER_ROLES
};

struct role {
        bool program;        /* worker_run() may use it; else worker_call() */
        uint64_t namespaces; /* with a pid namespace comes a process 1 and the certain end of all */
        unsigned call_msec;  /* the deadline of worker_call() */
        struct sandbox sandbox;
};

extern const struct role roles[WORKER_ROLES];

#endif
