/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/worker.h"
#include "snapd/worker_child.h"
#include "snapd/role.h"

struct call {
        const struct role *row;
        uid_t uid;
        gid_t gid;
        worker_function function;
        const void *arg;
        int in_fd;
};

enum { IN_FD = 3, OUT_FD, REPORT_FD, FIRST_FREE_FD };

/* Leave nothing open but what the function needs, under fixed numbers. */
static int descriptors_settle(const struct call *call, const struct worker_ends *ends,
                              struct err *err)
{
        const int from[] = { call->in_fd, ends->output_fd, ends->report_fd };
        int high[3];

        /* First out of the way of the numbers that will be used. */
        for (int i = 0; i < 3; i++) {
                high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD + 3);
                if (high[i] < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set up descriptors");
        }
        for (int i = 0; i < 3; i++)
                if (dup2(high[i], IN_FD + i) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set up descriptors");
        if (close_range(FIRST_FREE_FD, UINT_MAX, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot close descriptors");
        return worker_child_null(err);
}

static int call_body(const struct worker_ends *ends, const void *arg, int *ret_status,
                     struct err *err)
{
        const struct call *call = arg;
        struct worker_report report = { 0 };

        *ret_status = 0;
        if (descriptors_settle(call, ends, err) < 0)
                return -1;
        if (sandbox_enter(&call->row->sandbox, call->uid, call->gid, &report.err) == 0 &&
            call->function(IN_FD, OUT_FD, call->arg, &report.err) < 0 && report.err.code == 0)
                (void)err_fail(&report.err, ERR_IO, 0, "a worker failed without a reason");
        worker_child_tell(REPORT_FD, &report);
        _exit(0);
}

struct answer {
        char *data;
        size_t n, max;
        bool ended;
};

/* Take what is there; -1 when it is too much. */
static int answer_read(struct answer *answer, int fd, struct err *err)
{
        char buf[16384];

        for (;;) {
                ssize_t n = read(fd, buf, sizeof(buf));
                char *more;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        answer->ended = n == 0;
                        return 0;
                }
                if ((size_t)n > answer->max - answer->n)
                        return err_fail(err, ERR_INVALID, 0, "the answer is longer than %zu bytes",
                                        answer->max);
                more = realloc(answer->data, answer->n + (size_t)n + 1);
                if (more == NULL)
                        return err_oom(err);
                answer->data = more;
                memcpy(answer->data + answer->n, buf, (size_t)n);
                answer->n += (size_t)n;
        }
}

/* Until the child has ended: it cannot have children, so everything it wrote is there then. */
static int answer_wait(struct answer *answer, const struct worker_child *child,
                       unsigned timeout_msec, struct err *err)
{
        int64_t deadline = clock_boot_usec() + (int64_t)timeout_msec * 1000;
        struct pollfd fds[2] = {
                { .fd = child->pid_fd, .events = POLLIN },
                { .fd = child->output_fd, .events = POLLIN },
        };

        while (fds[0].revents == 0) {
                int64_t left = (deadline - clock_boot_usec()) / 1000;

                if (left <= 0)
                        return err_fail(err, ERR_TIMEOUT, 0, "a worker did not answer within %u s",
                                        timeout_msec / 1000);
                fds[1].fd = answer->ended ? -1 : child->output_fd;
                if (poll(fds, 2, (int)left) < 0)
                        fds[0].revents = fds[1].revents = 0;
                if (fds[1].revents != 0 && answer_read(answer, child->output_fd, err) < 0)
                        return -1;
        }
        return answer_read(answer, child->output_fd, err);
}

int worker_call(enum worker_role role, uid_t uid, gid_t gid, worker_function function,
                const void *arg, int in_fd, size_t max, char **ret_data, size_t *ret_n,
                struct err *err)
{
        const struct call call = { &roles[role], uid, gid, function, arg, in_fd };
        struct answer answer = { .data = calloc(1, 1), .max = max };
        CLEANUP(freep) char *data = answer.data;
        struct worker_report report;
        struct worker_child child;
        int r, status;
        bool reported;

        if (data == NULL)
                return err_oom(err);
        if (call.row->program)
                return err_fail(err, ERR_INVALID, 0, "this role runs programs, not functions");
        if (worker_child_start(call.row->namespaces, call_body, &call, &child, err) < 0)
                return -1;
        r = answer_wait(&answer, &child, call.row->call_msec, err);
        data = answer.data;
        reported = worker_child_report(&child, &report);
        status = worker_child_end(&child);
        if (r < 0)
                return -1;
        if (!reported)
                return worker_status_check("the worker", status, err) < 0
                               ? -1
                               : err_fail(err, ERR_IO, 0, "the worker ended without a report");
        if (report.err.code != 0) {
                *err = report.err;
                return -1;
        }
        answer.data[answer.n] = '\0';
        if (ret_n != NULL)
                *ret_n = answer.n;
        *ret_data = STEAL(data);
        return 0;
}
