/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REMOTE_CHILD_H
#define SNAPD_REMOTE_CHILD_H

/*
 * The child's half of remote.h.
 */

#include <sys/types.h>

#include "snapd/remote.h"

struct remote_child {
        const struct remote_engine *engine;
        const struct db_conf *conf;
        uid_t uid;
        gid_t gid;
        int socket_fd;
};

/* remote_child_run(child): Give up root's rights, open the driver, say how that went in a WIRE_END,
 * and serve calls until the other end is closed.  Returns the exit status. */
int remote_child_run(const struct remote_child *child);

#endif
