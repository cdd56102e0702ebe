/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sched.h>

#include "snapd/role.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Of one process; a command's processes together are the first to go when the machine runs out.
 * A sanitizer's shadow is terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__)
#define PROGRAM_MEMORY RLIM_INFINITY
#define COMPUTE_MEMORY RLIM_INFINITY
#else
#define PROGRAM_MEMORY (4 * GIB)
#define COMPUTE_MEMORY (512 * MIB)
#endif

/* NPROC counts every process of the user, all PHP workers of all its sites too; a fork bomb ends
 * there, and with its deadline. */
const struct role roles[WORKER_ROLES] = {
        [WORKER_HOOK] = {
                .program = true,
                .namespaces = CLONE_NEWPID | CLONE_NEWNS,
                .sandbox = {
                        .as_user = true,
                        .umask = 022,
                        .calls = SANDBOX_CALLS_PROGRAM,
                        .limits = {
                                { true, RLIMIT_NPROC, 2048 },
                                { true, RLIMIT_DATA, PROGRAM_MEMORY },
                                { true, RLIMIT_FSIZE, 16 * GIB },
                                { true, RLIMIT_NOFILE, 4096 },
                                { true, RLIMIT_CORE, 0 },
                        },
                },
        },
        [WORKER_RENDER] = {
                .call_msec = 10000,
                .sandbox = {
                        .as_user = true,
                        .no_files = true,
                        .umask = 077,
                        .calls = SANDBOX_CALLS_COMPUTE,
                        .limits = {
                                { true, RLIMIT_AS, COMPUTE_MEMORY },
                                { true, RLIMIT_CPU, 2 },
                                { true, RLIMIT_FSIZE, 4 * MIB },
                                { true, RLIMIT_NOFILE, 16 },
                                { true, RLIMIT_CORE, 0 },
                        },
                },
        },
        /* NPROC is not limited: it counts the threads of a server that has the same user. */
        [WORKER_DATABASE] = {
                .sandbox = {
                        .as_user = true,
                        .umask = 077,
                        .calls = SANDBOX_CALLS_PROGRAM,
                        .limits = {
                                { true, RLIMIT_DATA, PROGRAM_MEMORY },
                                { true, RLIMIT_NOFILE, 4096 },
                                { true, RLIMIT_CORE, 0 },
                        },
                },
        },
        [WORKER_PROBE] = {
                .sandbox = {
                        .as_user = true,
                        .no_files = true,
                        .umask = 077,
                        .calls = SANDBOX_CALLS_SOCKETS,
                        .limits = {
                                { true, RLIMIT_AS, COMPUTE_MEMORY },
                                { true, RLIMIT_FSIZE, 0 },
                                { true, RLIMIT_NOFILE, 16384 },
                                { true, RLIMIT_NPROC, 0 },
                                { true, RLIMIT_CORE, 0 },
                        },
                },
        },
        [WORKER_AFTER] = {
                .program = true,
                .sandbox = {
                        .umask = 022,
                        .calls = SANDBOX_CALLS_ALL,
                        .limits = { { true, RLIMIT_CORE, 0 } },
                },
        },
        [WORKER_UNPACK] = {
                .sandbox = {
                        .as_user = true,
                        .umask = 077,
                        .calls = SANDBOX_CALLS_FILES,
                        .limits = {
                                { true, RLIMIT_DATA, 2 * COMPUTE_MEMORY },
                                { true, RLIMIT_NOFILE, 64 },
                                { true, RLIMIT_CORE, 0 },
                        },
                },
        },
        [WORKER_DELIVER] = {
                .call_msec = 180000,
                .sandbox = {
                        .as_user = true,
                        .umask = 077,
                        .calls = SANDBOX_CALLS_NETWORK,
                        .limits = {
                                { true, RLIMIT_AS, COMPUTE_MEMORY },
                                { true, RLIMIT_CPU, 60 },
                                { true, RLIMIT_FSIZE, 4 * MIB },
                                { true, RLIMIT_NOFILE, 64 },
                                { true, RLIMIT_CORE, 0 },
                        },
                },
        },
};
