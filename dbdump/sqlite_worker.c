/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "dbdump/sqlite_rows.h"
#include "dbdump/sqlite_view.h"
#include "dbdump/sqlite_worker.h"

#define VIEWS_MAX     64
#define PROGRESS_USEC 200000 /* as often as a person wants to see it */
#define PATIENCE_USEC 20000
#define BEGIN_USEC    (10 * (int64_t)USEC_PER_SEC) /* patience of a begin without a deadline */

enum hold { HOLD_NONE, HOLD_ON, HOLD_EXPIRED };

struct worker {
        int socket_fd;
        int dir_fd;
        int passed_fd; /* what came with the call, or -1 */
        int other_fd;  /* the directory that DIFF compares with, or -1 */
        enum hold hold;
        int64_t deadline_usec; /* of the hold; 0 for none */
        int64_t told_usec;     /* when progress was last sent */
        size_t n;
        struct sqlite_view views[VIEWS_MAX];
};

/* In WAL mode readers stay: the instant can be copied from as long as they do. */
static void release_all(struct worker *worker, enum hold hold)
{
        for (size_t i = 0; i < worker->n; i++)
                sqlite_view_release(&worker->views[i]);
        worker->hold = hold;
}

/* Asked wherever time passes, as nothing interrupts the work of this process. */
static bool expired(const struct worker *worker)
{
        return worker->hold == HOLD_ON && worker->deadline_usec != 0 &&
               clock_boot_usec() >= worker->deadline_usec;
}

/* Wait for a call.  The hold ends at its deadline even when none comes; and a parent that is gone
 * ends the process, which gives up all locks. */
static int receive(struct worker *worker, struct sqlite_call *call)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec iov = { call, sizeof(*call) };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
        struct pollfd poll_fd = { worker->socket_fd, POLLIN, 0 };
        struct cmsghdr *cmsg;
        int msec = -1;

        if (expired(worker))
                release_all(worker, HOLD_EXPIRED);
        if (worker->hold == HOLD_ON && worker->deadline_usec != 0)
                msec = (int)((worker->deadline_usec - clock_boot_usec()) / 1000) + 1;
        if (poll(&poll_fd, 1, msec) == 0) {
                release_all(worker, HOLD_EXPIRED);
                (void)poll(&poll_fd, 1, -1);
        }
        if (recvmsg(worker->socket_fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*call))
                return -1;
        cmsg = CMSG_FIRSTHDR(&msg);
        worker->passed_fd = -1;
        if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS)
                memcpy(&worker->passed_fd, CMSG_DATA(cmsg), sizeof(int));
        call->name[NAME_MAX] = '\0';
        return 0;
}

/* Lost only when the parent is gone, and then all is over. */
static int answer(const struct worker *worker, const struct sqlite_answer *out)
{
        return send(worker->socket_fd, out, sizeof(*out), MSG_NOSIGNAL) == (ssize_t)sizeof(*out)
                       ? 0
                       : -1;
}

/* Between two pieces of work: is the hold still on, does anybody still want it? */
static int tick(uint64_t done, uint64_t all, void *arg, struct err *err)
{
        struct worker *worker = arg;
        struct sqlite_answer out = { .progress = 1, .bytes_done = done, .bytes_all = all };
        struct sqlite_call reply;
        int64_t now = clock_boot_usec();

        if (expired(worker))
                return err_fail(err, ERR_TIMEOUT, 0,
                                "the deadline of the hold passed before the copy was done");
        if (now - worker->told_usec < PROGRESS_USEC)
                return 0;
        worker->told_usec = now;
        if (answer(worker, &out) < 0 ||
            recv(worker->socket_fd, &reply, sizeof(reply), 0) != (ssize_t)sizeof(reply) ||
            reply.op != SQLITE_OP_GO)
                return err_fail(err, ERR_TIMEOUT, 0, "stopped");
        return 0;
}

/* The parent names databases; indexes would have to agree. */
static struct sqlite_view *find(struct worker *worker, const char *name, struct err *err)
{
        for (size_t i = 0; i < worker->n; i++)
                if (strcmp(worker->views[i].name, name) == 0)
                        return &worker->views[i];
        (void)err_fail(err, ERR_INVALID, 0, "the database '%s' is not part of the view", name);
        return NULL;
}

/* Opened with the others at the beginning of the view. */
static int op_add(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        if (worker->n == VIEWS_MAX)
                return err_fail(err, ERR_UNSUPPORTED, 0, "more than %d databases in a directory",
                                VIEWS_MAX);
        (void)snprintf(worker->views[worker->n].name, sizeof(worker->views[0].name), "%s",
                       call->name);
        worker->n++;
        return 0;
}

/* Take all locks or none.  A site may hold one database and wait for another that we have (ATTACH,
 * or two connections of one request), so we wait only while we hold nothing: for the one that was
 * busy, and for the others no longer than a transaction takes. */
static int lock_all(struct worker *worker, int64_t until, struct err *err)
{
        int64_t patience_usec = PATIENCE_USEC;
        size_t first = 0, i = 0;

        while (i < worker->n) {
                struct sqlite_view *view = &worker->views[(first + i) % worker->n];

                view->deadline_usec = i == 0 ? until : clock_boot_usec() + patience_usec;
                if (view->deadline_usec > until)
                        view->deadline_usec = until;
                if (sqlite_view_begin(view, err) == 0) {
                        i++;
                        continue;
                }
                for (size_t n = 0; n < worker->n; n++)
                        sqlite_view_back_off(&worker->views[n]);
                if (err->code != ERR_BUSY || clock_boot_usec() >= until)
                        return -1;
                first = (first + i) % worker->n;
                i = 0;
                patience_usec *= 2; /* the site's transactions are slower than we thought */
        }
        return 0;
}

/* Everything slow (opening, recovery, parsing) comes before the first lock. */
static int op_begin(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        bool writers = (call->flags & SQLITE_CALL_WRITERS) != 0;
        int64_t until = call->number != 0 ? call->number : clock_boot_usec() + BEGIN_USEC;

        for (size_t i = 0; i < worker->n; i++) {
                char name[NAME_MAX + 1];

                memcpy(name, worker->views[i].name, sizeof(name));
                if (sqlite_view_open(worker->dir_fd, name, writers, until, &worker->views[i], err) <
                    0)
                        return -1;
        }
        if (lock_all(worker, until, err) < 0)
                return -1;
        worker->hold = HOLD_ON;
        worker->deadline_usec = call->number;
        return 0;
}

/* The parent's proof that what it did meanwhile is of one instant. */
static int op_held(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        (void)call;
        if (expired(worker))
                release_all(worker, HOLD_EXPIRED);
        if (worker->hold == HOLD_EXPIRED)
                return err_fail(err, ERR_TIMEOUT, 0,
                                "the deadline of the hold had passed and writers went on; a longer "
                                "one is needed, or WAL mode, in which nobody waits for a copy");
        return worker->hold == HOLD_ON ? 0 : err_fail(err, ERR_INVALID, 0, "nothing is held");
}

static int op_release(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        if (op_held(worker, call, err) < 0)
                return -1;
        release_all(worker, HOLD_NONE);
        return 0;
}

static int op_facts(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        struct sqlite_view *view = find(worker, call->name, err);

        if (view == NULL)
                return -1;
        return sqlite_view_facts(view, (call->flags & SQLITE_CALL_COUNT) != 0, worker->passed_fd,
                                 tick, worker, err);
}

static int op_copy(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        struct sqlite_view *view = find(worker, call->name, err);

        if (view == NULL)
                return -1;
        return sqlite_view_copy(view, worker->passed_fd, tick, worker, err);
}

static int op_integrity(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        struct sqlite_view *view = find(worker, call->name, err);

        if (view == NULL)
                return -1;
        return sqlite_view_integrity(view, tick, worker, err);
}

/* The one call on files that are not the view's: of the copy, or of a schema that changes hands. */
static int op_settle(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        return sqlite_view_settle(worker->passed_fd, call->name,
                                  (call->flags & SQLITE_CALL_WAL) != 0,
                                  (call->flags & SQLITE_CALL_UNSYNCED) == 0, err);
}

static int op_fingerprint(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        struct sqlite_view *view = find(worker, call->name, err);

        return view == NULL ? -1 : sqlite_rows_fingerprint(view, worker->passed_fd, err);
}

static int op_other(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        (void)call;
        (void)err;
        closep(&worker->other_fd);
        worker->other_fd = steal_fd(&worker->passed_fd);
        return 0;
}

static int op_diff(struct worker *worker, const struct sqlite_call *call, struct err *err)
{
        struct sqlite_view *view = find(worker, call->name, err);
        int ret = view == NULL ? -1
                               : sqlite_rows_diff(view, worker->other_fd, worker->passed_fd, err);

        /* The reader waits for the end of the stream before it asks how it went. */
        closep(&worker->passed_fd);
        worker->passed_fd = -1;
        return ret;
}

static int (*const ops[SQLITE_OPS])(struct worker *, const struct sqlite_call *, struct err *) = {
        [SQLITE_OP_ADD] = op_add,
        [SQLITE_OP_BEGIN] = op_begin,
        [SQLITE_OP_HELD] = op_held,
        [SQLITE_OP_RELEASE] = op_release,
        [SQLITE_OP_FACTS] = op_facts,
        [SQLITE_OP_COPY] = op_copy,
        [SQLITE_OP_INTEGRITY] = op_integrity,
        [SQLITE_OP_SETTLE] = op_settle,
        [SQLITE_OP_FINGERPRINT] = op_fingerprint,
        [SQLITE_OP_OTHER] = op_other,
        [SQLITE_OP_DIFF] = op_diff,
};

int sqlite_worker_run(int socket_fd, int dir_fd)
{
        static struct worker worker; /* too large for a stack, and there is one in a process */
        struct sqlite_call call;
        struct err err = { 0 };

        worker.socket_fd = socket_fd;
        worker.dir_fd = dir_fd;
        worker.other_fd = -1;
        (void)signal(SIGPIPE, SIG_IGN); /* a stream that nobody reads is an error and no death */
        if (sqlite_view_init(&err) < 0)
                return 1;
        while (receive(&worker, &call) == 0) {
                struct sqlite_answer out = { 0 };

                worker.told_usec = clock_boot_usec();
                /* Not a word of the protocol: the other end is not who it should be. */
                if (call.op >= SQLITE_OPS || ops[call.op] == NULL)
                        return 1;
                if (ops[call.op](&worker, &call, &err) < 0) {
                        out.code = err.code;
                        out.os = err.os;
                        (void)snprintf(out.msg, sizeof(out.msg), "%s", err.msg);
                }
                if (worker.passed_fd >= 0)
                        (void)close(worker.passed_fd);
                if (answer(&worker, &out) < 0)
                        break;
        }
        for (size_t i = 0; i < worker.n; i++)
                sqlite_view_close(&worker.views[i]);
        return 0;
}
