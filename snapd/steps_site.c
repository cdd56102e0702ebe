/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/tree.h"
#include "snapd/args.h"
#include "snapd/ballast.h"
#include "snapd/env.h"
#include "snapd/exchange.h"
#include "snapd/front.h"
#include "snapd/steps.h"
#include "snapd/worker.h"

/* Open an absolute directory of root's, making what is missing of it. */
static int make_trusted(const char *path, mode_t mode, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int above_fd = -1;
        char above[1024];
        size_t n = strlen(path);

        if (safepath_open_trusted(path, ret_fd, err) == 0)
                return 0;
        if (err->code != ERR_NOT_FOUND)
                return -1;
        /* The longest part that is there; "/" always is. */
        do {
                while (n > 0 && path[n - 1] != '/')
                        n--;
                (void)snprintf(above, sizeof(above), "%.*s", n > 1 ? (int)n - 1 : 1, path);
                if (n > 0)
                        n--;
        } while (safepath_open_trusted(above, &above_fd, err) < 0 && err->code == ERR_NOT_FOUND);
        if (above_fd < 0)
                return -1;
        return safepath_mkdirs(above_fd, path + n + 1, mode, 0, 0, ret_fd, err);
}

/* site.dirs {pool}: HOME with its three directories, and the pool. */
static int dirs_run(struct step_env *env, const json_t *args, struct err *err)
{
        static const struct {
                const char *name;
                mode_t mode;
        } wanted[] = { { "versions", 0755 }, { "shared", 0755 }, { "db", 0711 } };
        CLEANUP(closep) int home_fd = -1, pool_fd = -1;

        if (make_trusted(env->site->home, 0755, &home_fd, err) < 0 ||
            make_trusted(arg_text(args, "pool"), 0700, &pool_fd, err) < 0)
                return -1;
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
                int fd;

                if (safepath_mkdirs(home_fd, wanted[i].name, wanted[i].mode, 0, 0, &fd, err) < 0)
                        return -1;
                (void)close(fd);
        }
        return file_sync_dir(home_fd, err) < 0 ? -1 : file_sync_dir(pool_fd, err);
}

/* A pool without a tree holds nothing but the driver's own directories. */
static void pool_drop_empty(const char *path)
{
        CLEANUP(closep) int above_fd = -1, trees_fd = -1;
        CLEANUP(closedirp) DIR *trees = NULL;
        char below[NAME_MAX + sizeof("/trees")];
        const char *name = NULL;
        struct dirent *entry;
        struct err err;

        if (exchange_open(path, &above_fd, &name, &err) < 0)
                return;
        (void)snprintf(below, sizeof(below), "%s/trees", name);
        if (safepath_open(above_fd, below, O_RDONLY | O_DIRECTORY, &trees_fd, &err) == 0) {
                trees = fdopendir(trees_fd);
                if (trees == NULL)
                        return;
                (void)steal_fd(&trees_fd);
                while ((entry = readdir(trees)) != NULL)
                        if (entry->d_name[0] != '.')
                                return;
        } else if (err.code != ERR_NOT_FOUND) {
                return;
        }
        /* What stays is empty directories of root's, which the next adoption uses. */
        if (tree_remove(above_fd, name, &err) < 0)
                return;
}

/* Only what is empty goes: the home may have been there before. */
static int dirs_undo(struct step_env *env, const json_t *args, struct err *err)
{
        static const char *const names[] = { "versions", "shared", "db" };
        CLEANUP(closep) int home_fd = -1, above_fd = -1;
        const char *name = NULL;

        if (args != NULL)
                pool_drop_empty(arg_text(args, "pool"));
        if (safepath_open_trusted(env->site->home, &home_fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        front_clear(home_fd);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                (void)unlinkat(home_fd, names[i], AT_REMOVEDIR);
        if (exchange_open(env->site->home, &above_fd, &name, err) == 0)
                (void)unlinkat(above_fd, name, AT_REMOVEDIR);
        return 0;
}

static void dirs_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make the home and the pool '%s'", arg_text(args, "pool"));
}

const struct step_kind step_site_dirs = {
        .name = "site.dirs",
        .run = dirs_run,
        .undo = dirs_undo,
        .describe = dirs_describe,
};

/* site.register {driver, pool, own_file}: with own_file the administrator wrote the site's file,
 * which is not touched. */
static int register_run(struct step_env *env, const json_t *args, struct err *err)
{
        if (!json_get_bool(args, "own_file") && site_save(env->dirs->conf_fd, env->site, err) < 0)
                return -1;
        if (catalog_add_site(env->catalog, env->site->name, arg_text(args, "driver"),
                             arg_text(args, "pool"), err) < 0 &&
            err->code != ERR_EXISTS)
                return -1;
        return 0;
}

static int register_undo(struct step_env *env, const json_t *args, struct err *err)
{
        /* The pool goes with the row that names it: what an import left in it was removed. */
        if (env->pool != NULL) {
                env->fs->close(env->pool);
                env->pool = NULL;
        }
        if (catalog_remove_site(env->catalog, env->site->name, err) < 0 &&
            err->code != ERR_NOT_FOUND)
                return -1;
        if (json_get_bool(args, "own_file"))
                return 0;
        if (site_delete_conf(env->dirs->conf_fd, env->site->name, err) < 0 &&
            err->code != ERR_NOT_FOUND)
                return -1;
        return 0;
}

static void register_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "write the site down, with driver %s", arg_text(args, "driver"));
}

const struct step_kind step_site_register = {
        .name = "site.register",
        .run = register_run,
        .undo = register_undo,
        .describe = register_describe,
};

/* The places that were ours alone.  What somebody else put there, and what is still in use, stays,
 * and is said. */
static void clear_places(struct step_env *env)
{
        CLEANUP(closep) int above_fd = -1;
        struct catalog_site row;
        const char *name = NULL;
        struct err err;
        int home_fd;

        if (env_home(env, &home_fd, &err) == 0)
                (void)ballast_drop(home_fd);
        if (dirs_undo(env, NULL, &err) < 0 ||
            catalog_site(env->catalog, env->site->name, &row, &err) < 0)
                return;
        if (exchange_open(row.pool, &above_fd, &name, &err) == 0 &&
            tree_remove(above_fd, name, &err) < 0)
                env_note(env, "the pool '%s' was not removed: %s", row.pool, err.msg);
        catalog_site_done(&row);
}

/* site.unregister {} */
static int unregister_run(struct step_env *env, const json_t *args, struct err *err)
{
        if (env->pool != NULL) {
                env->fs->close(env->pool);
                env->pool = NULL;
        }
        clear_places(env);
        return register_undo(env, args, err);
}

static void unregister_describe(const json_t *args, char *buf, size_t size)
{
        (void)args;
        (void)snprintf(buf, size, "forget the site");
}

const struct step_kind step_site_unregister = {
        .name = "site.unregister",
        .run = unregister_run,
        .describe = unregister_describe,
};

/* site.after {version}: the administrator's command after a switch.  The switch has happened, so
 * that a failure is told and nothing more. */
static int after_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char site[64], version[64];
        const char *const variables[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", site, version,
                                          NULL };
        struct worker_command command = {
                .cwd_fd = root_fd,
                .argv = (const char *const *)env->site->after_switch,
                .env = variables,
                .output_max = 64 * 1024,
                .timeout_msec = env->site->after_timeout_sec * 1000,
        };
        struct err why;

        if (env->site->after_switch == NULL)
                return 0;
        (void)snprintf(site, sizeof(site), "SITESNAP_SITE=%s", env->site->name);
        (void)snprintf(version, sizeof(version), "SITESNAP_VERSION=%" JSON_INTEGER_FORMAT,
                       (json_int_t)json_get_u64(args, "version"));
        if (env_output(env, &command.output_fd, err) < 0)
                return -1;
        if (worker_run(WORKER_AFTER, &command, &why) < 0)
                env_note(env, "warning: '%s' after the switch failed: %s",
                         env->site->after_switch[0], why.msg);
        return 0;
}

static void after_describe(const json_t *args, char *buf, size_t size)
{
        (void)args;
        (void)snprintf(buf, size, "run the command after a switch");
}

const struct step_kind step_site_after = {
        .name = "site.after",
        .run = after_run,
        .describe = after_describe,
};
