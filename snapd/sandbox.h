/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SANDBOX_H
#define SNAPD_SANDBOX_H

/*
 * What a process gives up before it runs something that is not root's own.
 *
 * A struct sandbox is a row of the role table in worker.c: plain data.  sandbox_enter() is called
 * in the child, once, and there is no way back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "common/error.h"

enum sandbox_calls {
        SANDBOX_CALLS_ALL,     /* no filter */
        SANDBOX_CALLS_PROGRAM, /* for a site's own tools: a list of what is denied */
        SANDBOX_CALLS_NETWORK, /* our own client of servers: a list of what is allowed */
        SANDBOX_CALLS_COMPUTE, /* read, write, memory, end: a list of what is allowed */
        SANDBOX_CALLS_FILES,   /* those and making files: no socket, no process, no program */
        SANDBOX_CALLS_SOCKETS, /* computing, sockets and waiting for them; files do not exist */
};

#define SANDBOX_LIMITS 8

struct sandbox {
        bool as_user;  /* take the given uid and gid, else stay root */
        bool no_files; /* Landlock: no file can be opened, where the kernel has it; and no TCP
                        * unless calls are SANDBOX_CALLS_SOCKETS */
        mode_t umask;
        enum sandbox_calls calls;
        struct {
                bool set; /* ends the list */
                int resource;
                rlim_t max;
        } limits[SANDBOX_LIMITS];
};

/* sandbox_enter(sandbox, uid, gid, err): Take the limits, the identity (groups: only ${gid}), no
 * new privileges for ever, the file rules and the filter, in this order.  Signals are back at
 * their defaults and none is blocked.  ERR_IO says which of them the system did not grant; the
 * process must not go on then. */
int sandbox_enter(const struct sandbox *sandbox, uid_t uid, gid_t gid, struct err *err) MUST_CHECK;

/* sandbox_beneath(dir_fd, err): From now on no file can be opened or made but below ${dir_fd}, for
 * ever; what is open stays.  Call it before sandbox_enter(), after which nobody may.  Does nothing
 * where the kernel has no Landlock that knows of links between directories (5.19). */
int sandbox_beneath(int dir_fd, struct err *err) MUST_CHECK;

/* sandbox_filter(calls, err): The filter alone; sandbox_enter() calls it last. */
int sandbox_filter(enum sandbox_calls calls, struct err *err) MUST_CHECK;

#endif
