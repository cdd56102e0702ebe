/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attack NAME: what a malicious upgrade command tries.  Exit 0: it was denied, 1: it worked, and
 * a line says how.  Built without the project's code.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int denied(const char *what, long r, int want)
{
        if (r < 0 && errno == want)
                return 0;
        printf("%s: %ld, %s\n", what, r, strerror(errno));
        return 1;
}

static int try_mount(void)
{
        return denied("mount", mount("none", "/tmp", "tmpfs", 0, NULL), EPERM) +
               denied("umount", umount2("/proc", MNT_DETACH), EPERM) +
               denied("fsopen", syscall(SYS_fsopen, "tmpfs", 0), EPERM) +
               denied("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1), EPERM);
}

static int try_ptrace(void)
{
        return denied("traceme", ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM) +
               denied("attach", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL), EPERM) +
               denied("readv", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0), EPERM);
}

static int try_kernel(void)
{
        char zero[128] = { 0 };

        return denied("bpf", syscall(SYS_bpf, 0, zero, sizeof(zero)), EPERM) +
               denied("keyctl", syscall(SYS_keyctl, 0, -3, 0), EPERM) +
               denied("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3), EPERM) +
               denied("io_uring", syscall(SYS_io_uring_setup, 1, zero), EPERM) +
               denied("userfaultfd", syscall(SYS_userfaultfd, 0), EPERM) +
               denied("perf", syscall(SYS_perf_event_open, zero, 0, -1, -1, 0), EPERM) +
               denied("handle", syscall(SYS_open_by_handle_at, AT_FDCWD, zero, 0), EPERM) +
               denied("alg", socket(38, SOCK_SEQPACKET, 0), EAFNOSUPPORT) +
               denied("vsock", socket(40, SOCK_STREAM, 0), EAFNOSUPPORT) +
               denied("packet", socket(AF_PACKET, SOCK_RAW, 0), EAFNOSUPPORT);
}

static int try_namespaces(void)
{
        return denied("unshare", unshare(CLONE_NEWUSER), EPERM) +
               denied("unshare ns", unshare(CLONE_NEWUSER | CLONE_NEWNS), EPERM) +
               denied("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM) +
               denied("clone3", syscall(SYS_clone3, NULL, 0), ENOSYS) +
               denied("setns", setns(0, 0), EPERM);
}

/* Process 1 is root's: its root directory and its descriptors are not to be had. */
static int try_init(void)
{
        return denied("root", open("/proc/1/root/etc", O_RDONLY), EACCES) +
               denied("fd", opendir("/proc/1/fd") == NULL ? -1 : 0, EACCES) +
               denied("kill", kill(1, SIGKILL), EPERM) +
               denied("mem", open("/proc/1/mem", O_RDWR), EACCES);
}

static int try_identity(void)
{
        gid_t groups[8];
        int n = getgroups(8, groups);

        return denied("setuid", setuid(0), EPERM) + denied("chown", chown(".", 0, 0), EPERM) +
               (n == 1 && groups[0] == getgid() ? 0 : printf("%d groups\n", n)) +
               (getuid() == geteuid() && getuid() != 0 ? 0 : printf("uid %u\n", getuid())) +
               (umask(0) == 022 ? 0 : printf("umask\n"));
}

/* Only the first three descriptors are there. */
static int try_descriptors(void)
{
        int found = 0;

        for (int fd = 0; fd < 4096; fd++)
                if (fcntl(fd, F_GETFD) >= 0 && fd > 2)
                        found += printf("descriptor %d is open\n", fd);
        return found + (read(0, &found, 1) == 0 ? 0 : printf("stdin has something\n"));
}

/* Bounded: fork() fails before it has made thousands. */
static int try_forkbomb(void)
{
        for (int n = 0; n < 20000; n++) {
                pid_t pid = fork();

                if (pid < 0)
                        return denied("fork", -1, EAGAIN);
                if (pid == 0) {
                        pause();
                        _exit(0);
                }
        }
        return printf("no limit\n");
}

/* Two levels down, in a session of its own, deaf to TERM, and it holds the pipe. */
static int leave_daemon(void)
{
        if (fork() == 0) {
                (void)setsid();
                (void)signal(SIGTERM, SIG_IGN);
                (void)signal(SIGHUP, SIG_IGN);
                if (fork() == 0)
                        for (;;)
                                pause();
                _exit(0);
        }
        (void)wait(NULL);
        return 0;
}

__attribute__((noreturn)) static int ignore_term(void)
{
        (void)signal(SIGTERM, SIG_IGN);
        for (;;)
                pause();
}

/* Asked for and not touched, so that only a limit can say no. */
static int eat_memory(void)
{
        void *much = mmap(NULL, (size_t)10 << 30, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return denied("memory", much == MAP_FAILED ? -1 : 0, ENOMEM);
}

static int print_much(void)
{
        char line[1024];

        memset(line, 'x', sizeof(line));
        for (int n = 0; n < 4096; n++)
                if (write(1, line, sizeof(line)) < 0)
                        return 1;
        return 0;
}

static const struct {
        const char *name;
        int (*run)(void);
} attacks[] = {
        { "mount", try_mount },           { "ptrace", try_ptrace },
        { "kernel", try_kernel },         { "namespaces", try_namespaces },
        { "init", try_init },             { "identity", try_identity },
        { "descriptors", try_descriptors }, { "forkbomb", try_forkbomb },
        { "daemon", leave_daemon },       { "ignore-term", ignore_term },
        { "print", print_much },          { "memory", eat_memory },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc == 2 && i < sizeof(attacks) / sizeof(attacks[0]); i++)
                if (strcmp(attacks[i].name, argv[1]) == 0)
                        return attacks[i].run() != 0;
        return 2;
}
