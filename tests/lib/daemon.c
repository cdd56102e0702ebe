/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/daemon.h"
#include "tests/lib/test.h"

const char *daemon_dir(const char *name)
{
        static char paths[8][256];
        static unsigned next;
        char *path = paths[next++ % 8];

        (void)snprintf(path, sizeof(paths[0]), "%s/%s", test_tmpdir(), name);
        return path;
}

void daemon_conf(const char *name, const char *text)
{
        char path[300];
        FILE *file;

        (void)mkdir(daemon_dir("conf"), 0755);
        (void)mkdir(daemon_dir("conf/sites.d"), 0755);
        (void)snprintf(path, sizeof(path), "%s/%s.conf", daemon_dir("conf/sites.d"), name);
        file = fopen(path, "we");
        ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

pid_t daemon_run(const char *const *env, int listen_fd)
{
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that failed leaves none behind */
        for (size_t i = 0; env != NULL && env[i] != NULL; i++)
                (void)putenv((char *)env[i]);
        if (listen_fd >= 0) {
                char self[32];

                (void)snprintf(self, sizeof(self), "%d", getpid());
                (void)setenv("LISTEN_PID", self, 1);
                (void)setenv("LISTEN_FDS", "1", 1);
                if (listen_fd == 3)
                        (void)fcntl(3, F_SETFD, 0);
                else
                        (void)dup2(listen_fd, 3);
        }
        (void)execl(getenv("SNAPD"), "snapd", "--state", daemon_dir("state"), "--run",
                    daemon_dir("run"), "--conf", daemon_dir("conf"), "--socket",
                    daemon_dir("run/s"), NULL);
        _exit(127);
}

pid_t daemon_start(const char *const *env)
{
        pid_t pid = daemon_run(env, -1);
        char buf[4096];

        for (int i = 0; i < 500; i++) {
                int fd = daemon_connect(0);

                if (fd >= 0) {
                        (void)close(fd);
                        ASSERT_EQ(daemon_ask(0, "GET", "/v1", NULL, buf, sizeof(buf)), 200);
                        return pid;
                }
                ASSERT_EQ(waitpid(pid, NULL, WNOHANG), 0);
                (void)usleep(10000);
        }
        test_fail(__FILE__, __LINE__, "the daemon does not answer");
}

int daemon_end(pid_t pid, int signal)
{
        int status = -1;

        ASSERT_EQ(kill(pid, signal), 0);
        for (int i = 0; i < 1000; i++) {
                if (waitpid(pid, &status, WNOHANG) == pid)
                        return status;
                (void)usleep(10000);
        }
        (void)kill(pid, SIGKILL);
        test_fail(__FILE__, __LINE__, "the daemon does not end");
}

/* The kernel notes the effective ids of the moment of connect(). */
int daemon_connect(uid_t uid)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        ASSERT(fd >= 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon_dir("run/s"));
        ASSERT_EQ(setresgid((gid_t)-1, uid, (gid_t)-1), 0);
        ASSERT_EQ(setresuid((uid_t)-1, uid, (uid_t)-1), 0);
        r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
        ASSERT_EQ(setresuid((uid_t)-1, 0, (uid_t)-1), 0);
        ASSERT_EQ(setresgid((gid_t)-1, 0, (gid_t)-1), 0);
        if (r == 0)
                return fd;
        (void)close(fd);
        return -1;
}

static int64_t now_msec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool reply_read(int fd, char *buf, size_t size, int msec)
{
        int64_t until = now_msec() + msec;
        size_t n = 0;

        buf[0] = '\0';
        for (;;) {
                struct pollfd peer = { .fd = fd, .events = POLLIN };
                int64_t left = until - now_msec();
                ssize_t got;

                /* What is there by now counts, however long this process had no processor. */
                if (poll(&peer, 1, left > 0 ? (int)left : 0) <= 0)
                        return false;
                got = recv(fd, buf + n, size - n - 1, 0);
                if (got <= 0)
                        return true; /* a reset is a close too */
                n += (size_t)got;
                buf[n] = '\0';
                if (n == size - 1)
                        return false;
        }
}

int reply_status(const char *text)
{
        return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (int)strtol(text + 9, NULL, 10) : 0;
}

int daemon_ask(uid_t uid, const char *method, const char *path, const char *body, char *buf,
               size_t size)
{
        char request[4096];
        int fd = daemon_connect(uid);
        int n = snprintf(request, sizeof(request),
                         "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Length: %zu\r\n\r\n%s",
                         method, path, body == NULL ? (size_t)0 : strlen(body),
                         body == NULL ? "" : body);

        buf[0] = '\0';
        if (fd < 0)
                return 0;

        /* Who is one too many is told so and closed, maybe before it has asked. */
        (void)send(fd, request, (size_t)n, MSG_NOSIGNAL);
        (void)reply_read(fd, buf, size, 15000);
        (void)close(fd);
        return reply_status(buf);
}
