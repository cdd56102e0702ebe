/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Thousands of damaged requests, the same in each run: afterwards the daemon answers as before and
 * holds nothing more. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/daemon.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define REQUESTS 3000

static char buf[1 << 16];

static unsigned below(unsigned n)
{
        static uint64_t state = 0x9e3779b97f4a7c15;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (unsigned)(state >> 32) % n;
}

#define PICK(list) list[below(sizeof(list) / sizeof((list)[0]))]

static size_t request_make(char *text, size_t size)
{
        static const char *const methods[] = { "GET", "GET", "POST", "PATCH", "PUT", "HEAD" };
        static const char *const paths[] = {
                "/v1",
                "/v1/status",
                "/v1/sites",
                "/v1/sites/shop",
                "/v1/sites/shop/versions/1",
                "/v1/sites/shop/diff?from=1&to=2",
                "/v1/sites/shop/operations",
                "/v1/operations?site=shop&limit=3",
                "/v1/operations/1?since=1&wait_msec=50",
                "/v1/operations/1/log?offset=0",
                "/v1/operations/1/resume",
        };
        static const char *const bodies[] = {
                "",
                "{}",
                "{\"verb\": \"activate\", \"version\": 1}",
                "{\"pinned\": true}",
                "{\"mark\": \"bad\", \"reason\": \"x\"}",
                "{\"name\": \"new\", \"home\": \"/x\"}",
        };
        static const char *const lines[] = {
                "",
                "",
                "Connection: close\r\n",
                "Expect: 100-continue\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        };
        const char *body = PICK(bodies);

        return (size_t)snprintf(text, size,
                                "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n%s",
                                PICK(methods), PICK(paths), strlen(body), PICK(lines), body);
}

/* Bytes changed, left out, put in and doubled. */
static size_t damage(char *text, size_t n, size_t size)
{
        for (unsigned times = below(6); times > 0 && n > 40; times--) {
                size_t at = below((unsigned)n - 20), few = 1 + below(8);

                switch (below(4)) {
                case 0:
                        text[at] = (char)below(256);
                        break;
                case 1:
                        memmove(text + at, text + at + few, n - at - few);
                        n -= few;
                        break;
                default:
                        few *= 1 + below(8);
                        if (n + few > size || at + few > n)
                                break;
                        memmove(text + at + few, text + at, n - at);
                        n += few;
                        break;
                }
        }
        return n;
}

static void fire(void)
{
        for (int i = 0; i < REQUESTS; i++) {
                char text[4096];
                size_t n = request_make(text, sizeof(text));
                int fd;

                n = damage(text, n, sizeof(text));
                fd = daemon_connect(0);
                ASSERT(fd >= 0);
                for (size_t at = 0, piece = 1 + below(2000); at < n; at += piece)
                        if (send(fd, text + at, n - at < piece ? n - at : piece, MSG_NOSIGNAL) < 0)
                                break;
                if (below(3) == 0)
                        (void)shutdown(fd, SHUT_WR);
                if (below(3) != 0)
                        (void)reply_read(fd, buf, sizeof(buf), (int)below(20));
                (void)close(fd);
        }
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

static long memory_of(pid_t pid)
{
        char path[64];
        long pages = 0;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
        file = fopen(path, "re");
        ASSERT(file != NULL && fscanf(file, "%*s %ld", &pages) == 1);
        (void)fclose(file);
        return pages * 4;
}

static pid_t begin(const char *const *env)
{
        root_begin();
        daemon_conf("shop", "[site]\nhome = /srv/shop\nowner = nobody\n");
        return daemon_start(env);
}

/* Connections that hang are cut after their ten seconds, so the wait is longer. */
static void expect_as_before(pid_t pid, int descriptors)
{
        int status = 0;

        for (int i = 0; i < 150 && descriptors_of(pid) > descriptors; i++)
                (void)usleep(100000);
        ASSERT(descriptors_of(pid) <= descriptors); /* one of the start may have been among them */
        for (int i = 0; i < 50 && status != 200; i++)
                status = daemon_ask(0, "GET", "/v1/sites", NULL, buf, sizeof(buf));
        ASSERT_EQ(status, 200);
        ASSERT_EQ(daemon_end(pid, SIGTERM), 0);
}

TEST(damaged_requests_leave_the_daemon_as_it_was)
{
        pid_t pid = begin(NULL);
        int descriptors = descriptors_of(pid);
        long before;

        fire();
        before = memory_of(pid);
        fire();
        printf("# memory after %d and %d requests: %ld and %ld KiB\n", REQUESTS, 2 * REQUESTS,
               before, memory_of(pid));
#if !defined(__SANITIZE_ADDRESS__) /* it keeps what was freed for a while */
        ASSERT(memory_of(pid) < before + 2048);
#endif
        expect_as_before(pid, descriptors);
}

TEST(so_they_do_when_one_allocation_in_a_hundred_fails)
{
        char preload[512];
        const char *env[] = { preload, "FAILMALLOC=100", NULL };
        int descriptors;
        pid_t pid;

#if defined(__SANITIZE_ADDRESS__)
        test_skip("the sanitizer has its own malloc");
#endif
        (void)snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", getenv("FAILMALLOC_SO"));
        pid = begin(env);
        descriptors = descriptors_of(pid);
        fire();
        expect_as_before(pid, descriptors);
}
