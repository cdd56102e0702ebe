/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A daemon that is not there, says no, or talks nonsense. */
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/client.h"
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

static struct err err;

TEST(without_a_daemon_it_says_so_and_what_to_do)
{
        char want[300];

        SNAPCTL("list", "wiki");
        ASSERT_EQ(ran.status, 1);
        ASSERT_STR(ran.out, "");
        (void)snprintf(want, sizeof(want),
                       "snapctl: sitesnap's daemon does not answer at '%s' (No such file or "
                       "directory): start it with 'systemctl start sitesnap'; the sites go on "
                       "serving\n",
                       fake_socket());
        ASSERT_STR(ran.err, want);
}

TEST(a_socket_nobody_listens_at_is_the_same)
{
        char path[200];

        (void)snprintf(path, sizeof(path), "--socket=%s/file", test_tmpdir());
        fclose(fopen(path + 9, "w"));
        SNAPCTL("status", path);
        ASSERT_EQ(ran.status, 1);
        ASSERT(strstr(ran.err, "/file' (Connection refused): start it with") != NULL);
}

TEST(a_socket_that_may_not_be_opened_says_so)
{
        static const struct fake_answer none[] = { { "GET /v1/sites", "{\"sites\": []}" } };

        if (geteuid() != 0)
                test_skip("only root can be two users");
        FAKE_API(none);
        ASSERT_EQ(chmod(fake_socket(), 0600), 0);
        ran_as = 65534;
        SNAPCTL("version");
        if (ran.status == 127)
                test_skip("the build directory is root's alone");
        SNAPCTL("site", "list");
        ASSERT_EQ(ran.status, 4);
        ASSERT(strstr(ran.err, "snapctl: you may not open the daemon's socket '") == ran.err);
        ASSERT(strstr(ran.err, "' (Permission denied): ask its administrator\n") != NULL);
}

TEST(a_path_too_long_for_a_socket_is_a_usage_error)
{
        char path[200] = "--socket=/";

        memset(path + 10, 'x', 150);
        path[160] = '\0';
        SNAPCTL("site", "list", path);
        ASSERT_EQ(ran.status, 2);
        ASSERT(strstr(ran.err, "snapctl: the path of a socket has at most 107 bytes: '/xx") ==
               ran.err);
}

/* Each error of the API keeps its message and has the exit status of common/error.h. */
TEST(errors_of_the_daemon_keep_message_and_exit_status)
{
        static const struct {
                const char *code;
                int http, status;
        } errors[] = {
                { "invalid", 400, 2 },  { "not-found", 404, 1 }, { "exists", 409, 1 },
                { "busy", 409, 3 },     { "denied", 403, 4 },    { "unsupported", 501, 1 },
                { "no-space", 507, 5 }, { "timeout", 504, 1 },   { "corrupt", 500, 1 },
                { "io", 500, 1 },       { "refused", 409, 4 },   { "rolled-back", 500, 6 },
                { "held", 500, 7 },     { "nothing", 409, 8 },
        };
        enum { N = sizeof(errors) / sizeof(*errors) };
        static char bodies[N][200];
        struct fake_answer answers[N];
        char want[100];

        for (size_t i = 0; i < N; i++) {
                (void)snprintf(
                        bodies[i], sizeof(bodies[i]),
                        "{\"error\": {\"code\": \"%s\", \"message\": \"number %zu\\u001b[1m\", "
                        "\"exit\": %d}}",
                        errors[i].code, i, errors[i].status);
                answers[i] =
                        (struct fake_answer){ "GET /v1/sites/wiki/versions*", .body = bodies[i],
                                              .status = errors[i].http, .times = 1 };
        }
        FAKE_API(answers);
        for (size_t i = 0; i < N; i++) {
                SNAPCTL("list", "wiki");
                ASSERT_EQ(ran.status, errors[i].status);
                (void)snprintf(want, sizeof(want), "snapctl: number %zu?[1m\n", i);
                ASSERT_STR(ran.err, want);
                ASSERT_STR(ran.out, "");
        }
}

/* Whatever comes, it is one sentence, exit 1, and nothing on stdout. */
TEST(nonsense_from_the_daemon_is_one_sentence)
{
        static const struct {
                struct fake_answer answer;
                const char *text;
        } cases[] = {
                { { .body = "" }, "the daemon's answer (HTTP status 200): not valid JSON: " },
                { { .body = "{\"versions\": [" }, "not valid JSON: " },
                { { .body = "{\"a\": 1, \"a\": 2}" }, "not valid JSON: duplicate" },
                { { .body = "{\"versions\": []} x" }, "not valid JSON: " },
                { { .body = "[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]" }, "JSON nested deeper than" },
                { { .body = "[]" }, "the daemon's answer is not a JSON object" },
                { { .body = "{}" }, "the daemon's answer has no list 'versions'" },
                { { .body = "{\"versions\": 3}" }, "the daemon's answer has no list 'versions'" },
                { { .body = "<html>", .status = 502 }, "(HTTP status 502): not valid JSON" },
                { { .body = "{}", .status = 500 }, "the daemon answered with HTTP status 500" },
                { { .body = "{\"error\": 3}", .status = 500 },
                  "the daemon answered with HTTP status 500" },
                { { .body = "{\"error\": {}}", .status = 500 }, "the daemon gives no reason" },
                { { .body = "{\"versions\": []}", .status = 302 },
                  "the daemon answered with HTTP status 302" },
                { { .body = "{\"versions\": []}", .how = FAKE_TRUNCATED }, "broke off: " },
                { { .how = FAKE_CLOSED }, "broke off: " },
                { { .body = "SSH-2.0-x\r\n", .how = FAKE_RAW }, "broke off: " },
        };
        enum { N = sizeof(cases) / sizeof(*cases) };
        struct fake_answer answers[N];

        for (size_t i = 0; i < N; i++) {
                answers[i] = cases[i].answer;
                answers[i].request = "GET /v1/sites/wiki/versions*";
                answers[i].times = 1;
        }
        FAKE_API(answers);
        for (size_t i = 0; i < N; i++) {
                SNAPCTL("list", "wiki");
                if (ran.status != 1 || strstr(ran.err, cases[i].text) == NULL ||
                    strncmp(ran.err, "snapctl: ", 9) != 0)
                        test_fail(__FILE__, __LINE__, "case %zu: %d, '%s' lacks '%s'", i,
                                  ran.status, ran.err, cases[i].text);
                ASSERT_STR(ran.out, "");
                ASSERT_EQ(strchr(ran.err, '\n')[1], '\0');
        }
}

TEST(rows_of_other_types_than_agreed_are_shown_as_they_can_be)
{
        static const struct fake_answer odd[] = {
                { "GET /v1/sites/wiki/versions*",
                  "{\"free_bytes\": \"much\", \"versions\": [3, null, {\"number\": \"x\", "
                  "\"states\": \"active\", \"created\": \"yesterday\", \"files_bytes\": -5, "
                  "\"freed_bytes\": 1.5, \"label\": [1, \"b\"], \"by\": {}}]}" },
        };

        FAKE_API(odd);
        SNAPCTL("list", "wiki", "--columns", "number,created,files_bytes,freed_bytes,label,by",
                "--no-headers");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "                  -  -\n"
                            "                  -  -\n"
                            "  x  yesterday  0 B  -  b\n");
}

TEST(an_answer_without_an_operation_is_not_waited_for)
{
        static const struct fake_answer none[] = {
                { "POST /v1/sites/wiki/operations", "{\"operation\": -3}", .status = 202 },
        };

        FAKE_API(none);
        SNAPCTL("rollback", "wiki");
        ASSERT_EQ(ran.status, 1);
        ASSERT_STR(ran.err, "snapctl: the daemon's answer has no 'operation'\n");
}

TEST(a_slow_daemon_is_waited_for)
{
        static const struct fake_answer slow[] = {
                { "GET /v1/sites", "{\"sites\": []}", .how = FAKE_BYTES, .delay_msec = 300 },
        };

        FAKE_API(slow);
        SNAPCTL("site", "list", "-p");
        ASSERT_EQ(ran.status, 0);
}

TEST(a_silent_daemon_is_given_up_after_the_time)
{
        static const struct fake_answer silent[] = { { "GET /v1", .how = FAKE_SILENT } };
        CLEANUP(client_closep) struct client *client = NULL;

        FAKE_API(silent);
        ASSERT_OK(client_open(fake_socket(), &client, &err));
        client_set_timeout(client, 200);
        ASSERT_ERR(client_call(client, "GET", "/v1", NULL, NULL, &err), ERR_TIMEOUT,
                   "did not answer within 0.2 s: see 'systemctl status sitesnap'");
        ASSERT(client_lost(client));
}

TEST(an_answer_without_end_is_given_up_at_the_limit)
{
        static char chunk[65536];
        static const struct fake_answer endless[] = { { "GET /v1", chunk, .how = FAKE_ENDLESS } };
        CLEANUP(client_closep) struct client *client = NULL;

        memset(chunk, ' ', sizeof(chunk) - 1);
        FAKE_API(endless);
        ASSERT_OK(client_open(fake_socket(), &client, &err));
        ASSERT_ERR(client_call(client, "GET", "/v1", NULL, NULL, &err), ERR_CORRUPT,
                   "the daemon's answer is longer than 64 MiB");
}

TEST(a_wake_ends_a_call_that_waits)
{
        static const struct fake_answer silent[] = { { "GET /v1", .how = FAKE_SILENT } };
        CLEANUP(client_closep) struct client *client = NULL;
        int fds[2];

        FAKE_API(silent);
        ASSERT_EQ(pipe(fds), 0);
        ASSERT_EQ(write(fds[1], "x", 1), 1);
        ASSERT_OK(client_open(fake_socket(), &client, &err));
        client_set_wake(client, fds[0]);
        ASSERT_ERR(client_call(client, "GET", "/v1", NULL, NULL, &err), ERR_TIMEOUT, "interrupted");
        ASSERT(client_woken(client));
}

TEST(proxies_of_the_environment_are_not_asked)
{
        static const struct fake_answer none[] = { { "GET /v1/sites", "{\"sites\": []}" } };

        FAKE_API(none);
        ASSERT_EQ(setenv("http_proxy", "http://127.0.0.1:1/", 1), 0);
        ASSERT_EQ(setenv("ALL_PROXY", "http://127.0.0.1:1/", 1), 0);
        SNAPCTL("site", "list", "-p");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(fake_requests(), "GET /v1/sites\n");
}

TEST(a_full_disk_behind_the_redirection_is_an_error)
{
        static const struct fake_answer some[] = {
                { "GET /v1/sites", "{\"sites\": [{\"name\": \"wiki\"}]}" },
        };

        FAKE_API(some);
        ran_full = 1;
        SNAPCTL("site", "list");
        ASSERT_EQ(ran.status, 1);
        ASSERT_STR(ran.err, "snapctl: cannot write the output\n");
}

TEST(arguments_that_are_not_utf8_are_refused_before_they_are_sent)
{
        static const struct fake_answer none[] = { { "GET /v1", "{}" } };

        FAKE_API(none);
        SNAPCTL("upgrade", "wiki", "--label", "\xff");
        ASSERT_EQ(ran.status, 2);
        ASSERT_STR(ran.err, "snapctl: 'label' is not valid UTF-8, which the daemon needs\n");
        SNAPCTL("upgrade", "wiki", "--", "/bin/x", "a\xc3");
        ASSERT_EQ(ran.status, 2);
        ASSERT_STR(fake_requests(), "");
}

TEST(questions_answer_0_for_yes_and_10_for_no)
{
        static const struct fake_answer states[] = {
                { "GET /v1/sites/wiki", "{\"state\": \"ok\", \"operation\": null}" },
                { "GET /v1/sites/shop", "{\"state\": \"busy\", \"operation\": 4}" },
                { "GET /v1/sites/held", "{\"state\": \"held\", \"operation\": 3}" },
                { "GET /v1/operations?site=wiki", "{\"operations\": [{\"id\": 5, \"state\": "
                                                  "\"queued\", \"verb\": \"upgrade\"}]}" },
                { "GET /v1/operations?site=shop", "{\"operations\": [{\"id\": 4, \"state\": "
                                                  "\"running\", \"verb\": \"upgrade\"}]}" },
        };

        FAKE_API(states);
        SNAPCTL("check", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "wiki: ok\n");
        SNAPCTL("check", "shop");
        ASSERT_EQ(ran.status, 10);
        ASSERT_STR(ran.out, "shop: busy, operation 4\n");
        SNAPCTL("check", "held", "-q");
        ASSERT_EQ(ran.status, 10);
        ASSERT_STR(ran.out, "");
        SNAPCTL("check", "none");
        ASSERT_EQ(ran.status, 1);
        SNAPCTL("pending", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "wiki: an upgrade waits, operation 5\n");
        SNAPCTL("pending", "shop");
        ASSERT_EQ(ran.status, 10);
}

TEST(site_check_prints_mistakes_as_compilers_do)
{
        static const struct fake_answer checks[] = {
                { "GET /v1/sites", "{\"sites\": [{\"name\": \"wiki\"}, {\"name\": \"shop\"}]}" },
                { "GET /v1/sites/wiki/check", "{\"ok\": true, \"problems\": []}" },
                { "GET /v1/sites/shop/check",
                  "{\"ok\": false, \"problems\": [{\"file\": \"/etc/sitesnap/sites.d/shop.conf\", "
                  "\"line\": 3, \"key\": \"owner\", \"message\": \"no user 'x'\"}]}" },
                { "GET /v1/sites/odd/check", "{\"ok\": false, \"problems\": []}" },
        };

        FAKE_API(checks);
        SNAPCTL("site", "check");
        ASSERT_EQ(ran.status, 1);
        ASSERT_STR(ran.out, "wiki: no mistakes\n"
                            "/etc/sitesnap/sites.d/shop.conf:3: owner: no user 'x'\n");
        SNAPCTL("site", "check", "wiki");
        ASSERT_EQ(ran.status, 0);
        SNAPCTL("site", "check", "odd");
        ASSERT_EQ(ran.status, 1);
        ASSERT(strstr(ran.err, "neither that it is well nor why not") != NULL);
}

TEST(diff_prints_as_snapper_does)
{
        static const struct fake_answer diff[] = {
                { "GET /v1/sites/wiki/diff?from=7&to=8",
                  "{\"from\": 7, \"to\": 8, \"changes\": [{\"path\": \"/a b\", \"status\": "
                  "\"+.....\"}, {\"path\": \"/c\\u001b\", \"status\": \"c.....\"}]}" },
        };

        FAKE_API(diff);
        SNAPCTL("diff", "wiki", "7", "8");
        ASSERT_STR(ran.out, "+..... /a b\nc..... /c?\n");
        SNAPCTL("diff", "wiki", "7", "8", "--json", "--columns", "path");
        ASSERT_STR(ran.out, "{\n  \"from\": 7,\n  \"to\": 8,\n  \"changes\": [\n    {\n"
                            "      \"path\": \"/a b\"\n    },\n    {\n"
                            "      \"path\": \"/c\\u001B\"\n    }\n  ]\n}\n");
        SNAPCTL("diff", "wiki", "7", "8", "--format", "csv");
        ASSERT_STR(ran.out, "status,path\n+.....,/a b\nc.....,/c\x1b\n");
}

TEST(web_config_is_printed_as_it_is)
{
        static const struct fake_answer text[] = {
                { "GET /v1/sites/wiki/web-config?server=nginx",
                  "{\"text\": \"server {\\n\\troot /srv;\\n}\"}" },
        };

        FAKE_API(text);
        SNAPCTL("web-config", "wiki", "nginx");
        ASSERT_STR(ran.out, "server {\n\troot /srv;\n}\n");
}

#define ONE_SITE                                                                                   \
        "{\"sites\": [{\"name\": \"wiki\", \"state\": \"busy\", \"active\": 8, \"home\": "         \
        "\"/h\"}]}"

TEST(status_is_one_screen_and_an_owner_sees_its_sites)
{
        static const struct fake_answer all[] = {
                { "GET /v1/sites", ONE_SITE },
                { "GET /v1/status",
                  "{\"version\": \"0.1.0\", \"pid\": 7, \"uptime_sec\": 3700, \"sites\": 1, "
                  "\"operations\": [{\"id\": 3, \"site\": \"wiki\", \"verb\": \"upgrade\", "
                  "\"state\": \"running\"}], \"held\": [\"shop\"]}",
                  .times = 2 },
                { "GET /v1/status",
                  "{\"error\": {\"code\": \"denied\", \"message\": \"no\", "
                  "\"exit\": 4}}",
                  .status = 403 },
        };

        FAKE_API(all);
        SNAPCTL("status");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out,
                   "sitesnap 0.1.0, up 1 h 1 min, pid 7\n"
                   "HELD: site 'shop' could not be rolled back; it serves what it last served. "
                   "See: snapctl ops shop\n"
                   "\n"
                   "  Site  State  Active  Last good  Versions  Owner  Driver  Database  Home\n"
                   "> wiki  busy        8                                                /h\n"
                   "\nGoing on\n"
                   "  ID  Site  What     State    Version  When  By  Reason\n"
                   ">  3  wiki  upgrade  running\n");
        SNAPCTL("status", "--format", "json");
        ASSERT(strstr(ran.out, "{\n  \"daemon\": {\n    \"version\": \"0.1.0\"") == ran.out);
        SNAPCTL("status");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.out, "  Site  State") == ran.out);
}

TEST(status_of_a_site_has_its_versions_and_operations)
{
        static const struct fake_answer one[] = {
                { "GET /v1/sites/wiki", "{\"name\": \"wiki\", \"active\": 8}" },
                { "GET /v1/sites/wiki/versions",
                  "{\"free_bytes\": 1024, \"versions\": [{\"number\": 8}]}" },
                { "GET /v1/operations?site=wiki&limit=5", "{\"operations\": []}" },
        };

        FAKE_API(one);
        SNAPCTL("status", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.out, "     Site: wiki\n   Active: 8\n") == ran.out);
        ASSERT(strstr(ran.out,
                      "\n1.0 KiB of disk left\n\nLast operations\nNothing was done yet.\n") !=
               NULL);
}

/* In the words of who typed it, not in the API's. */
TEST(a_time_that_is_missing_too_many_or_over_is_said_before_anything_is_asked)
{
        static const struct fake_answer answers[] = { { "GET /v1", "{}" } };

        FAKE_API(answers);
        SNAPCTL("notice", "send", "wiki", "scheduled");
        ASSERT_EQ(ran.status, 2);
        ASSERT(strstr(ran.err, "--at, the time") != NULL);
        SNAPCTL("notice", "send", "wiki", "available", "--at", "2h");
        ASSERT_EQ(ran.status, 2);
        ASSERT(strstr(ran.err, "--at, the time") != NULL);
        SNAPCTL("notice", "send", "wiki", "scheduled", "--at", "2020-01-01T00:00");
        ASSERT_EQ(ran.status, 2);
        ASSERT(strstr(ran.err, "'2020-01-01T00:00' is over already") != NULL);
        ASSERT_STR(fake_requests(), "");
}

#define SITE_WITH(op, mode)                                                                        \
        "{\"name\": \"wiki\", \"active\": 9, \"operation\": " op                                   \
        ", \"temporary\": {\"mode\": \"" mode "\", \"version\": 8, \"back\": 9, \"until\": null}}"
#define VERSIONS(old, new)                                                                         \
        "{\"free_bytes\": 1024, \"versions\": [{\"number\": 8, \"states\": [" old                  \
        "]}, {\"number\": 9, \"states\": [" new "]}]}"
#define OPERATIONS                                                                                 \
        "{\"operations\": [{\"id\": 4, \"verb\": \"export\"}, {\"id\": 3, \"verb\": "              \
        "\"upgrade\"}]}"
#define CASES 6

TEST(status_tells_a_staged_upgrade_from_a_temporary_rollback)
{
        static const struct {
                struct fake_answer site, versions;
                const char *said;
        } cases[CASES] = {
                { { "GET /v1/sites/wiki", SITE_WITH("3", "read-only") },
                  { "GET /v1/sites/wiki/versions",
                    VERSIONS("\"kept\", \"served\"", "\"active\", \"staged\"") },
                  "\nUPGRADE: visitors get version 8 (read-only) until operation 3 is done\n" },
                { { "GET /v1/sites/wiki", SITE_WITH("3", "read-only") },
                  { "GET /v1/sites/wiki/versions", VERSIONS("\"kept\"", "\"active\"") },
                  "\nUPGRADE: visitors get version 9 (read-only) until operation 3 is done\n" },
                { { "GET /v1/sites/wiki", SITE_WITH("3", "closed") },
                  { "GET /v1/sites/wiki/versions", VERSIONS("\"kept\"", "\"active\"") },
                  "\nUPGRADE: visitors get 503 until operation 3 is done\n" },
                { { "GET /v1/sites/wiki", SITE_WITH("4", "read-only") },
                  { "GET /v1/sites/wiki/versions", VERSIONS("\"active\"", "\"kept\"") },
                  "\nTEMPORARY: visitors get version 8 (read-only) until somebody ends it. End it "
                  "with: snapctl forward wiki\n" },
                { { "GET /v1/sites/wiki", SITE_WITH("null", "redirect-302") },
                  { "GET /v1/sites/wiki/versions", VERSIONS("\"kept\"", "\"active\"") },
                  "\nTEMPORARY: visitors get version 8 (redirect-302) until somebody ends it. End "
                  "it with: snapctl forward wiki\n" },
                { { "GET /v1/sites/wiki", SITE_WITH("null", "closed") },
                  { "GET /v1/sites/wiki/versions", VERSIONS("\"kept\"", "\"active\"") },
                  "\nTEMPORARY: visitors get 503 until somebody ends it. End it with: snapctl "
                  "forward wiki\n" },
        };

        struct fake_answer answers[CASES * 2 + 1] = {
                { "GET /v1/operations?site=wiki&limit=5", OPERATIONS },
        };

        for (size_t i = 0; i < CASES; i++) {
                answers[1 + i * 2] = cases[i].site;
                answers[2 + i * 2] = cases[i].versions;
                answers[1 + i * 2].times = answers[2 + i * 2].times = 1;
        }
        FAKE_API(answers);
        for (size_t i = 0; i < CASES; i++) {
                SNAPCTL("status", "wiki");
                ASSERT(strstr(ran.out, cases[i].said) != NULL);
        }
}
