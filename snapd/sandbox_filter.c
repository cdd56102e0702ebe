/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "snapd/sandbox.h"

#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467 /* 6.15 */
#endif

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release);

#define NEW_NAMESPACES                                                                             \
        (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
         CLONE_NEWCGROUP)

/*
 * What no web application's tool needs and what kernel exploits of the last years began with.
 * Most of it needs a capability that a site's user does not have; a user namespace would give it,
 * so these are closed for the namespaces' sake and as a second wall.
 */
/* clang-format off */
static const int denied_calls[] = {
        /* mounts */
        SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
        SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig),
        SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(setns),
        __NR_open_tree_attr,
        /* other processes' memory and descriptors */
        SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
        SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise),
        /* kernel machinery with a history */
        SCMP_SYS(bpf), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
        SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
        SCMP_SYS(userfaultfd), SCMP_SYS(perf_event_open), SCMP_SYS(open_by_handle_at),
        SCMP_SYS(fanotify_init), SCMP_SYS(vmsplice),
        /* the machine */
        SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
        SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(reboot), SCMP_SYS(swapon),
        SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(syslog),
        SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
        SCMP_SYS(clock_adjtime), SCMP_SYS(vhangup), SCMP_SYS(iopl), SCMP_SYS(ioperm),
};

/* What reading a text, changing it in memory and writing it needs. */
static const int computing_calls[] = {
        SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
        SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(poll),
        SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
        SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getpid),
        SCMP_SYS(gettid), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
        SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
        SCMP_SYS(exit_group),
};

/*
 * What libcurl, its resolver's thread and TLS need beside that: files are opened (names, the
 * resolver's configuration, certificates) and connections made.  No program is started, no other
 * process is touched, nothing listens.
 */
static const int network_calls[] = {
        SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind),
        SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
        SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom),
        SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(ppoll),
        SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
        SCMP_SYS(timerfd_settime), SCMP_SYS(pipe2), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
        SCMP_SYS(fcntl), SCMP_SYS(ioctl), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat),
        SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
        SCMP_SYS(getcwd), SCMP_SYS(mmap), SCMP_SYS(mprotect),
        SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(membarrier),
        SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(clock_getres), SCMP_SYS(time),
        SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(times),
        SCMP_SYS(prlimit64), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
        SCMP_SYS(getegid), SCMP_SYS(getgroups), SCMP_SYS(getppid), SCMP_SYS(sched_getaffinity),
        SCMP_SYS(tgkill),
};

/* What asking over sockets alone needs beside computing: the calls of libcurl, c-ares, OpenSSL and
 * sd-event. */
static const int socket_calls[] = {
        SCMP_SYS(connect), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
        SCMP_SYS(setsockopt), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
        SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(shutdown), SCMP_SYS(accept4),
        SCMP_SYS(bind), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(ppoll), SCMP_SYS(pselect6),
        SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime),
        SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(fcntl), SCMP_SYS(ioctl), SCMP_SYS(dup),
        SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(uname),
        SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
        SCMP_SYS(getppid), SCMP_SYS(sysinfo), SCMP_SYS(sched_getaffinity), SCMP_SYS(getrusage),
        SCMP_SYS(membarrier), SCMP_SYS(rseq), SCMP_SYS(prctl), SCMP_SYS(time),
};

/* What writing a tree of files by descriptor needs, and libraries that look for their settings. */
static const int file_calls[] = {
        SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(mkdirat), SCMP_SYS(linkat),
        SCMP_SYS(symlinkat), SCMP_SYS(fchmod), SCMP_SYS(utimensat), SCMP_SYS(fsetxattr),
        SCMP_SYS(fcntl), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access),
        SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
        SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(sysinfo), SCMP_SYS(uname),
        SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
        SCMP_SYS(sched_getaffinity), SCMP_SYS(prlimit64), SCMP_SYS(rseq),
};

/* Libraries look for files and go on without: for them there are none. */
static const int absent_calls[] = {
        SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(access),
        SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat),
        SCMP_SYS(statx), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
};
/* clang-format on */

static int fill_program(scmp_filter_ctx filter)
{
        uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
        int n = sizeof(denied_calls) / sizeof(denied_calls[0]), r = 0;

        for (int i = 0; i < n && r == 0; i++)
                r = seccomp_rule_add(filter, eperm, denied_calls[i], 0);

        /* clone3's flags lie in memory, where a filter cannot look.  ENOSYS makes the C library
         * take clone, whose flags it can see. */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        for (int bit = 0; bit < 32 && r == 0; bit++) {
                scmp_datum_t flag = UINT64_C(1) << bit;

                if ((flag & NEW_NAMESPACES) == 0)
                        continue;
                r = seccomp_rule_add(filter, eperm, SCMP_SYS(unshare), 1,
                                     SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
                if (r == 0)
                        r = seccomp_rule_add(filter, eperm, SCMP_SYS(clone), 1,
                                             SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
        }

        /* Sockets: unix, IPv4, IPv6, and netlink, which resolvers use; none of the others. */
        for (unsigned family = 0; family <= AF_NETLINK && r == 0; family++)
                if (family != AF_UNIX && family != AF_INET && family != AF_INET6 &&
                    family != AF_NETLINK)
                        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket),
                                             1, SCMP_A0(SCMP_CMP_EQ, family));
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
        return r;
}

static int fill_compute(scmp_filter_ctx filter)
{
        int n = sizeof(computing_calls) / sizeof(computing_calls[0]), r = 0;

        for (int i = 0; i < n && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, computing_calls[i], 0);

        /* Memory yes, code no; an error and not death, since libraries try it and do without. */
        for (int i = 0; i < 2 && r == 0; i++) {
                int call = i == 0 ? SCMP_SYS(mmap) : SCMP_SYS(mprotect);

                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
                if (r == 0)
                        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), call, 1,
                                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
        }

        /* abort() must end in SIGABRT and not in a second failure. */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0);
        return r;
}

/* A library that asks for more is told no and does without; it has not been taken over by that. */
static int fill_network(scmp_filter_ctx filter)
{
        static const unsigned families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
        int r = 0;

        for (size_t i = 0; i < sizeof(computing_calls) / sizeof(computing_calls[0]) && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, computing_calls[i], 0);
        for (size_t i = 0; i < sizeof(network_calls) / sizeof(network_calls[0]) && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, network_calls[i], 0);
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, families[i]));
        /* Threads yes, processes no; clone3 as in fill_program(). */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        return r;
}

static int fill_sockets(scmp_filter_ctx filter)
{
        static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
        int n = sizeof(socket_calls) / sizeof(socket_calls[0]), r = fill_compute(filter);

        for (int i = 0; i < n && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, socket_calls[i], 0);
        n = sizeof(absent_calls) / sizeof(absent_calls[0]);
        for (int i = 0; i < n && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), absent_calls[i], 0);
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, families[i]));
        return r;
}

static int fill_files(scmp_filter_ctx filter)
{
        int n = sizeof(file_calls) / sizeof(file_calls[0]), r = fill_compute(filter);

        for (int i = 0; i < n && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, file_calls[i], 0);
        return r;
}

struct calls {
        uint32_t otherwise;
        int (*fill)(scmp_filter_ctx filter);
};

int sandbox_filter(enum sandbox_calls calls, struct err *err)
{
        static const struct calls table[] = {
                [SANDBOX_CALLS_PROGRAM] = { SCMP_ACT_ALLOW, fill_program },
                [SANDBOX_CALLS_NETWORK] = { SCMP_ACT_ERRNO(EPERM), fill_network },
                [SANDBOX_CALLS_COMPUTE] = { SCMP_ACT_KILL_PROCESS, fill_compute },
                [SANDBOX_CALLS_FILES] = { SCMP_ACT_ERRNO(EPERM), fill_files },
                [SANDBOX_CALLS_SOCKETS] = { SCMP_ACT_ERRNO(EPERM), fill_sockets },
        };
        CLEANUP(seccomp_releasep) scmp_filter_ctx filter = NULL;
        int r;

        if (calls == SANDBOX_CALLS_ALL)
                return 0;
        filter = seccomp_init(table[calls].otherwise);
        if (filter == NULL)
                return err_oom(err);

        /* Calls by another architecture's table (i386, x32) would pass by the list. */
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = table[calls].fill(filter);
        if (r == 0)
                r = seccomp_load(filter);
        return r == 0 ? 0 : err_fail(err, ERR_IO, -r, "cannot load the system call filter");
}
