/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/mount_internal.h"

#define NESTED_MAX 64

/* A mount nested in the one that goes.  While it is off, a clone of it is held ready to go back. */
struct nested {
        int id, parent;
        char path[1024]; /* relative to the topmost mount at the name */
        int clone_fd;
};

struct nests {
        struct nested *all; /* parents before their children */
        size_t n;
        size_t off; /* how many are unmounted, counted from the end */
};

static void nests_done(struct nests *nests)
{
        for (size_t i = 0; i < nests->n; i++)
                closep(&nests->all[i].clone_fd);
        free(nests->all);
}

static bool is_known(const struct nests *nests, int top, int id)
{
        for (size_t i = 0; i < nests->n; i++)
                if (nests->all[i].id == id)
                        return true;
        return id == top;
}

static int nests_add(struct nests *nests, struct libmnt_fs *fs, const char *top_target,
                     struct err *err)
{
        const char *target = mnt_fs_get_target(fs);
        size_t skip = strlen(top_target);
        struct nested *one;

        if (nests->n == NESTED_MAX)
                return err_fail(err, ERR_BUSY, 0, "more than %d mounts are nested in it",
                                NESTED_MAX);
        if (strncmp(target, top_target, skip) != 0 || target[skip] != '/')
                return err_fail(err, ERR_BUSY, 0, "'%s' is mounted over it", target);
        one = &nests->all[nests->n++];
        one->id = mnt_fs_get_id(fs);
        one->parent = mnt_fs_get_parent_id(fs);
        one->clone_fd = -1;
        (void)snprintf(one->path, sizeof(one->path), "%s", target + skip + 1);
        return 0;
}

static int nests_level(struct libmnt_table *table, int top, const char *top_target,
                       struct nests *nests, struct err *err)
{
        CLEANUP(mount_iter_freep) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *fs;

        if (iter == NULL)
                return err_oom(err);
        while (mnt_table_next_fs(table, iter, &fs) == 0) {
                if (is_known(nests, top, mnt_fs_get_id(fs)) ||
                    !is_known(nests, top, mnt_fs_get_parent_id(fs)))
                        continue;
                if (nests_add(nests, fs, top_target, err) < 0)
                        return -1;
        }
        return 0;
}

/* Level by level, so that parents come first whatever the order of the table is. */
static int nests_collect(struct libmnt_table *table, int top, const char *top_target,
                         struct nests *nests, struct err *err)
{
        size_t before;

        nests->all = calloc(NESTED_MAX, sizeof(*nests->all));
        if (nests->all == NULL)
                return err_oom(err);
        do {
                before = nests->n;
                if (nests_level(table, top, top_target, nests, err) < 0)
                        return -1;
        } while (nests->n > before);
        return 0;
}

/* umount2() takes a path, and a descriptor of the mount itself would keep it busy: so the
 * directory above is opened, without following what the tenant may have put on the way, and the
 * last name is given through /proc. */
static int unmount_at(int parent_fd, const char *name)
{
        char path[64 + NAME_MAX + 1];

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", parent_fd, name);
        return umount2(path, UMOUNT_NOFOLLOW);
}

static int open_above(int dir_fd, const char *name, const char *path, int *ret_fd,
                      const char **ret_last, struct err *err)
{
        const char *slash = strrchr(path, '/');
        char above[NAME_MAX + 1026];

        (void)snprintf(above, sizeof(above), "%s%s%.*s", name, slash == NULL ? "" : "/",
                       slash == NULL ? 0 : (int)(slash - path), path);
        *ret_last = slash == NULL ? path : slash + 1;
        return safepath_open_mounted(dir_fd, above, O_PATH | O_DIRECTORY, ret_fd, err);
}

static int take_off(int dir_fd, const char *name, struct nested *one, struct err *err)
{
        struct mount_attr attr = { .propagation = MS_PRIVATE };
        CLEANUP(closep) int above_fd = -1;
        const char *last;
        int id;

        if (open_above(dir_fd, name, one->path, &above_fd, &last, err) < 0 ||
            mount_id(above_fd, last, &id, err) < 0)
                return -1;
        if (id != one->id)
                return err_fail(err, ERR_BUSY, 0, "'%s' changed meanwhile", one->path);
        one->clone_fd = open_tree(above_fd, last, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                  AT_SYMLINK_NOFOLLOW);
        if (one->clone_fd < 0 ||
            mount_setattr(one->clone_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_fail(err, ERR_IO, errno, "cannot clone '%s'", one->path);
        if (unmount_at(above_fd, last) < 0)
                return err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                                "cannot unmount '%s'", one->path);
        return 0;
}

static int put_back(int dir_fd, const char *name, struct nested *one, struct err *err)
{
        CLEANUP(closep) int above_fd = -1, fd = -1;
        const char *last;

        if (open_above(dir_fd, name, one->path, &above_fd, &last, err) < 0 ||
            safepath_open_mounted(above_fd, last, O_PATH, &fd, err) < 0)
                return -1;
        if (move_mount(one->clone_fd, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH |
                       MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot mount again");
        return 0;
}

/* Everything as it was.  If even that fails the admin must know which one is missing. */
static int restore(int dir_fd, const char *name, struct nests *nests, struct err *err)
{
        for (; nests->off > 0; nests->off--) {
                struct nested *one = &nests->all[nests->n - nests->off];
                struct err again;

                if (put_back(dir_fd, name, one, &again) < 0)
                        return err_fail(err, ERR_HELD, again.os,
                                        "'%s' was unmounted from '%s' and could not be put back "
                                        "(%s)", one->path, name, again.msg);
        }
        return -1;
}

static int unmount_all(int dir_fd, const char *name, struct nests *nests, struct err *err)
{
        for (; nests->off < nests->n; nests->off++)
                if (take_off(dir_fd, name, &nests->all[nests->n - nests->off - 1], err) < 0)
                        return restore(dir_fd, name, nests, err);
        if (unmount_at(dir_fd, name) < 0) {
                err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno, "cannot unmount it");
                return restore(dir_fd, name, nests, err);
        }
        return 0;
}

/* "'8' is in use by process 123 (php-fpm)". */
static int busy(const char *name, pid_t pid, struct err *err)
{
        CLEANUP(freep) char *comm = NULL;
        char path[64];
        struct err ignored;

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        if (file_read(AT_FDCWD, path, 64, &comm, NULL, &ignored) < 0)
                return err_fail(err, ERR_BUSY, 0, "'%s' is in use by process %d", name, pid);
        comm[strcspn(comm, "\n")] = '\0';
        return err_fail(err, ERR_BUSY, 0, "'%s' is in use by process %d (%s)", name, pid, comm);
}

int mount_detach(int dir_fd, const char *name, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        struct nests nests = { 0 };
        struct libmnt_fs *fs;
        int below, top, ret;
        size_t n_users;
        pid_t user;

        if (mount_id(dir_fd, "", &below, err) < 0 || mount_id(dir_fd, name, &top, err) < 0)
                return -1;
        if (below == top)
                return 0;

        /* Ask first: taking the nested mounts off and putting them back is a gap in which an
         * upload would meet the empty mount point. */
        if (mount_users_of(top, MOUNT_LOOK_QUICK, &user, 1, &n_users, err) < 0)
                return -1;
        if (n_users > 0)
                return busy(name, user, err);

        if (mount_table_own(&table, err) < 0)
                return -1;
        fs = mount_table_find(table, top);
        if (fs == NULL)
                return err_fail(err, ERR_IO, 0, "'%s' is not in this mount namespace", name);
        ret = nests_collect(table, top, mnt_fs_get_target(fs), &nests, err);
        if (ret == 0)
                ret = unmount_all(dir_fd, name, &nests, err);
        nests_done(&nests);
        if (ret < 0 && err->code == ERR_BUSY) {
                struct err ignored;

                if (mount_users_of(top, MOUNT_LOOK_WHOLE, &user, 1, &n_users, &ignored) == 0 &&
                    n_users > 0)
                        return busy(name, user, err);
                return err_wrap(err, "'%s' is in use", name);
        }
        return ret < 0 ? err_wrap(err, "'%s'", name) : 0;
}
