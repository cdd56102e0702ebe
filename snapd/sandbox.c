/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapd/sandbox.h"

/* linux/landlock.h of Debian 12 ends at ABI 2 (5.19); the kernel accepts a longer struct as long
 * as what it does not know is 0. */
struct landlock_rules {
        uint64_t access_fs;
        uint64_t access_net; /* ABI 4, 6.7 */
        uint64_t scoped;     /* ABI 6, 6.12 */
};

#define LANDLOCK_QUERY_VERSION 1U

/* Every access right that this kernel's Landlock knows, so that none of them stays allowed. */
static struct landlock_rules landlock_everything(int abi)
{
        /* ABI 1, 5.13: execute to make_sym */
        struct landlock_rules rules = { .access_fs = (1U << 13) - 1 };

        if (abi >= 2)
                rules.access_fs |= 1U << 13; /* refer */
        if (abi >= 3)
                rules.access_fs |= 1U << 14; /* truncate, 6.2 */
        if (abi >= 4)
                rules.access_net = 3; /* bind and connect of TCP */
        if (abi >= 5)
                rules.access_fs |= 1U << 15; /* ioctl on devices, 6.10 */
        if (abi >= 6)
                rules.scoped = 3; /* abstract sockets and signals */
        return rules;
}

/* A ruleset without rules: nothing is allowed.  A kernel without Landlock is no failure, since
 * the filter that comes with it has no open() either. */
static int forbid_files(bool network, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct landlock_rules rules;
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_QUERY_VERSION);

        if (abi < 1)
                return 0;
        rules = landlock_everything((int)abi);
        if (network)
                rules.access_net = 0;
        fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot forbid files by landlock");
        return 0;
}

struct landlock_below { /* packed, as the kernel has it */
        uint64_t allowed;
        int32_t dir_fd;
} __attribute__((packed));

#define LANDLOCK_BELOW   1
#define LANDLOCK_EXECUTE 1U

int sandbox_beneath(int dir_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct landlock_below below = { .dir_fd = dir_fd };
        struct landlock_rules rules;
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_QUERY_VERSION);

        if (abi < 2)
                return 0;
        rules = landlock_everything((int)abi);
        below.allowed = rules.access_fs & ~(uint64_t)LANDLOCK_EXECUTE;
        fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
        if (fd < 0 || syscall(SYS_landlock_add_rule, fd, LANDLOCK_BELOW, &below, 0) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot forbid files by landlock");
        return 0;
}

static int take_limits(const struct sandbox *sandbox, struct err *err)
{
        for (size_t i = 0; i < SANDBOX_LIMITS && sandbox->limits[i].set; i++) {
                struct rlimit limit = { sandbox->limits[i].max, sandbox->limits[i].max };
                struct rlimit now;

                /* Lowering is always granted; raising may not be, and is not the point. */
                if (getrlimit((__rlimit_resource_t)sandbox->limits[i].resource, &now) == 0 &&
                    now.rlim_max < limit.rlim_max)
                        limit.rlim_cur = limit.rlim_max = now.rlim_max;
                if (setrlimit((__rlimit_resource_t)sandbox->limits[i].resource, &limit) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set limit %d",
                                        sandbox->limits[i].resource);
        }
        return 0;
}

static int take_identity(uid_t uid, gid_t gid, struct err *err)
{
        if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return err_fail(err, ERR_IO, errno, "cannot become user %u", uid);

        /* Until exec this is still our memory: another process of the user must not look. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot hide the memory");
        return 0;
}

/* The event loop of the daemon blocks signals, and a blocked or ignored one is inherited. */
static void reset_signals(void)
{
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                (void)signal(sig, SIG_DFL); /* KILL, STOP and the C library's own refuse */
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int sandbox_enter(const struct sandbox *sandbox, uid_t uid, gid_t gid, struct err *err)
{
        reset_signals();
        (void)umask(sandbox->umask);
        if (take_limits(sandbox, err) < 0)
                return -1;
        if (sandbox->as_user && take_identity(uid, gid, err) < 0)
                return -1;

        /* An administrator's command may need a set-uid program; a site's never does. */
        if (sandbox->as_user && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot give up new privileges");
        if (sandbox->no_files && forbid_files(sandbox->calls == SANDBOX_CALLS_SOCKETS, err) < 0)
                return -1;
        return sandbox_filter(sandbox->calls, err);
}
