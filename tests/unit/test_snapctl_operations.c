/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What snapctl asks for, and how it stays with what it began. */
#include <signal.h>
#include <unistd.h>

#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

#define BEGUN  "{\"operation\": 12}"
#define BEGIN  "POST /v1/sites/wiki/operations"
#define FOLLOW "GET /v1/operations/12"

/* An operation with two steps; marks and state are the test's. */
#define OP(seq, state, mark1, mark2, error, more)                                                  \
        "{\"id\": 12, \"site\": \"wiki\", \"verb\": \"upgrade\", \"state\": \"" state "\", "       \
        "\"by\": \"root\", \"reason\": \"\", \"created\": \"2026-03-01T11:00:00Z\", "              \
        "\"ended\": null, \"seq\": " #seq ", \"version\": 9, \"error\": " error ", \"steps\": ["   \
        "{\"part\": \"main\", \"n\": 0, \"kind\": \"fs.capture\", \"text\": \"keep version 8\", "  \
        "\"mark\": \"" mark1 "\", \"progress\": null, \"started\": \"2026-03-01T11:00:00Z\", "     \
        "\"ended\": \"2026-03-01T11:01:05Z\"}, "                                                   \
        "{\"part\": \"main\", \"n\": 1, \"kind\": \"hook.run\", \"text\": \"run upgrade\", "       \
        "\"mark\": \"" mark2 "\", \"progress\": {\"done\": 1024, \"all\": 4096, "                  \
        "\"unit\": \"bytes\"}, \"started\": null, \"ended\": null}]" more "}"
#define DONE(more) OP(3, "done", "done", "done", "null", more)

static const struct fake_answer quick[] = {
        { BEGIN, BEGUN, .status = 202 },
        { FOLLOW, DONE("") },
        { "POST /v1/sites", BEGUN, .status = 202 },
        { "POST /v1/sites/wiki/probes/run", "{\"probes\": [{\"verdict\": \"good\"}]}" },
        { "GET /v1/sites/wiki/versions/7", "{\"number\": 7, \"path\": \"/srv/wiki/versions/7\"}" },
        { "PATCH /v1/sites/wiki/versions/7", "{\"number\": 7}" },
};

/* What was asked first, without what followed. */
static const char *first_request(void)
{
        static char line[2000];
        const char *all = fake_requests();

        (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(all, "\n"), all);
        return line;
}

TEST(upgrade_sends_label_reason_timeout_and_the_command_word_by_word)
{
        FAKE_API(quick);
        SNAPCTL("upgrade", "wiki", "--label", "1.43", "--reason=why not", "--timeout", "1h30m",
                "-q", "--", "/usr/bin/up", "--now", "a b");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "");
        ASSERT_STR(ran.err, "");
        ASSERT_STR(fake_requests(), BEGIN
                   " {\"label\":\"1.43\",\"command\":[\"/usr/bin/up\",\"--now\",\"a b\"],"
                   "\"timeout_sec\":5400,\"verb\":\"upgrade\",\"reason\":\"why not\"}\n" FOLLOW
                   "\n");
}

TEST(upgrade_without_a_command_leaves_it_to_the_site)
{
        FAKE_API(quick);
        SNAPCTL("update", "wiki");
        ASSERT_STR(first_request(), BEGIN " {\"verb\":\"upgrade\"}");
        ASSERT_STR(ran.out, "wiki: version 9 is active, the one before it is kept. Undo with: "
                            "snapctl rollback wiki\n");
}

TEST(switching_verbs_are_sent)
{
        FAKE_API(quick);
        SNAPCTL("activate", "wiki", "7", "--reason", "calm");
        ASSERT_STR(first_request(),
                   BEGIN " {\"version\":7,\"verb\":\"activate\",\"reason\":\"calm\"}");
        ASSERT_STR(ran.out, "wiki: version 9 is active.\n");
}

TEST(rollback_and_forward_need_no_number)
{
        FAKE_API(quick);
        SNAPCTL("-qp", "rollback", "wiki");
        ASSERT_STR(first_request(), BEGIN " {\"verb\":\"rollback\"}");
        ASSERT_STR(ran.out, "9\n");
        SNAPCTL("-p", "-q", "forward", "wiki");
        ASSERT(strstr(fake_requests(), BEGIN " {\"verb\":\"forward\"}\n") != NULL);
}

TEST(mount_says_where_the_version_is_shown)
{
        FAKE_API(quick);
        SNAPCTL("mount", "wiki", "7");
        ASSERT_STR(first_request(), BEGIN " {\"version\":7,\"verb\":\"mount\"}");
        ASSERT_STR(ran.out, "wiki: version 7 is shown read-only at /srv/wiki/versions/7\n");
        SNAPCTL("mount", "wiki", "7", "-p");
        ASSERT_STR(ran.out, "/srv/wiki/versions/7\n");
        SNAPCTL("unmount", "wiki", "7");
        ASSERT_STR(ran.out, "wiki: version 7 is shown no more.\n");
        ASSERT(strstr(fake_requests(), BEGIN " {\"version\":7,\"verb\":\"umount\"}\n") != NULL);
}

TEST(pin_and_mark_change_the_version_itself)
{
        FAKE_API(quick);
        SNAPCTL("pin", "wiki", "7");
        ASSERT_STR(ran.out, "wiki: version 7 is pinned.\n");
        SNAPCTL("unpin", "wiki", "7");
        ASSERT_STR(ran.out, "wiki: version 7 is not pinned any more.\n");
        SNAPCTL("mark", "wiki", "7", "bad", "--reason", "slow");
        ASSERT_STR(ran.out, "wiki: version 7 is marked bad.\n");
        SNAPCTL("mark", "wiki", "7", "none");
        ASSERT_STR(ran.out, "wiki: version 7 has no mark any more.\n");
        ASSERT_STR(fake_requests(),
                   "PATCH /v1/sites/wiki/versions/7 {\"pinned\":true}\n"
                   "PATCH /v1/sites/wiki/versions/7 {\"pinned\":false}\n"
                   "PATCH /v1/sites/wiki/versions/7 {\"mark\":\"bad\",\"reason\":\"slow\"}\n"
                   "PATCH /v1/sites/wiki/versions/7 {\"mark\":\"none\"}\n");
}

TEST(site_add_sends_all_its_options)
{
        FAKE_API(quick);
        SNAPCTL("site", "add", "wiki", "--home", "/srv/wiki", "--owner", "www-data", "--adopt",
                "/var/www/wiki", "--shared", "images", "--shared", "a b", "--driver", "auto",
                "--pool", "/srv/pool", "--switcher", "mount", "--database", "sqlite:/var/lib/wiki",
                "--probe", "http://127.0.0.1/", "--preset", "mediawiki", "--preset", "own", "--set",
                "LocalSettings.php php-assign wgSQLiteDataDir {database_dir}", "--set",
                "a.conf ini \"my \\\"key\\\"\" \"{database} x\"", "--", "/usr/bin/up", "x");
        ASSERT_STR(ran.err, "[1/2] keep version 8: done in 1 min 5 s\n[2/2] run upgrade: done\n");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(
                first_request(),
                "POST /v1/sites {\"name\":\"wiki\",\"home\":\"/srv/wiki\",\"owner\":\"www-data\","
                "\"docroot\":\"/var/www/wiki\",\"driver\":\"auto\",\"pool\":\"/srv/"
                "pool\",\"switcher\":\"mount\","
                "\"database\":{\"engine\":\"sqlite\",\"path\":\"/var/lib/wiki\"},"
                "\"guard\":{\"url\":\"http://127.0.0.1/\",\"presets\":\"mediawiki own\"},"
                "\"shared\":[\"images\",\"a b\"],\"config\":[{\"file\":\"LocalSettings.php\","
                "\"kind\":\"php-assign\",\"key\":\"wgSQLiteDataDir\",\"value\":"
                "\"{database_dir}\"},{\"file\":\"a.conf\",\"kind\":\"ini\",\"key\":"
                "\"my \\\"key\\\"\",\"value\":\"{database} x\"}],"
                "\"command\":[\"/usr/bin/up\",\"x\"]}");
        ASSERT_STR(ran.out,
                   "wiki: version 9 is active. For the web server: snapctl web-config wiki nginx\n"
                   "wiki: it is watched by 1 probe, and answers.\n");
}

TEST(site_add_makes_relative_directories_absolute)
{
        char want[400];

        FAKE_API(quick);
        ASSERT_EQ(chdir(test_tmpdir()), 0);
        SNAPCTL("site", "add", "wiki", "--home", "h", "--owner", "u", "-q");
        (void)snprintf(want, sizeof(want),
                       "POST /v1/sites {\"name\":\"wiki\",\"home\":\"%s/h\",\"owner\":\"u\","
                       "\"shared\":[],\"config\":[]}",
                       test_tmpdir());
        ASSERT_STR(first_request(), want);
}

TEST(no_wait_prints_the_number_and_leaves)
{
        FAKE_API(quick);
        SNAPCTL("upgrade", "wiki", "--no-wait");
        ASSERT_STR(ran.out, "12\n");
        ASSERT_STR(ran.err, "");
        ASSERT_STR(fake_requests(), BEGIN " {\"verb\":\"upgrade\"}\n");
        SNAPCTL("upgrade", "wiki", "--no-wait", "--format", "json");
        ASSERT_STR(ran.out, "{\"operation\": 12}\n");
}

TEST(dry_run_shows_the_plan_and_the_space)
{
        static const struct fake_answer plan[] = {
                { BEGIN, "{\"verb\": \"upgrade\", \"steps\": [{\"part\": \"main\", \"kind\": "
                         "\"fs.capture\", \"text\": \"keep version 8\"}, {\"part\": \"rescue\", "
                         "\"kind\": \"switch\", \"text\": \"serve version 8\"}], \"space\": "
                         "{\"needed_bytes\": 2048, \"free_bytes\": 1073741824}}" },
        };

        FAKE_API(plan);
        SNAPCTL("-n", "upgrade", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "1. keep version 8\n"
                            "When the upgrade fails:\n"
                            "1. serve version 8\n"
                            "\n"
                            "Needs 2.0 KiB of disk; 1.0 GiB are free. Nothing was changed.\n");
        ASSERT_STR(fake_requests(), BEGIN " {\"verb\":\"upgrade\",\"dry_run\":true}\n");
}

TEST(following_prints_a_line_when_a_step_begins_and_ends)
{
        static const struct fake_answer slow[] = {
                { BEGIN, BEGUN, .status = 202 },
                { FOLLOW, OP(1, "running", "running", "planned", "null", "") },
                { FOLLOW "?since=1&wait_msec=10000",
                  OP(2, "running", "done", "running", "null", "") },
                { FOLLOW "?since=2&wait_msec=10000", DONE("") },
        };

        FAKE_API(slow);
        SNAPCTL("upgrade", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.err, "[1/2] keep version 8: begins\n"
                            "[1/2] keep version 8: done in 1 min 5 s\n"
                            "[2/2] run upgrade: begins\n"
                            "[2/2] run upgrade: done\n");
}

TEST(output_of_the_command_is_passed_on_and_made_harmless)
{
        static const struct fake_answer with_log[] = {
                { BEGIN, BEGUN, .status = 202 },
                { FOLLOW, OP(1, "running", "done", "running", "null", ", \"log\": \"/l\"") },
                { FOLLOW "?since=1&wait_msec=500", DONE(", \"log\": \"/l\"") },
                { FOLLOW "/log?offset=0",
                  "{\"offset\": 9, \"text\": \"one\\ntw\\u001bo\", \"done\": false}" },
                { FOLLOW "/log?offset=9", "{\"offset\": 9, \"text\": \"\", \"done\": false}",
                  .times = 1 },
                { FOLLOW "/log?offset=9", "{\"offset\": 20, \"text\": \"\\r\\n50%\\r99%\", "
                                          "\"done\": false}" },
                { FOLLOW "/log?offset=20", "{\"offset\": 20, \"text\": \"\", \"done\": true}" },
        };

        FAKE_API(with_log);
        SNAPCTL("upgrade", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.out, "one\ntw?o\n50%\n99%\nwiki: version 9 is active") == ran.out);
        SNAPCTL("upgrade", "wiki", "-q");
        ASSERT_STR(ran.out, "");
}

TEST(output_stands_between_the_beginning_and_the_end_of_its_step)
{
        static const struct fake_answer with_log[] = {
                { FOLLOW, OP(1, "running", "done", "running", "null", ", \"log\": \"/l\"") },
                { FOLLOW "?since=1&wait_msec=500", DONE(", \"log\": \"/l\"") },
                { FOLLOW "/log?offset=0", "{\"offset\": 0, \"text\": \"\", \"done\": false}",
                  .times = 1 },
                { FOLLOW "/log?offset=0", "{\"offset\": 4, \"text\": \"one\\n\", \"done\": true}" },
                { FOLLOW "/log?offset=4", "{\"offset\": 4, \"text\": \"\", \"done\": true}" },
        };

        FAKE_API(with_log);
        SNAPCTL("ops", "follow", "12", "-p");
        ASSERT_STR(ran.err, "[1/2] keep version 8: done in 1 min 5 s\n"
                            "[2/2] run upgrade: begins\n"
                            "one\n"
                            "[2/2] run upgrade: done\n");
}

TEST(with_plain_the_output_does_not_mix_with_the_number)
{
        static const struct fake_answer with_log[] = {
                { BEGIN, BEGUN, .status = 202 },
                { FOLLOW, DONE(", \"log\": \"/l\"") },
                { FOLLOW "/log?offset=0", "{\"offset\": 4, \"text\": \"one\\n\", \"done\": true}" },
                { FOLLOW "/log?offset=4", "{\"offset\": 4, \"text\": \"\", \"done\": true}" },
        };

        FAKE_API(with_log);
        SNAPCTL("upgrade", "wiki", "-p");
        ASSERT_STR(ran.out, "9\n");
        ASSERT(strstr(ran.err, "one\n") != NULL);
        SNAPCTL("upgrade", "wiki", "--format", "json");
        ASSERT(strstr(ran.out, "{\n  \"id\": 12,") == ran.out);
}

/* Every way an operation can end, and what snapctl exits with. */
TEST(the_exit_status_is_the_outcome)
{
        static const struct {
                const char *state, *error;
                int status;
                const char *message;
        } ends[] = {
                { "done", "null", 0, "" },
                { "rolled-back",
                  "{\"code\": \"io\", \"message\": \"the command exited with 3\", "
                  "\"exit\": 1}",
                  6, "snapctl: the command exited with 3\n" },
                { "held", "{\"code\": \"io\", \"message\": \"cannot mount\", \"exit\": 1}", 7,
                  "Look: snapctl ops show 12   Try again: snapctl ops resume 12\n"
                  "snapctl: cannot mount\n" },
                { "failed", "{\"code\": \"no-space\", \"message\": \"full\", \"exit\": 5}", 5,
                  "snapctl: full\n" },
                { "failed", "{\"code\": \"busy\", \"message\": \"in use\", \"exit\": 3}", 3,
                  "snapctl: in use\n" },
                { "failed", "{\"code\": \"of-the-future\", \"message\": \"new\", \"exit\": 8}", 8,
                  "snapctl: new\n" },
                { "failed", "null", 1, "snapctl: operation 12 has failed\n" },
        };
        static char bodies[sizeof(ends) / sizeof(*ends)][300];
        struct fake_answer answers[sizeof(ends) / sizeof(*ends) + 1] = {
                { BEGIN, BEGUN, .status = 202 },
        };

        for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
                (void)snprintf(bodies[i], sizeof(bodies[i]),
                               "{\"id\": 12, \"seq\": 1, \"version\": 9, \"state\": \"%s\", "
                               "\"error\": %s, \"steps\": []}",
                               ends[i].state, ends[i].error);
                answers[i + 1] = (struct fake_answer){ FOLLOW, .body = bodies[i], .times = 1 };
        }
        FAKE_API(answers);
        for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
                SNAPCTL("rollback", "wiki");
                ASSERT_EQ(ran.status, ends[i].status);
                ASSERT_STR(ran.err, ends[i].message);
        }
}

TEST(a_step_that_failed_is_told_from_one_that_runs)
{
        static const struct fake_answer rescued[] = {
                { FOLLOW, OP(1, "rescuing", "done", "running", "null", "") },
                { FOLLOW "?since=1&wait_msec=10000",
                  OP(2, "rolled-back", "done", "running",
                     "{\"code\": \"io\", \"message\": \"it failed\", \"exit\": 1}", "") },
        };

        FAKE_API(rescued);
        SNAPCTL("ops", "follow", "12");
        ASSERT_EQ(ran.status, 6);
        ASSERT_STR(ran.err,
                   "[1/2] keep version 8: done in 1 min 5 s\n"
                   "[2/2] run upgrade: failed\n"
                   "wiki serves the version it had before, with its files and its database; the "
                   "new version is kept and marked bad.\n"
                   "snapctl: it failed\n");
}

TEST(a_last_line_without_an_end_comes_before_what_follows_it)
{
        static const struct fake_answer cut[] = {
                { FOLLOW, OP(1, "running", "planned", "running", "null", ", \"log\": \"/l\"") },
                { FOLLOW "?since=1&wait_msec=500",
                  OP(2, "running", "running", "done", "null", ", \"log\": \"/l\"") },
                { FOLLOW "?since=2&wait_msec=10000", DONE(", \"log\": \"/l\"") },
                { FOLLOW "/log?offset=0", "{\"offset\": 3, \"text\": \"two\", \"done\": false}" },
                { FOLLOW "/log?offset=3", "{\"offset\": 3, \"text\": \"\", \"done\": false}" },
        };

        FAKE_API(cut);
        SNAPCTL("ops", "follow", "12", "-p");
        ASSERT_STR(ran.err, "[2/2] run upgrade: begins\n"
                            "[1/2] keep version 8: begins\n"
                            "two\n"
                            "[2/2] run upgrade: done\n"
                            "[1/2] keep version 8: done in 1 min 5 s\n");
}

TEST(a_failed_upgrade_says_where_its_output_is)
{
        static const struct fake_answer failed[] = {
                { FOLLOW, OP(4, "rolled-back", "undone", "undone",
                             "{\"code\": \"io\", \"message\": \"it exited with 3\", \"exit\": 1}",
                             ", \"log\": \"/var/lib/sitesnap/log/12\"") },
                { FOLLOW "/log?offset=0", "{\"offset\": 0, \"text\": \"\", \"done\": true}" },
        };

        FAKE_API(failed);
        SNAPCTL("ops", "follow", "12");
        ASSERT_EQ(ran.status, 6);
        ASSERT_STR(ran.err,
                   "[1/2] keep version 8: taken back\n"
                   "[2/2] run upgrade: taken back\n"
                   "wiki serves the version it had before, with its files and its database; the "
                   "new version is kept and marked bad.\n"
                   "The output is kept in /var/lib/sitesnap/log/12.\n"
                   "snapctl: it exited with 3\n");
}

TEST(a_restart_of_the_daemon_is_waited_for)
{
        static const struct fake_answer restarted[] = {
                { FOLLOW, OP(1, "running", "running", "planned", "null", "") },
                { FOLLOW "?since=1&wait_msec=10000", .how = FAKE_CLOSED, .times = 1 },
                { FOLLOW "?since=1&wait_msec=10000", "{\"id\": ", .how = FAKE_TRUNCATED,
                  .times = 1 },
                { FOLLOW "?since=1&wait_msec=10000", DONE("") },
        };

        FAKE_API(restarted);
        SNAPCTL("ops", "follow", "12");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.err, "the daemon does not answer: waiting for it; the operation goes "
                               "on\n") != NULL);
        ASSERT_STR(ran.out, "Operation 12 is done.\n");
}

TEST(on_a_terminal_steps_have_marks_and_the_running_one_a_bar)
{
        static const struct fake_answer slow[] = {
                { FOLLOW, OP(1, "running", "done", "running", "null", "") },
                { FOLLOW "?since=1&wait_msec=1000", DONE(""), .delay_msec = 30 },
        };

        FAKE_API(slow);
        SNAPCTL_ON_TERMINAL(NULL, "ops", "follow", "12");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out,
                   "\x1b[32m\u2713\x1b[0m keep version 8  1 min 5 s\r\n"
                   "\r\x1b[K\x1b[1m\u25b8\x1b[0m run upgrade  [#####...............] 25 %  "
                   "1.0 KiB of 4.0 KiB  0.0 s"
                   "\r\x1b[K\x1b[32m\u2713\x1b[0m run upgrade\r\n"
                   "Operation 12 is done.\r\n");
}

TEST(ctrl_c_leaves_the_operation_going_on_and_says_how_to_come_back)
{
        static const struct fake_answer endless[] = {
                { FOLLOW, OP(1, "running", "done", "running", "null", "") },
                { FOLLOW "?since=1&wait_msec=1000", .how = FAKE_SILENT },
        };

        FAKE_API(endless);
        SNAPCTL_ON_TERMINAL("\x03", "ops", "follow", "12");
        ASSERT_EQ(ran.status, 1);
        ASSERT(strstr(ran.out, "operation 12 goes on without being watched\r\n"
                               "  watch it:  snapctl ops follow 12\r\n"
                               "  stop it:   snapctl ops abort 12\r\n") != NULL);
        ASSERT(strstr(fake_requests(), "abort") == NULL);
}

TEST(abort_is_satisfied_when_all_was_taken_back)
{
        static const struct fake_answer aborted[] = {
                { "POST /v1/operations/12/abort", "{}", .status = 202 },
                { FOLLOW, OP(4, "failed", "undone", "undone", "null", "") },
        };

        FAKE_API(aborted);
        SNAPCTL("ops", "abort", "12");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "Operation 12 is stopped and taken back.\n");
}

TEST(abort_that_came_too_late_is_an_error)
{
        static const struct fake_answer late[] = {
                { "POST /v1/operations/12/abort", "{}", .status = 202 },
                { FOLLOW, DONE("") },
        };

        FAKE_API(late);
        SNAPCTL("ops", "abort", "12", "-q");
        ASSERT_EQ(ran.status, 4);
        ASSERT_STR(ran.err, "snapctl: operation 12 was done before it could be stopped\n");
}

TEST(resume_follows_the_new_operation)
{
        static const struct fake_answer held[] = {
                { "POST /v1/operations/11/resume", BEGUN, .status = 202 },
                { FOLLOW, DONE("") },
        };

        FAKE_API(held);
        SNAPCTL("ops", "resume", "11", "-q");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(fake_requests(), "POST /v1/operations/11/resume {}\n" FOLLOW "\n");
}

#define KEPT                                                                                       \
        "{\"versions\": [{\"number\": 1, \"states\": [\"kept\"], \"freed_bytes\": 1024, "          \
        "\"label\": \"a\", \"created\": \"2026-03-01T11:00:00Z\"}, "                               \
        "{\"number\": 2, \"states\": [\"kept\", \"pinned\"]}, "                                    \
        "{\"number\": 3, \"states\": [\"kept\"], \"freed_bytes\": 1024}, "                         \
        "{\"number\": 5, \"states\": [\"kept\", \"last-good\"]}, "                                 \
        "{\"number\": 6, \"states\": [\"active\"]}]}"

static const struct fake_answer prunable[] = {
        { "GET /v1/sites/wiki/versions", KEPT },
        { BEGIN, BEGUN, .status = 202 },
        { FOLLOW, DONE("") },
};

TEST(prune_takes_ranges_apart_and_leaves_out_what_must_stay)
{
        FAKE_API(prunable);
        SNAPCTL("prune", "wiki", "1-6", "-y");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.err, "version 2 stays: it is pinned\n"
                               "version 5 stays: it is last-good\n"
                               "version 6 stays: it is active\n") == ran.err);
        ASSERT(strstr(fake_requests(), BEGIN " {\"versions\":[1,3],\"verb\":\"prune\"}\n") != NULL);
}

TEST(prune_sends_a_single_number_as_it_is_for_the_daemon_to_judge)
{
        FAKE_API(prunable);
        SNAPCTL("rm", "wiki", "6", "1", "6", "-y");
        ASSERT(strstr(fake_requests(), BEGIN " {\"versions\":[6,1],\"verb\":\"prune\"}\n") != NULL);
        SNAPCTL("prune", "wiki", "7-9", "-y");
        ASSERT_EQ(ran.status, 8);
        ASSERT_STR(ran.err, "snapctl: no version of 'wiki' is there to remove\n");
}

TEST(a_dry_run_of_prune_names_what_would_go_and_what_that_frees)
{
        static const struct fake_answer plan[] = {
                { BEGIN,
                  "{\"verb\": \"prune\", \"steps\": [{\"part\": \"main\", \"text\": \"go\"}], "
                  "\"versions\": [{\"number\": 3, \"label\": \"1.2\", \"created\": \"C\", "
                  "\"freed_bytes\": 2048}, {\"number\": 4, \"label\": \"\", \"created\": "
                  "\"D\", \"freed_bytes\": null}]}" },
        };

        FAKE_API(plan);
        SNAPCTL("prune", "wiki", "-n");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "Version 3 of C would free 2.0 KiB: 1.2\n"
                            "Version 4 of D would free what is not measured yet\n"
                            "2 in all, at least 2.0 KiB.\n\n1. go\n\nNothing was changed.\n");
}

TEST(prune_by_policy_and_keep)
{
        FAKE_API(prunable);
        SNAPCTL("vacuum", "wiki", "--keep", "3", "-yq");
        ASSERT_STR(first_request(), BEGIN " {\"keep\":3,\"verb\":\"prune\"}");
        SNAPCTL("prune", "wiki", "-yqn");
        ASSERT(strstr(fake_requests(), BEGIN " {\"verb\":\"prune\",\"dry_run\":true}\n") != NULL);
        SNAPCTL("prune", "wiki", "3", "--keep", "3");
        ASSERT_EQ(ran.status, 2);
}

TEST(what_loses_something_needs_a_yes)
{
        FAKE_API(prunable);
        SNAPCTL("prune", "wiki", "1-6");
        ASSERT_EQ(ran.status, 4);
        ASSERT(strstr(ran.err, "snapctl: this would be lost for good and there is no terminal to "
                               "ask on: repeat it with -y; nothing was changed\n") != NULL);
        SNAPCTL("site", "remove", "wiki");
        ASSERT_EQ(ran.status, 4);
        ASSERT_STR(fake_requests(), "GET /v1/sites/wiki/versions\nGET /v1/sites/wiki/versions\n");
}

TEST(on_a_terminal_it_is_asked_with_what_would_be_lost)
{
        FAKE_API(prunable);
        SNAPCTL_ON_TERMINAL("n\n", "prune", "wiki", "1", "3");
        ASSERT_EQ(ran.status, 4);
        ASSERT(strstr(ran.out, "  version 1  2026-03-01T11:00:00Z  1.0 KiB  a\r\n") != NULL);
        ASSERT(strstr(ran.out, "2 versions would be removed for good, with their databases; at "
                               "least 2.0 KiB would be free.\r\nRemove them? [y/N] ") != NULL);
        ASSERT(strstr(ran.out, "snapctl: not confirmed; nothing was changed") != NULL);
        ASSERT(strstr(fake_requests(), "POST") == NULL);
        SNAPCTL_ON_TERMINAL("y\n", "site", "remove", "wiki");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.out, "4 versions of 'wiki' would be removed for good, with their "
                               "databases; version 6 and the shared paths stay as a plain "
                               "directory.") != NULL);
        ASSERT(strstr(fake_requests(), BEGIN " {\"verb\":\"remove\"}\n") != NULL);
}

TEST(ops_show_has_the_steps_with_marks_and_the_error)
{
        static const struct fake_answer op[] = {
                { FOLLOW, OP(4, "running", "done", "running",
                             "{\"code\": \"io\", \"message\": \"oh\"}", ", \"log\": \"/l/12\"") },
        };

        FAKE_API(op);
        SNAPCTL("ops", "show", "12", "--utc");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "     ID: 12\n"
                            "   Site: wiki\n"
                            "   What: upgrade\n"
                            "  State: running\n"
                            "Version: 9\n"
                            "   When: 2026-03-01T11:00:00Z\n"
                            "     By: root\n"
                            " Output: /l/12\n"
                            "  Error: oh\n"
                            "  + done     2026-03-01T11:00:00Z       keep version 8  1 min 5 s\n"
                            "  > running                             run upgrade\n");
}

TEST(ops_lists_the_newest_first_as_the_daemon_says)
{
        static const struct fake_answer list[] = {
                { "GET /v1/operations?site=wiki&limit=5",
                  "{\"operations\": [{\"id\": 12, \"site\": \"wiki\", \"verb\": \"upgrade\", "
                  "\"state\": \"rolled-back\", \"version\": null, \"by\": \"root\", "
                  "\"created\": \"2026-03-01T11:00:00Z\", \"reason\": \"r\"}]}" },
                { "GET /v1/operations", "{\"operations\": [{\"id\": 3}, {\"id\": 2}]}" },
        };

        FAKE_API(list);
        SNAPCTL("log", "wiki", "--limit", "5", "--utc");
        ASSERT_STR(ran.out, "  ID  Site  What     State        Version  When                  By   "
                            " Reason\n"
                            "! 12  wiki  upgrade  rolled-back           2026-03-01T11:00:00Z  root "
                            " r\n");
        SNAPCTL("ops", "-p");
        ASSERT_STR(ran.out, "3\n2\n");
}
