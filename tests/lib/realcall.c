/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into tests under valgrind, whose 3.19 answers ENOSYS to openat2, to the calls that
 * mount and to Landlock's, and has mount(2) name a type always: such calls go to the kernel past
 * it.  They write to no memory, so it misses nothing.  Of a sandbox it leaves out the limits and
 * the filter, which would hold valgrind too; who has to see them skips with test_need_sandbox().
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

struct call {
        long number, args[6];
};

/* It runs on the real processor, where the program's thread-local memory is not to be had: no
 * errno, no canary on the stack. */
__attribute__((noinline, no_stack_protector)) static long past(unsigned tid,
                                                               const struct call *call)
{
        long result = -ENOSYS;

        (void)tid;
#if defined(__x86_64__)
        register long r10 __asm__("r10") = call->args[3];
        register long r8 __asm__("r8") = call->args[4];
        register long r9 __asm__("r9") = call->args[5];

        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(call->number), "D"(call->args[0]), "S"(call->args[1]),
                           "d"(call->args[2]), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
#endif
        return result;
}

static bool goes_past(long number)
{
        static const long unknown[] = {
                SYS_mount,
                SYS_openat2,
                SYS_pidfd_open,
                SYS_pidfd_send_signal,
                SYS_open_tree,
                SYS_move_mount,
                SYS_fsopen,
                SYS_fsconfig,
                SYS_fsmount,
                SYS_fspick,
                SYS_mount_setattr,
                SYS_landlock_create_ruleset,
                SYS_landlock_add_rule,
                SYS_landlock_restrict_self,
                SYS_seccomp,
        };

        for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
                if (unknown[i] == number)
                        return RUNNING_ON_VALGRIND;
        return false;
}

long syscall(long number, ...)
{
        static long (*real)(long number, ...);
        struct call call = { .number = number };
        long result;
        va_list ap;

        va_start(ap, number);
        for (int i = 0; i < 6; i++)
                call.args[i] = va_arg(ap, long);
        va_end(ap);
        if (number == SYS_seccomp && call.args[0] == SECCOMP_SET_MODE_FILTER && call.args[2] != 0 &&
            RUNNING_ON_VALGRIND)
                return 0;
        /* A test can skip what it hears of; valgrind itself would end the process here. */
        if (number == SYS_clone && (call.args[0] & CLONE_FILES) != 0 && RUNNING_ON_VALGRIND) {
                errno = ENOSYS;
                return -1;
        }
        if (goes_past(number)) {
                result = (long)VALGRIND_NON_SIMD_CALL1(past, &call);
                if (result >= 0)
                        return result;
                errno = (int)-result;
                return -1;
        }
        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "syscall");
        return real(number, call.args[0], call.args[1], call.args[2], call.args[3], call.args[4],
                    call.args[5]);
}

/* The C library's own functions do not call its syscall(). */

int setrlimit(enum __rlimit_resource resource, const struct rlimit *limit)
{
        bool its_own =
                resource == RLIMIT_NOFILE || resource == RLIMIT_AS || resource == RLIMIT_DATA;

        if (its_own && RUNNING_ON_VALGRIND)
                return 0;
        return (int)syscall(SYS_prlimit64, 0, resource, limit, NULL);
}

/* /proc/self/exe is valgrind itself; the client's program is what a reader of the link is told. */
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
        static int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                           const posix_spawnattr_t *, char *const[], char *const[]);
        char program[PATH_MAX];
        ssize_t n = -1;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "posix_spawn");
        if (strcmp(path, "/proc/self/exe") == 0 && RUNNING_ON_VALGRIND)
                n = readlink(path, program, sizeof(program) - 1);
        program[n < 0 ? 0 : n] = '\0';
        return real(pid, n > 0 ? program : path, actions, attributes, argv, envp);
}

int pidfd_open(pid_t pid, unsigned flags)
{
        return (int)syscall(SYS_pidfd_open, pid, flags);
}

int pidfd_send_signal(int fd, int sig, siginfo_t *info, unsigned flags)
{
        return (int)syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}

int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data)
{
        return (int)syscall(SYS_mount, from, to, type, flags, data);
}

int open_tree(int fd, const char *path, unsigned flags)
{
        return (int)syscall(SYS_open_tree, fd, path, flags);
}

int move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
        return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

int fsopen(const char *type, unsigned flags)
{
        return (int)syscall(SYS_fsopen, type, flags);
}

int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
        return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

int fsmount(int fd, unsigned flags, unsigned attributes)
{
        return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

int fspick(int fd, const char *path, unsigned flags)
{
        return (int)syscall(SYS_fspick, fd, path, flags);
}

int mount_setattr(int fd, const char *path, unsigned flags, struct mount_attr *attr, size_t size)
{
        return (int)syscall(SYS_mount_setattr, fd, path, flags, attr, size);
}
