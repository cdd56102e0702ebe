/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_DIRS_H
#define SNAPD_DIRS_H

/*
 * Where things lie.  Every process of snapd is given the same four places on its command line:
 * --state, --run, --conf, --socket.
 */

#include <stdint.h>

#include "common/error.h"

struct dirs {
        const char *state; /* /var/lib/sitesnap: state.db, ops/ID/output, sites/NAME/ */
        const char *run;   /* /run/sitesnap: locks of running operations */
        const char *conf;  /* /etc/sitesnap: sites.d/ */
        const char *socket;/* /run/sitesnap/snapd.sock */
        int state_fd, run_fd, conf_fd; /* the same, open */
};

/* dirs_open(dirs, err): Make what is missing (root's, 0700; run and conf 0755) and open it.  The
 * paths are set before.  ERR_REFUSED: one of them can be changed by others than root. */
int dirs_open(struct dirs *dirs, struct err *err) MUST_CHECK;

/* dirs_op(dirs, id, ret_fd, err): The directory of an operation, state/ops/ID, made when it is
 * missing; `output` in it is what the site's command printed. */
int dirs_op(const struct dirs *dirs, uint64_t id, int *ret_fd, struct err *err) MUST_CHECK;

#endif
