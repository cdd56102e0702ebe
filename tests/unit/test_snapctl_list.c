/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What snapctl shows: tables, JSON and CSV, exact to the letter. */
#include "common/clock.h"
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

#define V7                                                                                         \
        "{\"number\": 7, \"states\": [\"kept\", \"good\", \"pinned\", \"last-good\"], "            \
        "\"label\": \"1.41\", \"reason\": \"\", \"mark_reason\": \"\", "                           \
        "\"created\": \"2026-03-01T11:00:00Z\", \"by\": \"root\", \"verb\": \"upgrade\", "         \
        "\"operation\": 11, \"parent\": 6, \"path\": \"/srv/wiki/versions/7\", \"tree\": 13, "     \
        "\"database\": \"w7\", \"files_bytes\": 1288490189, \"database_bytes\": 2048, "            \
        "\"freed_bytes\": 1048576}"
#define V8                                                                                         \
        "{\"number\": 8, \"states\": [\"active\"], \"label\": \"1.43\", "                          \
        "\"reason\": \"security, at \\\"once\\\"\", \"mark_reason\": \"\", "                       \
        "\"created\": \"2026-03-02T12:30:00Z\", \"by\": \"www-data\", \"verb\": \"upgrade\", "     \
        "\"operation\": 12, \"parent\": 7, \"path\": \"/srv/wiki/versions/8\", \"tree\": 14, "     \
        "\"database\": null, \"files_bytes\": 512, \"database_bytes\": null, "                     \
        "\"freed_bytes\": null}"
#define VERSIONS "{\"site\": \"wiki\", \"free_bytes\": 12884901888, \"versions\": [" V7 ", " V8 "]}"
/* The same as lists of values, in the daemon's order. */
#define MEMBERS                                                                                    \
        "number,states,label,created,by,files_bytes,database_bytes,freed_bytes,reason&rows=1"
#define ROWS                                                                                       \
        "{\"site\": \"wiki\", \"free_bytes\": 12884901888, \"members\": [\"number\", \"states\", " \
        "\"label\", \"reason\", \"created\", \"by\", \"files_bytes\", \"database_bytes\", "        \
        "\"freed_bytes\"], \"versions\": ["                                                        \
        "[7, [\"kept\", \"good\", \"pinned\", \"last-good\"], \"1.41\", \"\", "                    \
        "\"2026-03-01T11:00:00Z\", \"root\", 1288490189, 2048, 1048576], "                         \
        "[8, [\"active\"], \"1.43\", \"security, at \\\"once\\\"\", "                              \
        "\"2026-03-02T12:30:00Z\", \"www-data\", 512, null, null]]}"
#define SITE                                                                                       \
        "{\"name\": \"wiki\", \"home\": \"/srv/wiki\", \"owner\": \"www-data\", "                  \
        "\"driver\": \"btrfs\", \"docroot\": \"/var/www/wiki\", \"pool\": "                        \
        "\"/srv/.sitesnap/wiki\", "                                                                \
        "\"state\": \"ok\", \"active\": 8, \"last_good\": 7, \"versions\": 2, "                    \
        "\"shared\": [\"images\", \"cache\"], \"database\": \"sqlite\", \"operation\": null}"

static const struct fake_answer answers[] = {
        { "GET /v1/sites/wiki/versions/8", V8 },
        { "GET /v1/sites/wiki/versions?members=" MEMBERS, ROWS },
        { "GET /v1/sites/wiki/versions*", VERSIONS },
        { "GET /v1/sites/wiki", SITE },
        { "GET /v1/sites", "{\"sites\": [" SITE "]}" },
        { "GET /v1/sites/empty/versions*",
          "{\"site\": \"empty\", \"free_bytes\": null, \"versions\": []}" },
};

TEST(list_is_an_aligned_table_with_the_active_version_marked_and_the_disk_left)
{
        FAKE_API(answers);
        SNAPCTL("list", "wiki");
        ASSERT_STR(ran.err, "");
        ASSERT_STR(
                ran.out,
                "  #  State                          Label  When                       By        "
                "  Files  Database  Would free  Reason\n"
                "  7  kept, good, pinned, last-good  1.41   2026-03-01T11:00:00+00:00  root      "
                "1.2 GiB   2.0 KiB     1.0 MiB\n"
                "* 8  active                         1.43   2026-03-02T12:30:00+00:00  www-data  "
                "  512 B         -           -  security, at \"once\"\n"
                "\n2 versions, 12.0 GiB of disk left\n");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(fake_requests(), "GET /v1/sites/wiki/versions?members=" MEMBERS "\n");
}

TEST(list_has_an_alias_and_options_stand_anywhere)
{
        FAKE_API(answers);
        SNAPCTL("--no-headers", "ls", "--columns", "number,label", "wiki", "--utc");
        ASSERT_STR(ran.out, "  7  1.41\n* 8  1.43\n");
        SNAPCTL("ls", "wiki", "--no-headers", "--columns=label,created", "--utc");
        ASSERT_STR(ran.out, "  1.41  2026-03-01T11:00:00Z\n* 1.43  2026-03-02T12:30:00Z\n");
}

TEST(plain_prints_numbers_alone)
{
        FAKE_API(answers);
        SNAPCTL("-p", "list", "wiki");
        ASSERT_STR(ran.out, "7\n8\n");
        SNAPCTL("-p", "show", "wiki");
        ASSERT_STR(ran.out, "8\n");
        SNAPCTL("-p", "site", "list");
        ASSERT_STR(ran.out, "wiki\n");
}

TEST(csv_has_iso_times_and_bytes_and_quotes_what_needs_it)
{
        FAKE_API(answers);
        SNAPCTL("list", "wiki", "--format=csv", "--columns",
                "number,states,created,files_bytes,database_bytes,reason");
        ASSERT_STR(ran.out, "number,states,created,files_bytes,database_bytes,reason\n"
                            "7,\"kept,good,pinned,last-good\",2026-03-01T11:00:00Z,1288490189,"
                            "2048,\n"
                            "8,active,2026-03-02T12:30:00Z,512,,\"security, at \"\"once\"\"\"\n");
        SNAPCTL("list", "wiki", "--format=csv", "--no-headers", "--columns=label,operation");
        ASSERT_STR(ran.out, "1.41,11\n1.43,12\n");
}

TEST(only_what_is_shown_is_asked_for)
{
        FAKE_API(answers);
        SNAPCTL("-p", "list", "wiki");
        SNAPCTL("list", "wiki", "--columns", "label,number");
        SNAPCTL("list", "wiki", "--format", "json");
        ASSERT_STR(fake_requests(),
                   "GET /v1/sites/wiki/versions?members=number\n"
                   "GET /v1/sites/wiki/versions?members=label,number,states&rows=1\n"
                   "GET /v1/sites/wiki/versions\n");
}

TEST(csv_holds_every_column_unless_some_are_chosen)
{
        FAKE_API(answers);
        SNAPCTL("list", "wiki", "--format", "csv");
        ASSERT(strstr(ran.out,
                      "number,states,label,created,by,files_bytes,database_bytes,freed_bytes,"
                      "reason,mark_reason,verb,operation,parent,path,tree,"
                      "schema_changed,database\n") == ran.out);
}

TEST(json_is_the_answer_itself_or_the_chosen_members)
{
        FAKE_API(answers);
        SNAPCTL("list", "wiki", "--format", "json", "--columns", "number,freed_bytes");
        ASSERT_STR(ran.out, "{\n"
                            "  \"site\": \"wiki\",\n"
                            "  \"free_bytes\": 12884901888,\n"
                            "  \"versions\": [\n"
                            "    {\n"
                            "      \"number\": 7,\n"
                            "      \"freed_bytes\": 1048576\n"
                            "    },\n"
                            "    {\n"
                            "      \"number\": 8,\n"
                            "      \"freed_bytes\": null\n"
                            "    }\n"
                            "  ]\n"
                            "}\n");
        SNAPCTL("show", "wiki", "8", "--format", "json");
        ASSERT(strstr(ran.out, "\"path\": \"/srv/wiki/versions/8\"") != NULL);
        ASSERT(strstr(ran.out, "\"files_bytes\": 512") != NULL);
}

TEST(show_of_the_active_version_asks_which_it_is)
{
        FAKE_API(answers);
        SNAPCTL("show", "wiki", "--utc");
        ASSERT_STR(ran.out, "            #: 8\n"
                            "        State: active\n"
                            "        Label: 1.43\n"
                            "         When: 2026-03-02T12:30:00Z\n"
                            "           By: www-data\n"
                            "        Files: 512 B\n"
                            "     Database: -\n"
                            "   Would free: -\n"
                            "       Reason: security, at \"once\"\n"
                            "      Made by: upgrade\n"
                            "    Operation: 12\n"
                            "         From: 7\n"
                            "         Path: /srv/wiki/versions/8\n"
                            "         Tree: 14\n");
        ASSERT_STR(fake_requests(), "GET /v1/sites/wiki\nGET /v1/sites/wiki/versions/8\n");
}

TEST(an_empty_list_says_so_and_is_empty_for_machines)
{
        FAKE_API(answers);
        SNAPCTL("list", "empty");
        ASSERT_STR(ran.out, "There are no versions yet.\n");
        SNAPCTL("list", "empty", "--format", "csv", "--columns", "number");
        ASSERT_STR(ran.out, "number\n");
}

TEST(an_unknown_column_is_a_usage_error_that_names_those_there_are)
{
        FAKE_API(answers);
        SNAPCTL("list", "wiki", "--columns", "number,size");
        ASSERT_EQ(ran.status, 2);
        ASSERT_STR(ran.out, "");
        ASSERT(strstr(ran.err, "snapctl: no column 'size': there are number, states, ") == ran.err);
}

TEST(sites_are_listed_and_shown)
{
        FAKE_API(answers);
        SNAPCTL("site", "list");
        ASSERT_STR(ran.out,
                   "  Site  State  Active  Last good  Versions  Owner     Driver  Database  Home\n"
                   "  wiki  ok          8          7         2  www-data  btrfs   sqlite    "
                   "/srv/wiki\n");
        SNAPCTL("site", "show", "wiki", "--columns", "name,shared");
        ASSERT_STR(ran.out, "  Site: wiki\nShared: images, cache\n");
}

TEST(strangers_strings_cannot_reach_the_terminal)
{
        static const struct fake_answer hostile[] = {
                { "GET /v1/sites/wiki/versions*",
                  "{\"versions\": [{\"number\": 1, \"label\": "
                  "\"\\u001b[2J\\u009b1m\\u202eabc\\n\", "
                  "\"reason\": \"\\u6f22\\u5b57\"},"
                  " {\"number\": 2, \"label\": \"plain\", \"reason\": \"x\\ty\"}]}" },
        };

        FAKE_API(hostile);
        SNAPCTL("list", "wiki", "--columns", "number,label,reason,number", "--no-headers");
        ASSERT_STR(ran.out, "  1  ?[2J?1m?abc?  \u6f22\u5b57  1\n"
                            "  2  plain         x?y   2\n");
        /* A file gets the text as it is, quoted. */
        SNAPCTL("list", "wiki", "--columns", "label", "--no-headers", "--format", "csv");
        ASSERT_STR(ran.out, "\"\x1b[2J\xc2\x9b"
                            "1m\xe2\x80\xae"
                            "abc\n\"\nplain\n");
        /* A terminal never does. */
        SNAPCTL_ON_TERMINAL(NULL, "list", "wiki", "--columns", "label", "--no-headers", "--format",
                            "csv");
        ASSERT_STR(ran.out, "\"?[2J?1m?abc\r\n\"\r\nplain\r\n");
        SNAPCTL_ON_TERMINAL(NULL, "list", "wiki", "--columns", "label", "--format", "json");
        ASSERT(strstr(ran.out, "\"\\u001B[2J\\u009B1m\\u202Eabc\\n\"") != NULL);
}

TEST(a_terminal_gets_colours_relative_times_and_nothing_wider_than_itself)
{
        static char body[2000];
        struct fake_answer now[] = { { "GET /v1/sites/wiki/versions*", body } };
        char time[CLOCK_ISO_MAX];

        clock_iso(clock_wall_usec() - (int64_t)3 * 3600 * USEC_PER_SEC, 1, time);
        (void)snprintf(body, sizeof(body),
                       "{\"free_bytes\": 1, \"versions\": [{\"number\": 8, \"states\": "
                       "[\"active\"], \"created\": \"%s\", \"reason\": \"%0200d\"}]}",
                       time, 0);
        FAKE_API(now);
        SNAPCTL_ON_TERMINAL(NULL, "list", "wiki", "--columns", "number,created,reason");
        ASSERT_STR(ran.out, "\x1b[1m  #  When         Reason\x1b[0m\r\n"
                            "\x1b[32m* 8  3 hours ago  "
                            "0000000000000000000000000000000000000000000000000000000000000"
                            "\u2026\x1b[0m\r\n"
                            "\r\n1 version, 1 B of disk left\r\n");
}
