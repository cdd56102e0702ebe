/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "snapd/worker.h"
#include "snapd/worker_child.h"
#include "snapd/role.h"

#define POLL_MSEC  200 /* how often `cancelled` is asked */
#define GRACE_USEC (5 * USEC_PER_SEC)

struct job {
        const struct role *row;
        const struct worker_command *command;
};

/* Becomes the program; comes back only when that failed. */
static int program_exec(const struct job *job, int output_fd, struct err *err)
{
        const struct worker_command *command = job->command;
        CLEANUP(closep) int cwd_fd = -1;
        int input_fd = command->input_fd > 0 ? fcntl(command->input_fd, F_DUPFD_CLOEXEC, 3)
                                             : openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);

        /* Away from 0 to 2 first, whatever numbers the caller's descriptors have. */
        cwd_fd = fcntl(command->cwd_fd, F_DUPFD_CLOEXEC, 3);
        output_fd = fcntl(output_fd, F_DUPFD_CLOEXEC, 3);
        if (input_fd < 0 || cwd_fd < 0 || output_fd < 0 || dup2(input_fd, 0) < 0 ||
            dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set up descriptors");

        /* Close on exec and not now: the report of a failed exec still has to go out. */
        if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "cannot close descriptors");
        if (setsid() < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a session");
        if (sandbox_enter(&job->row->sandbox, command->uid, command->gid, err) < 0)
                return -1;

        /* As the user, so that a directory it may not enter is not entered. */
        if (fchdir(cwd_fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot enter the working directory");
        (void)execve(command->argv[0], (char *const *)command->argv, (char *const *)command->env);
        return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot run '%s'",
                        command->argv[0]);
}

/* Mounts made elsewhere stay visible here, what is mounted here is seen nowhere else; /proc must
 * show the new pid namespace, or a program would signal numbers that mean others. */
static int namespace_settle(struct err *err)
{
        if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return err_fail(err, ERR_IO, errno, "cannot take mounts out of the host's");
        if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return err_fail(err, ERR_IO, errno, "cannot mount /proc for the worker");
        return 0;
}

/* Process 1 of the pid namespace: passes TERM on to all, reaps, and ends with the program.  When
 * it ends, the kernel kills what is left in the namespace and only then lets the parent's wait
 * return (zap_pid_ns_processes). */
static int init_live(pid_t program, const sigset_t *signals)
{
        for (;;) {
                int status, sig = sigwaitinfo(signals, NULL);
                pid_t pid;

                if (sig == SIGTERM)
                        (void)kill(-1, SIGTERM);
                while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                        if (pid == program)
                                return status;
        }
}

/* When memory runs out, the command goes and not the site's web server.  Best effort: without it
 * the kernel chooses by size, which finds the right one too. */
static void offer_to_oom(void)
{
        CLEANUP(closep) int fd = openat(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd >= 0)
                (void)!write(fd, "1000", 4);
}

static int init_body(const struct worker_ends *ends, const void *arg, int *ret_status,
                     struct err *err)
{
        const struct job *job = arg;
        struct worker_report report = { 0 };
        sigset_t signals;
        pid_t pid;

        /* Blocked signals reach process 1 too, which is deaf to unhandled ones otherwise. */
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigaddset(&signals, SIGCHLD);
        (void)sigprocmask(SIG_SETMASK, &signals, NULL);
        if (setsid() < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a session");
        if (namespace_settle(err) < 0)
                return -1;
        offer_to_oom();

        pid = fork();
        if (pid < 0)
                return err_fail(err, ERR_IO, errno, "cannot start '%s'", job->command->argv[0]);
        if (pid == 0) {
                (void)program_exec(job, ends->output_fd, &report.err);
                worker_child_tell(ends->report_fd, &report);
                _exit(127);
        }

        /* Root's descriptors are of no use to an init. */
        if (dup2(ends->report_fd, 3) < 0 || close_range(4, UINT_MAX, 0) < 0 ||
            worker_child_null(err) < 0)
                return err_fail(err, ERR_IO, errno, "cannot close descriptors");
        report.status = init_live(pid, &signals);
        worker_child_tell(3, &report);
        *ret_status = report.status;
        _exit(0);
}

/* A program in its own session, without a pid namespace: an administrator's command names
 * processes by the numbers of the host, and may start a service that is to stay. */
static int session_body(const struct worker_ends *ends, const void *arg, int *ret_status,
                        struct err *err)
{
        *ret_status = 0;
        return program_exec(arg, ends->output_fd, err);
}

struct output {
        int from_fd, to_fd;
        uint64_t left, max;
        bool newest; /* the end is kept, not the beginning */
        bool cut;
        bool ended;
        bool lost;
};

/* Output that cannot be kept (a full disk) must not fail the command: from there on it is
 * dropped. */
static void output_keep(struct output *output, const char *data, size_t n)
{
        struct err ignored;

        if (!output->lost && file_write_all(output->to_fd, data, n, &ignored) < 0)
                output->lost = true;
}

#define CHUNK_BYTES 16384

/* What is older than the last half of the bound is dropped, and so is more of what came at once
 * than there is room for. */
static void output_keep_newest(struct output *output, const char *data, size_t n)
{
        char half[CHUNK_BYTES / 2];
        size_t keep = output->max / 2 < sizeof(half) ? (size_t)(output->max / 2) : sizeof(half);
        off_t end = (off_t)(output->max - output->left);
        off_t from = end > (off_t)keep ? end - (off_t)keep : 0;
        ssize_t got;

        if (n > output->left) {
                got = pread(output->to_fd, half, (size_t)(end - from), from);
                if (got < 0 || ftruncate(output->to_fd, 0) < 0 ||
                    lseek(output->to_fd, 0, SEEK_SET) < 0) {
                        output->lost = true;
                        return;
                }
                output_keep(output, half, (size_t)got);
                output->left = output->max - (uint64_t)got;
        }
        if (n > output->left) {
                data += n - output->left;
                n = (size_t)output->left;
        }
        output_keep(output, data, n);
        output->left -= n;
}

/* Copy what is there, without waiting.  What is over the bound is read and dropped, since a pipe
 * that nobody reads would stop the command. */
static void output_copy(struct output *output)
{
        static const char note[] = "\n... output cut\n";
        char buf[CHUNK_BYTES];

        for (int round = 0; round < 64; round++) {
                ssize_t n = read(output->from_fd, buf, sizeof(buf));
                size_t keep;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        output->ended = n == 0;
                        return;
                }
                if (output->newest) {
                        output_keep_newest(output, buf, (size_t)n);
                        continue;
                }
                keep = (uint64_t)n > output->left ? (size_t)output->left : (size_t)n;
                output_keep(output, buf, keep);
                output->left -= keep;
                if (keep < (size_t)n && !output->cut) {
                        output_keep(output, note, sizeof(note) - 1);
                        output->cut = true;
                }
        }
}

struct watch {
        const struct job *job;
        struct worker_child *child;
        int64_t deadline_usec, kill_usec;
        enum err_code ending; /* why it is being ended; 0: it is not */
        bool killed;
};

/* TERM goes to all of it: process 1 passes it on to its namespace; a session is told as a group. */
static void watch_signal(const struct watch *watch, int sig)
{
        if (watch->job->row->namespaces != 0)
                (void)kill(watch->child->pid, sig);
        else
                (void)kill(-watch->child->pid, sig);
}

static void watch_tick(struct watch *watch)
{
        const struct worker_command *command = watch->job->command;
        int64_t now = clock_boot_usec();

        if (watch->ending == 0) {
                if (command->cancelled != NULL && command->cancelled(command->arg))
                        watch->ending = ERR_REFUSED;
                else if (now >= watch->deadline_usec)
                        watch->ending = ERR_TIMEOUT;
                if (watch->ending == 0)
                        return;
                watch->kill_usec = now + GRACE_USEC;
                watch_signal(watch, SIGTERM);
        } else if (now >= watch->kill_usec && !watch->killed) {
                watch->killed = true;
                watch_signal(watch, SIGKILL);
                (void)kill(watch->child->pid, SIGKILL); /* it may not be a group yet */
        }
}

static int watch_timeout(const struct watch *watch)
{
        int64_t until = watch->ending == 0 ? watch->deadline_usec : watch->kill_usec;
        int64_t left = (until - clock_boot_usec()) / 1000 + 1;

        if (left < 0)
                left = 0;
        return left < POLL_MSEC ? (int)left : POLL_MSEC;
}

/* Until the child has ended.  Its pipe is not waited for: a grandchild may hold it for ever. */
static void watch_run(struct watch *watch, struct output *output)
{
        struct pollfd fds[2] = {
                { .fd = watch->child->pid_fd, .events = POLLIN },
                { .fd = output->from_fd, .events = POLLIN },
        };

        while (fds[0].revents == 0) {
                fds[1].fd = output->ended ? -1 : output->from_fd;
                if (poll(fds, 2, watch_timeout(watch)) < 0)
                        fds[0].revents = fds[1].revents = 0;
                if (fds[1].revents != 0)
                        output_copy(output);
                if (fds[0].revents == 0)
                        watch_tick(watch);
        }
        output_copy(output);

        /* The zombie still holds the number of its group. */
        if (watch->job->row->namespaces == 0)
                watch_signal(watch, SIGKILL);
}

static int watch_result(const struct watch *watch, int status, struct err *err)
{
        const struct worker_command *command = watch->job->command;

        if (watch->ending == ERR_TIMEOUT)
                return err_fail(err, ERR_TIMEOUT, 0, "'%s' did not end within %u.%03u s and was %s",
                                command->argv[0], command->timeout_msec / 1000,
                                command->timeout_msec % 1000, watch->killed ? "killed" : "stopped");
        if (watch->ending == ERR_REFUSED)
                return err_fail(err, ERR_REFUSED, 0, "'%s' was stopped on request",
                                command->argv[0]);
        return worker_status_check(command->argv[0], status, err);
}

int worker_run(enum worker_role role, const struct worker_command *command, struct err *err)
{
        struct job job = { .row = &roles[role], .command = command };
        struct worker_report report;
        struct worker_child child;
        struct output output;
        struct watch watch;
        bool reported;
        int status;

        if (!job.row->program || command->argv[0] == NULL || command->argv[0][0] != '/')
                return err_fail(err, ERR_INVALID, 0, "a command is an absolute path");
        if (worker_child_start(job.row->namespaces,
                               job.row->namespaces != 0 ? init_body : session_body, &job, &child,
                               err) < 0)
                return -1;
        output = (struct output){ .from_fd = child.output_fd,
                                  .to_fd = command->output_fd,
                                  .left = command->output_max,
                                  .max = command->output_max,
                                  .newest = command->output_newest };
        watch = (struct watch){
                .job = &job,
                .child = &child,
                .deadline_usec = clock_boot_usec() + (int64_t)command->timeout_msec * 1000,
        };
        watch_run(&watch, &output);
        reported = worker_child_report(&child, &report);
        status = worker_child_end(&child);

        if (watch.ending == 0 && reported && report.err.code != 0) {
                *err = report.err;
                return -1;
        }
        if (command->status != NULL)
                *command->status = reported ? report.status : status;
        return watch_result(&watch, reported ? report.status : status, err);
}
