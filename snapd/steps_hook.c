/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/served.h"
#include "snapd/steps.h"
#include "snapd/worker.h"

#define OUTPUT_MAX (16 * 1024 * 1024)

static int cancelled(void *arg)
{
        struct step_env *env = arg;

        return journal_abort_asked(env->catalog, env->operation);
}

static int read_argv(const json_t *list, const char **argv, size_t max, struct err *err)
{
        json_t *item;
        size_t i;

        if (json_array_size(list) == 0 || json_array_size(list) >= max)
                return err_fail(err, ERR_INVALID, 0, "a command has 1 to %zu words", max - 1);
        json_array_foreach (list, i, item)
                argv[i] = json_string_value(item);
        argv[i] = NULL;
        return 0;
}

/* hook.run {version, command, timeout_sec}: the site's own upgrade, as the site's user, in the
 * live tree on the live database.  It is run once: a second run of half a migration is not a
 * thing to try. */
static int hook_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1, cwd_fd = -1;
        char site[64], version[64], root[1200], home[1100], user[128], number[24];
        const char *argv[256];
        const char *const variables[] = {
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "LC_ALL=C.UTF-8",
                site,
                version,
                root,
                home,
                user,
                NULL,
        };
        const struct passwd *pw = getpwuid(env->site->uid);
        struct worker_command command = {
                .uid = env->site->uid,
                .gid = env->site->gid,
                .argv = argv,
                .env = variables,
                .output_max = OUTPUT_MAX,
                .timeout_msec = (unsigned)json_get_u64(args, "timeout_sec") * 1000,
                .cancelled = cancelled,
                .arg = env,
        };

        (void)snprintf(number, sizeof(number), "%" PRIu64, json_get_u64(args, "version"));
        (void)snprintf(site, sizeof(site), "SITESNAP_SITE=%s", env->site->name);
        (void)snprintf(version, sizeof(version), "SITESNAP_VERSION=%s", number);
        (void)snprintf(root, sizeof(root), "SITESNAP_ROOT=%s/versions/%s", env->site->home, number);
        (void)snprintf(home, sizeof(home), "HOME=%s", pw == NULL ? "/" : pw->pw_dir);
        (void)snprintf(user, sizeof(user), "USER=%s", env->site->owner);
        if (read_argv(json_object_get(args, "command"), argv, sizeof(argv) / sizeof(argv[0]), err) <
                    0 ||
            env_output(env, &command.output_fd, err) < 0 ||
            served_versions_fd(env, &versions_fd, err) < 0 ||
            safepath_open_mounted(versions_fd, number, O_PATH | O_DIRECTORY, &cwd_fd, err) < 0)
                return -1;
        command.cwd_fd = cwd_fd;
        return worker_run(WORKER_HOOK, &command, err) < 0
                       ? err_wrap(err, "the upgrade command failed")
                       : 0;
}

static void hook_describe(const json_t *args, char *buf, size_t size)
{
        const json_t *command = json_object_get(args, "command");
        json_t *item;
        size_t i, n;

        n = (size_t)snprintf(buf, size, "run the upgrade as the site's user:");
        json_array_foreach (command, i, item)
                if (n < size)
                        n += (size_t)snprintf(buf + n, size - n, " %s", json_string_value(item));
}

const struct step_kind step_hook_run = {
        .name = "hook.run",
        .run = hook_run,
        .once = true,
        .describe = hook_describe,
};
