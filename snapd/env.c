/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmount/libmount.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/ballast.h"
#include "snapd/env.h"

const struct fs_driver *const env_drivers[] = {
#ifdef SITESNAP_BTRFS
        &fs_driver_btrfs,
#endif
        &fs_driver_overlayfs,
        NULL,
};

void env_init(struct step_env *env, const struct dirs *dirs, struct catalog *catalog,
              struct site *site)
{
        *env = (struct step_env){
                .dirs = dirs,
                .catalog = catalog,
                .site = site,
                .home_fd = -1,
                .pool_fd = -1,
                .db_fd = -1,
                .output_fd = -1,
        };
}

void env_done(struct step_env *env)
{
        if (env->pool != NULL)
                env->fs->close(env->pool);
        env_database_forget(env);
        closep(&env->home_fd);
        closep(&env->pool_fd);
        closep(&env->db_fd);
        closep(&env->output_fd);
        site_free(env->site);
}

int env_home(struct step_env *env, int *ret_fd, struct err *err)
{
        if (env->home_fd < 0 && safepath_open_trusted(env->site->home, &env->home_fd, err) < 0)
                return err_wrap(err, "the home of '%s'", env->site->name);
        *ret_fd = env->home_fd;
        return 0;
}

int env_pool(struct step_env *env, struct fs_pool **ret_pool, struct err *err)
{
        struct catalog_site row;
        int ret;

        if (env->pool != NULL) {
                *ret_pool = env->pool;
                return 0;
        }
        if (catalog_site(env->catalog, env->site->name, &row, err) < 0)
                return -1;
        env->fs = fs_driver_by_name(env_drivers, row.driver);
        if (env->fs == NULL)
                ret = err_fail(err, ERR_UNSUPPORTED, 0, "this build has no driver '%s'",
                               row.driver);
        else if (env->pool_fd < 0)
                ret = safepath_open_trusted(row.pool, &env->pool_fd, err);
        else
                ret = 0;
        if (ret == 0)
                ret = env->fs->open(env->pool_fd, &env->pool, err);
        if (ret < 0)
                (void)err_wrap(err, "the pool '%s' of '%s'", row.pool, env->site->name);
        else
                *ret_pool = env->pool;
        catalog_site_done(&row);
        return ret;
}

int env_output(struct step_env *env, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;

        if (env->output_fd < 0) {
                if (dirs_op(env->dirs, env->operation, &dir_fd, err) < 0)
                        return -1;
                env->output_fd = openat(dir_fd, "output",
                                        O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (env->output_fd < 0)
                        return err_fail(err, ERR_IO, errno,
                                        "cannot open the output of operation %" PRIu64,
                                        env->operation);
        }
        *ret_fd = env->output_fd;
        return 0;
}

void env_note(struct step_env *env, const char *fmt, ...)
{
        struct err err;
        va_list ap;
        int fd;

        /* A note that cannot be written is not worth failing the step that made it. */
        if (env->operation == 0 || env_output(env, &fd, &err) < 0)
                return;
        va_start(ap, fmt);
        (void)vdprintf(fd, fmt, ap);
        va_end(ap);
        (void)dprintf(fd, "\n");
}

bool env_make_room(struct step_env *env)
{
        bool made = ballast_drop(env->dirs->state_fd);
        struct err err;
        int home_fd;

        if (env->site != NULL && env_home(env, &home_fd, &err) == 0)
                made |= ballast_drop(home_fd);
        return made;
}

int env_pool_path(const struct site *site, char **ret_path, struct err *err)
{
        CLEANUP(freep) char *root = NULL;
        char nearest[1024];
        int n;

        if (site->pool != NULL) {
                *ret_path = strdup(site->pool);
                return *ret_path == NULL ? err_oom(err) : 0;
        }
        /* The home may not be there yet: then what it will be made in. */
        (void)snprintf(nearest, sizeof(nearest), "%s", site->home);
        while (access(nearest, F_OK) < 0 && strrchr(nearest, '/') != nearest)
                *strrchr(nearest, '/') = '\0';
        root = mnt_get_mountpoint(nearest);
        if (root == NULL)
                return err_fail(err, ERR_IO, 0, "cannot tell which file system '%s' is on",
                                site->home);
        n = asprintf(ret_path, "%s/.sitesnap/%s", strcmp(root, "/") == 0 ? "" : root, site->name);
        return n < 0 ? err_oom(err) : 0;
}
