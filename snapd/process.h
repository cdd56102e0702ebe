/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROCESS_H
#define SNAPD_PROCESS_H

/*
 * This program once more, in another mode, in a process of its own.
 */

#include <sys/types.h>

#include "common/error.h"
#include "snapd/dirs.h"

struct process_start {
        const char *mode;     /* "--operation", "--query" or "--deliver" */
        const char *argument; /* or NULL */
        int input_fd;         /* its stdin; -1: nothing to read */
        int output_fd;        /* its stdout; -1: our stderr */
        int notify_fd;        /* it tells news there (snapd/wake.h); -1: nowhere */
};

/* process_start(dirs, start, ret_pid, ret_pid_fd, err): The process has its own session, our
 * stderr, and no other descriptor; signals are as by default.  The caller waits for it. */
int process_start(const struct dirs *dirs, const struct process_start *start, pid_t *ret_pid,
                  int *ret_pid_fd, struct err *err) MUST_CHECK;

#endif
