/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be typed: parsing, usage errors, help and completion, all from one table. */
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapctl/args.h"
#include "snapctl/text.h"
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

static struct err err;
static struct args args;

static void parse(const char *const *typed)
{
        int argc = 0;

        while (typed[argc] != NULL)
                argc++;
        ASSERT_OK(args_parse(argc, (char *const *)typed, &args, &err));
}
#define PARSE(...) parse((const char *const[]){ "snapctl", __VA_ARGS__, NULL })

TEST(options_stand_before_and_behind_the_command_until_the_dashes)
{
        PARSE("-q", "upgrade", "--label=a", "-ny", "wiki", "--reason", "--x", "--", "-p",
              "--label");
        ASSERT_STR(args.command->words, "upgrade");
        ASSERT_STR(args_word(&args, 0), "wiki");
        ASSERT(args_option(&args, OPT_QUIET) != NULL);
        ASSERT(args_option(&args, OPT_DRY_RUN) != NULL);
        ASSERT(args_option(&args, OPT_YES) != NULL);
        ASSERT(args_option(&args, OPT_PLAIN) == NULL);
        ASSERT_STR(args_option(&args, OPT_LABEL), "a");
        ASSERT_STR(args_option(&args, OPT_REASON), "--x");
        ASSERT_STR(args.argv[0], "-p");
        ASSERT_STR(args.argv[1], "--label");
        args_done(&args);
}

TEST(the_longest_command_wins)
{
        PARSE("ops", "show", "3");
        ASSERT_STR(args.command->words, "ops show");
        ASSERT_EQ(args_number(&args, 0), 3);
        args_done(&args);
        PARSE("ops", "show-case");
        ASSERT_STR(args.command->words, "ops list");
        args_done(&args);
}

TEST(usage_errors_say_what_is_wrong)
{
        static const struct {
                const char *typed[10];
                const char *text;
        } cases[] = {
                { { "lst", "wiki" }, "no command 'lst': did you mean 'list'?" },
                { { "upgarde", "wiki" }, "did you mean 'upgrade'?" },
                { { "complet" }, "no command 'complet': see 'snapctl help'" },
                { { "site" }, "'site' needs one of: add, remove, list, show, check" },
                { { "site", "ad", "x" }, "'site' knows no 'ad', but: add, remove, list" },
                { { "" }, "no command ''" },
                { { "list" }, "'list' needs SITE; usage: snapctl list SITE" },
                { { "list", "a", "b" }, "'b' is one word too many for 'list'" },
                { { "list", "../x" }, "SITE is '../x', not a site's name (small letters" },
                { { "list", "" }, "SITE is ''" },
                { { "list", "9a" }, "SITE is '9a'" },
                { { "activate", "wiki", "0" }, "N is '0', not a version's number" },
                { { "activate", "wiki", "+1" }, "N is '+1'" },
                { { "activate", "wiki", "99999999999999999999" }, "N is '99999999" },
                { { "activate", "wiki", "3x" }, "N is '3x'" },
                { { "prune", "wiki", "7-3" }, "RANGE is '7-3', not a version's number or a range" },
                { { "prune", "wiki", "3-" }, "RANGE is '3-'" },
                { { "mark", "wiki", "3", "fine" }, "MARK is 'fine', not one of good, bad, none" },
                { { "web-config", "wiki", "iis" }, "SERVER is 'iis', not one of nginx, apache" },
                { { "list", "wiki", "--json", "--format", "csv" }, "either --json or --format" },
                { { "list", "wiki", "--format", "xml" }, "--format is 'xml', not one of table" },
                { { "list", "wiki", "--format" }, "--format needs a value: one of table" },
                { { "list", "wiki", "--formt", "x" },
                  "no option '--formt': did you mean '--format'?" },
                { { "list", "wiki", "--zzzzzzzz" }, "no option '--zzzzzzzz': see" },
                { { "list", "wiki", "-x" }, "no option '-x'" },
                { { "list", "wiki", "-qx" }, "no option '-qx'" },
                { { "list", "wiki", "--quiet=1" }, "--quiet takes no value" },
                { { "list", "wiki", "--label", "x" }, "'list' takes no --label" },
                { { "list", "wiki", "-n" }, "'list' takes no --dry-run" },
                { { "list", "wiki", "--", "x" }, "'list' takes no command behind '--'" },
                { { "upgrade", "wiki", "--" }, "no command stands behind '--'" },
                { { "upgrade", "wiki", "--", "" }, "no command stands behind '--'" },
                { { "upgrade", "wiki", "--label", "" }, "--label is ''" },
                { { "upgrade", "wiki", "--label", "a", "--label", "b" }, "--label is given twice" },
                { { "upgrade", "wiki", "--timeout", "90" }, "--timeout is '90', not a time" },
                { { "upgrade", "wiki", "--timeout", "10ms" }, "--timeout is '10ms'" },
                { { "site", "add", "wiki", "--owner", "x" }, "'site add' needs --home" },
                { { "site", "add", "wiki", "--home", "/x", "--owner", "x", "--database",
                    "mysql:x" },
                  "--database is 'mysql:x', not sqlite:PATH, mariadb:NAME or postgres:NAME" },
                { { "prune", "wiki", "--keep", "0" }, "--keep is '0', not a number from 1" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                SNAPCTL(cases[i].typed[0], cases[i].typed[1], cases[i].typed[2], cases[i].typed[3],
                        cases[i].typed[4], cases[i].typed[5], cases[i].typed[6], cases[i].typed[7],
                        cases[i].typed[8]);
                if (ran.status != 2 || strstr(ran.err, cases[i].text) == NULL)
                        test_fail(__FILE__, __LINE__, "case %zu: %d, '%s' lacks '%s'", i,
                                  ran.status, ran.err, cases[i].text);
                ASSERT_STR(ran.out, "");
        }
}

TEST(without_a_command_it_points_to_help)
{
        SNAPCTL("-q");
        ASSERT_EQ(ran.status, 2);
        ASSERT_STR(ran.err, "snapctl: no command: see 'snapctl help'\n");
}

TEST(set_wants_four_words)
{
        static const char *const base[] = { "site", "add", "wiki", "--home", "/h", "--owner", "u" };
        static const struct {
                const char *value, *text;
        } cases[] = {
                { "a.conf ini key", "--set takes 'FILE KIND KEY VALUE', a part with blanks" },
                { "a b c d e", "not 'a b c d e'" },
                { "a ini \"key v", "--set 'a ini \"key v': " },
        };

        for (size_t i = 0; i < 3; i++) {
                SNAPCTL(base[0], base[1], base[2], base[3], base[4], base[5], base[6], "--set",
                        cases[i].value);
                ASSERT_EQ(ran.status, 2);
                ASSERT(strstr(ran.err, cases[i].text) != NULL);
        }
}

TEST(every_command_is_in_help_and_has_its_own)
{
        char usage[400];

        SNAPCTL("help");
        ASSERT_EQ(ran.status, 0);
        for (size_t i = 0; i < n_commands; i++) {
                const char *all = ran.out;
                char line[64];

                (void)snprintf(line, sizeof(line), "\n  %s ", commands[i].words);
                ASSERT_EQ((strstr(all, line) != NULL), (commands[i].flags & COMMAND_HIDDEN) == 0);
        }
        for (size_t i = 0; i < n_commands; i++) {
                CLEANUP(freep) char *words = strdup(commands[i].words);
                char *second = strchr(words, ' ');

                if ((commands[i].flags & COMMAND_HIDDEN) != 0)
                        continue;
                if (second != NULL)
                        *second++ = '\0';
                SNAPCTL("help", words, second);
                ASSERT_EQ(ran.status, 0);
                command_usage(&commands[i], true, usage, sizeof(usage));
                ASSERT(strstr(ran.out, usage) != NULL);
                ASSERT(strstr(ran.out, commands[i].help) != NULL);
                ASSERT(strstr(ran.out, "(null)") == NULL);
        }
}

TEST(help_can_be_asked_of_a_command_or_a_group)
{
        SNAPCTL("upgrade", "--help");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(ran.out, "usage: snapctl upgrade SITE [--label TEXT]") == ran.out);
        ASSERT(strstr(ran.out, " [--closed] [--staged] ") != NULL);
        ASSERT(strstr(ran.out, "read-only; with --closed nothing\n") != NULL);
        SNAPCTL("--help");
        ASSERT(strstr(ran.out, "usage: snapctl [OPTION...] COMMAND ...") == ran.out);
        SNAPCTL("help", "ops");
        ASSERT(strstr(ran.out, "usage: snapctl ops list [SITE]") == ran.out);
        SNAPCTL("help", "site");
        ASSERT(strstr(ran.out, "  site add ") == ran.out);
        SNAPCTL("help", "nothing");
        ASSERT_EQ(ran.status, 2);
        SNAPCTL("--version");
        ASSERT_STR(ran.out, "snapctl " SITESNAP_VERSION "\n");
}

/* Is there a candidate ${word} in the output of `complete`? */
static bool offered(const char *word)
{
        char line[100];

        (void)snprintf(line, sizeof(line), "%s\t", word);
        for (const char *at = ran.out; at != NULL && *at != '\0';
             at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL)
                if (strncmp(at, line, strlen(line)) == 0)
                        return true;
        return false;
}

TEST(completion_offers_every_command_and_option_of_the_table)
{
        SNAPCTL("complete", "");
        for (size_t i = 0; i < n_commands; i++) {
                char word[32];

                (void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(commands[i].words, " "),
                               commands[i].words);
                ASSERT_EQ(offered(word), (commands[i].flags & COMMAND_HIDDEN) == 0);
        }
        for (size_t i = 0; i < n_commands; i++) {
                CLEANUP(freep) char *words = strdup(commands[i].words);
                char *second = strchr(words, ' ');

                if (second != NULL)
                        *second++ = '\0';
                if (second != NULL) {
                        SNAPCTL("complete", words, "");
                        ASSERT(offered(second));
                }
                SNAPCTL("complete", words, second != NULL ? second : "--", "--");
                for (enum option_id j = 0; j < OPTIONS; j++) {
                        char option[40];

                        (void)snprintf(option, sizeof(option), "--%s", option_specs[j].name);
                        if (second != NULL)
                                ASSERT_EQ(offered(option), command_has_option(&commands[i], j));
                }
        }
}

TEST(completion_asks_the_daemon_for_sites_versions_and_operations)
{
        static const struct fake_answer answers[] = {
                { "GET /v1/sites", "{\"sites\": [{\"name\": \"wiki\", \"home\": \"/srv/wiki\"}, "
                                   "{\"name\": \"$(rm -r x)\", \"home\": \"/\"}]}" },
                { "GET /v1/sites/wiki/versions",
                  "{\"versions\": [{\"number\": 7, \"label\": "
                  "\"1.41\"}, {\"number\": 8, \"label\": \"\\n\"}]}" },
                { "GET /v1/operations?limit=20",
                  "{\"operations\": [{\"id\": 12, \"verb\": \"upgrade\"}]}" },
        };

        FAKE_API(answers);
        SNAPCTL("complete", "list", "");
        ASSERT_STR(ran.out, "wiki\t/srv/wiki\n");
        SNAPCTL("complete", "-q", "activate", "wiki", "");
        ASSERT_STR(ran.out, "7\t1.41\n8\t\n");
        SNAPCTL("complete", "prune", "wiki", "7", "");
        ASSERT_STR(ran.out, "7\t1.41\n8\t\n");
        SNAPCTL("complete", "ops", "show", "");
        ASSERT_STR(ran.out, "12\tupgrade\n");
        SNAPCTL("complete", "mark", "wiki", "7", "");
        ASSERT_STR(ran.out, "good\t\nbad\t\nnone\t\n");
        SNAPCTL("complete", "list", "wiki", "");
        ASSERT_STR(ran.out, "");
        SNAPCTL("complete", "upgrade", "wiki", "--", "");
        ASSERT_STR(ran.out, ":command\n");
        SNAPCTL("complete", "site", "add", "x", "--home", "");
        ASSERT_STR(ran.out, ":directory\n");
        SNAPCTL("complete", "list", "--format", "");
        ASSERT_STR(ran.out, "table\t\njson\t\ncsv\t\n");
        SNAPCTL("complete", "ops", "");
        ASSERT(offered("wiki") && offered("show") && offered("abort"));
}

TEST(completion_is_silent_without_a_daemon)
{
        SNAPCTL("complete", "list", "");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "");
        ASSERT_STR(ran.err, "");
}

TEST(sizes_and_times_are_for_people)
{
        char size[TEXT_SIZE_MAX], time[TEXT_TIME_MAX];
        static const struct {
                uint64_t bytes;
                const char *text;
        } sizes[] = {
                { 0, "0 B" },
                { 1023, "1023 B" },
                { 1024, "1.0 KiB" },
                { 1048575, "1.0 MiB" },
                { 1047527, "1023.0 KiB" },
                { 1288490189, "1.2 GiB" },
                { UINT64_MAX, "16.0 EiB" },
        };
        static const struct {
                int64_t sec;
                const char *text;
        } ago[] = {
                { 0, "just now" },        { 5, "5 seconds ago" },        { 119, "119 seconds ago" },
                { 120, "2 minutes ago" }, { 7199, "119 minutes ago" },   { 7200, "2 hours ago" },
                { 172800, "2 days ago" }, { 15 * 86400, "2 weeks ago" }, { 10000000, "2019-09-16" },
                { -100, "2020-01-10" },
        };

        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                text_size(sizes[i].bytes, size);
                ASSERT_STR(size, sizes[i].text);
        }
        for (size_t i = 0; i < sizeof(ago) / sizeof(*ago); i++) {
                int64_t now = INT64_C(1578648000) * USEC_PER_SEC;

                text_ago(now - ago[i].sec * USEC_PER_SEC, now, time);
                ASSERT_STR(time, ago[i].text);
        }
}

TEST(times_are_read_with_their_zone_and_nothing_else)
{
        int64_t usec;

        ASSERT(text_parse_time("1970-01-02T00:00:01Z", &usec));
        ASSERT_EQ(usec, INT64_C(86401) * USEC_PER_SEC);
        ASSERT(text_parse_time("1970-01-02T01:30:01.5+01:30", &usec));
        ASSERT_EQ(usec, INT64_C(86401) * USEC_PER_SEC);
        ASSERT(!text_parse_time("1970-01-02T00:00:01", &usec));
        ASSERT(!text_parse_time("1970-01-02T00:00:01Zx", &usec));
        ASSERT(!text_parse_time("soon", &usec));
}

TEST(malformed_utf8_is_shown_byte_by_byte)
{
        char buf[64] = "";
        FILE *out = fmemopen(buf, sizeof(buf), "w");

        ASSERT_EQ(text_put(out, "a\xc3(\xe2\x82z\xed\xa0\x80\xc0\xaf\xf8", 100), 12);
        fclose(out);
        ASSERT_STR(buf, "a?(??z??????");
        ASSERT_EQ(text_width("\u00e9"), 1);
        ASSERT_EQ(text_put(NULL, "abcdef", 3), 3);
}
