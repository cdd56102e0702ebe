/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapd/process.h"
#include "snapd/wake.h"

enum { NOTIFY_FD = 3 };

/* What systemd told snapd is not for its children, and neither is another pipe's number. */
static bool passed_on(const char *variable)
{
        static const char *const ours[] = { "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_",
                                            WAKE_ENV "=" };

        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
                if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
                        return false;
        return true;
}

/* Pointers into environ, ended by ${notify} and NULL; the caller frees the array. */
static char **environment_for(char *notify)
{
        size_t n = 0, out = 0;
        char **env;

        while (environ[n] != NULL)
                n++;
        env = calloc(n + 2, sizeof(*env));
        for (size_t i = 0; env != NULL && i < n; i++)
                if (passed_on(environ[i]))
                        env[out++] = environ[i];
        if (env != NULL)
                env[out] = notify;
        return env;
}

static int actions_fill(posix_spawn_file_actions_t *actions, const struct process_start *start)
{
        int r;

        r = start->input_fd < 0
                    ? posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0)
                    : posix_spawn_file_actions_adddup2(actions, start->input_fd, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(
                        actions, start->output_fd < 0 ? STDERR_FILENO : start->output_fd, 1);
        if (r == 0 && start->notify_fd >= 0)
                r = posix_spawn_file_actions_adddup2(actions, start->notify_fd, NOTIFY_FD);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(
                        actions, start->notify_fd >= 0 ? NOTIFY_FD + 1 : NOTIFY_FD);
        return r;
}

static int attributes_fill(posix_spawnattr_t *attributes)
{
        sigset_t none, all;
        int r;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
                                                                 POSIX_SPAWN_SETSIGMASK |
                                                                 POSIX_SPAWN_SETSIGDEF);
        return r;
}

static int spawn(const struct process_start *start, char *const *argv, char *const *env,
                 pid_t *ret_pid)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r = posix_spawn_file_actions_init(&actions);

        if (r != 0)
                return r;
        r = posix_spawnattr_init(&attributes);
        if (r == 0) {
                r = actions_fill(&actions, start);
                if (r == 0)
                        r = attributes_fill(&attributes);
                /* The file we run, also when a package upgrade has put another in its place. */
                if (r == 0)
                        r = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv,
                                        env);
                (void)posix_spawnattr_destroy(&attributes);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
        return r;
}

int process_start(const struct dirs *dirs, const struct process_start *start, pid_t *ret_pid,
                  int *ret_pid_fd, struct err *err)
{
        char notify[64];
        CLEANUP(freep) char **env = NULL;
        const char *argv[] = { "snapd",      "--state",   dirs->state,     "--run",
                               dirs->run,    "--conf",    dirs->conf,      "--socket",
                               dirs->socket, start->mode, start->argument, NULL };
        pid_t pid;
        int r, fd;

        (void)snprintf(notify, sizeof(notify), WAKE_ENV "=%d", NOTIFY_FD);
        env = environment_for(start->notify_fd < 0 ? NULL : notify);
        if (env == NULL)
                return err_oom(err);
        r = spawn(start, (char *const *)argv, env, &pid);
        if (r != 0)
                return err_fail(err, ERR_IO, r, "cannot start a process for '%s'", start->mode);
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0) {
                r = errno;
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
                return err_fail(err, ERR_IO, r, "cannot watch a process");
        }
        *ret_pid = pid;
        *ret_pid_fd = fd;
        return 0;
}
