/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/probe.h"
#include "snapd/site.h"
#include "tests/lib/test.h"

#define GOOD "[site]\nhome = /srv/wiki\nowner = daemon\n"

static struct err err;
static struct site_problems problems;

static struct site *parse(const char *text)
{
        char whole[4096];
        struct site *site = NULL;

        (void)snprintf(whole, sizeof(whole), GOOD "%s", text);
        ASSERT_OK(site_parse("wiki", "wiki.conf", whole, NULL, &site, &err));
        return site;
}

/* The lines of a [probe front], from line 5 on, have exactly this mistake. */
static void wrong(const char *lines, int line, const char *key, const char *message)
{
        char whole[8192];
        struct site *site = NULL;

        (void)snprintf(whole, sizeof(whole), GOOD "[probe front]\n%s\n", lines);
        site_problems_done(&problems);
        ASSERT_ERR(site_parse("wiki", "wiki.conf", whole, &problems, &site, &err), ERR_INVALID,
                   message);
        if (problems.n != 1)
                test_fail(__FILE__, __LINE__, "%zu mistakes in %s", problems.n, lines);
        ASSERT_EQ(problems.items[0].line, line);
        ASSERT_STR(problems.items[0].key, key);
        ASSERT_STR(problems.items[0].file, "wiki.conf");
}

TEST(a_short_probe_has_every_other_value)
{
        struct site *site = parse("[probe front]\nurl = https://a.invalid/\n");
        const struct site_probe *probe = probe_list_find(&site->probes, "front");

        ASSERT_EQ(probe->kind, PROBE_HTTP);
        ASSERT_EQ(probe->weight, PROBE_REQUIRED);
        ASSERT_EQ(probe->when, PROBE_ALWAYS);
        ASSERT_EQ(probe->interval_msec, 10000);
        ASSERT_EQ(probe->timeout_msec, 10000);
        ASSERT_EQ(probe->redirects, 0);
        ASSERT_EQ(probe->unreachable, PROBE_UNKNOWN);
        ASSERT_STR(probe->urls[0], "https://a.invalid/");
        ASSERT(probe->urls[1] == NULL && probe->status == NULL && probe->expect == NULL);
        site_free(site);
}

TEST(every_mistake_of_a_probe_names_file_line_and_key)
{
        wrong("url = ftp://x/", 5, "url", "begins with none of");
        wrong("url = https://me:pw@x/", 5, "url", "would be in logs");
        wrong("url = http://x/\nkind = telnet", 6, "kind", "none of 'http'");
        wrong("url = http://x/\nstatus = 200,301", 6, "status", "codes from 100");
        wrong("url = http://x/\nstatus = 99", 6, "status", "codes from 100");
        wrong("url = http://x/\ninterval = 10", 6, "interval", "unit");
        wrong("url = http://x/\ninterval = 100ms", 6, "interval", "from 200ms");
        wrong("url = http://x/\nexpect_match = a(b", 6, "expect_match", "wrong at character");
        wrong("url = http://x/\naddress = 127.0.0.1", 6, "address", "none of HOST:PORT");
        wrong("url = http://x/\naddress = ::1:80", 6, "address", "none of HOST:PORT");
        wrong("url = http://x/\naddress = a:70000", 6, "address", "has no port");
        wrong("url = http://x/\naddress = unix:/a/../b", 6, "address", "plain path");
        wrong("url = http://x/\nheader = x y", 6, "header", "NAME: VALUE");
        wrong("url = http://x/\nheader = X: {secret}", 4, "probe front", "set 'secret'");
        wrong("url = http://x/\nsecret = /etc/s", 6, "secret", "{secret} in it");
        wrong("url = http://x/\nlogin_form = a=b", 6, "login_form", "go together");
        wrong("url = http://x/\nlog = /var/log/x", 6, "log", "has no 'log'");
        wrong("url = http://x/\nstatus = 200\nstatus = 201", 7, "status", "first in line 6");
        wrong("url = http://x/\nslwo = 1s", 6, "slwo", "no such key");
        wrong("kind = accesslog", 4, "probe front", "'log' is missing");
        wrong("kind = accesslog\nlog = /a\nwhen = after", 7, "when", "read always");
        wrong("kind = phpfpm\nurl = http://x/\nunreachable = good", 7, "unreachable", "not good");
        wrong("kind = command\ncommand = true", 6, "command", "absolute path");
        wrong("url = http://x/\n[probe front]\nurl = http://y/", 6, "probe front", "two probes");
        wrong("url = http://x/\n[probe A]", 6, "probe A", "not a probe's name");
}

TEST(a_probe_is_written_as_it_was_read)
{
        static const char text[] =
                "[guard]\nurl = https://wiki.invalid/\npresets = a b\n"
                "[probe a]\nurl = /x\nurl = https://b/ c\nstatus = 200 301-308\nexpect = a \"b\"\n"
                "expect_match = ^a\\d+$\nreject = x\nheader = X-A: b\nslow = 1s500ms\n"
                "[probe b]\nkind = accesslog\nlog = /var/log/x\ntime = seconds\nmax_bytes = 64K\n"
                "[probe c]\nkind = command\ncommand = /bin/x \"a b\"\nwhen = after\n"
                "weight = wanted\ninterval = 1m\n";
        struct site *site = NULL, *again = NULL;
        json_t *a, *b;

        ASSERT_ERR(
                site_parse("wiki", "x", GOOD "[probe a]\nurl = https://b/ c\n", NULL, &site, &err),
                ERR_INVALID, "is not a URL");
        {
                char good[sizeof(text)];
                char *blank;

                memcpy(good, text, sizeof(text));
                blank = strstr(good, "b/ c");
                blank[2] = '-';
                site = parse(good);
        }
        ASSERT_OK(site_resolve(site, &again, &err));
        ASSERT_EQ(again->probes.n, 3);
        ASSERT_STR(again->guard.url, "https://wiki.invalid/");
        ASSERT_STR(again->guard.presets[1], "b");
        for (size_t i = 0; i < 3; i++) {
                a = probe_json(&site->probes.items[i]);
                b = probe_json(&again->probes.items[i]);
                ASSERT(json_equal(a, b));
                json_decref(a);
                json_decref(b);
        }
        ASSERT_STR(again->probes.items[2].command[1], "a b");
        site_free(again);
        site_free(site);
}

TEST(status_codes_are_looked_up)
{
        ASSERT(probe_status_in("200 301-308", 200));
        ASSERT(probe_status_in("200 301-308", 303));
        ASSERT(!probe_status_in("200 301-308", 300));
        ASSERT(!probe_status_in("200 301-308", 500));
}

static int conf_with_preset(const char *text)
{
        int conf_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int fd = -1;

        test_need_syscalls();
        ASSERT_EQ(mkdirat(conf_fd, "probes.d", 0755), 0);
        fd = openat(conf_fd, "probes.d/own.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        return conf_fd;
}

TEST(a_preset_is_added_to_what_the_site_says)
{
        CLEANUP(closep)
        int conf_fd = conf_with_preset("[probe front]\nurl = /\nexpect = preset\n"
                                       "[probe login]\nurl = /login\n");
        struct site *site = parse("[guard]\nurl = http://w.invalid/\naddress = 127.0.0.1:80\n"
                                  "presets = own\n[probe front]\nurl = /index\n");
        struct probe_list list = { 0 };

        ASSERT_OK(site_probes(conf_fd, site, NULL, &list, &err));
        ASSERT_EQ(list.n, 2);
        ASSERT_STR(list.items[0].urls[0], "http://w.invalid/index");
        ASSERT(list.items[0].expect == NULL);
        ASSERT_STR(list.items[1].urls[0], "http://w.invalid/login");
        ASSERT_STR(list.items[1].address, "127.0.0.1:80");
        probe_list_done(&list);
        site_free(site);
}

TEST(mistakes_of_presets_are_reported_with_their_file)
{
        CLEANUP(closep) int conf_fd = conf_with_preset("[probe front]\nurl = /\nslwo = 1s\n");
        struct site *site = parse("[guard]\nurl = http://w.invalid/\npresets = own\n");
        struct probe_list list = { 0 };

        ASSERT_ERR(site_probes(conf_fd, site, &problems, &list, &err), ERR_INVALID,
                   "probes.d/own.conf:3: slwo");
        ASSERT_EQ(problems.n, 1);
        ASSERT_EQ(problems.items[0].line, 3);
        site_free(site);

        site = parse("[guard]\npresets = nothing\n");
        ASSERT_ERR(site_probes(conf_fd, site, NULL, &list, &err), ERR_NOT_FOUND,
                   "no preset 'nothing'");
        site_free(site);

        site = parse("[probe a]\nurl = /x\n");
        ASSERT_ERR(site_probes(conf_fd, site, NULL, &list, &err), ERR_INVALID, "set [guard] url");
        site_free(site);
}

TEST(a_preset_says_nothing_about_a_site)
{
        struct probe_list list = { 0 };

        ASSERT_ERR(site_parse_preset("x", "x.conf", "[site]\nowner = root\n", NULL, &list, &err),
                   ERR_INVALID, "only sections [probe NAME]");
}

TEST(every_shipped_preset_is_right)
{
        DIR *dir = opendir(SOURCE_ROOT "/data/probes.d");
        struct dirent *entry;
        size_t n = 0;

        ASSERT(dir != NULL);
        while ((entry = readdir(dir)) != NULL) {
                struct probe_list list = { 0 };
                char *text = NULL;

                if (strstr(entry->d_name, ".conf") == NULL)
                        continue;
                ASSERT_OK(file_read(dirfd(dir), entry->d_name, 65536, &text, NULL, &err));
                ASSERT_OK(site_parse_preset("x", entry->d_name, text, NULL, &list, &err));
                ASSERT(list.n >= 1);
                probe_list_done(&list);
                free(text);
                n++;
        }
        (void)closedir(dir);
        ASSERT_EQ(n, 7);
}

TEST(every_key_is_in_its_man_page)
{
        CLEANUP(closep) int fd = open(SOURCE_ROOT "/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char *page = NULL, *section;

        ASSERT_OK(file_read(fd, "sitesnap-site.conf.5", 1 << 20, &page, NULL, &err));
        section = strstr(page, ".Ss [probe NAME]\\&\n");
        ASSERT(section != NULL);
        for (const struct probe_key *key = probe_keys; key->key != NULL; key++) {
                char item[64];

                (void)snprintf(item, sizeof(item), " Ic %s No =", key->key);
                if (strstr(section, item) == NULL)
                        test_fail(__FILE__, __LINE__, "%s is not in the man page", key->key);
        }
        free(page);
}
