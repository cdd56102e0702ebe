/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/killed.h"
#include "tests/lib/test.h"

static const long changing[] = {
        SYS_mkdirat,   SYS_unlinkat,        SYS_renameat,     SYS_renameat2, SYS_linkat,
        SYS_symlinkat, SYS_mknodat,         SYS_write,        SYS_pwrite64,  SYS_fchown,
        SYS_fchownat,  SYS_fchmod,          SYS_fchmodat,     SYS_fsetxattr, SYS_setxattr,
        SYS_lsetxattr, SYS_lremovexattr,    SYS_fremovexattr, SYS_utimensat, SYS_ftruncate,
        SYS_fallocate, SYS_copy_file_range, SYS_ioctl,        SYS_fsync,     SYS_syncfs,
        SYS_rename,    SYS_unlink,          SYS_rmdir,        SYS_mkdir,     SYS_sendmsg,
        SYS_sendto,
};

static bool changes(const struct __ptrace_syscall_info *info)
{
        if (info->op != PTRACE_SYSCALL_INFO_ENTRY)
                return false;
        /* An open that makes nothing changes nothing. */
        if ((long)info->entry.nr == SYS_openat)
                return (info->entry.args[2] & O_CREAT) != 0;
        for (size_t i = 0; i < sizeof(changing) / sizeof(changing[0]); i++)
                if ((long)info->entry.nr == changing[i])
                        return true;
        return false;
}

bool killed_at(int (*run)(void *arg), void *arg, unsigned nth)
{
        unsigned seen = 0;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
                        _exit(3);
                _exit(run(arg) < 0 ? 1 : 0);
        }
        ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
        if (!WIFSTOPPED(status))
                test_skip("cannot trace a process");
        ASSERT(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) ==
               0);
        for (;;) {
                struct __ptrace_syscall_info info;

                ASSERT(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
                ASSERT(waitpid(pid, &status, 0) == pid);
                if (!WIFSTOPPED(status)) {
                        ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
                        return true;
                }
                if (WSTOPSIG(status) != (SIGTRAP | 0x80))
                        continue;
                if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
                    changes(&info) && ++seen == nth) {
                        ASSERT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
                        return false;
                }
        }
}
