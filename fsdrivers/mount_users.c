/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/mount_internal.h"

#define IDS_MAX    256
#define GROUPS_MAX 64

/* A mount and what propagation made of it in other namespaces: each has an id of its own, and the
 * ids are unique on the machine. */
struct copies {
        int top;
        dev_t devno;
        char root[1024];
        char target[1024];
        unsigned groups[GROUPS_MAX]; /* peer groups that the mount is in or feeds */
        size_t n_groups;
        int ids[IDS_MAX];
        pid_t pids[IDS_MAX]; /* a process in the namespace of that copy */
        size_t n;
};

static bool group_known(const struct copies *copies, unsigned group)
{
        for (size_t i = 0; i < copies->n_groups; i++)
                if (group != 0 && copies->groups[i] == group)
                        return true;
        return false;
}

static void group_add(struct copies *copies, unsigned group)
{
        if (group != 0 && !group_known(copies, group) && copies->n_groups < GROUPS_MAX)
                copies->groups[copies->n_groups++] = group;
}

/* Propagation ties copies together by peer groups.  A namespace made private has lost that tie, so
 * there the same directory at the same place counts; without asking for the place, a second sight
 * of the same overlay (mount_clone()) would count as well. */
static bool is_copy(const struct copies *copies, struct libmnt_fs *fs)
{
        unsigned shared = mount_group(fs, "shared:"), master = mount_group(fs, "master:");

        if (mnt_fs_get_devno(fs) != copies->devno || strcmp(mnt_fs_get_root(fs), copies->root) != 0)
                return false;
        if (group_known(copies, shared) || group_known(copies, master))
                return true;
        return shared == 0 && master == 0 && strcmp(mnt_fs_get_target(fs), copies->target) == 0;
}

static int collect(const struct mount_ns *ns, void *arg, struct err *err)
{
        CLEANUP(mount_iter_freep) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
        struct copies *copies = arg;
        struct libmnt_fs *fs;

        if (iter == NULL)
                return err_oom(err);
        while (!ns->own && mnt_table_next_fs(ns->table, iter, &fs) == 0) {
                if (!is_copy(copies, fs))
                        continue;
                /* A slave may have peers and slaves of its own. */
                group_add(copies, mount_group(fs, "shared:"));
                if (copies->n < IDS_MAX) {
                        copies->ids[copies->n] = mnt_fs_get_id(fs);
                        copies->pids[copies->n++] = ns->pid;
                }
        }
        return 0;
}

static int copies_find(int top, struct copies *copies, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        struct libmnt_fs *fs;

        if (mount_table_own(&table, err) < 0)
                return -1;
        fs = mount_table_find(table, top);
        if (fs == NULL)
                return err_fail(err, ERR_IO, 0, "the mount is not in this mount namespace");
        copies->top = top;
        copies->devno = mnt_fs_get_devno(fs);
        (void)snprintf(copies->target, sizeof(copies->target), "%s", mnt_fs_get_target(fs));
        (void)snprintf(copies->root, sizeof(copies->root), "%s", mnt_fs_get_root(fs));
        group_add(copies, mount_group(fs, "shared:"));
        copies->ids[0] = top;
        copies->pids[0] = getpid();
        copies->n = 1;
        return mount_each_ns(collect, copies, err);
}

static bool lies_in(const struct copies *copies, int dir_fd, const char *link)
{
        struct statx stx;

        /* A file on a network or FUSE mount whose server does not answer is not asked about. */
        if (statx(dir_fd, link, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0)
                return false;
        for (size_t i = 0; i < copies->n; i++)
                if (stx.stx_mnt_id == (unsigned)copies->ids[i])
                        return true;
        return false;
}

/* Any link of the directory, which is a process's fd or map_files. */
static bool any_lies_in(const struct copies *copies, int proc_fd, const char *path)
{
        CLEANUP(closep) int fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (dir == NULL)
                return false;
        (void)steal_fd(&fd);
        while ((entry = readdir(dir)) != NULL)
                if (entry->d_name[0] != '.' && lies_in(copies, dirfd(dir), entry->d_name))
                        return true;
        return false;
}

static bool process_is_in(const struct copies *copies, int proc_fd, const char *pid,
                          enum mount_look look)
{
        static const char *const links[] = { "cwd", "root", "exe" };
        char path[64];

        for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
                (void)snprintf(path, sizeof(path), "%.20s/%s", pid, links[i]);
                if (lies_in(copies, proc_fd, path))
                        return true;
        }
        (void)snprintf(path, sizeof(path), "%.20s/fd", pid);
        if (any_lies_in(copies, proc_fd, path))
                return true;
        (void)snprintf(path, sizeof(path), "%.20s/map_files", pid);
        return look == MOUNT_LOOK_WHOLE && any_lies_in(copies, proc_fd, path);
}

int mount_users_of(int top, enum mount_look look, pid_t *pids, size_t n, size_t *ret_n,
                   struct err *err)
{
        CLEANUP(closedirp) DIR *proc = mount_open_proc();
        struct copies copies = { 0 };
        struct dirent *entry;
        size_t found = 0;

        if (proc == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read /proc");
        if (copies_find(top, &copies, err) < 0)
                return -1;
        while (found < n && (entry = readdir(proc)) != NULL)
                if (isdigit((unsigned char)entry->d_name[0]) &&
                    process_is_in(&copies, dirfd(proc), entry->d_name, look))
                        pids[found++] = (pid_t)strtol(entry->d_name, NULL, 10);
        *ret_n = found;
        return 0;
}

int mount_users(int dir_fd, const char *name, enum mount_look look, pid_t *pids, size_t n,
                size_t *ret_n, struct err *err)
{
        int below, top;

        if (mount_id(dir_fd, "", &below, err) < 0 || mount_id(dir_fd, name, &top, err) < 0)
                return -1;
        if (top == below) {
                *ret_n = 0;
                return 0;
        }
        return mount_users_of(top, look, pids, n, ret_n, err);
}

struct elsewhere {
        pid_t pid;
        int id;
        bool seal;
};

/* In the child, which is of one thread and shares no file-system context, so it may setns(). */
static int seal_run(void *arg, int *ret_fd, struct err *err)
{
        const struct elsewhere *copy = arg;
        struct mount_attr attr = { .attr_set = copy->seal ? MOUNT_ATTR_RDONLY : 0,
                                   .attr_clr = copy->seal ? 0 : MOUNT_ATTR_RDONLY };
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        CLEANUP(closep) int ns_fd = -1, fd = -1;
        struct libmnt_fs *fs;
        char path[64];
        int id;

        *ret_fd = -1;
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", copy->pid);
        ns_fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (ns_fd < 0)
                return 0; /* it has ended, and with it perhaps the namespace: looked at again */
        (void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", copy->pid);
        table = mnt_new_table_from_file(path);
        fs = table == NULL ? NULL : mount_table_find(table, copy->id);
        if (fs == NULL)
                return 0;
        if (setns(ns_fd, CLONE_NEWNS) < 0)
                return err_fail(err, ERR_IO, errno, "cannot enter the mounts of process %d",
                                copy->pid);
        fd = openat(AT_FDCWD, mnt_fs_get_target(fs), O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || mount_id(fd, "", &id, err) < 0 || id != copy->id)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "'%s' is covered in the mounts of process %d",
                                mnt_fs_get_target(fs), copy->pid);
        if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                                "cannot make '%s' %s in the mounts of process %d",
                                mnt_fs_get_target(fs), copy->seal ? "read-only" : "writable",
                                copy->pid);
        return 0;
}

/* What is covered where it is cannot be reached to be sealed, and nobody can come in any more.  So
 * it is enough that nobody is in it; else every service with mounts of its own (PrivateTmp=) would
 * make a capture wait for its whole deadline. */
static int check_left(const struct copies *covered, const struct err *why, struct err *err)
{
        CLEANUP(closedirp) DIR *proc = mount_open_proc();
        struct dirent *entry;

        if (proc == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read /proc");
        while ((entry = readdir(proc)) != NULL)
                if (isdigit((unsigned char)entry->d_name[0]) &&
                    process_is_in(covered, dirfd(proc), entry->d_name, MOUNT_LOOK_WHOLE))
                        return err_fail(err, ERR_BUSY, 0, "%s, and process %s is in it", why->msg,
                                        entry->d_name);
        return 0;
}

int mount_seal_elsewhere(int top, bool seal, struct err *err)
{
        struct copies copies = { 0 }, covered = { 0 };
        struct err why = { 0 };

        if (copies_find(top, &copies, err) < 0)
                return -1;
        for (size_t i = 1; i < copies.n; i++) {
                struct elsewhere copy = { copies.pids[i], copies.ids[i], seal };
                int none;

                if (mount_in_child(seal_run, &copy, &none, &why) == 0)
                        continue;
                if (why.code != ERR_UNSUPPORTED) {
                        *err = why;
                        return -1;
                }
                covered.ids[covered.n++] = copies.ids[i];
        }
        return covered.n == 0 || !seal ? 0 : check_left(&covered, &why, err);
}
