/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections that are kept, closed under a request, or cannot be made yet. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapctl/transfer.h"
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

static struct err err;
static struct transfer *transfer;
static struct transfer_answer answer;
static enum transfer_end end;

static void open_it(void)
{
        ASSERT_OK(transfer_open(fake_socket(), 1000, &transfer, &err));
}

static void ask(const char *method, const char *path)
{
        struct transfer_request request = { method, path, NULL, 2000, -1 };

        ASSERT_OK(transfer_run(transfer, &request, &end, &answer, &err));
}

TEST(a_connection_that_was_closed_after_an_answer_is_made_anew)
{
        static const struct fake_answer closes[] = {
                { "GET /v1", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", .how = FAKE_RAW },
                { "POST /v1", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", .how = FAKE_RAW },
        };

        FAKE_API(closes);
        open_it();
        for (int i = 0; i < 3; i++) {
                ask("GET", "/v1");
                ASSERT_EQ(end, TRANSFER_DONE);
                ASSERT_STR(answer.body, "{}");
                (void)usleep(20000);
        }
        ask("POST", "/v1");
        ASSERT_EQ(end, TRANSFER_DONE);
        transfer_close(transfer);
}

TEST(a_question_that_a_kept_connection_was_closed_under_is_asked_again)
{
        static const struct fake_answer closes[] = {
                { "GET /v1", "{}" },
                { "GET /v1/sites", .how = FAKE_CLOSED, .times = 1 },
                { "GET /v1/sites", "[1]" },
        };

        FAKE_API(closes);
        open_it();
        ask("GET", "/v1");
        ask("GET", "/v1/sites");
        ASSERT_EQ(end, TRANSFER_DONE);
        ASSERT_STR(answer.body, "[1]");
        ASSERT_STR(fake_requests(), "GET /v1\nGET /v1/sites\nGET /v1/sites\n");
        transfer_close(transfer);
}

TEST(a_demand_that_a_kept_connection_was_closed_under_is_not_made_again)
{
        static const struct fake_answer closes[] = {
                { "GET /v1", "{}" },
                { "POST /v1/sites", .how = FAKE_CLOSED, .times = 1 },
                { "POST /v1/sites", "{}" },
        };

        FAKE_API(closes);
        open_it();
        ask("GET", "/v1");
        ask("POST", "/v1/sites");
        ASSERT_EQ(end, TRANSFER_BROKEN);
        ASSERT_STR(fake_requests(), "GET /v1\nPOST /v1/sites\n");
        ask("POST", "/v1/sites");
        ASSERT_EQ(end, TRANSFER_DONE);
        transfer_close(transfer);
}

TEST(answers_come_in_every_form_of_http)
{
        static const struct fake_answer forms[] = {
                { "GET /chunks",
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n5\r\n\": "
                  "1}\r\n"
                  "0\r\n\r\n",
                  .how = FAKE_RAW },
                { "GET /continue",
                  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 X\r\nContent-Length: 8\r\n\r\n"
                  "{\"a\": 1}",
                  .how = FAKE_RAW },
                { "GET /end", "HTTP/1.0 200 OK\r\n\r\n{\"a\": 1}", .how = FAKE_RAW },
                { "GET /more",
                  "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}HTTP/1.1 500 X\r\n\r\n",
                  .how = FAKE_RAW },
        };

        FAKE_API(forms);
        open_it();
        for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
                ask("GET", forms[i].request + 4);
                ASSERT_EQ(end, TRANSFER_DONE);
                ASSERT_EQ(answer.status / 100, 2);
                ASSERT_STR(answer.body, "{\"a\": 1}");
        }
        transfer_close(transfer);
}

TEST(what_breaks_off_or_is_too_long_is_told_apart)
{
        static const struct fake_answer odd[] = {
                { "GET /chunks",
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n",
                  .how = FAKE_RAW },
                { "GET /header", "HTTP/1.1 200 OK\r\nContent-Le", .how = FAKE_RAW },
                { "GET /length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .how = FAKE_RAW },
                { "GET /both",
                  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                  .how = FAKE_RAW },
                { "GET /switch",
                  "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n"
                  "Content-Length: 2\r\n\r\n{}",
                  .how = FAKE_RAW },
        };

        FAKE_API(odd);
        open_it();
        for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
                ask("GET", odd[i].request + 4);
                ASSERT_EQ(end, TRANSFER_BROKEN);
                ASSERT(*transfer_why(transfer) != '\0');
        }
        transfer_close(transfer);
}

TEST(an_answer_may_be_as_long_as_its_limit)
{
        static char body[1002];
        static const struct fake_answer sizes[] = {
                { "GET /fits", body + 1 },
                { "GET /long", body },
        };

        memset(body, 'x', 1001);
        FAKE_API(sizes);
        open_it();
        ask("GET", "/fits");
        ASSERT_EQ(end, TRANSFER_DONE);
        ASSERT_EQ(answer.n, 1000);
        ask("GET", "/long");
        ASSERT_EQ(end, TRANSFER_TOO_LONG);
        ask("GET", "/fits");
        ASSERT_EQ(end, TRANSFER_DONE);
        transfer_close(transfer);
}

TEST(a_request_is_one_request)
{
        static const struct fake_answer none[] = { { "GET /v1", "{}" } };
        static const char *const paths[] = { "/v1 HTTP/1.1\r\nX: y", "/a b", "/\n", "/\x7f",
                                             "/\xc3\xa4" };

        FAKE_API(none);
        open_it();
        for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
                struct transfer_request request = { "GET", paths[i], NULL, 1000, -1 };

                ASSERT_ERR(transfer_run(transfer, &request, &end, &answer, &err), ERR_INVALID,
                           "cannot stand in a request to the daemon");
        }
        ASSERT_STR(fake_requests(), "");
        transfer_close(transfer);
}

TEST(a_word_in_a_query_is_escaped)
{
        static const struct fake_answer none[] = { { "GET /v1*", "{}" } };

        FAKE_API(none);
        SNAPCTL("lost-writes", "shop", "2", "1", "--table", "a_b.c~1 &=\xc3\xa4%");
        ASSERT_STR(fake_requests(), "GET /v1/sites/shop/lost-writes?from=2&to=1"
                                    "&table=a_b.c~1%20%26%3D%C3%A4%25\n");
}

/* A daemon that accepts nobody, its queue of connections full. */
static int full_queue(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting;

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", fake_socket());
        ASSERT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 0) == 0);
        do
                waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        while (connect(waiting, (struct sockaddr *)&address, sizeof(address)) == 0);
        return fd;
}

TEST(a_full_queue_is_waited_for_until_the_time_is_over_or_somebody_wakes)
{
        struct transfer_request request = { "GET", "/v1", NULL, 100, -1 };
        int fd = full_queue(), fds[2];

        open_it();
        ASSERT_OK(transfer_run(transfer, &request, &end, &answer, &err));
        ASSERT_EQ(end, TRANSFER_LATE);
        ASSERT_EQ(pipe(fds), 0);
        ASSERT_EQ(write(fds[1], "x", 1), 1);
        request.wake_fd = fds[0];
        request.timeout_msec = 60000;
        ASSERT_OK(transfer_run(transfer, &request, &end, &answer, &err));
        ASSERT_EQ(end, TRANSFER_WOKEN);
        transfer_close(transfer);
        (void)close(fd);
}
