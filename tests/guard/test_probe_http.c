/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
}

static struct err err;
static struct dirs dirs;
static unsigned port;

static void world(void)
{
        test_need_syscalls();
        dirs = guard_dirs();
        (void)hostile_start(&port);
}

static struct site *site_with(const char *lines)
{
        char text[4096];
        struct site *site = NULL;

        (void)snprintf(text, sizeof(text),
                       "[site]\nhome = /srv/wiki\nowner = daemon\n"
                       "[guard]\nurl = http://127.0.0.1:%u\n[probe a]\ntimeout = 400ms\n%s\n",
                       port, lines);
        ASSERT_OK(site_parse("wiki", "wiki.conf", text, NULL, &site, &err));
        return site;
}

/* Ask the probes that the lines make; each has this verdict, and the first this reason. */
static void asked(const char *lines, enum probe_verdict verdict, const char *what)
{
        struct site *site = site_with(lines);
        struct probe_list probes = { 0 };
        struct prober_answers answers = { 0 };
        const char *said;
        CLEANUP(json_decrefp) json_t *json = NULL;

        ASSERT_OK(site_probes(dirs.conf_fd, site, NULL, &probes, &err));
        ASSERT_OK(prober_once(&dirs, site, &probes, PROBER_ALL, -1, NULL, &answers, &err));
        ASSERT_EQ(answers.n, probes.n);
        json = prober_answers_json(&answers);
        said = json_get_string(json_array_get(json, 0), "what");
        if (answers.items[0].verdict != verdict || strstr(said, what) == NULL)
                test_fail(__FILE__, __LINE__, "%s: %s, '%s'", lines,
                          probe_verdict_name(answers.items[0].verdict), said);
        prober_answers_done(&answers);
        probe_list_done(&probes);
        site_free(site);
}

TEST(what_a_page_says_is_judged)
{
        world();
        asked("url = /ok", PROBE_GOOD, "");
        asked("url = /ok\nexpect = welcome\nreject = error", PROBE_GOOD, "");
        asked("url = /ok\nexpect = hello", PROBE_BAD, "'hello' is not in the page");
        asked("url = /ok\nreject = welc", PROBE_BAD, "'welc' is in the page");
        asked("url = /ok\nexpect_match = w.l+come", PROBE_GOOD, "");
        asked("url = /ok\nreject_match = w.l+come", PROBE_BAD, "matches the page");
        asked("url = /500", PROBE_BAD, "status 500");
        asked("url = /404", PROBE_UNKNOWN, "status 404");
        asked("url = /404\nstatus = 200", PROBE_BAD, "status 404 instead of 200");
        asked("url = /404\nstatus = 404", PROBE_GOOD, "");
        asked("url = /503", PROBE_BAD, "status 503");
}

TEST(an_answer_out_of_a_cache_is_unknown)
{
        world();
        asked("url = /age", PROBE_UNKNOWN, "header Age");
        asked("url = /xcache", PROBE_UNKNOWN, "header X-Cache");
        asked("url = /cfcache", PROBE_UNKNOWN, "header cf-cache-status");
        asked("url = /varnish", PROBE_UNKNOWN, "header X-Varnish");
        asked("url = /age0", PROBE_GOOD, "");
        asked("url = /busted", PROBE_GOOD, "");
}

TEST(a_maintenance_mode_that_was_left_on_is_named)
{
        world();
        asked("url = /wp503", PROBE_BAD, ".maintenance was left behind");
        asked("url = /ghost503", PROBE_BAD, "Ghost's maintenance mode is on");
        asked("url = /nextcloud", PROBE_BAD, "Nextcloud's maintenance mode is on");
}

TEST(redirects_are_followed_within_the_site_only)
{
        world();
        asked("url = /inside", PROBE_GOOD, "");
        asked("url = /inside\nstatus = 200", PROBE_BAD, "status 302 instead of 200");
        asked("url = /inside\nstatus = 200\nredirects = 1\nexpect = welcome", PROBE_GOOD, "");
        asked("url = /outside\nstatus = 200\nredirects = 5", PROBE_BAD, "status 302");
        asked("url = /ftp\nstatus = 200\nredirects = 5", PROBE_BAD, "status 302");
        asked("url = /loop\nstatus = 200\nredirects = 5", PROBE_BAD, "status 302");
}

TEST(what_a_hostile_server_sends_is_bounded)
{
        world();
        asked("url = /hang", PROBE_BAD, "no answer in time");
        asked("url = /drip", PROBE_BAD, "no answer in time");
        asked("url = /body\nexpect = begin", PROBE_GOOD, "");
        asked("url = /headers", PROBE_BAD, "more headers than a page has");
        asked("url = /garbage", PROBE_BAD, "no answer");
        asked("url = /reset", PROBE_BAD, "no answer");
        asked("url = /aaa\nexpect_match = ^(a+)+$", PROBE_UNKNOWN, "takes too long");
}

TEST(excerpts_are_clean_text)
{
        struct site *site;
        struct probe_list probes = { 0 };
        struct prober_answers answers = { 0 };
        const json_t *example;

        world();
        site = site_with("url = /500");
        ASSERT_OK(site_probes(dirs.conf_fd, site, NULL, &probes, &err));
        ASSERT_OK(prober_once(&dirs, site, &probes, PROBER_ALL, -1, NULL, &answers, &err));
        example = json_array_get(answers.items[0].sample.examples, 0);
        ASSERT_STR(json_get_string(example, "excerpt"), "PHP Fatal error ?[31m ?? in x.php ???");
        ASSERT_EQ(json_get_u64(example, "status"), 500);
        ASSERT(strstr(json_get_string(example, "url"), "/500") != NULL);
        prober_answers_done(&answers);
        probe_list_done(&probes);
        site_free(site);
}

TEST(a_login_is_kept_in_cookies)
{
        world();
        asked("url = /member\nstatus = 200", PROBE_BAD, "status 403");
        asked("url = /member\nstatus = 200\nexpect = hello member\nlogin_url = /login\n"
              "login_form = user=a&pw=b",
              PROBE_GOOD, "");
}

TEST(an_address_takes_the_place_of_the_host_and_headers_have_a_secret)
{
        char lines[600], path[200];
        int fd;

        world();
        (void)snprintf(path, sizeof(path), "%s/secret", test_tmpdir());
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT(write(fd, "hush\nrest\n", 10) == 10);
        (void)close(fd);
        (void)snprintf(lines, sizeof(lines),
                       "url = http://front.invalid/host\naddress = 127.0.0.1:%u\n"
                       "header = X-Key: {secret}\nsecret = %s",
                       port, path);
        asked(lines, PROBE_GOOD, "");

        /* A file that others can read keeps no secret. */
        ASSERT(chmod(path, 0644) == 0);
        {
                struct site *site = site_with(lines);
                struct probe_list probes = { 0 };
                struct prober_answers answers = { 0 };

                ASSERT_OK(site_probes(dirs.conf_fd, site, NULL, &probes, &err));
                ASSERT_ERR(prober_once(&dirs, site, &probes, PROBER_ALL, -1, NULL, &answers, &err),
                           ERR_REFUSED, "only root can read");
                probe_list_done(&probes);
                site_free(site);
        }
}

TEST(a_name_that_does_not_resolve_is_unknown)
{
        world();
        asked("url = http://nowhere.invalid/", PROBE_UNKNOWN, "does not resolve");
}

TEST(nobody_there_is_bad)
{
        world();
        asked("url = http://127.0.0.1:1/", PROBE_BAD, "cannot connect");
        asked("url = http://127.0.0.1/\naddress = unix:/nowhere/socket", PROBE_BAD,
              "cannot connect");
}

TEST(slow_servers_are_waited_for_side_by_side)
{
        char lines[2000] = "url = /hang";
        int64_t began;

        world();
        for (int i = 0; i < 14; i++)
                (void)snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines),
                               "\n[probe b%d]\ntimeout = 400ms\nurl = /hang", i);
        began = clock_boot_usec();
        asked(lines, PROBE_BAD, "no answer in time");
        if (clock_boot_usec() - began > 2000000)
                test_fail(__FILE__, __LINE__, "took %lld ms",
                          (long long)(clock_boot_usec() - began) / 1000);
}

TEST(a_pool_of_php_is_bad_when_requests_wait)
{
        world();
        asked("kind = phpfpm\nurl = /pool", PROBE_GOOD, "");
        asked("kind = phpfpm\nurl = /fullpool", PROBE_BAD, "5 requests wait");
        asked("kind = phpfpm\nurl = /fullpool\nmax_queue = 5", PROBE_GOOD, "");
        asked("kind = phpfpm\nurl = /404", PROBE_UNKNOWN, "no status page");
        asked("kind = phpfpm\nurl = /ok\nunreachable = bad", PROBE_BAD, "no status page");
        asked("kind = phpfpm\nurl = http://127.0.0.1:1/", PROBE_UNKNOWN, "no answer");
}
