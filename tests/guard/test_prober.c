/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/prober.h"
#include "snapd/prober_process.h"
#include "tests/guard/guard_world.h"
#include "tests/guard/hostile.h"
#include "tests/lib/test.h"

/* The prober starts this program again as `snapd --probe`. */
__attribute__((constructor)) static void probe_instead_of_tests(int argc, char **argv)
{
        if (argc > 9 && strcmp(argv[9], "--probe") == 0)
                _exit(prober_main());
        /* A command is run by a process that is asked; here it says what its name is. */
        if (argc > 9 && strcmp(argv[9], "--query") == 0) {
                char question[400] = "";

                if (read(0, question, sizeof(question) - 1) > 0 &&
                    strstr(question, "\"probe\":\"a\"") != NULL &&
                    strstr(question, "\"site\":\"s0\"") != NULL)
                        (void)dprintf(1, "{\"sample\":0,\"from\":1,\"to\":2,\"wall\":3,\"good\":0,"
                                         "\"bad\":1,\"unknown\":0,\"latency\":[]}");
                else if (strstr(question, "\"s1\"") != NULL)
                        (void)dprintf(1, "{\"sample\":0,\"good\":-1}");
                _exit(0);
        }
}

static struct err err;
static struct dirs dirs;
static sd_event *event;
static struct prober *prober;
static unsigned port;

/* What was told of each site "s0", "s1", ..., since it was last looked at. */
static struct {
        unsigned n, good, bad, unknown;
        uint64_t version;
        char what[200];
} seen[10];

static void news(const char *site, const struct site_probe *probe, const struct sample *sample,
                 void *arg)
{
        size_t at = (size_t)(site[1] - '0');
        const char *what = json_get_string(json_array_get(sample->examples, 0), "what");

        (void)arg;
        ASSERT_STR(probe->name, "a");
        ASSERT(sample->from_usec <= sample->to_usec);
        seen[at].n++;
        seen[at].good += sample->good;
        seen[at].bad += sample->bad;
        seen[at].unknown += sample->unknown;
        seen[at].version = sample->version;
        if (what != NULL)
                (void)snprintf(seen[at].what, sizeof(seen[at].what), "%s", what);
}

static void world(void)
{
        test_need_syscalls();
        dirs = guard_dirs();
        ASSERT(sd_event_new(&event) >= 0);
        ASSERT_OK(prober_open(event, &dirs, news, NULL, &prober, &err));
}

static void measure_every(const char *name, const char *interval, const char *lines)
{
        char text[1024];
        struct site *site = NULL;

        (void)snprintf(text, sizeof(text),
                       "[site]\nhome = /srv/wiki\nowner = daemon\n[probe a]\ninterval = %s\n"
                       "timeout = %s\n%s\n",
                       interval, strstr(lines, "tls = any") != NULL ? "4s" : "1s", lines);
        ASSERT_OK(site_parse(name, "wiki.conf", text, NULL, &site, &err));
        ASSERT_OK(prober_set(prober, site, &site->probes, &err));
        site_free(site);
}

static void measure(const char *name, const char *lines)
{
        measure_every(name, "200ms", lines);
}

static void turn(unsigned msec)
{
        memset(seen, 0, sizeof(seen));
        guard_turn(event, msec);
}

/* Until so many samples of the site were told. */
static void turn_until(size_t site, unsigned n)
{
        memset(seen, 0, sizeof(seen));
        GUARD_TURN_UNTIL(event, seen[site].n >= n);
}

static void measure_path(const char *name, const char *path)
{
        char lines[200];

        (void)snprintf(lines, sizeof(lines), "url = http://127.0.0.1:%u%s", port, path);
        measure(name, lines);
}

/* The only child that is not the web server. */
static pid_t prober_pid(pid_t server)
{
        char path[64], text[256];
        FILE *file;
        long pid = 0;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        file = fopen(path, "re");
        ASSERT(file != NULL && fgets(text, sizeof(text), file) != NULL);
        (void)fclose(file);
        for (char *at = text; *at != '\0' && *at != '\n';) {
                long one = strtol(at, &at, 10);

                at += strspn(at, " ");
                if (one != server)
                        pid = one;
        }
        ASSERT(pid > 1);
        return (pid_t)pid;
}

TEST(each_interval_has_a_sample_with_the_version_that_was_served)
{
        world();
        (void)hostile_start(&port);
        measure_path("s0", "/ok");
        measure_path("s1", "/500");
        turn_until(0, 2);
        ASSERT_EQ(seen[0].version, 0);
        prober_served(prober, "s0", 7);
        turn(1100);
        ASSERT(seen[0].n >= 3 && seen[0].n <= 7);
        ASSERT_EQ(seen[0].good, seen[0].n);
        ASSERT_EQ(seen[0].version, 7);
        ASSERT_EQ(seen[1].bad, seen[1].n);
        prober_close(prober);
}

TEST(a_process_that_dies_makes_its_interval_unknown)
{
        pid_t server, pid;

        world();
        server = hostile_start(&port);
        measure_path("s0", "/ok");
        turn_until(0, 2);
        pid = prober_pid(server);
        ASSERT(kill(pid, SIGKILL) == 0);
        turn_until(0, 1);
        ASSERT_EQ(seen[0].unknown, 1);
        ASSERT(strstr(seen[0].what, "had ended") != NULL);
        turn_until(0, 2);
        ASSERT_EQ(seen[0].good, 2);
        ASSERT(prober_pid(server) != pid);
        prober_close(prober);
}

TEST(a_process_that_hangs_is_started_again)
{
        int64_t began = clock_boot_usec();
        pid_t server, pid;

        world();
        server = hostile_start(&port);
        measure_path("s0", "/ok");
        turn_until(0, 2);
        pid = prober_pid(server);
        ASSERT(kill(pid, SIGSTOP) == 0);
        while (seen[0].unknown == 0 && clock_boot_usec() - began < 30000000)
                turn(200);
        ASSERT(seen[0].unknown == 1);
        turn_until(0, 2);
        ASSERT_EQ(seen[0].good, 2);
        ASSERT(prober_pid(server) != pid);
        prober_close(prober);
}

TEST(what_changes_is_measured_anew_and_what_is_dropped_no_more)
{
        world();
        (void)hostile_start(&port);
        measure_path("s0", "/ok");
        measure_path("s1", "/ok");
        turn_until(0, 2);
        measure_path("s0", "/500");
        turn_until(0, 2);
        ASSERT_EQ(seen[0].bad, 2);
        prober_drop(prober, "s0");
        turn(600);
        ASSERT_EQ(seen[0].n, 0);
        ASSERT(seen[1].good >= 1);
        prober_close(prober);
}

TEST(a_maintenance_of_ours_is_unknown)
{
        world();
        (void)hostile_start(&port);
        measure_path("s0", "/503");
        turn_until(0, 1);
        ASSERT_EQ(seen[0].bad, 1);
        prober_hold(prober, "s0", true);
        turn_until(0, 2);
        turn_until(0, 2);
        ASSERT_EQ(seen[0].unknown, 2);
        prober_hold(prober, "s0", false);
        turn_until(0, 2);
        turn_until(0, 2);
        ASSERT_EQ(seen[0].bad, 2);
        prober_close(prober);
}

TEST(a_pace_shortens_intervals)
{
        char lines[200];

        world();
        (void)hostile_start(&port);
        (void)snprintf(lines, sizeof(lines), "weight = wanted\nurl = http://127.0.0.1:%u/ok", port);
        measure_every("s0", "1h", lines);
        prober_pace(prober, "s0", 200);
        turn_until(0, 4);
        prober_close(prober);
}

/* The front door of all is shut: that is nobody's fault.  One site alone that is shut is. */
TEST(a_door_that_is_shut_for_all_is_unknown_for_each)
{
        unsigned front;
        pid_t server;

        world();
        (void)hostile_start(&port);
        measure_path("s0", "/ok");
        front = port;
        server = hostile_start(&port);
        measure_path("s1", "/ok");
        turn_until(1, 2);
        ASSERT_EQ(seen[1].good, 2);

        /* s1's own server dies; s0 is reached still. */
        ASSERT(kill(server, SIGKILL) == 0);
        ASSERT(waitpid(server, NULL, 0) == server);
        turn_until(1, 1);
        turn_until(1, 2);
        ASSERT_EQ(seen[1].bad, 2);
        ASSERT(strstr(seen[1].what, "cannot connect") != NULL);

        /* Two sites behind one door. */
        server = hostile_start(&port);
        measure_path("s2", "/ok");
        measure_path("s3", "/ok");
        turn_until(2, 2);
        turn_until(3, 2);
        ASSERT_EQ(seen[3].good, 2);
        ASSERT(kill(server, SIGKILL) == 0);
        ASSERT(waitpid(server, NULL, 0) == server);
        turn_until(2, 1);
        turn_until(2, 2);
        turn_until(3, 2);
        ASSERT_EQ(seen[3].unknown, seen[3].n);
        ASSERT(strstr(seen[3].what, "no site can be connected to there") != NULL);
        ASSERT(seen[0].bad == 0 && front != port);
        prober_close(prober);
}

TEST(a_slow_site_delays_no_other)
{
        world();
        (void)hostile_start(&port);
        measure_path("s0", "/ok");
        measure_path("s1", "/hang");
        measure_path("s2", "/drip");
        measure("s3", "url = http://nowhere.invalid/");
        turn_until(0, 2);
        turn(2000);
        ASSERT(seen[0].good >= 7);
        ASSERT(seen[1].good == 0 && seen[2].good == 0);
        prober_close(prober);
}

/* By https, each at an address of its own; ${n} is below 250. */
static void measure_tls(const char *name, unsigned n, unsigned at, const char *more)
{
        char lines[300];

        (void)snprintf(lines, sizeof(lines), "url = https://127.1.1.%u:%u/\ntls = any\n%s", n + 1,
                       at, more);
        measure_every(name, "500ms", lines);
}

static unsigned long peak_kib(pid_t pid)
{
        char path[64], line[200];
        unsigned long kib = 0;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        file = fopen(path, "re");
        ASSERT(file != NULL);
        while (kib == 0 && fgets(line, sizeof(line), file) != NULL)
                (void)sscanf(line, "VmHWM: %lu", &kib);
        (void)fclose(file);
        ASSERT(kib > 0);
        return kib;
}

TEST(a_session_is_taken_up_again_with_more_sites_than_libcurl_has_room_for)
{
        static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

        for (size_t v = 0; v < 2; v++) {
                char name[16];

                world();
                (void)hostile_tls_start(versions[v], &port);
                measure_tls("s0", 0, port, "expect = shortened by TLSv1.");
                for (unsigned i = 1; i < 20; i++) {
                        (void)snprintf(name, sizeof(name), "s9-%u", i);
                        measure_tls(name, i, port, "");
                }
                turn_until(0, 2);
                turn_until(0, 3);
                ASSERT_EQ(seen[0].good, seen[0].n);
                prober_close(prober);
                event = sd_event_unref(event);
        }
}

/* One by http. */
static void measure_beside(void)
{
        char lines[200];

        (void)hostile_start(&port);
        (void)snprintf(lines, sizeof(lines), "url = http://127.0.0.1:%u/ok", port);
        measure_every("s2", "500ms", lines);
}

/* By https not much less often than by http from the same process, however busy the machine is;
 * those that hang take four seconds. */
static void in_time(size_t https)
{
        turn_until(2, 8);
        ASSERT(seen[https].n >= 4);
        ASSERT_EQ(seen[https].good, seen[https].n);
        ASSERT_EQ(seen[9].good, 0);
}

static pid_t measure_mute(unsigned n)
{
        unsigned mute;
        pid_t pid = hostile_mute_start(&mute);
        char name[16];

        for (unsigned i = 0; i < n; i++) {
                (void)snprintf(name, sizeof(name), "s9-%u", i);
                measure_tls(name, i % 240, mute, "");
        }
        return pid;
}

TEST(sites_that_finish_no_handshake_delay_no_other)
{
        unsigned https;

        world();
        measure_beside();
        (void)hostile_tls_start(TLS1_3_VERSION, &https);
        measure_tls("s0", 240, https, "");
        turn_until(0, 1);
        (void)measure_mute(100);
        in_time(0);
        /* So is one that comes now. */
        measure_tls("s1", 241, https, "");
        turn_until(1, 1);
        in_time(1);
        turn_until(9, 1);
        ASSERT_EQ(seen[9].good, 0);
        prober_close(prober);
}

/* What is freed a sanitizer keeps for a while. */
#if defined(__SANITIZE_ADDRESS__)
#define HANGING_KIB (256 * 1024UL)
#else
#define HANGING_KIB (16 * 1024UL)
#endif

/* The memory of those that do not end is bounded, and they make way for those that do. */
TEST(nor_do_more_of_them_than_there_is_memory_for)
{
        unsigned long before, after;
        unsigned https;
        pid_t server, pid;

        world();
        server = hostile_tls_start(TLS1_3_VERSION, &https);
        measure_tls("s0", 240, https, "");
        turn_until(0, 1);
        pid = prober_pid(server);
        before = peak_kib(pid);
        measure_beside();
        (void)measure_mute(240);
        turn_until(9, 240);
        in_time(0);
        after = peak_kib(pid);
        ASSERT(after - before < HANGING_KIB);
        prober_close(prober);
}

TEST(a_command_is_asked_of_a_process_and_its_answer_is_not_believed)
{
        world();
        measure("s0", "kind = command\ncommand = /bin/true");
        measure("s1", "kind = command\ncommand = /bin/true");
        turn_until(0, 2);
        ASSERT(seen[0].bad == seen[0].n);
        turn_until(1, 2);
        ASSERT_EQ(seen[1].unknown, seen[1].n);
        ASSERT(strstr(seen[1].what, "could not be run") != NULL);
        prober_close(prober);
}
