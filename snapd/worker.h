/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WORKER_H
#define SNAPD_WORKER_H

/*
 * Workers: everything that is not root's own short work runs in a child with less.
 *
 * snapd/role.h has a row a role: user, namespaces, system calls, files, limits.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "snapd/role.h"

struct worker_command {
        uid_t uid; /* ignored by roles that run as root */
        gid_t gid;
        int cwd_fd;              /* the program starts there */
        int input_fd;            /* its stdin; 0: nothing to read */
        const char *const *argv; /* argv[0] is an absolute path */
        const char *const *env;  /* "NAME=value", NULL-terminated; the whole environment */
        int output_fd;           /* stdout and stderr are copied there, bounded by output_max */
        uint64_t output_max;
        bool output_newest; /* of what is over the bound the end is kept: at least half of it; the
                             * descriptor is read and written, and nobody else's */
        unsigned timeout_msec;
        int *status; /* or NULL: how it ended, as from waitpid(), when it was begun */

        /* Asked about every 200 ms; true ends the worker as the deadline does.  May be NULL. */
        int (*cancelled)(void *arg);
        void *arg;
};

/* worker_run(role, command, err): Run a program to its end; when it returns no process of it is
 * left (role after: none of its process group).  0: it exited 0.  ERR_TIMEOUT: it was ended at
 * the deadline (TERM, 5 s later KILL); ERR_IO says with what status or signal it ended;
 * ERR_REFUSED: cancelled; ERR_NOT_FOUND: there is no such program.  A caller that dies takes its
 * worker along. */
int worker_run(enum worker_role role, const struct worker_command *command,
               struct err *err) MUST_CHECK;

/* A function of ours that runs with a role's rights: reads in_fd, writes out_fd. */
typedef int (*worker_function)(int in_fd, int out_fd, const void *arg, struct err *err);

/* worker_call(role, uid, gid, function, arg, in_fd, max, ret_data, ret_n, err): Run ${function} in
 * a child of that role and return what it wrote, at most ${max} bytes, with a NUL behind; the
 * caller frees.  An error of the function comes back as it was; a child that died is ERR_IO. */
int worker_call(enum worker_role role, uid_t uid, gid_t gid, worker_function function,
                const void *arg, int in_fd, size_t max, char **ret_data, size_t *ret_n,
                struct err *err) MUST_CHECK;

#endif
