/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions are put to this program again: what the process does is the question's "site".
 */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/question.h"
#include "tests/lib/test.h"

static struct err err;
static sd_event *event;
static struct questions *questions;

static void say(const char *text)
{
        (void)!write(1, text, strlen(text));
}

static void say_much(void)
{
        static char text[1 << 16];

        memset(text, 'a', sizeof(text));
        for (int i = 0; i < 1024; i++)
                (void)!write(1, text, sizeof(text));
}

static int play(const char *what, const char *whole)
{
        if (strcmp(what, "echo") == 0)
                say(whole);
        else if (strcmp(what, "error") == 0)
                say("{\"error\": {\"code\": \"busy\", \"message\": \"it is \xc3\xbc\"}}");
        else if (strcmp(what, "garbage") == 0)
                say("no such");
        else if (strcmp(what, "die") == 0)
                (void)raise(SIGKILL);
        else if (strcmp(what, "much") == 0)
                say_much();
        else if (strcmp(what, "sleep") == 0)
                (void)usleep(400000);
        else if (strcmp(what, "hang") == 0)
                (void)pause();
        return strcmp(what, "echo") == 0 || strcmp(what, "sleep") == 0 ? 0 : 1;
}

__attribute__((constructor)) static void answer_instead_of_tests(int argc, char **argv)
{
        json_t *json;
        char *text;
        size_t n;

        if (argc < 10 || strcmp(argv[9], "--query") != 0)
                return;
        if (file_read_fd(0, 1 << 20, &text, &n, &err) < 0 || json_parse(text, n, &json, &err) < 0)
                _exit(9);
        _exit(play(json_get_string(json, "site"), text));
}

struct got {
        int calls;
        char text[1000];
        size_t n;
        struct err err;
};

static void on_answer(char *json, size_t n, const struct err *why, void *arg)
{
        struct got *got = arg;

        got->calls++;
        got->n = n;
        got->err = *why;
        (void)snprintf(got->text, sizeof(got->text), "%.*s", (int)n, json == NULL ? "" : json);
        free(json);
}

static struct dirs dirs = { .state = "/s", .run = "/r", .conf = "/c", .socket = "/k" };

static void begin(void)
{
        test_need_syscalls();
        ASSERT(sd_event_new(&event) >= 0);
        ASSERT_OK(questions_open(event, &dirs, &questions, &err));
}

static int ask(uid_t uid, const char *what, struct got *got)
{
        json_t *json = json_pack("{s:s, s:s}", "query", "plan", "site", what);
        int r;

        memset(got, 0, sizeof(*got));
        r = question_ask(questions, uid, json, on_answer, got, &err);
        json_decref(json);
        return r;
}

static void wait_for(const struct got *got, int msec)
{
        int64_t until = clock_boot_usec() + (int64_t)msec * 1000;

        while (got->calls == 0) {
                ASSERT(clock_boot_usec() < until);
                ASSERT(sd_event_run(event, 100000) >= 0);
        }
        ASSERT_EQ(got->calls, 1);
}

TEST(the_process_gets_the_question_and_its_answer_comes_back)
{
        struct got got;

        begin();
        ASSERT_OK(ask(0, "echo", &got));
        wait_for(&got, 5000);
        ASSERT_EQ(got.err.code, 0);
        ASSERT_STR(got.text, "{\"query\":\"plan\",\"site\":\"echo\"}");
        questions_close(questions);
}

TEST(its_error_comes_back_as_it_was)
{
        struct got got;

        begin();
        ASSERT_OK(ask(0, "error", &got));
        wait_for(&got, 5000);
        ASSERT_EQ(got.err.code, ERR_BUSY);
        ASSERT_STR(got.err.msg, "it is \xc3\xbc");
}

TEST(a_process_that_fails_without_words_is_an_error)
{
        static const char *const ways[] = { "garbage", "die", "nothing" };
        struct got got;

        begin();
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
                ASSERT_OK(ask(0, ways[i], &got));
                wait_for(&got, 5000);
                ASSERT_EQ(got.err.code, ERR_IO);
                ASSERT(strstr(got.err.msg, "has failed") != NULL);
        }
        ASSERT_OK(ask(0, "sleep", &got));
        wait_for(&got, 5000);
        ASSERT_EQ(got.err.code, ERR_IO);
        ASSERT(strstr(got.err.msg, "said nothing") != NULL);
}

TEST(an_endless_answer_is_cut_off)
{
        struct got got;

        begin();
        ASSERT_OK(ask(0, "much", &got));
        wait_for(&got, 20000);
        ASSERT_EQ(got.err.code, ERR_IO);
        ASSERT(strstr(got.err.msg, "longer than 32 MiB") != NULL);
}

TEST(a_user_has_two_questions_and_all_have_eight)
{
        struct got got[8], more;

        begin();
        ASSERT_OK(ask(1000, "hang", &got[0]));
        ASSERT_OK(ask(1000, "hang", &got[1]));
        ASSERT_ERR(ask(1000, "hang", &got[2]), ERR_BUSY, "too many questions");
        for (int i = 2; i < 8; i++)
                ASSERT_OK(ask(0, "hang", &got[i]));
        ASSERT_ERR(ask(0, "hang", &more), ERR_BUSY, "too many questions");
        questions_close(questions); /* ends all of them */
        for (int i = 0; i < 8; i++)
                ASSERT_EQ(got[i].calls, 0);
}

TEST(one_that_is_forgotten_is_not_answered)
{
        struct got forgotten, got;

        begin();
        ASSERT_OK(ask(0, "sleep", &forgotten));
        questions_forget(questions, &forgotten);
        (void)usleep(600000);
        ASSERT_OK(ask(0, "echo", &got));
        wait_for(&got, 5000);
        ASSERT_EQ(forgotten.calls, 0);
}
