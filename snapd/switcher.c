/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/exchange.h"
#include "snapd/served.h"
#include "snapd/switcher.h"

static int flip_symlink(struct step_env *env, uint64_t version, struct err *err)
{
        char target[40], now[40] = "";
        int home_fd;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        if (version == 0) {
                if (unlinkat(home_fd, "current", 0) < 0 && errno != ENOENT)
                        return err_fail(err, ERR_IO, errno, "cannot remove '%s/current'",
                                        env->site->home);
                return file_sync_dir(home_fd, err);
        }
        (void)snprintf(target, sizeof(target), "versions/%" PRIu64, version);

        /* There already, but perhaps not on disk: another process may have died before the sync. */
        if (readlinkat(home_fd, "current", now, sizeof(now) - 1) > 0 && strcmp(now, target) == 0)
                return file_sync_dir(home_fd, err);
        return file_link_replace(home_fd, "current", target, err);
}

/* Where MOVE_MOUNT_BENEATH is missing (before Linux 6.5) the new version is laid over the old one:
 * the same for whoever opens a path, but the old one stays below until the next start. */
static int flip_mount(struct step_env *env, uint64_t version, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1, parent_fd = -1, clone_fd = -1;
        struct stat docroot_st, version_st;
        char number[24];
        const char *name = NULL;
        unsigned depth;

        if (exchange_open(env->site->docroot, &parent_fd, &name, err) < 0 ||
            mount_depth(parent_fd, name, &depth, err) < 0)
                return err_wrap(err, "the docroot '%s'", env->site->docroot);
        if (version == 0)
                return depth == 0 ? 0 : mount_drop(parent_fd, name, err);

        (void)snprintf(number, sizeof(number), "%" PRIu64, version);
        if (served_versions_fd(env, &versions_fd, err) < 0)
                return -1;
        if (fstatat(parent_fd, name, &docroot_st, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(versions_fd, number, &version_st, AT_SYMLINK_NOFOLLOW) == 0 &&
            docroot_st.st_dev == version_st.st_dev && docroot_st.st_ino == version_st.st_ino)
                return 0;
        if (mount_clone(versions_fd, number, &clone_fd, err) < 0)
                return -1;
        if (depth == 0 || !mount_can_beneath())
                return mount_attach(clone_fd, parent_fd, name, err);
        if (mount_attach_beneath(clone_fd, parent_fd, name, err) < 0)
                return -1;
        return mount_drop(parent_fd, name, err);
}

bool switcher_mounts(const struct site *site)
{
        return strcmp(site->switcher, "mount") == 0;
}

int switcher_flip(struct step_env *env, uint64_t version, struct err *err)
{
        if (switcher_mounts(env->site) && env->site->docroot != NULL &&
            flip_mount(env, version, err) < 0)
                return -1;
        return flip_symlink(env, version, err);
}
