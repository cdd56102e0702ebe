/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * load: keep a local web site busy and look at every answer.
 *
 *   load [-c CONNECTIONS] [-t SECONDS] [-s STAMP] [-l LINK -f FILE] LIST
 *
 * LIST has a line for each URL: the status to expect, the URL, a text the body must contain (the
 * rest of the line, may be empty).  Runs for SECONDS, or until SIGTERM or SIGINT, lets what is
 * under way come to its end and prints one line:
 *
 *   12345 requests, 0 failed, 0 torn, 0 stale, p50 3.1 ms, p99 12.0 ms
 *
 * failed: no answer, another status, or without its text.  With -s every place in the body where
 * STAMP stands is followed by the version of the file that wrote it.  torn: one answer carries
 * stamps of two versions.  stale: an answer carries another version than FILE (looked up in LINK,
 * the symlink that is switched) held all the time from before the request until after the answer.
 * Exits 0 if there were requests and every one was right.
 */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

#define URLS_MAX        64
#define CONNECTIONS_MAX 64
#define BODY_MAX        (8u << 20)
#define STAMP_MAX       64
#define LAST_CALL_MSEC  15000 /* how long requests under way may take once we are told to stop */
#define COMPLAINTS      5     /* how many wrong answers are described */

/* Latencies are counted in buckets, each 1/16 wider than the one before. */
#define STEPS   16
#define BUCKETS (STEPS * 26)

struct url {
        long status;
        char *address;
        char *text;
};

/* What the symlink led to at one moment. */
struct truth {
        struct stat link;
        char version[STAMP_MAX];
};

struct connection {
        CURL *easy;
        const struct url *url;
        char *body;
        size_t size;
        struct truth before;
        uint64_t began_usec;
};

static struct {
        struct url urls[URLS_MAX];
        size_t n_urls, next;
        const char *stamp, *link, *file;
        uint64_t requests, failed, torn, stale;
        uint64_t buckets[BUCKETS];
} load;

static volatile sig_atomic_t told_to_stop;

static void stop(int sig)
{
        (void)sig;
        told_to_stop = 1;
}

static void die(const char *what, const char *which)
{
        (void)fprintf(stderr, "load: %s '%s': %s\n", what, which, strerror(errno));
        exit(2);
}

static uint64_t now_usec(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* The length of the version that stands at ${text}. */
static size_t version_length(const char *text)
{
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789._-");

        return n < STAMP_MAX ? n : STAMP_MAX - 1;
}

static void read_truth(struct truth *truth)
{
        CLEANUP(closep) int dir = -1;
        CLEANUP(closep) int fd = -1;
        ssize_t n;

        memset(truth, 0, sizeof(*truth));
        if (load.link == NULL)
                return;
        if (fstatat(AT_FDCWD, load.link, &truth->link, AT_SYMLINK_NOFOLLOW) < 0)
                die("looking at", load.link);
        dir = openat(AT_FDCWD, load.link, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                die("following", load.link);
        fd = openat(dir, load.file, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, truth->version, STAMP_MAX - 1);
        if (n < 0)
                die("reading", load.file);
        truth->version[version_length(truth->version)] = '\0';
}

/* Every switch makes a new symlink, so the same one before and after means that none happened. */
static int same_link(const struct truth *a, const struct truth *b)
{
        return a->link.st_ino == b->link.st_ino &&
               a->link.st_ctim.tv_sec == b->link.st_ctim.tv_sec &&
               a->link.st_ctim.tv_nsec == b->link.st_ctim.tv_nsec;
}

static void complain(const struct connection *c, const char *what, const char *detail)
{
        if (load.failed + load.torn + load.stale <= COMPLAINTS)
                (void)fprintf(stderr, "load: %s: %s %s\n", c->url->address, what, detail);
}

/* The stamps of a body, which has a '\0' at its end: all of one version, and of the right one? */
static void judge_stamps(const struct connection *c)
{
        const char *at = strstr(c->body, load.stamp), *first;
        struct truth after;
        size_t n;

        if (at == NULL) {
                load.failed++;
                complain(c, "no stamp in the answer", "");
                return;
        }
        first = at + strlen(load.stamp);
        n = version_length(first);
        while ((at = strstr(at + 1, load.stamp)) != NULL) {
                const char *other = at + strlen(load.stamp);

                if (version_length(other) != n || memcmp(first, other, n) != 0) {
                        load.torn++;
                        complain(c, "torn", "");
                        return;
                }
        }
        if (load.link == NULL)
                return;
        read_truth(&after);
        if (same_link(&c->before, &after) && strcmp(c->before.version, after.version) == 0 &&
            (strlen(after.version) != n || memcmp(first, after.version, n) != 0)) {
                load.stale++;
                complain(c, "stale, should be", after.version);
        }
}

static void judge(struct connection *c, CURLcode result)
{
        long status = 0;
        char detail[64];

        load.requests++;
        (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        if (result != CURLE_OK) {
                load.failed++;
                complain(c, "no answer:", curl_easy_strerror(result));
        } else if (status != c->url->status) {
                load.failed++;
                (void)snprintf(detail, sizeof(detail), "%ld, not %ld", status, c->url->status);
                complain(c, "status", detail);
        } else if (c->body == NULL || strstr(c->body, c->url->text) == NULL) {
                load.failed++;
                complain(c, "the answer lacks", c->url->text);
        } else if (load.stamp != NULL) {
                judge_stamps(c);
        }
}

static size_t receive(char *data, size_t one, size_t n, void *arg)
{
        struct connection *c = arg;
        char *grown;

        (void)one; /* always 1 */
        if (c->size + n > BODY_MAX)
                return 0;
        grown = realloc(c->body, c->size + n + 1);
        if (grown == NULL)
                return 0;
        memcpy(grown + c->size, data, n);
        c->size += n;
        grown[c->size] = '\0';
        c->body = grown;
        return n;
}

static size_t bucket_of(uint64_t usec)
{
        size_t octave = usec < STEPS ? 0 : 63u - (size_t)__builtin_clzll(usec) - 3;
        size_t n = octave == 0 ? usec : octave * STEPS + ((usec >> (octave - 1)) & (STEPS - 1));

        return n < BUCKETS ? n : BUCKETS - 1;
}

/* The lower edge of a bucket; bucket_of() turned round. */
static double bucket_msec(size_t n)
{
        uint64_t octave = n / STEPS;
        uint64_t usec = octave == 0 ? n : (STEPS + n % STEPS) << (octave - 1);

        return (double)usec / 1000;
}

static double percentile(unsigned percent)
{
        uint64_t seen = 0;

        for (size_t n = 0; n < BUCKETS; n++) {
                seen += load.buckets[n];
                if (seen * 100 >= load.requests * percent)
                        return bucket_msec(n);
        }
        return 0;
}

static void begin(CURLM *multi, struct connection *c)
{
        c->url = &load.urls[load.next++ % load.n_urls];
        c->size = 0;
        if (c->body != NULL)
                c->body[0] = '\0';
        read_truth(&c->before);
        c->began_usec = now_usec();
        (void)curl_easy_setopt(c->easy, CURLOPT_URL, c->url->address);
        (void)curl_multi_add_handle(multi, c->easy);
}

/* Take in what has ended, and begin as many anew unless it is over.  Returns how many are out. */
static size_t turn(CURLM *multi, size_t out, int over)
{
        CURLMsg *msg;
        int left;

        while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
                CURL *easy = msg->easy_handle;
                CURLcode result = msg->data.result;
                struct connection *c = NULL;

                (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &c);
                (void)curl_multi_remove_handle(multi, easy);
                load.buckets[bucket_of(now_usec() - c->began_usec)]++;
                judge(c, result);
                if (over)
                        out--;
                else
                        begin(multi, c);
        }
        return out;
}

static void run(size_t n, unsigned seconds)
{
        static struct connection all[CONNECTIONS_MAX];
        CURLM *multi = curl_multi_init();
        uint64_t end = seconds == 0 ? UINT64_MAX : now_usec() + seconds * 1000000ull;
        int running;

        for (size_t i = 0; i < n; i++) {
                struct connection *c = &all[i];

                c->easy = curl_easy_init();
                (void)curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, receive);
                (void)curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
                (void)curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
                (void)curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)LAST_CALL_MSEC);
                (void)curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
                begin(multi, c);
        }
        /* The requests' own time limit ends this loop even if the server never answers again. */
        for (size_t out = n; out > 0;) {
                int over = told_to_stop || now_usec() >= end;

                (void)curl_multi_perform(multi, &running);
                out = turn(multi, out, over);
                if (out > 0)
                        (void)curl_multi_poll(multi, NULL, 0, 100, NULL);
        }
        for (size_t i = 0; i < n; i++) {
                curl_easy_cleanup(all[i].easy);
                free(all[i].body);
        }
        (void)curl_multi_cleanup(multi);
}

/* Cut the line into its three parts, in place. */
static void take_line(char *line)
{
        struct url *url = &load.urls[load.n_urls];
        char *rest;

        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
                return;
        errno = EINVAL;
        url->status = strtol(line, &rest, 10);
        url->address = strdup(rest + strspn(rest, " "));
        if (url->status < 100 || url->address == NULL || load.n_urls == URLS_MAX - 1)
                die("cannot take the line", line);
        url->text = url->address + strcspn(url->address, " ");
        if (*url->text != '\0')
                *url->text++ = '\0';
        load.n_urls++;
}

static void read_list(const char *path)
{
        CLEANUP(freep) char *line = NULL;
        FILE *f = fopen(path, "re");
        size_t size = 0;

        if (f == NULL)
                die("opening", path);
        while (getline(&line, &size, f) > 0)
                take_line(line);
        (void)fclose(f);
        errno = EINVAL;
        if (load.n_urls == 0)
                die("no URL in", path);
}

int main(int argc, char **argv)
{
        struct sigaction action = {.sa_handler = stop};
        long connections = 4, seconds = 0;
        int option;

        while ((option = getopt(argc, argv, "c:t:s:l:f:")) != -1) {
                if (option == 'c')
                        connections = strtol(optarg, NULL, 10);
                else if (option == 't')
                        seconds = strtol(optarg, NULL, 10);
                else if (option == 's')
                        load.stamp = optarg;
                else if (option == 'l')
                        load.link = optarg;
                else if (option == 'f')
                        load.file = optarg;
                else
                        return 2;
        }
        if (optind != argc - 1 || connections < 1 || connections > CONNECTIONS_MAX ||
            seconds < 0 || (load.link == NULL) != (load.file == NULL)) {
                (void)fprintf(stderr, "usage: load [-c CONNECTIONS] [-t SECONDS] [-s STAMP] "
                                      "[-l LINK -f FILE] LIST\n");
                return 2;
        }
        read_list(argv[optind]);
        (void)sigaction(SIGTERM, &action, NULL);
        (void)sigaction(SIGINT, &action, NULL);
        (void)curl_global_init(CURL_GLOBAL_DEFAULT);
        run((size_t)connections, (unsigned)seconds);
        printf("%" PRIu64 " requests, %" PRIu64 " failed, %" PRIu64 " torn, %" PRIu64 " stale, "
               "p50 %.1f ms, p99 %.1f ms\n",
               load.requests, load.failed, load.torn, load.stale, percentile(50), percentile(99));
        return load.requests == 0 || load.failed + load.torn + load.stale > 0;
}
