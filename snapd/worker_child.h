/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WORKER_CHILD_H
#define SNAPD_WORKER_CHILD_H

/*
 * A child of a worker and the pipes to it; for worker.c and worker_call.c.
 *
 * The child dies with its parent (PR_SET_PDEATHSIG): an operation that was killed is taken up by
 * a new process, and the old one's worker must not run beside the new one's.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* What a child tells at its end.  It comes from a process with fewer rights and is not believed
 * beyond its bounds: worker_child_report() checks it. */
struct worker_report {
        struct err err; /* code 0: none, then the status counts */
        int status;     /* as from waitpid() */
};

struct worker_child {
        pid_t pid;
        int pid_fd;    /* readable when it has ended */
        int report_fd; /* non-blocking, as is the next */
        int output_fd;
};

/* What the body gets: its ends of the pipes. */
struct worker_ends {
        int report_fd, output_fd;
};

/* worker_body: The child's life.  0 with ret_status set, or -1 with err; both are reported.  It
 * may exec instead of returning. */
typedef int (*worker_body)(const struct worker_ends *ends, const void *arg, int *ret_status,
                           struct err *err);

/* worker_child_start(namespaces, body, arg, ret_child, err): Run ${body} in a child, in new
 * namespaces of clone(2) flags ${namespaces}.  Give the child to worker_child_end(). */
int worker_child_start(uint64_t namespaces, worker_body body, const void *arg,
                       struct worker_child *ret_child, struct err *err) MUST_CHECK;

/* worker_child_end(child): Kill it if it lives, wait until it is gone, close everything.  Returns
 * the wait status. */
int worker_child_end(struct worker_child *child);

/* worker_child_report(child, ret_report): The first report of the child that ended, false when
 * it sent none. */
bool worker_child_report(const struct worker_child *child, struct worker_report *ret_report);

/* worker_child_tell(fd, report): Send a report, from the child's side. */
void worker_child_tell(int fd, const struct worker_report *report);

/* worker_child_null(err): stdin, stdout and stderr are /dev/null. */
int worker_child_null(struct err *err) MUST_CHECK;

/* worker_status_check(what, status, err): 0 when ${status} says exit 0, else ERR_IO that says how
 * ${what} ended. */
int worker_status_check(const char *what, int status, struct err *err) MUST_CHECK;

#endif
