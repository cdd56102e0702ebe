/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/prober.h"
#include "snapd/prober_line.h"
#include "snapd/prober_process.h"
#include "tests/guard/guard_world.h"
#include "tests/guard/hostile.h"
#include "tests/lib/test.h"

/* The prober starts this program again as `snapd --probe`. */
__attribute__((constructor)) static void probe_instead_of_tests(int argc, char **argv)
{
        if (argc > 9 && strcmp(argv[9], "--probe") == 0)
                _exit(prober_main());
}

static struct err err;
static struct line line;

static bool reads(const char *text)
{
        const struct site_probe probe = { .time = PROBE_TIME_SECONDS };

        return line_read(&probe, text, strlen(text), &line);
}

TEST(lines_of_both_servers_are_read)
{
        ASSERT(reads("127.0.0.1 - - [20/Nov/2026:13:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 502 157 "
                     "\"-\" \"curl/7.88\" 0.250"));
        ASSERT_EQ(line.status, 502);
        ASSERT_STR(line.path, "/a");
        ASSERT_STR(line.agent, "curl/7.88");
        ASSERT_EQ(line.usec, 250000);
        ASSERT(reads("www.invalid:443 ::1 - me [t] \"POST /x HTTP/2.0\" 200 - \"-\" \"b\""));
        ASSERT_STR(line.host, "www.invalid:443");
        ASSERT_EQ(line.usec, -1);
        ASSERT(reads("1.2.3.4 - - [t] \"GET / HTTP/1.0\" 404 0"));
        ASSERT_STR(line.agent, "");
        ASSERT(reads("{\"status\": \"503\", \"uri\": \"/a?b\", \"request_time\": \"1.5\", "
                     "\"http_user_agent\": \"x\", \"host\": \"h\"}"));
        ASSERT_EQ(line.status, 503);
        ASSERT_EQ(line.usec, 1500000);
        ASSERT_STR(line.path, "/a");
        ASSERT_STR(line.query, "b");
        ASSERT(reads("{\"status\": 200, \"request_time\": 0.001}"));
        ASSERT_EQ(line.usec, 1000);
        ASSERT(reads("{\"status\": 200, \"request_time\": -0.5}"));
        ASSERT_EQ(line.usec, -1);
        ASSERT(reads("{\"status\": 200, \"request_time\": 1e300}"));
        ASSERT_EQ(line.usec, -1);
}

TEST(a_line_says_who_asked_for_what)
{
        ASSERT(reads("192.0.2.7 - 203.0.113.1 [t] \"POST /a?b=c&d=%20?e HTTP/1.1\" 502 157"));
        ASSERT_STR(line.address, "192.0.2.7");
        ASSERT_STR(line.method, "POST");
        ASSERT_STR(line.path, "/a");
        ASSERT_STR(line.query, "b=c&d=%20?e");
        ASSERT(reads("www.invalid:443 2001:db8::1 - me [t] \"GET / HTTP/2.0\" 200 -"));
        ASSERT_STR(line.address, "2001:db8::1");
        ASSERT_STR(line.query, "");
        ASSERT(reads("a.name.invalid - - [t] \"\" 400 0"));
        ASSERT_STR(line.address, "a.name.invalid");
        ASSERT_STR(line.method, "");
        ASSERT(reads("{\"status\": 500, \"remote_addr\": \"192.0.2.9\", \"request_uri\": \"/p?q\", "
                     "\"request_method\": \"PUT\", \"args\": \"other\"}"));
        ASSERT_STR(line.address, "192.0.2.9");
        ASSERT_STR(line.method, "PUT");
        ASSERT_STR(line.query, "q");
        ASSERT(reads("{\"status\": 500, \"uri\": \"/p\", \"args\": \"q=2\"}"));
        ASSERT_STR(line.address, "");
        ASSERT_STR(line.query, "q=2");
}

/* What a visitor writes never becomes a status of ours. */
TEST(a_visitor_cannot_write_a_line)
{
        /* nginx: a quote is \x22; Apache: \" */
        ASSERT(reads("1.2.3.4 - x\\x22 200 1 [t] \"GET /\\x22 500 1 \\x22a HTTP/1.1\" 200 1 \"-\" "
                     "\"a\""));
        ASSERT_EQ(line.status, 200);
        ASSERT(reads("1.2.3.4 - - [t] \"GET /\\\" 500 1 \\\"-\\\" HTTP/1.1\" 200 1 \"-\" \"a\""));
        ASSERT_EQ(line.status, 200);
        ASSERT(reads("1.2.3.4 - - [t] \"GET / HTTP/1.1\" 200 1 \"\\\" 500 1\" \"a\\\\\""));
        ASSERT_EQ(line.status, 200);
        ASSERT_STR(line.agent, "a\\\\");
        ASSERT(reads("1.2.3.4 - - [t] \"\" 400 0 \"-\" \"-\""));
        ASSERT(reads("1.2.3.4 - - [t] \"\\x16\\x03\\x01\" 400 157 \"-\" \"-\""));

        ASSERT(!reads(""));
        ASSERT(!reads("1.2.3.4 - - [t] \"GET / HTTP/1.1"));
        ASSERT(!reads("1.2.3.4 - - [t] \"GET / HTTP/1.1\" 999 1"));
        ASSERT(!reads("1.2.3.4 - - [t] \"GET / HTTP/1.1\\\" 200 1"));
        ASSERT(!reads("{\"status\": 200, \"status\": 500}"));
        ASSERT(!reads("{\"status\": 200"));
        ASSERT(!reads("{\"status\": 20000}"));
        ASSERT(!reads("[200]"));
}

TEST(a_line_says_when_it_was)
{
        const struct site_probe apache = { .time = PROBE_TIME_MICROSECONDS };
        const char *text = "h 1.2.3.4 - me [20/Nov/2026:13:00:00 +0100] \"GET / HTTP/1.1\" 200 1 "
                           "\"-\" \"b\" 1500";
        const int64_t noon = INT64_C(1795176000) * USEC_PER_SEC;

        ASSERT(reads(text));
        ASSERT_EQ(line.wall_usec, noon);
        ASSERT(!line.asked);
        ASSERT(line_read(&apache, text, strlen(text), &line));
        ASSERT_EQ(line.wall_usec, noon);
        ASSERT_EQ(line.usec, 1500);
        ASSERT(line.asked);

        /* The name that a visitor gives himself is no time. */
        ASSERT(reads(
                "1.2.3.4 - [20/Nov/2020:12:00:00 +0000] [20/Nov/2026:12:00:00 +0000] \"GET /\" "
                "200 1"));
        ASSERT_EQ(line.wall_usec, noon);
        ASSERT(reads("1.2.3.4 - a\\\"[20/Nov/2020:12:00:00 +0000] \\\" 500 1 "
                     "[20/Nov/2026:12:00:00 +0000] \"GET /\" 200 1"));
        ASSERT_EQ(line.wall_usec, noon);
        ASSERT_EQ(line.status, 200);
        ASSERT(reads("1.2.3.4 - - [t] \"GET / [20/Nov/2026:12:00:00 +0000] HTTP/1.1\" 200 1"));
        ASSERT_EQ(line.wall_usec, 0);
        ASSERT(reads("1.2.3.4 - - [20/Nov/2026:12:00:00] \"GET / HTTP/1.1\" 200 1"));
        ASSERT_EQ(line.wall_usec, 0);
        ASSERT(reads("1.2.3.4 - - [20/Nov/2026:12:00:00 +0000 and more of what is not ours] "
                     "\"GET / HTTP/1.1\" 200 1"));
        ASSERT_EQ(line.wall_usec, 0);

        ASSERT(reads("{\"status\": 200, \"msec\": \"1795176000.250\", \"time\": \"x\"}"));
        ASSERT_EQ(line.wall_usec, noon + 250000);
        ASSERT(reads("{\"status\": 200, \"msec\": 1795176000.250}"));
        ASSERT_EQ(line.wall_usec, noon + 250000);
        ASSERT(reads("{\"status\": 200, \"time_iso8601\": \"2026-11-20T14:00:00+02:00\"}"));
        ASSERT_EQ(line.wall_usec, noon);
        ASSERT(reads("{\"status\": 200, \"time_iso8601\": \"2026-11-20T12:00:00.999Z\"}"));
        ASSERT_EQ(line.wall_usec, noon);
        ASSERT(reads("{\"status\": 200, \"time_local\": \"20/Nov/2026:12:00:00 +0000\"}"));
        ASSERT_EQ(line.wall_usec, noon);
        for (size_t i = 0; i < 8; i++) {
                static const char *const wrong[] = {
                        "\"time\": \"\"",  "\"time\": \"2026-11-20T12:00:00\"",
                        "\"time\": \"/\"", "\"time\": \"99/Nov/2026:12:00:00 +0000\"",
                        "\"msec\": -1",    "\"msec\": \"nan\"",
                        "\"msec\": 1e300", "\"time\": \"20/Nov/0001:12:00:00 +0000\"",
                };
                char json[200];

                (void)snprintf(json, sizeof(json), "{\"status\": 200, %s}", wrong[i]);
                ASSERT(reads(json));
                ASSERT_EQ(line.wall_usec, 0);
        }
}

TEST(a_line_takes_time_by_its_length)
{
        static char text[LINE_MAX_BYTES + 1];
        int64_t began = clock_boot_usec();

        for (int run = 0; run < 200; run++) {
                memset(text, "\\\"a [{"[run % 6], LINE_MAX_BYTES);
                (void)reads(text);
                memcpy(text, "1 - - [t] \"", 11);
                (void)reads(text);
        }
        if (clock_boot_usec() - began > 2000000)
                test_fail(__FILE__, __LINE__, "%lld ms for 400 hostile lines of 16 KiB",
                          (long long)(clock_boot_usec() - began) / 1000);
}

/* The whole way: a log that is passed to the process. */

static struct dirs dirs;
static sd_event *event;
static struct prober *prober;
static char log_path[200];
static struct {
        unsigned n, good, bad, lone, unknown, timed;
        uint64_t version;
        char what[200], url[200], excerpt[400];
} seen[2];

static void news(const char *site, const struct site_probe *probe, const struct sample *sample,
                 void *arg)
{
        size_t at = (size_t)(site[1] - '0');
        const json_t *example = json_array_get(sample->examples, 0);
        const char *what = json_get_string(example, "what"), *url = json_get_string(example, "url"),
                   *excerpt = json_get_string(example, "excerpt");

        (void)arg;
        if (probe->kind != PROBE_ACCESSLOG)
                return;
        seen[at].n++;
        seen[at].good += sample->good;
        seen[at].bad += sample->bad;
        seen[at].lone += sample->lone;
        seen[at].unknown += sample->unknown;
        seen[at].version = sample->version;
        for (size_t i = 0; i < SAMPLE_BUCKETS; i++)
                seen[at].timed += sample->latency[i];
        (void)snprintf(seen[at].what, sizeof(seen[at].what), "%s", what == NULL ? "" : what);
        if (url != NULL)
                (void)snprintf(seen[at].url, sizeof(seen[at].url), "%s", url);
        if (excerpt != NULL)
                (void)snprintf(seen[at].excerpt, sizeof(seen[at].excerpt), "%s", excerpt);
}

static void append(const char *path, const char *text, unsigned times)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

        ASSERT(fd >= 0);
        for (unsigned i = 0; i < times; i++)
                ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        (void)close(fd);
}

static void turn(unsigned msec)
{
        memset(seen, 0, sizeof(seen));
        guard_turn(event, msec);
}

/* Until the answers of s0 were so many. */
static void turn_until(unsigned good, unsigned bad)
{
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].good >= good && seen[0].bad >= bad);
        ASSERT_EQ(seen[0].good, good);
        ASSERT_EQ(seen[0].bad, bad);
}

static void measure(const char *name, const char *path, const char *more)
{
        char text[1024];
        struct site *site = NULL;

        (void)snprintf(text, sizeof(text),
                       "[site]\nhome = /srv/wiki\nowner = daemon\n[probe log]\nkind = accesslog\n"
                       "interval = 200ms\nlog = %s\n%s\n",
                       path, more);
        ASSERT_OK(site_parse(name, "wiki.conf", text, NULL, &site, &err));
        ASSERT_OK(prober_set(prober, site, &site->probes, &err));
        site_free(site);
}

#define OK    "1.2.3.4 - - [t] \"GET /ok?secret HTTP/1.1\" 200 1 \"-\" \"b\" 0.010\n"
#define WRONG "1.2.3.4 - - [t] \"GET /bad?secret HTTP/1.1\" 500 1 \"-\" \"b\" 0.010\n"

static void world(const char *more)
{
        test_need_syscalls();
        dirs = guard_dirs();
        ASSERT(sd_event_new(&event) >= 0);
        ASSERT_OK(prober_open(event, &dirs, news, NULL, &prober, &err));
        (void)snprintf(log_path, sizeof(log_path), "%s/access.log", test_tmpdir());
        append(log_path, WRONG, 10);
        measure("s0", log_path, more);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].n >= 1);
        /* What was there before is of another time. */
        ASSERT(seen[0].bad == 0 && seen[0].good == 0);
        ASSERT_STR(seen[0].what, "no visitors");
}

TEST(visitors_are_counted_and_our_own_probes_are_not)
{
        CLEANUP(freep) char *token = NULL;
        char own[400];
        int fd;

        world("time = seconds");
        (void)snprintf(own, sizeof(own), "%s/probes", test_tmpdir());
        fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(file_read(fd, "s0", 100, &token, NULL, &err));
        (void)close(fd);
        (void)snprintf(own, sizeof(own),
                       "1.2.3.4 - - [t] \"GET / HTTP/1.1\" 500 1 \"-\" \"sitesnap-probe/%s (%s)\" "
                       "0.010\n",
                       SITESNAP_VERSION, token);
        append(log_path, own, 5);
        /* Whoever says he is us without knowing the token is a visitor. */
        append(log_path,
               "1.2.3.4 - - [t] \"GET /x HTTP/1.1\" 500 1 \"-\" \"sitesnap-probe/0.1.0 (00)\" "
               "0.1\n",
               1);
        append(log_path, OK, 7);
        append(log_path, "1.2.3.4 - - [t] \"GET / HTTP/1.1\" 404 1 \"-\" \"b\" 0.010\n", 2);
        turn_until(7, 1);
        ASSERT_EQ(seen[0].timed, 8);
        ASSERT_STR(seen[0].url, "/x");
        prober_close(prober);
}

TEST(a_log_that_is_rotated_is_followed)
{
        char old[220];

        world("");
        append(log_path, OK, 3);
        (void)snprintf(old, sizeof(old), "%s.1", log_path);
        ASSERT(rename(log_path, old) == 0);
        append(log_path, WRONG, 2);
        append(old, OK, 4); /* the server has the old one open still */
        turn_until(7, 2);
        append(log_path, OK, 5);
        turn_until(5, 0);

        /* Rotated by a copy: cut where it is. */
        ASSERT(truncate(log_path, 0) == 0);
        turn(500);
        append(log_path, WRONG, 1);
        turn_until(0, 1);
        prober_close(prober);
}

/* One line of a request that was answered ${ago} ms ago. */
static void request(unsigned status, int ago, const char *took)
{
        time_t at = (time_t)((clock_wall_usec() - (int64_t)ago * 1000) / USEC_PER_SEC);
        char text[200], stamp[40];
        struct tm tm;

        ASSERT(strftime(stamp, sizeof(stamp), "%d/%b/%Y:%H:%M:%S +0000", gmtime_r(&at, &tm)) > 0);
        (void)snprintf(text, sizeof(text),
                       "1.2.3.4 - - [%s] \"GET /x HTTP/1.1\" %u 1 \"-\" \"b\" %s\n", stamp, status,
                       took);
        append(log_path, text, 1);
}

/* Version 2 was served, and 1 is again, since a moment. */
static void gone_back(const char *more)
{
        world(more);
        prober_served(prober, "s0", 2);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].version == 2);
        prober_served(prober, "s0", 1);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].version == 1 && seen[0].n >= 3);
}

/* What was counted of version 1 until so many lines had been looked at. */
static void counted(unsigned good, unsigned bad, unsigned unknown)
{
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].good + seen[0].bad >= good + bad &&
                                        (unknown == 0 || strstr(seen[0].what, "before") != NULL));
        ASSERT_EQ(seen[0].good, good);
        ASSERT_EQ(seen[0].bad, bad);
        ASSERT_EQ(seen[0].version, 1);
        if (unknown != 0) {
                char text[100];

                (void)snprintf(text, sizeof(text),
                               "%u requests may have begun before this version was served",
                               unknown);
                ASSERT_STR(seen[0].what, text);
        }
}

/* A version that hangs is asked, taken back, and its answers are logged afterwards. */
TEST(a_request_that_began_with_the_version_before_is_not_counted)
{
        gone_back("time = seconds");
        for (int i = 0; i < 5; i++)
                request(500, 0, "20.000");
        request(200, 0, "20.000");
        counted(0, 0, 6);
        request(500, 0, "0.001");
        request(200, 0, "0.001");
        counted(1, 1, 0);
        prober_close(prober);
}

TEST(apache_writes_when_it_was_asked)
{
        gone_back("time = microseconds");
        turn(2100);
        request(500, 0, "1");
        request(200, 1000, "1100000");
        counted(1, 1, 0);
        request(500, 20000, "20000000");
        counted(0, 0, 1);
        prober_close(prober);
}

/* nginx with `buffer=`: lines that were written to the log before come after. */
TEST(lines_that_come_late_are_of_the_time_they_say)
{
        gone_back("time = seconds");
        turn(2100);
        request(500, 10000, "0.001");
        request(500, 9000, "0.001");
        request(200, 0, "0.001");
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].good >= 1);
        ASSERT_EQ(seen[0].good, 1);
        ASSERT_EQ(seen[0].bad, 0);
        ASSERT(seen[0].unknown >= 2);
        prober_close(prober);
}

TEST(a_clock_that_is_ahead_says_nothing_and_one_that_is_behind_no_more_than_unknown)
{
        gone_back("time = seconds");
        request(500, -3600000, "0.001");
        request(500, -3600000, "20.000");
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].bad >= 1);
        ASSERT_EQ(seen[0].bad, 1);
        ASSERT(seen[0].unknown >= 1);
        request(500, 1800000, "0.001");
        request(200, 1800000, "0.001");
        counted(0, 0, 2);
        prober_close(prober);
}

TEST(without_a_duration_a_log_says_nothing_for_a_while)
{
        gone_back("");
        turn(2500);
        append(log_path, WRONG, 3);
        counted(0, 0, 3);
        prober_served(prober, "s0", 3);
        append(log_path, WRONG, 3);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].unknown >= 3);
        ASSERT_EQ(seen[0].bad, 0);
        turn(2500);
        append(log_path, WRONG, 3);
        turn_until(0, 3);
        ASSERT_EQ(seen[0].version, 3);
        prober_close(prober);
}

/* The log is rotated just when the version is another. */
TEST(a_log_that_is_rotated_meanwhile_is_taken_apart_too)
{
        char old[220];

        gone_back("time = seconds");
        turn(1100);
        prober_served(prober, "s0", 2);
        (void)snprintf(old, sizeof(old), "%s.1", log_path);
        request(500, 0, "20.000");
        ASSERT(rename(log_path, old) == 0);
        request(500, 0, "20.000");
        request(500, 2500, "0.001");
        request(500, 0, "3.000");
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].unknown >= 4);
        ASSERT_EQ(seen[0].bad, 0);
        turn(1100); /* a line that is late makes all of them be of the second they say */
        request(500, 0, "0.001");
        request(200, 0, "0.001");
        turn_until(1, 1);
        ASSERT_EQ(seen[0].version, 2);
        prober_close(prober);
}

/* What one visitor asks for again and again is held against nobody, unless it was well. */
TEST(a_failure_that_one_visitor_meets_is_told_and_held_against_nobody)
{
        world("time = seconds");
        append(log_path, OK, 20);
        append(log_path, WRONG, 100);
        turn_until(20, 100);
        ASSERT_EQ(seen[0].lone, 96);
        ASSERT(seen[0].timed <= 24);
        prober_close(prober);
}

#define BROKEN "1.2.3.4 - - [t] \"GET /ok?secret HTTP/1.1\" 500 1 \"-\" \"b\" 0.010\n"

TEST(what_was_well_before_is_known_from_the_log)
{
        char other[220];

        world("");
        (void)snprintf(other, sizeof(other), "%s/other.log", test_tmpdir());
        append(other, OK, 50);
        append(other, "1.2.3.4 - - [t] \"GET /half", 1);
        measure("s1", other, "");
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[1].n >= 1);
        ASSERT_EQ(seen[1].good, 0);
        append(other, " HTTP/1.1\" 200 1 \"-\" \"b\" 0.010\n" BROKEN, 1);
        append(other, BROKEN, 59);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[1].bad >= 60);
        ASSERT_EQ(seen[1].bad, 60);
        ASSERT_EQ(seen[1].good, 0);
        /* 4 of anybody, and as often as it was well; it fades. */
        ASSERT(seen[1].lone >= 6 && seen[1].lone < 30);
        prober_close(prober);
}

TEST(half_a_line_waits_for_its_end)
{
        world("");
        append(log_path, "1.2.3.4 - - [t] \"GET / HTTP/1.1\" 50", 1);
        turn(500);
        ASSERT(seen[0].bad == 0 && seen[0].good == 0);
        append(log_path, "3 1 \"-\" \"b\"\n", 1);
        turn_until(0, 1);
        prober_close(prober);
}

TEST(a_flood_is_passed_over_and_delays_no_other)
{
        char other[220];
        unsigned good;

        world("max_bytes = 64K");
        (void)snprintf(other, sizeof(other), "%s/other.log", test_tmpdir());
        append(other, "", 1);
        measure("s1", other, "");
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[1].n >= 1);
        append(log_path, OK, 60000); /* 4 MB */
        append(other, WRONG, 3);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].unknown > 0 && seen[0].good > 0 && seen[1].bad >= 3);
        guard_turn(event, 500);
        good = seen[0].good;
        ASSERT(good > 0 && good < 60000);
        ASSERT(seen[0].unknown > 0);
        ASSERT_EQ(seen[1].bad, 3);

        /* And bytes that are no lines at all. */
        ASSERT(truncate(log_path, 1 << 26) == 0);
        append(other, WRONG, 2);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[1].bad >= 2);
        guard_turn(event, 500);
        ASSERT_EQ(seen[0].good, 0);
        ASSERT_EQ(seen[1].bad, 2);
        append(log_path, "\n" OK, 1);
        turn_until(1, 0);
        prober_close(prober);
}

TEST(a_log_that_is_a_link_is_not_read)
{
        char link[220];

        world("");
        (void)snprintf(link, sizeof(link), "%s/link.log", test_tmpdir());
        ASSERT(symlink(log_path, link) == 0);
        measure("s1", link, "");
        append(log_path, WRONG, 3);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].bad >= 3 && seen[1].n >= 2);
        ASSERT_EQ(seen[1].bad, 0);
        ASSERT_STR(seen[1].what, "the log cannot be read");

        /* Nor by a second name of another's. */
        (void)unlink(link);
        measure("s1", link, "weight = wanted");
        ASSERT(linkat(AT_FDCWD, log_path, AT_FDCWD, link, 0) == 0);
        append(log_path, WRONG, 3);
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[0].bad >= 3 && seen[1].n >= 2);
        ASSERT_EQ(seen[1].bad, 0);
        prober_close(prober);
}

/* A site that is good to the prober and bad to visitors. */
TEST(deception_is_seen_in_the_log)
{
        char lines[300];
        unsigned port;

        test_need_syscalls();
        (void)hostile_start(&port);
        world("");
        (void)snprintf(lines, sizeof(lines), "[probe page]\nurl = http://127.0.0.1:%u/ok", port);
        measure("s0", log_path, lines);
        append(log_path, WRONG, 20);
        append(log_path, OK, 20);
        turn_until(20, 20);
        ASSERT_STR(seen[0].url, "/bad");
        prober_close(prober);
}
