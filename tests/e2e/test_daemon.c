/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The running daemon: clients that wait for news, and its life: start, lock, end. */
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "snapd/journal.h"
#include "tests/lib/daemon.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define NOBODY 65534

static struct err err;
static char buf[1 << 16];
static json_t *request;
static struct catalog *catalog;
static pid_t snapd;

static void begin(void)
{
        root_begin();
        daemon_conf("shop", "[site]\nhome = /srv/shop\nowner = nobody\n");
        snapd = daemon_start(NULL);
}

/* Waiting */

/* A held operation changes only when we change it. */
static void held_operation(op_id *ret_id)
{
        int dir_fd;

        root_begin();
        request = json_object();
        ASSERT_EQ(mkdir(daemon_dir("state"), 0700), 0);
        dir_fd = open(daemon_dir("state"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(catalog_open(dir_fd, &catalog, &err));
        ASSERT_OK(journal_queue(catalog, "shop", "upgrade", request, 0, ret_id, &err));
        ASSERT_OK(journal_state(catalog, *ret_id, OP_HELD, NULL, &err));
}

static int wait_begin(uid_t uid, op_id id, int msec)
{
        char text[300];
        int fd = daemon_connect(uid);
        int n = snprintf(text, sizeof(text),
                         "GET /v1/operations/%llu?since=%llu&wait_msec=%d HTTP/1.1\r\nHost: x\r\n"
                         "Connection: close\r\n\r\n",
                         (unsigned long long)id, (unsigned long long)journal_seq(catalog, id),
                         msec);

        ASSERT(fd >= 0);
        ASSERT_EQ(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
        return fd;
}

TEST(who_waits_is_answered_when_there_are_news)
{
        op_id id;
        int64_t began, took;
        char reply[1024];
        int fd;

        held_operation(&id);
        begin();
        fd = wait_begin(NOBODY, id, 20000);
        ASSERT(!reply_read(fd, buf, sizeof(buf), 500));
        ASSERT_STR(buf, "");
        began = clock_boot_usec(); /* nobody else waits with it */
        ASSERT_EQ(daemon_ask(2, "GET", "/v1", NULL, reply, sizeof(reply)), 200);
        ASSERT(clock_boot_usec() - began < 300000);
        began = clock_boot_usec();
        ASSERT_OK(journal_state(catalog, id, OP_FAILED, NULL, &err));
        ASSERT(reply_read(fd, buf, sizeof(buf), 5000));
        took = clock_boot_usec() - began;
        ASSERT_EQ(reply_status(buf), 200);
        ASSERT(strstr(buf, "\"state\":\"failed\"") != NULL);
        printf("# news of another process after %.1f ms\n", (double)took / 1000);
        ASSERT(took < 200000);
}

TEST(who_waits_is_answered_when_the_time_is_over)
{
        op_id id;
        int64_t began;
        int fd;

        held_operation(&id);
        begin();
        began = clock_boot_usec();
        fd = wait_begin(0, id, 700);
        ASSERT(reply_read(fd, buf, sizeof(buf), 5000));
        ASSERT_EQ(reply_status(buf), 200);
        ASSERT(clock_boot_usec() - began >= 700000);
        ASSERT(clock_boot_usec() - began < 1000000);
}

/* A question that took longer than a request may, and a daemon that had no processor when its
 * answer came: the time that was for the request is over at the same moment. */
TEST(a_late_answer_is_not_broken_off)
{
        static const char text[] = "POST /v1/sites/shop/probes/run HTTP/1.1\r\nHost: x\r\n"
                                   "Connection: close\r\nContent-Length: 0\r\n\r\n";
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr = { htonl(INADDR_LOOPBACK) } };
        socklen_t n = sizeof(address);
        int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
        char conf[500], home[200];

        ASSERT(bind(mute, (struct sockaddr *)(void *)&address, n) == 0 && listen(mute, 10) == 0);
        ASSERT_EQ(getsockname(mute, (struct sockaddr *)(void *)&address, &n), 0);
        root_begin();
        (void)snprintf(home, sizeof(home), "%s", daemon_dir("shop"));
        ASSERT_EQ(mkdir(home, 0755), 0);
        (void)snprintf(conf, sizeof(conf),
                       "[site]\nhome = %s\nowner = nobody\n[probe a]\ninterval = 60s\n"
                       "url = http://127.0.0.1:%u/\ntimeout = 11s\n",
                       home, ntohs(address.sin_port));
        daemon_conf("shop", conf);
        snapd = daemon_start(NULL);
        fd = daemon_connect(0);
        ASSERT_EQ(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
        ASSERT(!reply_read(fd, buf, sizeof(buf), 10700));
        ASSERT_STR(buf, "");
        ASSERT_EQ(kill(snapd, SIGSTOP), 0);
        (void)usleep(1500000);
        ASSERT_EQ(kill(snapd, SIGCONT), 0);
        (void)reply_read(fd, buf, sizeof(buf), 15000);
        ASSERT_EQ(reply_status(buf), 200);
}

TEST(who_hangs_up_while_waiting_makes_room)
{
        op_id id;
        int fds[16], status = 0;

        held_operation(&id);
        begin();
        for (int i = 0; i < 16; i++)
                fds[i] = wait_begin(NOBODY, id, 30000);
        ASSERT_EQ(daemon_ask(NOBODY, "GET", "/v1", NULL, buf, sizeof(buf)), 503);
        for (int i = 0; i < 16; i++)
                (void)close(fds[i]);
        for (int i = 0; i < 30 && status != 200; i++) {
                status = daemon_ask(NOBODY, "GET", "/v1", NULL, buf, sizeof(buf));
                (void)usleep(100000);
        }
        ASSERT_EQ(status, 200);
}

TEST(the_daemon_ends_while_somebody_waits)
{
        op_id id;
        int fd, status;

        held_operation(&id);
        begin();
        fd = wait_begin(0, id, 30000);
        ASSERT(!reply_read(fd, buf, sizeof(buf), 200));
        status = daemon_end(snapd, SIGTERM);
        ASSERT_EQ(status, 0);
        ASSERT(reply_read(fd, buf, sizeof(buf), 1000));
        ASSERT(access(daemon_dir("run/s"), F_OK) < 0);
}

/* Life */

TEST(a_second_daemon_is_refused_and_a_dead_ones_socket_replaced)
{
        pid_t second;
        int status;

        begin();
        second = daemon_run(NULL, -1);
        ASSERT_EQ(waitpid(second, &status, 0), second);
        ASSERT_EQ(WEXITSTATUS(status), 3);
        ASSERT_EQ(daemon_ask(0, "GET", "/v1", NULL, buf, sizeof(buf)), 200);
        (void)daemon_end(snapd, SIGKILL);
        ASSERT_EQ(access(daemon_dir("run/s"), F_OK), 0);
        snapd = daemon_start(NULL);
        ASSERT_EQ(daemon_end(snapd, SIGINT), 0);
}

TEST(something_else_at_the_sockets_place_is_left)
{
        int status;

        root_begin();
        ASSERT_EQ(mkdir(daemon_dir("run"), 0755), 0);
        ASSERT_EQ(mkdir(daemon_dir("run/s"), 0755), 0);
        snapd = daemon_run(NULL, -1);
        ASSERT_EQ(waitpid(snapd, &status, 0), snapd);
        ASSERT_EQ(WEXITSTATUS(status), 1);
        ASSERT_EQ(access(daemon_dir("run/s"), F_OK), 0);
}

static int bound_socket(const char *name, int type)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon_dir(name));
        ASSERT_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

TEST(a_passed_socket_is_served_and_left_there)
{
        int fd;

        root_begin();
        ASSERT_EQ(mkdir(daemon_dir("run"), 0755), 0);
        fd = bound_socket("run/s", SOCK_STREAM);
        ASSERT_EQ(listen(fd, 16), 0);
        snapd = daemon_run(NULL, fd);
        ASSERT_EQ(daemon_ask(0, "GET", "/v1", NULL, buf, sizeof(buf)), 200);
        ASSERT_EQ(daemon_end(snapd, SIGTERM), 0);
        ASSERT_EQ(access(daemon_dir("run/s"), F_OK), 0);
}

static bool notified(int fd, const char *what, int msec)
{
        int64_t until = clock_boot_usec() + (int64_t)msec * 1000;

        while (clock_boot_usec() < until) {
                ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);

                buf[n < 0 ? 0 : n] = '\0';
                if (n > 0 && strstr(buf, what) != NULL)
                        return true;
                if (n < 0)
                        (void)usleep(10000);
        }
        return false;
}

TEST(systemd_is_told_of_start_life_and_end)
{
        char notify[300];
        const char *env[] = { notify, "WATCHDOG_USEC=400000", NULL };
        int fd;

        root_begin();
        fd = bound_socket("notify", SOCK_DGRAM);
        (void)snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s", daemon_dir("notify"));
        snapd = daemon_start(env);
        ASSERT(notified(fd, "READY=1", 3000));
        ASSERT(notified(fd, "WATCHDOG=1", 3000));
        ASSERT_EQ(daemon_end(snapd, SIGTERM), 0);
        ASSERT(notified(fd, "STOPPING=1", 1000));
}

static int descriptors_of(pid_t pid)
{
        char path[64];
        DIR *dir;
        int n = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        dir = opendir(path);
        ASSERT(dir != NULL);
        while (readdir(dir) != NULL)
                n++;
        (void)closedir(dir);
        return n;
}

TEST(requests_and_questions_leave_no_descriptor)
{
        int before;

        begin();
        ASSERT_EQ(daemon_ask(0, "GET", "/v1/sites/shop/check", NULL, buf, sizeof(buf)), 200);
        before = descriptors_of(snapd);
        for (int i = 0; i < 200; i++) {
                ASSERT_EQ(daemon_ask(0, "GET", "/v1/sites", NULL, buf, sizeof(buf)), 200);
                if (i % 10 == 0)
                        ASSERT_EQ(daemon_ask(0, "GET", "/v1/sites/shop/check", NULL, buf,
                                             sizeof(buf)),
                                  200);
        }
        for (int i = 0; i < 50 && descriptors_of(snapd) > before; i++)
                (void)usleep(10000);
        ASSERT(descriptors_of(snapd) <= before); /* the last one's may have been among them */
        ASSERT_EQ(daemon_end(snapd, SIGTERM), 0);
}
