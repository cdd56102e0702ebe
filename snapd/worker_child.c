/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapd/worker_child.h"

void worker_child_tell(int fd, const struct worker_report *report)
{
        /* Smaller than PIPE_BUF, so it arrives whole; a parent that is gone needs no report. */
        (void)!write(fd, report, sizeof(*report));
}

int worker_child_null(struct err *err)
{
        int fd = openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open '/dev/null'");
        for (int to = 0; to <= 2; to++)
                if (dup2(fd, to) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot redirect descriptor %d", to);
        if (fd > 2)
                (void)close(fd);
        return 0;
}

/* The child from its first instruction; never returns. */
static void child_live(const struct worker_ends *ends, worker_body body, const void *arg)
{
        struct worker_report report = { 0 };
        struct pollfd parent = { .fd = ends->report_fd, .events = POLLOUT };

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                _exit(127);

        /* The parent may have died before that; in a new pid namespace getppid() is 0 always, but
         * a pipe without its reader tells. */
        if (poll(&parent, 1, 0) < 0 || (parent.revents & POLLERR) != 0)
                _exit(127);
        if (body(ends, arg, &report.status, &report.err) < 0 && report.err.code == 0)
                (void)err_fail(&report.err, ERR_IO, 0, "a worker failed without a reason");
        worker_child_tell(ends->report_fd, &report);
        _exit(0);
}

/* fork() with namespaces and a pidfd.  clone and not clone3, whose flags a filter cannot see: with
 * RestrictNamespaces= in a unit systemd answers it with ENOSYS.  (flags, stack, pidfd) come first
 * on every architecture of Debian but s390x, which has stack first. */
static pid_t clone_child(uint64_t namespaces, int *ret_pid_fd)
{
        unsigned long flags = (unsigned long)namespaces | CLONE_PIDFD | SIGCHLD;

#ifdef __s390x__
        return (pid_t)syscall(SYS_clone, NULL, flags, ret_pid_fd, NULL, NULL);
#else
        return (pid_t)syscall(SYS_clone, flags, NULL, ret_pid_fd, NULL, NULL);
#endif
}

int worker_child_start(uint64_t namespaces, worker_body body, const void *arg,
                       struct worker_child *ret_child, struct err *err)
{
        CLEANUP(closep) int report_read = -1;
        CLEANUP(closep) int report_write = -1;
        CLEANUP(closep) int output_read = -1;
        CLEANUP(closep) int output_write = -1;
        int report[2], output[2], pid_fd = -1;
        pid_t pid;

        if (pipe2(report, O_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a pipe");
        report_read = report[0];
        report_write = report[1];
        if (pipe2(output, O_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a pipe");
        output_read = output[0];
        output_write = output[1];

        /* Only our ends: the file status flags of the two ends of a pipe are apart. */
        if (fcntl(report_read, F_SETFL, O_NONBLOCK) < 0 ||
            fcntl(output_read, F_SETFL, O_NONBLOCK) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set up a pipe");

        /* Not fork(): the namespaces and the pidfd have to come with the child. */
        pid = clone_child(namespaces, &pid_fd);
        if (pid == 0) {
                (void)close(report_read);
                (void)close(output_read);
                child_live(&(struct worker_ends){ report_write, output_write }, body, arg);
        }
        if (pid < 0)
                return err_fail(err, ERR_IO, errno, "cannot start a worker");
        *ret_child = (struct worker_child){
                .pid = pid,
                .pid_fd = pid_fd,
                .report_fd = steal_fd(&report_read),
                .output_fd = steal_fd(&output_read),
        };
        return 0;
}

int worker_child_end(struct worker_child *child)
{
        int status = 0;

        /* Not reaped yet, so the number is still its own. */
        (void)kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
                ;
        (void)close(child->pid_fd);
        (void)close(child->report_fd);
        (void)close(child->output_fd);
        return status;
}

bool worker_child_report(const struct worker_child *child, struct worker_report *ret_report)
{
        struct worker_report report;

        if (read(child->report_fd, &report, sizeof(report)) != sizeof(report))
                return false;
        if ((unsigned)report.err.code >= ERR_CODES)
                report.err.code = ERR_IO;
        report.err.msg[sizeof(report.err.msg) - 1] = '\0';
        *ret_report = report;
        return true;
}

int worker_status_check(const char *what, int status, struct err *err)
{
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        if (WIFEXITED(status))
                return err_fail(err, ERR_IO, 0, "'%s' exited with status %d", what,
                                WEXITSTATUS(status));
        return err_fail(err, ERR_IO, 0, "'%s' was ended by signal %d (%s)", what, WTERMSIG(status),
                        strsignal(WTERMSIG(status)));
}
