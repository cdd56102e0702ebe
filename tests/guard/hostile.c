/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guard/hostile.h"
#include "tests/lib/test.h"

static void put(int fd, const char *data, size_t n)
{
        while (n > 0) {
                ssize_t done = send(fd, data, n, MSG_NOSIGNAL);

                if (done <= 0)
                        _exit(0);
                data += done;
                n -= (size_t)done;
        }
}

static void put_text(int fd, const char *text)
{
        put(fd, text, strlen(text));
}

static void hang(int fd)
{
        (void)fd;
        (void)pause();
}

/* A byte now and then: never idle, never done. */
static void drip(int fd)
{
        put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        for (;;) {
                put_text(fd, "x");
                (void)usleep(20000);
        }
}

static void endless_body(int fd)
{
        static char block[65536];

        memset(block, 'a', sizeof(block));
        put_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nbegin");
        for (;;)
                put(fd, block, sizeof(block));
}

static void endless_headers(int fd)
{
        put_text(fd, "HTTP/1.1 200 OK\r\n");
        for (;;)
                put_text(fd,
                         "X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
}

static void garbage(int fd)
{
        put(fd, "\x00\x01\xff\xfeHTTP/9.9 banana\r\n\r\n", 24);
}

static void reset(int fd)
{
        const struct linger now = { .l_onoff = 1 };

        put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

#define PAGE(status, headers, body)                                                                \
        "HTTP/1.1 " status "\r\n" headers "Connection: close\r\n\r\n" body

static const struct {
        const char *path;
        void (*answer)(int fd);
        const char *text;
} pages[] = {
        { "/ok", NULL, PAGE("200 OK", "", "<html>welcome</html>") },
        { "/500", NULL,
          PAGE("500 Oops", "", "PHP Fatal error \x1b[31m \xff\xfe in\r\n\tx.php \xe2\x80\xae") },
        { "/404", NULL, PAGE("404 Not Found", "", "no") },
        { "/503", NULL, PAGE("503 Busy", "Retry-After: 60\r\n", "closed") },
        { "/wp503", NULL,
          PAGE("503 Busy", "Retry-After: 600\r\n",
               "Briefly unavailable for scheduled maintenance. Check back in a minute.") },
        { "/ghost503", NULL,
          PAGE("503 Busy", "", "<title>We\xe2\x80\x99ll be right back</title>") },
        { "/nextcloud", NULL, PAGE("503 Busy", "X-Nextcloud-Maintenance-Mode: 1\r\n", "{}") },
        { "/age", NULL, PAGE("200 OK", "Age: 17\r\n", "welcome") },
        { "/age0", NULL, PAGE("200 OK", "Age: 0\r\nX-Cache: MISS from x\r\n", "welcome") },
        { "/xcache", NULL, PAGE("200 OK", "X-Cache: Hit from cloudfront\r\n", "welcome") },
        { "/cfcache", NULL, PAGE("200 OK", "CF-Cache-Status: HIT\r\n", "welcome") },
        { "/varnish", NULL, PAGE("500 Oops", "X-Varnish: 32770 3\r\n", "old error") },
        { "/inside", NULL, PAGE("302 Found", "Location: /ok\r\n", "") },
        { "/outside", NULL, PAGE("302 Found", "Location: http://127.9.9.9:1/secret\r\n", "") },
        { "/loop", NULL, PAGE("302 Found", "Location: /loop\r\n", "") },
        { "/ftp", NULL, PAGE("302 Found", "Location: ftp://127.0.0.1/\r\n", "") },
        { "/aaa", NULL, PAGE("200 OK", "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab") },
        { "/member", NULL, NULL }, /* needs the cookie of /login */
        { "/login", NULL,
          PAGE("302 Found", "Set-Cookie: session=17; Path=/\r\nLocation: /\r\n", "") },
        { "/pool", NULL,
          PAGE("200 OK", "",
               "{\"pool\":\"www\",\"start time\":1,\"listen queue\":0,"
               "\"max children reached\":3}") },
        { "/fullpool", NULL,
          PAGE("200 OK", "",
               "{\"pool\":\"www\",\"start time\":1,\"listen queue\":5,"
               "\"max children reached\":3}") },
        { "/hang", hang, NULL },
        { "/drip", drip, NULL },
        { "/body", endless_body, NULL },
        { "/headers", endless_headers, NULL },
        { "/garbage", garbage, NULL },
        { "/reset", reset, NULL },
};

static void answer(int fd)
{
        char request[8192] = "", path[200] = "";
        size_t n = 0;

        while (n < sizeof(request) - 1 && strstr(request, "\r\n\r\n") == NULL) {
                ssize_t got = recv(fd, request + n, sizeof(request) - 1 - n, 0);

                if (got <= 0)
                        return;
                n += (size_t)got;
        }
        (void)sscanf(request, "%*s %199[^? ]", path);
        if (strcmp(path, "/member") == 0) {
                put_text(fd, strstr(request, "session=17") != NULL
                                     ? PAGE("200 OK", "", "hello member")
                                     : PAGE("403 No", "", "log in"));
                return;
        }
        if (strcmp(path, "/busted") == 0) {
                put_text(fd,
                         strstr(request, "sitesnap=") != NULL && strstr(request, "no-cache") != NULL
                                 ? PAGE("200 OK", "", "fresh")
                                 : PAGE("500 Oops", "", "cachable"));
                return;
        }
        if (strcmp(path, "/host") == 0) {
                put_text(fd, strstr(request, "\r\nHost: front.invalid\r\n") != NULL &&
                                             strstr(request, "X-Key: hush\r\n") != NULL
                                     ? PAGE("200 OK", "", "right")
                                     : PAGE("500 Oops", "", "wrong host"));
                return;
        }
        for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
                if (strcmp(path, pages[i].path) == 0) {
                        if (pages[i].answer != NULL)
                                pages[i].answer(fd);
                        else
                                put_text(fd, pages[i].text);
                        return;
                }
        put_text(fd, PAGE("404 Not Found", "", ""));
}

pid_t hostile_start(unsigned *ret_port)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr = { htonl(INADDR_LOOPBACK) } };
        socklen_t n = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        pid_t pid;

        ASSERT(bind(fd, (struct sockaddr *)(void *)&address, n) == 0 && listen(fd, 200) == 0);
        ASSERT(getsockname(fd, (struct sockaddr *)(void *)&address, &n) == 0);
        *ret_port = ntohs(address.sin_port);
        pid = fork();
        if (pid != 0) {
                (void)close(fd);
                return pid;
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void)signal(SIGCHLD, SIG_IGN);
        for (;;) {
                int peer = accept(fd, NULL, NULL);

                if (fork() == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                        answer(peer);
                        (void)shutdown(peer, SHUT_WR);
                        _exit(0);
                }
                (void)close(peer);
        }
}
