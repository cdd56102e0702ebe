/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "dbdump/sqlite_helper.h"

#define SILENCE_MSEC 600000     /* so long says nothing who counts a large table, on a slow disk */
#define GRACE_MSEC   5000       /* beyond a hold's deadline, before we end it ourselves */
#define FACTS_MAX    (32 << 20) /* bytes */
#define MEMORY_BYTES (2ULL << 30)
#define FILES_MAX    1024

struct sqlite_helper {
        pid_t pid;
        int socket_fd;
        int64_t deadline_usec; /* of the hold; silence past it is not waited for */
};

/* Become the tenant for good. */
static int drop_to(uid_t uid, gid_t gid)
{
        if (geteuid() != 0)
                return uid == geteuid() ? 0 : -1; /* a test, or a daemon of the user's own */
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return -1;
        /* There must be no way back. */
        return setresuid(-1U, 0, -1U) == 0 ? -1 : 0;
}

/* Limits are a second line: what counts is that the process is the tenant's. */
static void limit(int resource, rlim_t value)
{
        struct rlimit lower = { value, value }, now;

        /* A lower limit of our own stays; a failure leaves the limit as it was. */
        if (getrlimit((__rlimit_resource_t)resource, &now) == 0 && now.rlim_max > value)
                (void)setrlimit((__rlimit_resource_t)resource, &lower);
}

/* The parent's handlers would run on the child's copy of the parent's state. */
static void forget_signals(void)
{
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                (void)signal(sig, SIG_DFL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: keep two descriptors and nothing else of the parent's. */
static void child_main(int socket_fd, int dir_fd, uid_t uid, gid_t gid)
{
        int null_fd, high_socket, high_dir;

        forget_signals();
        high_socket = fcntl(socket_fd, F_DUPFD, 10);
        high_dir = fcntl(dir_fd, F_DUPFD, 10);
        if (high_socket < 0 || high_dir < 0 || dup2(high_socket, 3) < 0 || dup2(high_dir, 4) < 0 ||
            close_range(5, ~0U, 0) < 0 || drop_to(uid, gid) < 0)
                _exit(3);
        null_fd = openat(AT_FDCWD, "/dev/null", O_RDWR);
        for (int fd = 0; fd <= 2; fd++)
                if (null_fd < 0 || dup2(null_fd, fd) < 0)
                        _exit(3);
        limit(RLIMIT_CORE, 0);
        limit(RLIMIT_NOFILE, FILES_MAX);
        limit(RLIMIT_NPROC, 0);
#if !defined(__SANITIZE_ADDRESS__)
        limit(RLIMIT_AS, MEMORY_BYTES);
#endif
        /* Set after the change of ids, which clears the first: dies with its parent, gets no new
         * rights, and is no file of the tenant's to debug or read. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_DUMPABLE, 0) < 0)
                _exit(3);
        _exit(sqlite_worker_run(3, 4));
}

/* fork without exec: the helper is this program, with what it had in memory.  It is never a file of
 * the tenant's, and cannot be traced or dumped. */
int sqlite_helper_start(int dir_fd, uid_t uid, gid_t gid, struct sqlite_helper **ret_helper,
                        struct err *err)
{
        CLEANUP(freep) struct sqlite_helper *helper = calloc(1, sizeof(*helper));
        CLEANUP(closep) int ours = -1;
        CLEANUP(closep) int theirs = -1;
        int pair[2];

        if (helper == NULL)
                return err_oom(err);
        if (uid == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "databases of root are not opened; give the site an owner");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a socket pair");
        ours = pair[0];
        theirs = pair[1];
        helper->pid = fork();
        if (helper->pid < 0)
                return err_fail(err, ERR_IO, errno, "cannot start the helper for SQLite");
        if (helper->pid == 0)
                child_main(theirs, dir_fd, uid, gid);
        helper->socket_fd = steal_fd(&ours);
        *ret_helper = STEAL(helper);
        return 0;
}

void sqlite_helper_stop(struct sqlite_helper *helper)
{
        struct pollfd end = { -1, POLLIN, 0 };

        if (helper == NULL)
                return;
        /* Asked politely it closes its databases, and leaves no -wal and -shm of its own behind;
         * otherwise the kernel gives up its locks. */
        (void)close(helper->socket_fd);
        end.fd = pidfd_open(helper->pid, 0);
        if (end.fd < 0 || poll(&end, 1, GRACE_MSEC) != 1)
                (void)kill(helper->pid, SIGKILL);
        closep(&end.fd);
        while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
                continue;
        free(helper);
}

/* One datagram, with at most one descriptor beside it. */
static int post(const struct sqlite_helper *helper, const struct sqlite_call *call, int fd,
                struct err *err)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec iov = { (void *)(uintptr_t)call, sizeof(*call) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        memset(&control, 0, sizeof(control));
        if (fd >= 0) {
                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);
                control.align.cmsg_level = SOL_SOCKET;
                control.align.cmsg_type = SCM_RIGHTS;
                control.align.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
        }
        if (sendmsg(helper->socket_fd, &msg, MSG_NOSIGNAL) != (ssize_t)sizeof(*call))
                return err_fail(err, ERR_IO, errno, "the helper for SQLite is gone");
        return 0;
}

/* One datagram back.  Whoever says nothing for longer than anything takes is ended: a tenant can
 * stop his process, and root is not to wait for him. */
static int hear(struct sqlite_helper *helper, struct sqlite_answer *ret_answer, struct err *err)
{
        struct pollfd poll_fd = { helper->socket_fd, POLLIN, 0 };
        int64_t msec = SILENCE_MSEC;
        int ready;

        if (helper->deadline_usec != 0)
                msec = (helper->deadline_usec - clock_boot_usec()) / 1000 + GRACE_MSEC;
        do
                ready = poll(&poll_fd, 1, msec < 0 ? 0 : (int)msec);
        while (ready < 0 && errno == EINTR);
        if (ready == 0) {
                (void)kill(helper->pid, SIGKILL);
                return err_fail(err, ERR_TIMEOUT, 0,
                                "the helper for SQLite gave no sign and was ended");
        }
        if (recv(helper->socket_fd, ret_answer, sizeof(*ret_answer), 0) !=
            (ssize_t)sizeof(*ret_answer))
                return err_fail(err, ERR_IO, 0, "the helper for SQLite died");
        return 0;
}

/* The message goes on to logs and terminals. */
static int take_error(struct sqlite_answer *answer, struct err *err)
{
        enum err_code code = answer->code < ERR_CODES ? (enum err_code)answer->code : ERR_IO;

        answer->msg[sizeof(answer->msg) - 1] = '\0';
        for (char *c = answer->msg; *c != '\0'; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = '?';
        (void)err_fail(err, code, 0, "%s", answer->msg);
        err->os = answer->os;
        return -1;
}

int sqlite_helper_call(struct sqlite_helper *helper, const struct sqlite_call *call, int fd,
                       sqlite_progress progress, void *arg, struct err *err)
{
        struct sqlite_answer answer;
        bool stopped = false;

        if (call->op == SQLITE_OP_BEGIN)
                helper->deadline_usec = call->number;
        if (post(helper, call, fd, err) < 0 || hear(helper, &answer, err) < 0)
                return -1;
        /* Each sign of progress waits for a word, which is also how a long call is stopped. */
        while (answer.progress != 0) {
                struct sqlite_call reply = { .op = SQLITE_OP_GO };

                if (!stopped && progress != NULL &&
                    progress(answer.bytes_done, answer.bytes_all, arg, err) < 0)
                        stopped = true;
                if (stopped)
                        reply.op = SQLITE_OP_STOP;
                if (post(helper, &reply, -1, err) < 0 || hear(helper, &answer, err) < 0)
                        return -1;
        }
        if (call->op == SQLITE_OP_RELEASE)
                helper->deadline_usec = 0;
        if (stopped)
                return -1; /* the error is the one that stopped it */
        return answer.code == 0 ? 0 : take_error(&answer, err);
}

int sqlite_helper_ask(struct sqlite_helper *helper, enum sqlite_op op, const char *name,
                      unsigned flags, int fd, struct err *err)
{
        struct sqlite_call call = { .op = op, .flags = flags };

        (void)snprintf(call.name, sizeof(call.name), "%s", name == NULL ? "" : name);
        return sqlite_helper_call(helper, &call, fd, NULL, NULL, err);
}

/* The helper writes into memory that is ours: more than we read it cannot make us hold. */
int sqlite_helper_text(struct sqlite_helper *helper, enum sqlite_op op, const char *name,
                       unsigned flags, char **ret_text, struct err *err)
{
        CLEANUP(closep) int fd = memfd_create("facts", MFD_CLOEXEC);
        size_t n;

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a memory file");
        if (sqlite_helper_ask(helper, op, name, flags, fd, err) < 0)
                return -1;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return err_fail(err, ERR_IO, errno, "cannot read facts");
        if (file_read_fd(fd, FACTS_MAX, ret_text, &n, err) < 0)
                return err_wrap(err, "the facts of '%s'", name);
        return 0;
}

int sqlite_helper_facts(struct sqlite_helper *helper, const char *name, bool count, char **ret_text,
                        struct err *err)
{
        return sqlite_helper_text(helper, SQLITE_OP_FACTS, name, count ? SQLITE_CALL_COUNT : 0,
                                  ret_text, err);
}

/* A helper that was stopped must not stop us for ever. */
static int stream_pair(int fds[2], struct err *err)
{
        struct timeval patience = { .tv_sec = SILENCE_MSEC / 1000 };

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a socket pair");
        (void)setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        return 0;
}

int sqlite_helper_stream(struct sqlite_helper *helper, const struct sqlite_call *call,
                         sqlite_stream work, void *arg, struct err *err)
{
        CLEANUP(closep) int ours = -1, theirs = -1;
        struct sqlite_answer answer;
        struct err why = { 0 };
        int fds[2], ret;

        if (stream_pair(fds, err) < 0)
                return -1;
        ours = fds[0];
        theirs = fds[1];
        if (post(helper, call, theirs, err) < 0)
                return -1;
        closep(&theirs);
        theirs = -1;
        ret = work(ours, arg, &why);
        /* Its end of the stream is the last thing that it may wait for. */
        closep(&ours);
        ours = -1;
        if (hear(helper, &answer, err) < 0)
                return -1;
        /* What we were told by whoever asked counts before what the helper says of a stream that
         * ended early; the other way round when it was the helper who ended. */
        if (ret < 0 && (answer.code == 0 || answer.code == ERR_REFUSED)) {
                *err = why;
                return -1;
        }
        return answer.code != 0 ? take_error(&answer, err) : 0;
}
