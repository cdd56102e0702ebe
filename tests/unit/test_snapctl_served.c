/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is served is over for the one who asked, and how it will end is its outcome. */
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

#define BEGIN  "POST /v1/sites/wiki/operations"
#define FOLLOW "GET /v1/operations/12"

#define OP(seq, state, error)                                                                      \
        "{\"id\": 12, \"site\": \"wiki\", \"verb\": \"activate\", \"state\": \"" state "\", "      \
        "\"by\": \"root\", \"reason\": \"\", \"created\": \"2026-03-01T11:00:00Z\", "              \
        "\"served\": \"2026-03-01T11:00:00Z\", \"ended\": null, \"seq\": " #seq ", "               \
        "\"version\": 9, \"error\": " error ", \"steps\": []}"

static const struct fake_answer served[] = {
        { BEGIN, "{\"operation\": 12}", .status = 202 },
        { FOLLOW, OP(2, "running", "null") },
        { FOLLOW "?since=2*", OP(3, "done", "null") },
};

TEST(an_operation_that_is_served_is_over)
{
        FAKE_API(served);
        SNAPCTL("activate", "wiki", "9");
        ASSERT_EQ(ran.status, 0);
        ASSERT_STR(ran.out, "wiki: version 9 is active.\n");
        ASSERT_STR(fake_requests(), BEGIN " {\"version\":9,\"verb\":\"activate\"}\n" FOLLOW "\n");
}

TEST(with_wait_it_is_over_at_its_end)
{
        FAKE_API(served);
        SNAPCTL("activate", "wiki", "9", "--wait", "-q");
        ASSERT_EQ(ran.status, 0);
        ASSERT(strstr(fake_requests(), FOLLOW "?since=2") != NULL);
}

TEST(one_that_is_served_while_it_is_taken_back_is_rolled_back)
{
        static const struct fake_answer answers[] = {
                { BEGIN, "{\"operation\": 12}", .status = 202 },
                { FOLLOW, OP(2, "rescuing",
                             "{\"code\": \"io\", \"message\": \"it failed\", \"exit\": 1}") },
        };

        FAKE_API(answers);
        SNAPCTL("upgrade", "wiki");
        ASSERT_EQ(ran.status, 6);
        ASSERT(strstr(ran.err, "it failed") != NULL);
        ASSERT(strstr(ran.err, "serves the version it had before") != NULL);
}

TEST(one_that_is_held_after_it_was_served_is_held)
{
        static const struct fake_answer answers[] = {
                { BEGIN, "{\"operation\": 12}", .status = 202 },
                { FOLLOW, OP(2, "held", "{\"code\": \"held\", \"message\": \"no\", \"exit\": 7}") },
        };

        FAKE_API(answers);
        SNAPCTL("activate", "wiki", "9");
        ASSERT_EQ(ran.status, 7);
}
