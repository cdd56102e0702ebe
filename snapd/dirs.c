/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/dirs.h"

/* Make the last component of ${path} in a directory that only root can change. */
static int dir_make(const char *path, mode_t mode, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, fd = -1;
        char parent[PATH_MAX];
        const char *slash = strrchr(path, '/');

        if (path[0] != '/' || slash[1] == '\0' || strlen(path) >= sizeof(parent))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a plain absolute path", path);
        (void)snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path),
                       path);
        if (safepath_open_trusted(parent, &parent_fd, err) < 0)
                return -1;
        if (safepath_mkdirs(parent_fd, slash + 1, mode, 0, 0, &fd, err) < 0)
                return err_wrap(err, "'%s'", path);
        return 0;
}

static int dir_open(const char *path, mode_t mode, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int path_fd = -1;

        if (safepath_open_trusted(path, &path_fd, err) < 0) {
                if (err->code != ERR_NOT_FOUND || dir_make(path, mode, err) < 0 ||
                    safepath_open_trusted(path, &path_fd, err) < 0)
                        return -1;
        }

        /* The descriptor of the check is O_PATH; directories are read and synced by these. */
        *ret_fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*ret_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open '%s'", path);
        return 0;
}

int dirs_open(struct dirs *dirs, struct err *err)
{
        CLEANUP(closep) int state_fd = -1, run_fd = -1, conf_fd = -1;

        if (dir_open(dirs->state, 0700, &state_fd, err) < 0 ||
            dir_open(dirs->run, 0755, &run_fd, err) < 0 ||
            dir_open(dirs->conf, 0755, &conf_fd, err) < 0)
                return -1;
        dirs->state_fd = steal_fd(&state_fd);
        dirs->run_fd = steal_fd(&run_fd);
        dirs->conf_fd = steal_fd(&conf_fd);
        return 0;
}

int dirs_op(const struct dirs *dirs, uint64_t id, int *ret_fd, struct err *err)
{
        char path[64];

        (void)snprintf(path, sizeof(path), "ops/%" PRIu64, id);
        if (safepath_mkdirs(dirs->state_fd, path, 0700, 0, 0, ret_fd, err) < 0)
                return err_wrap(err, "the directory of operation %" PRIu64, id);
        return 0;
}
