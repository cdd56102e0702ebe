/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbdump/mariadb_keeper.h"

#define SOCKET_FD 3

/* The kernel remembers who began to listen; the server itself is not asked. */
static int find_peer(const char *socket_path, struct ucred *ret_peer, struct err *err)
{
        CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(*ret_peer);

        if (strlen(socket_path) >= sizeof(address.sun_path))
                return err_fail(err, ERR_INVALID, 0, "'%.80s...' is too long for a socket",
                                socket_path);
        memcpy(address.sun_path, socket_path, strlen(socket_path));
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0)
                return err_fail(err, ERR_IO, errno, "nobody listens at '%s'", socket_path);
        if (ret_peer->uid == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the database server at '%s' listens as root; its files are not "
                                "handled with root's rights",
                                socket_path);
        return 0;
}

/* A descriptor is needed for each table that is taken. */
static int take_limits(void)
{
        struct rlimit files, none = { 0, 0 };

        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return -1;
        files.rlim_cur = files.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ? -1 : 0;
}

/* There must be no way back; and it dies with its parent, which the change of user has undone. */
static int become(const struct ucred *peer)
{
        if (geteuid() == 0 &&
            (setgroups(0, NULL) < 0 || setresgid(peer->gid, peer->gid, peer->gid) < 0 ||
             setresuid(peer->uid, peer->uid, peer->uid) < 0 || setresuid(-1U, 0, -1U) == 0))
                return -1;
        return geteuid() != peer->uid || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
                               prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                               prctl(PR_SET_DUMPABLE, 0) < 0
                       ? -1
                       : 0;
}

static void child_main(int socket_fd, const struct ucred *peer, pid_t parent)
{
        sigset_t none;
        int null_fd;

        for (int sig = 1; sig < NSIG; sig++)
                (void)signal(sig, SIG_DFL);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        socket_fd = fcntl(socket_fd, F_DUPFD, SOCKET_FD + 1);
        if (socket_fd < 0 || dup2(socket_fd, SOCKET_FD) < 0 ||
            close_range(SOCKET_FD + 1, ~0U, 0) < 0 || take_limits() < 0 || become(peer) < 0 ||
            getppid() != parent)
                _exit(3);
        null_fd = openat(AT_FDCWD, "/dev/null", O_RDWR);
        for (int fd = 0; fd <= 2; fd++)
                if (null_fd < 0 || dup2(null_fd, fd) < 0)
                        _exit(3);
        (void)close(null_fd);
        (void)umask(0007);
        _exit(mariadb_keeper_run(SOCKET_FD));
}

int mariadb_keeper_start(const char *socket_path, pid_t *ret_pid, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int ours = -1, theirs = -1;
        pid_t parent = getpid(), pid;
        struct ucred peer;
        int pair[2];

        if (find_peer(socket_path, &peer, err) < 0)
                return -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a socket pair");
        ours = pair[0];
        theirs = pair[1];
        pid = fork();
        if (pid < 0)
                return err_fail(err, ERR_IO, errno, "cannot start a process for the files");
        if (pid == 0)
                child_main(theirs, &peer, parent);
        *ret_pid = pid;
        *ret_fd = steal_fd(&ours);
        return 0;
}
