/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "snapd/worker.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define NOBODY 65534

static struct err err;

static int copy_upper(int in_fd, int out, const void *arg, struct err *e)
{
        char *data;
        size_t n;

        if (file_read_fd(in_fd, 1 << 20, &data, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                data[i] = data[i] >= 'a' && data[i] <= 'z' ? (char)(data[i] - 32) : data[i];
        (void)arg;
        return file_write_all(out, data, n, e);
}

static int in_with(const char *text)
{
        int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, text, strlen(text), &err));
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static int call(worker_function function, size_t max, char **data)
{
        size_t n;

        root_begin();
        return worker_call(WORKER_RENDER, NOBODY, NOBODY, function, NULL, in_with("some text"), max,
                           data, &n, &err);
}

TEST(a_function_reads_and_answers)
{
        char *data;

        ASSERT_OK(call(copy_upper, 100, &data));
        ASSERT_STR(data, "SOME TEXT");
        free(data);
}

TEST(an_answer_that_is_too_long_is_an_error)
{
        char *data;

        ASSERT_ERR(call(copy_upper, 5, &data), ERR_INVALID, "longer than 5 bytes");
}

static int fail_named(int in_fd, int out, const void *arg, struct err *e)
{
        (void)in_fd;
        (void)out;
        (void)arg;
        return err_fail(e, ERR_REFUSED, 0, "line 7 has no such key");
}

TEST(an_error_of_the_function_comes_back)
{
        char *data;

        ASSERT_ERR(call(fail_named, 100, &data), ERR_REFUSED, "line 7 has no such key");
}

static int open_file(int in_fd, int out, const void *arg, struct err *e)
{
        (void)in_fd;
        (void)out;
        (void)arg;
        (void)e;
        return open("/etc/passwd", O_RDONLY) >= 0 ? 0 : 0;
}

static int open_socket(int in_fd, int out, const void *arg, struct err *e)
{
        (void)in_fd;
        (void)out;
        (void)arg;
        (void)e;
        return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 0;
}

static int start_child(int in_fd, int out, const void *arg, struct err *e)
{
        (void)in_fd;
        (void)out;
        (void)arg;
        (void)e;
        return fork() >= 0 ? 0 : 0;
}

TEST(a_function_that_opens_connects_or_forks_is_killed)
{
        char *data;

        test_need_sandbox();
        ASSERT_ERR(call(open_file, 100, &data), ERR_IO, "signal 31");
        ASSERT_ERR(call(open_socket, 100, &data), ERR_IO, "signal 31");
        ASSERT_ERR(call(start_child, 100, &data), ERR_IO, "signal 31");
}

/* What the network side of notices could be made to try by a server that took it over. */
static int try_all(int in_fd, int out, const void *arg, struct err *e)
{
        char *const argv[] = { (char *)"true", NULL };
        struct sockaddr_in any = { .sin_family = AF_INET };
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        (void)in_fd;
        (void)out;
        (void)arg;
        if (fd < 0 || open("/etc/passwd", O_RDONLY) < 0)
                return err_fail(e, ERR_IO, errno, "it cannot do its work");
        if (bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 1) == 0)
                return err_fail(e, ERR_IO, 0, "it listens");
        if (fork() >= 0)
                return err_fail(e, ERR_IO, 0, "it forks");
        if (socket(AF_PACKET, SOCK_RAW, 0) >= 0 || errno != EPERM)
                return err_fail(e, ERR_IO, 0, "it sees packets");
        if (open("/etc/shadow", O_RDONLY) >= 0 || errno != EACCES)
                return err_fail(e, ERR_IO, 0, "it reads passwords");
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) >= 0 || kill(getppid(), 0) >= 0)
                return err_fail(e, ERR_IO, 0, "it touches processes");
        (void)execv("/bin/true", argv);
        return err_fail(e, ERR_REFUSED, 0, "nothing of it, and no program: %s", strerror(errno));
}

TEST(what_speaks_to_the_network_starts_nothing_and_listens_nowhere)
{
        char *data;

        root_begin();
        test_need_sandbox();
        ASSERT_ERR(worker_call(WORKER_DELIVER, NOBODY, NOBODY, try_all, NULL, in_with(""), 100,
                               &data, NULL, &err),
                   ERR_REFUSED, "no program: Operation not permitted");
}

__attribute__((noreturn)) static int loop_for_ever(int in_fd, int out, const void *arg,
                                                   struct err *e)
{
        (void)in_fd;
        (void)out;
        (void)arg;
        (void)e;
        for (volatile unsigned i = 0;; i++)
                ;
}

/* By its CPU limit, or on a machine with too much to do by the deadline. */
TEST(a_function_that_never_ends_is_ended)
{
        int64_t began = clock_boot_usec();
        char *data;

        ASSERT_EQ(call(loop_for_ever, 100, &data), -1);
        ASSERT((err.code == ERR_IO && strstr(err.msg, "signal") != NULL) ||
               err.code == ERR_TIMEOUT);
        ASSERT(clock_boot_usec() - began < 15 * (int64_t)USEC_PER_SEC);
}

static int take_memory(int in_fd, int out, const void *arg, struct err *e)
{
        void *volatile big = malloc((size_t)1 << 30);

        (void)in_fd;
        (void)out;
        (void)arg;
        return big == NULL ? err_oom(e) : 0;
}

TEST(a_function_has_bounded_memory)
{
        char *data;

#if defined(__SANITIZE_ADDRESS__)
        test_skip("the sanitizer needs unbounded address space");
#endif
        test_need_sandbox();
        ASSERT_ERR(call(take_memory, 100, &data), ERR_IO, "out of memory");
}

TEST(no_descriptor_is_left_open_by_calls)
{
        char *data;
        int first, last;

        root_begin();
        first = dup(0);
        for (int i = 0; i < 20; i++) {
                int in_fd = in_with("x");

                ASSERT_OK(worker_call(WORKER_RENDER, NOBODY, NOBODY, copy_upper, NULL, in_fd, 10,
                                      &data, NULL, &err));
                (void)close(in_fd);
                free(data);
        }
        last = dup(0);
        ASSERT_EQ(last, first + 1);
}
