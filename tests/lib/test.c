/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

#define TESTS_MAX 400
#define EXIT_SKIP 77

static struct {
        const char *name;
        void (*run)(void);
} tests[TESTS_MAX];
static size_t n_tests;
static char tmpdir[128];

void test_register(const char *name, void (*run)(void))
{
        if (n_tests == TESTS_MAX)
                abort();
        tests[n_tests].name = name;
        tests[n_tests++].run = run;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
        va_list ap;

        printf("# %s:%d: ", file, line);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        printf("\n");
        fflush(stdout);
        exit(1);
}

void test_skip(const char *fmt, ...)
{
        va_list ap;

        printf("# skipped: ");
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        printf("\n");
        fflush(stdout);
        exit(EXIT_SKIP);
}

void test_need_syscalls(void)
{
        static const struct {
                const char *name;
                long number;
        } needed[] = {
                { "openat2", SYS_openat2 },
                { "pidfd_open", SYS_pidfd_open },
        };

        /* Arguments that each of them refuses. */
        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
                if (syscall(needed[i].number, -1, 0, 0, 0) < 0 && errno == ENOSYS)
                        test_skip("no %s(2) here; valgrind 3.19 by itself has none",
                                  needed[i].name);
}

void test_need_shared_files(void)
{
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

        if (pid == 0)
                _exit(0);
        if (pid < 0 && errno == ENOSYS)
                test_skip("valgrind has no child that shares descriptors");
        (void)waitpid(pid, NULL, 0);
}

void test_need_sandbox(void)
{
        struct rlimit was, lower, now;

        (void)getrlimit(RLIMIT_NOFILE, &was);
        lower = was;
        lower.rlim_cur--;
        (void)setrlimit(RLIMIT_NOFILE, &lower);
        (void)getrlimit(RLIMIT_NOFILE, &now);
        (void)setrlimit(RLIMIT_NOFILE, &was);
        if (now.rlim_cur == was.rlim_cur)
                test_skip("a sandbox would hold valgrind's own calls, descriptors and memory");
}

const char *test_tmpdir(void)
{
        if (mkdir(tmpdir, 0755) < 0 && errno != EEXIST)
                test_fail(__FILE__, __LINE__, "cannot make '%s'", tmpdir);
        return tmpdir;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

/* Each test in a child of its own session, so that what it leaves running can be ended. */
static int run_one(size_t i)
{
        int status = 0;
        pid_t pid;

        (void)snprintf(tmpdir, sizeof(tmpdir), "%s/sitesnap-test.%d.%zu",
                       getenv("TEST_TMP") == NULL ? "/var/tmp" : getenv("TEST_TMP"), getpid(), i);
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                tests[i].run();
                fflush(stdout);
                exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return 1;
        (void)nftw(tmpdir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        if (WIFSIGNALED(status))
                printf("# killed by signal %d\n", WTERMSIG(status));
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int wanted(const char *name, int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strstr(name, argv[i]) != NULL)
                        return 1;
        return argc < 2;
}

int main(int argc, char **argv)
{
        size_t ran = 0;
        int failed = 0;

        for (size_t i = 0; i < n_tests; i++) {
                int status;

                if (!wanted(tests[i].name, argc, argv))
                        continue;
                status = run_one(i);
                ran++;
                if (status == EXIT_SKIP)
                        printf("ok %zu - %s # SKIP\n", ran, tests[i].name);
                else
                        printf("%sok %zu - %s\n", status == 0 ? "" : "not ", ran, tests[i].name);
                failed |= status != 0 && status != EXIT_SKIP;
        }
        printf("1..%zu\n", ran);
        return failed;
}
