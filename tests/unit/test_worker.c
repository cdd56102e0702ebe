/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "snapd/worker.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

static struct err err;
static int out_fd = -1;
static char attack[512];

/* A user no other test has, so that the limit on processes counts ours alone. */
static uid_t own_uid(void)
{
        return 200000 + (uid_t)getpid() % 100000;
}

/* The program that attacks lies where every user can run it. */
static void begin(void)
{
        char from[512];
        char *data;
        size_t n;
        int fd;

        root_begin();
        (void)snprintf(attack, sizeof(attack), "%s/attack", test_tmpdir());
        (void)snprintf(from, sizeof(from), "%s", getenv("ATTACK"));
        ASSERT_OK(file_read(AT_FDCWD, from, 16 << 20, &data, &n, &err));
        fd = open(attack, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        ASSERT(fd >= 0);
        ASSERT_OK(file_write_all(fd, data, n, &err));
        free(data);
        (void)close(fd);
        out_fd = open(test_tmpdir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        ASSERT(out_fd >= 0);
}

static const char *const env_default[] = { "PATH=/usr/bin:/bin", NULL };

static struct worker_command command_of(const char *const *argv)
{
        return (struct worker_command){
                .uid = own_uid(),
                .gid = own_uid(),
                .cwd_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
                .argv = argv,
                .env = env_default,
                .output_fd = out_fd,
                .output_max = 1 << 20,
                .timeout_msec = 20000,
        };
}

static const char *output(void)
{
        static char text[8192];
        ssize_t n = pread(out_fd, text, sizeof(text) - 1, 0);

        ASSERT(n >= 0);
        text[n] = '\0';
        return text;
}

static void shell(const char *script)
{
        const char *argv[] = { "/bin/sh", "-c", script, NULL };
        struct worker_command command = command_of(argv);

        begin();
        command.output_fd = out_fd;
        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
}

static void shell_again(const char *script)
{
        const char *argv[] = { "/bin/sh", "-c", script, NULL };
        struct worker_command command = command_of(argv);

        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
}

static int try_attack(const char *name)
{
        const char *argv[] = { attack, name, NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        return worker_run(WORKER_HOOK, &command, &err);
}

/* How many processes of a user there are. */
static int processes_of(uid_t uid)
{
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        int n = 0;

        while ((entry = readdir(proc)) != NULL) {
                struct stat st;

                n += entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
                     fstatat(dirfd(proc), entry->d_name, &st, 0) == 0 && st.st_uid == uid;
        }
        (void)closedir(proc);
        return n;
}

static void expect_denied(const char *name)
{
        if (try_attack(name) < 0)
                test_fail(__FILE__, __LINE__, "%s: %s; %s", name, err.msg, output());
        ASSERT_STR(output(), "");
        ASSERT_EQ(processes_of(own_uid()), 0);
}

TEST(a_hook_cannot_mount)
{
        expect_denied("mount");
}

TEST(a_hook_cannot_trace)
{
        test_need_sandbox();
        expect_denied("ptrace");
}

TEST(a_hook_cannot_reach_bpf_keys_io_uring_or_odd_sockets)
{
        test_need_sandbox();
        expect_denied("kernel");
}

TEST(a_hook_cannot_make_or_enter_namespaces)
{
        test_need_sandbox();
        expect_denied("namespaces");
}

TEST(a_hook_cannot_look_into_process_1)
{
        expect_denied("init");
}

TEST(a_hook_is_the_user_and_stays_it)
{
        expect_denied("identity");
}

TEST(a_hook_inherits_no_descriptor)
{
        int leak = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC, and it stays open */

        ASSERT(leak >= 0 && fcntl(leak, F_DUPFD, 100) >= 0);
        expect_denied("descriptors");
}

TEST(a_fork_bomb_is_bounded_and_gone_afterwards)
{
        expect_denied("forkbomb");
}

TEST(a_process_has_bounded_memory_and_is_the_first_to_go)
{
#if defined(__SANITIZE_ADDRESS__)
        test_skip("the sanitizer needs unbounded address space");
#endif
        test_need_sandbox();
        expect_denied("memory");
        shell_again("cat /proc/self/oom_score_adj");
        ASSERT_STR(output(), "1000\n");
}

TEST(a_daemon_left_behind_is_gone_when_the_hook_has_ended)
{
        int64_t began = clock_boot_usec();

        expect_denied("daemon");
        ASSERT(clock_boot_usec() - began < 2 * USEC_PER_SEC);
}

TEST(one_that_ignores_term_is_killed_after_the_grace)
{
        const char *argv[] = { attack, "ignore-term", NULL };
        struct worker_command command;
        int64_t began = clock_boot_usec(), took;

        begin();
        command = command_of(argv);
        command.timeout_msec = 300;
        ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_TIMEOUT, "0.300 s and was killed");
        took = clock_boot_usec() - began;
        ASSERT(took >= 5200000 && took < 7000000);
        ASSERT_EQ(processes_of(own_uid()), 0);
}

TEST(at_the_deadline_every_process_gets_term)
{
        const char *argv[] = {
                "/bin/sh", "-c",
                "trap 'echo ended; exit 0' TERM; (sleep 60 & sleep 60) & echo ready; "
                "while :; do sleep 0.05; done",
                NULL
        };
        struct worker_command command;

        begin();
        command = command_of(argv);
        /* On a busy machine the deadline may come before the trap. */
        for (command.timeout_msec = 300;; command.timeout_msec *= 2) {
                ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_TIMEOUT, "was stopped");
                if (strstr(output(), "ready\n") != NULL)
                        break;
                ASSERT(command.timeout_msec < 10000);
        }
        ASSERT(strstr(output(), "ended\n") != NULL);
        ASSERT_EQ(processes_of(own_uid()), 0);
}

static int cancel_now(void *arg)
{
        return ++*(int *)arg >= 2;
}

TEST(a_hook_is_cancelled)
{
        const char *argv[] = { "/bin/sleep", "60", NULL };
        struct worker_command command;
        int64_t began = clock_boot_usec();
        int asked = 0;

        begin();
        command = command_of(argv);
        command.cancelled = cancel_now;
        command.arg = &asked;
        ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_REFUSED, "on request");
        ASSERT(clock_boot_usec() - began < 2 * USEC_PER_SEC);
}

TEST(output_is_cut_once_at_its_bound)
{
        const char *argv[] = { attack, "print", NULL };
        struct worker_command command;
        const char *text;

        begin();
        command = command_of(argv);
        command.output_max = 1000;
        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        text = output();
        ASSERT_EQ(strspn(text, "x"), 1000);
        ASSERT_STR(text + 1000, "\n... output cut\n");
}

TEST(or_its_end_is_kept)
{
        const char *argv[] = { "/bin/sh", "-c",
                               "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i + 1)); done", NULL };
        struct worker_command command;
        const char *text;
        size_t n;

        begin();
        command = command_of(argv);
        command.output_max = 1000;
        command.output_newest = true;
        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        text = output();
        n = strlen(text);
        ASSERT(n >= 500 && n <= 1000);
        ASSERT_STR(text + n - 15, "4997\n4998\n4999\n");
}

TEST(all_output_below_the_bound_is_kept)
{
        const char *argv[] = { attack, "print", NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        command.output_max = 64 << 20;
        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        ASSERT_EQ(lseek(out_fd, 0, SEEK_END), 4 << 20);
}

TEST(the_environment_is_the_given_one)
{
        const char *argv[] = { "/usr/bin/env", NULL };
        const char *env[] = { "HOME=/nowhere", "A=b c", NULL };
        struct worker_command command;

        (void)setenv("SECRET", "x", 1);
        begin();
        command = command_of(argv);
        command.env = env;
        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        ASSERT_STR(output(), "HOME=/nowhere\nA=b c\n");
}

TEST(it_starts_in_the_given_directory)
{
        const char *argv[] = { "/bin/pwd", NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        command.cwd_fd = open("/usr/share", O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        ASSERT_STR(output(), "/usr/share\n");
}

TEST(a_directory_closed_to_the_user_is_not_entered)
{
        const char *argv[] = { "/bin/pwd", NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        ASSERT_EQ(chmod(test_tmpdir(), 0700), 0);
        command.cwd_fd = open(test_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_IO, "working directory");
}

TEST(the_exit_status_is_told)
{
        const char *argv[] = { "/bin/sh", "-c", "exit 42", NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_IO,
                   "'/bin/sh' exited with status 42");
        ASSERT_ERR(worker_run(WORKER_AFTER, &command, &err), ERR_IO,
                   "'/bin/sh' exited with status 42");
}

TEST(the_signal_is_told)
{
        const char *argv[] = { "/bin/sh", "-c", "kill -SEGV $$", NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_IO, "was ended by signal 11");
        ASSERT_ERR(worker_run(WORKER_AFTER, &command, &err), ERR_IO, "was ended by signal 11");
}

TEST(a_program_that_is_not_there_is_named)
{
        const char *argv[] = { "/no/such", NULL };
        struct worker_command command;

        begin();
        command = command_of(argv);
        ASSERT_ERR(worker_run(WORKER_HOOK, &command, &err), ERR_NOT_FOUND, "cannot run '/no/such'");
        ASSERT_ERR(worker_run(WORKER_AFTER, &command, &err), ERR_NOT_FOUND,
                   "cannot run '/no/such'");
}

TEST(a_hook_sees_only_its_own_processes)
{
        shell("echo /proc/[0-9]*");
        ASSERT_STR(output(), "/proc/1 /proc/2\n");
}

TEST(threads_and_pipelines_work_in_a_hook)
{
        shell("set -e; printf 'b\\na\\n' | sort | head -1; getent passwd root >/dev/null");
        ASSERT_STR(output(), "a\n");
}

TEST(a_set_user_id_program_gains_nothing)
{
        char path[600];

        begin();
        (void)snprintf(path, sizeof(path), "%s/id", test_tmpdir());
        {
                const char *cp[] = { "cp", "/usr/bin/id", path, NULL };
                const char *argv[] = { path, "-u", NULL };
                struct worker_command command = command_of(argv);
                char want[32];

                ASSERT_EQ(root_run(cp), 0);
                ASSERT_EQ(chmod(path, 04755), 0);
                ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
                (void)snprintf(want, sizeof(want), "%u\n", own_uid());
                ASSERT_STR(output(), want);
        }
}

TEST(the_caller_killed_takes_its_hook_along)
{
        const char *argv[] = { "/bin/sleep", "60", NULL };
        struct worker_command command;
        pid_t pid;

        begin();
        command = command_of(argv);
        command.uid = command.gid = own_uid();
        pid = fork();
        if (pid == 0)
                exit(worker_run(WORKER_HOOK, &command, &err) < 0);
        for (int i = 0; i < 200 && processes_of(command.uid) == 0; i++)
                (void)usleep(10000);
        ASSERT_EQ(processes_of(command.uid), 1);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        for (int i = 0; i < 200 && processes_of(command.uid) > 0; i++)
                (void)usleep(10000);
        ASSERT_EQ(processes_of(command.uid), 0);
}

TEST(after_is_root_sees_the_host_and_its_service_stays)
{
        char script[256];
        const char *argv[] = { "/bin/sh", "-c", script, NULL };
        struct worker_command command;
        const char *text;
        pid_t stays;

        (void)snprintf(script, sizeof(script),
                       "kill -0 %d && id -u && setsid sleep 30 & setsid sleep 31 >/dev/null & "
                       "sleep 0.2; echo $!",
                       getpid());
        begin();
        command = command_of(argv);
        ASSERT_OK(worker_run(WORKER_AFTER, &command, &err));
        text = output();
        ASSERT(strncmp(text, "0\n", 2) == 0);
        stays = (pid_t)strtol(text + 2, NULL, 10);
        ASSERT(stays > 1 && kill(stays, SIGKILL) == 0);
}

TEST(after_is_ended_at_its_deadline)
{
        const char *argv[] = { "/bin/sh", "-c", "sleep 60 & sleep 60", NULL };
        struct worker_command command;
        int64_t began = clock_boot_usec();

        begin();
        command = command_of(argv);
        command.timeout_msec = 200;
        ASSERT_ERR(worker_run(WORKER_AFTER, &command, &err), ERR_TIMEOUT, "was stopped");
        ASSERT(clock_boot_usec() - began < 2 * USEC_PER_SEC);
}

TEST(no_descriptor_is_left_open)
{
        const char *argv[] = { "/bin/true", NULL };
        struct worker_command command;
        int first, last;

        begin();
        command = command_of(argv);
        first = dup(0);
        for (int i = 0; i < 20; i++)
                ASSERT_OK(worker_run(WORKER_HOOK, &command, &err));
        last = dup(0);
        ASSERT_EQ(last, first + 1);
}
