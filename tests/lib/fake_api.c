/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/lib/fake_api.h"
#include "tests/lib/test.h"

#define REQUEST_MAX  65536
#define ARGUMENTS    64
#define OUTPUT_MAX   (16u << 20)
#define TERMINAL_SEC 20

struct ran ran;
unsigned ran_as;
int ran_full;

const char *fake_socket(void)
{
        static char path[128];

        (void)snprintf(path, sizeof(path), "%s/api.sock", test_tmpdir());
        return path;
}

static const char *in_tmpdir(const char *name, char buf[static 128])
{
        (void)snprintf(buf, 128, "%s/%s", test_tmpdir(), name);
        return buf;
}

static void send_all(int fd, const char *data, size_t n, bool slowly)
{
        for (size_t at = 0; at < n;) {
                ssize_t sent = send(fd, data + at, slowly ? 1 : n - at, MSG_NOSIGNAL);

                if (sent <= 0)
                        return;
                at += (size_t)sent;
                if (slowly)
                        (void)usleep(1000);
        }
}

static void send_answer(int fd, const struct fake_answer *answer)
{
        const char *body = answer->body != NULL ? answer->body : "{}";
        size_t n = strlen(body);
        char header[256];

        (void)usleep(answer->delay_msec * 1000);
        if (answer->how == FAKE_CLOSED)
                return;
        if (answer->how == FAKE_SILENT) {
                (void)pause();
                return;
        }
        if (answer->how != FAKE_RAW) {
                (void)snprintf(header, sizeof(header),
                               "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                               "Content-Length: %zu\r\n\r\n",
                               answer->status != 0 ? answer->status : 200,
                               answer->how == FAKE_ENDLESS ? (size_t)1 << 40 : n);
                send_all(fd, header, strlen(header), answer->how == FAKE_BYTES);
        }
        if (answer->how == FAKE_ENDLESS)
                while (send(fd, body, n, MSG_NOSIGNAL) > 0)
                        ;
        send_all(fd, body, answer->how == FAKE_TRUNCATED ? n / 2 : n, answer->how == FAKE_BYTES);
}

static bool matches(const char *pattern, const char *request)
{
        size_t n = strlen(pattern);

        if (n > 0 && pattern[n - 1] == '*')
                return strncmp(pattern, request, n - 1) == 0;
        return strcmp(pattern, request) == 0;
}

/* The first answer for this request that is not used up. */
static const struct fake_answer *find(const struct fake_answer *answers, unsigned *used, size_t n,
                                      const char *request)
{
        for (size_t i = 0; i < n; i++)
                if (matches(answers[i].request, request) &&
                    (answers[i].times == 0 || used[i]++ < answers[i].times))
                        return &answers[i];
        return NULL;
}

/* Read one request; its line and its body go to the record.  false: the client is gone. */
static bool read_request(int fd, int record_fd, char line[static 1024])
{
        static char text[REQUEST_MAX];
        size_t n = 0, length = 0, header;
        char *end = NULL, *at;

        for (;;) {
                ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, 0);

                if (got <= 0)
                        return false;
                n += (size_t)got;
                text[n] = '\0';
                end = strstr(text, "\r\n\r\n");
                if (end == NULL)
                        continue;
                header = (size_t)(end - text) + 4;
                at = strcasestr(text, "\r\ncontent-length:");
                length = at != NULL && at < end ? strtoul(at + 17, NULL, 10) : 0;
                if (n >= header + length)
                        break;
        }
        at = strstr(text, " HTTP/1.1\r\n");
        if (at == NULL)
                return false;
        *at = '\0';
        (void)snprintf(line, 1024, "%.1000s", text);
        (void)dprintf(record_fd, "%s%s%.*s\n", line, length > 0 ? " " : "", (int)length, end + 4);
        return true;
}

static void serve(int fd, int record_fd, const struct fake_answer *answers, unsigned *used,
                  size_t n)
{
        char line[1024], body[1200];

        while (read_request(fd, record_fd, line)) {
                const struct fake_answer *answer = find(answers, used, n, line);
                struct fake_answer none = { .status = 404, .body = body };

                (void)snprintf(body, sizeof(body),
                               "{\"error\": {\"code\": \"not-found\", \"message\": "
                               "\"the test has no answer for %s\", \"exit\": 1}}",
                               line);
                send_answer(fd, answer != NULL ? answer : &none);
                if (answer != NULL && answer->how != FAKE_WHOLE && answer->how != FAKE_BYTES)
                        break;
        }
        (void)close(fd);
}

void fake_api_begin(const struct fake_answer *answers, size_t n)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        unsigned *used = calloc(n + 1, sizeof(*used));
        char path[128];
        int listen_fd, record_fd;
        pid_t parent = getpid(), pid;

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", fake_socket());
        listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        record_fd = openat(AT_FDCWD, in_tmpdir("requests", path),
                           O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (used == NULL || listen_fd < 0 || record_fd < 0 ||
            bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listen_fd, 8) < 0)
                test_fail(__FILE__, __LINE__, "cannot listen at '%s'", address.sun_path);
        fflush(stdout);
        pid = fork();
        if (pid < 0)
                test_fail(__FILE__, __LINE__, "cannot fork");
        if (pid > 0) {
                (void)close(listen_fd);
                (void)close(record_fd);
                free(used);
                return;
        }
        /* The test may be gone already. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent) {
                int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0)
                        serve(fd, record_fd, answers, used, n);
        }
        _exit(0);
}

static char *slurp(const char *name)
{
        char path[128], *text = NULL;
        struct err err;

        if (file_read(AT_FDCWD, in_tmpdir(name, path), OUTPUT_MAX, &text, NULL, &err) < 0)
                test_fail(__FILE__, __LINE__, "%s", err.msg);
        return text;
}

const char *fake_requests(void)
{
        static char *text;

        free(text);
        text = slurp("requests");
        return text;
}

/* What the run before left. */
static void forget(void)
{
        free(ran.out);
        free(ran.err);
        ran = (struct ran){ 0 };
}

static void exec_snapctl(const char *const *argv, const char *locale)
{
        const char *program = getenv("SNAPCTL"), *all[ARGUMENTS] = { "snapctl" };

        for (size_t i = 0; argv[i] != NULL && i + 2 < ARGUMENTS; i++)
                all[i + 1] = argv[i];
        if (program == NULL || (ran_as != 0 && setresuid(ran_as, ran_as, ran_as) < 0))
                _exit(127);
        (void)setenv("SITESNAP_SOCKET", fake_socket(), 1);
        (void)setenv("TZ", "UTC", 1);
        (void)unsetenv("LC_ALL");
        (void)unsetenv("LC_CTYPE");
        (void)setenv("LANG", locale, 1);
        (void)execv(program, (char *const *)all);
        _exit(127);
}

static int wait_for(pid_t pid)
{
        int status = 0;

        if (waitpid(pid, &status, 0) < 0)
                test_fail(__FILE__, __LINE__, "cannot wait");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void redirect(const char *name, int to)
{
        char path[128];
        int fd = openat(AT_FDCWD, in_tmpdir(name, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        if (fd < 0 || dup2(fd, to) < 0)
                _exit(127);
}

void snapctl_run(const char *const *argv)
{
        pid_t pid;

        forget();
        (void)test_tmpdir();
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                int null_fd = openat(AT_FDCWD, "/dev/null", O_RDONLY);

                if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
                        _exit(127);
                redirect("out", STDOUT_FILENO);
                redirect("err", STDERR_FILENO);
                if (ran_full && dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO) < 0)
                        _exit(127);
                exec_snapctl(argv, "C");
        }
        if (pid < 0)
                test_fail(__FILE__, __LINE__, "cannot fork");
        ran.status = wait_for(pid);
        ran.out = slurp("out");
        ran.err = slurp("err");
}

void snapctl_run_on_terminal(const char *input, const char *const *argv)
{
        struct winsize size = { .ws_row = 25, .ws_col = 80 };
        size_t n = 0, room = 1u << 20;
        int fd = -1;
        pid_t pid;

        forget();
        ran.out = calloc(1, room);
        if (ran.out == NULL)
                test_fail(__FILE__, __LINE__, "out of memory");
        fflush(stdout);
        pid = forkpty(&fd, NULL, NULL, &size);
        if (pid == 0) {
                (void)setenv("TERM", "xterm", 1);
                (void)unsetenv("NO_COLOR");
                exec_snapctl(argv, "C.UTF-8");
        }
        if (pid < 0)
                test_fail(__FILE__, __LINE__, "cannot make a terminal");
        while (n + 1 < room) {
                struct pollfd wait = { .fd = fd, .events = POLLIN };
                ssize_t got;

                if (poll(&wait, 1, TERMINAL_SEC * 1000) <= 0) {
                        (void)kill(pid, SIGKILL);
                        break;
                }
                got = read(fd, ran.out + n, room - n - 1);
                if (got <= 0)
                        break;
                n += (size_t)got;
                if (input != NULL &&
                    (strstr(ran.out, "[y/N]") != NULL || strstr(ran.out, "\r\033[K") != NULL)) {
                        if (write(fd, input, strlen(input)) < 0)
                                test_fail(__FILE__, __LINE__, "cannot type");
                        input = NULL;
                }
        }
        ran.status = wait_for(pid);
        (void)close(fd);
}
