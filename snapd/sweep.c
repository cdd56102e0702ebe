/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/tree.h"
#include "snapd/sweep.h"

#define AT_ONCE 64

struct sweep {
        struct version_list versions;
        fs_id doomed[AT_ONCE];
        size_t n;
};

static int sweep_visit(const struct fs_info *info, void *arg, struct err *err)
{
        struct sweep *sweep = arg;

        (void)err;
        for (size_t i = 0; i < sweep->versions.n; i++)
                if (sweep->versions.items[i].tree == info->id)
                        return 0;
        if (sweep->n < AT_ONCE)
                sweep->doomed[sweep->n++] = info->id;
        return 0;
}

int sweep_trees(struct step_env *env, struct err *err)
{
        struct sweep sweep = { 0 };
        struct fs_pool *pool;
        int ret;

        if (env_pool(env, &pool, err) < 0 ||
            catalog_versions(env->catalog, env->site->name, &sweep.versions, err) < 0)
                return -1;
        ret = env->fs->walk(pool, sweep_visit, &sweep, err);
        for (size_t i = 0; ret == 0 && i < sweep.n; i++)
                if (env->fs->remove(pool, sweep.doomed[i], err) < 0 && err->code != ERR_BUSY)
                        ret = -1;
        version_list_done(&sweep.versions);
        return ret;
}

int sweep_outputs(const struct dirs *dirs, struct catalog *catalog, struct err *err)
{
        CLEANUP(closep)
        int ops_fd = openat(dirs->state_fd, "ops", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        CLEANUP(closep) int fd = ops_fd < 0 ? -1 : openat(ops_fd, ".", O_RDONLY | O_CLOEXEC);
        CLEANUP(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        if (dir == NULL)
                return errno == ENOENT
                               ? 0
                               : err_fail(err, ERR_IO, errno, "cannot read '%s/ops'", dirs->state);
        (void)steal_fd(&fd);
        while ((entry = readdir(dir)) != NULL) {
                char *end;
                op_id id = strtoull(entry->d_name, &end, 10);
                bool known;

                if (id == 0 || *end != '\0')
                        continue;
                if (journal_knows(catalog, id, &known, err) < 0 ||
                    (!known && tree_remove(ops_fd, entry->d_name, err) < 0))
                        return -1;
        }
        return 0;
}
