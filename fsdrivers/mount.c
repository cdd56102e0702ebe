/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/safepath.h"
#include "fsdrivers/mount_internal.h"

/* Linux 6.5. */
#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x200
#endif

#define BY_FD (MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)

struct nest {
        int mount_fd, clone_fd;
        const char *path;
};

static int nest_move(int mount_fd, const char *path, int clone_fd, struct err *err)
{
        CLEANUP(closep) int target_fd = -1;
        struct stat source, target;

        if (safepath_open_mounted(mount_fd, path, O_PATH, &target_fd, err) < 0)
                return -1;
        if (fstat(clone_fd, &source) < 0 || fstat(target_fd, &target) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (S_ISDIR(source.st_mode) != S_ISDIR(target.st_mode) ||
            (!S_ISDIR(target.st_mode) && !S_ISREG(target.st_mode)))
                return err_fail(err, ERR_REFUSED, 0, "'%s' is not a %s in the tree", path,
                                S_ISDIR(source.st_mode) ? "directory" : "regular file");
        if (move_mount(clone_fd, "", target_fd, "", BY_FD) < 0)
                return err_fail(err, ERR_IO, errno, "cannot bind onto '%s'", path);
        return 0;
}

static int nest_run(void *arg, int *ret_fd, struct err *err)
{
        const struct nest *nest = arg;
        CLEANUP(closep) int root_fd = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int fd = -1;

        if (root_fd < 0 || move_mount(nest->mount_fd, "", root_fd, "", BY_FD) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stage the mount");
        if (nest_move(nest->mount_fd, nest->path, nest->clone_fd, err) < 0)
                return -1;
        fd = open_tree(nest->mount_fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE |
                       OPEN_TREE_CLOEXEC);
        if (fd < 0 || dup3(fd, nest->mount_fd, O_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "cannot take the mount along");
        *ret_fd = nest->mount_fd;
        return 0;
}

int mount_nest_staged(int mount_fd, const char *path, int clone_fd, struct err *err)
{
        struct nest nest = { .mount_fd = mount_fd, .clone_fd = clone_fd, .path = path };
        int same_fd;

        return mount_in_child(nest_run, &nest, &same_fd, err);
}

int mount_nest(int mount_fd, const char *path, int source_fd, unsigned flags, struct err *err)
{
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                            (flags & MOUNT_READ_ONLY ? MOUNT_ATTR_RDONLY : 0) |
                            (flags & MOUNT_NOEXEC ? MOUNT_ATTR_NOEXEC : 0),
                .propagation = MS_PRIVATE,
        };
        CLEANUP(closep) int clone_fd = open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE |
                                                 OPEN_TREE_CLOEXEC);

        if (clone_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot clone what goes onto '%s'", path);
        if (mount_setattr(clone_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the attributes of '%s'", path);
        if (nest_move(mount_fd, path, clone_fd, err) == 0)
                return 0;
        if (err->os != EINVAL)
                return -1;
        return mount_nest_staged(mount_fd, path, clone_fd, err);
}

static int open_target(int dir_fd, const char *name, int *ret_fd, struct err *err)
{
        *ret_fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (*ret_fd < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                                "cannot open the mount point '%s'", name);
        return 0;
}

int mount_attach(int mount_fd, int dir_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int target_fd = -1;

        if (open_target(dir_fd, name, &target_fd, err) < 0)
                return -1;
        if (move_mount(mount_fd, "", target_fd, "", BY_FD) < 0)
                return err_fail(err, ERR_IO, errno, "cannot mount at '%s'", name);
        return 0;
}

int mount_attach_beneath(int mount_fd, int dir_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int target_fd = -1;
        int below, top;

        if (!mount_can_beneath())
                return err_fail(err, ERR_UNSUPPORTED, 0, "mounting beneath takes Linux 6.5");
        if (open_target(dir_fd, name, &target_fd, err) < 0 ||
            mount_id(dir_fd, "", &below, err) < 0 || mount_id(target_fd, "", &top, err) < 0)
                return -1;
        if (below == top)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "nothing is mounted at '%s' to mount beneath", name);
        if (move_mount(mount_fd, "", target_fd, "", BY_FD | MOVE_MOUNT_BENEATH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot mount beneath '%s'", name);
        return 0;
}

bool mount_can_beneath(void)
{
        /* A kernel that knows the flag goes on to look at the descriptors. */
        return move_mount(-1, "", -1, "", BY_FD | MOVE_MOUNT_BENEATH) < 0 && errno == EBADF;
}

/* One try to make the mount read-only wherever it can be written through.  An overlay's
 * superblock is its own, so remounting that reaches every namespace at once; a bind mount's is
 * the whole disk's, so each copy of the mount is done. */
static int seal_once(int top_fd, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
        CLEANUP(closep) int fs_fd = -1;
        struct libmnt_fs *fs;
        int id;

        if (mount_setattr(top_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                                "cannot make it read-only");
        if (mount_table_own(&table, err) < 0 || mount_id(top_fd, "", &id, err) < 0)
                return -1;
        fs = mount_table_find(table, id);
        if (fs == NULL || strcmp(mnt_fs_get_fstype(fs), "overlay") != 0)
                return mount_seal_elsewhere(id, true, err);
        fs_fd = fspick(top_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
        if (fs_fd < 0 || fsconfig(fs_fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
            fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
                return err_fail(err, errno == EBUSY ? ERR_BUSY : ERR_IO, errno,
                                "cannot make the overlay read-only");
        return 0;
}

int mount_seal_fd(int top_fd, unsigned deadline_msec, struct err *err)
{
        int64_t deadline = clock_boot_usec() + (int64_t)deadline_msec * 1000;
        struct timespec pause = { .tv_nsec = 200000 };

        /* Requests end within milliseconds, so the first looks are quick ones. */
        while (seal_once(top_fd, err) < 0) {
                if (err->code != ERR_BUSY || clock_boot_usec() >= deadline)
                        return -1;
                (void)clock_nanosleep(CLOCK_BOOTTIME, 0, &pause, NULL);
                if (pause.tv_nsec < 20000000)
                        pause.tv_nsec *= 2;
        }
        return 0;
}

/* The topmost mount at a name, where there is one. */
static int open_top(int dir_fd, const char *name, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int top_fd = -1;
        int below, top;

        if (open_target(dir_fd, name, &top_fd, err) < 0 || mount_id(dir_fd, "", &below, err) < 0 ||
            mount_id(top_fd, "", &top, err) < 0)
                return -1;
        if (below == top)
                return err_fail(err, ERR_NOT_FOUND, 0, "nothing is mounted at '%s'", name);
        *ret_fd = steal_fd(&top_fd);
        return 0;
}

int mount_seal(int dir_fd, const char *name, unsigned deadline_msec, struct err *err)
{
        CLEANUP(closep) int top_fd = -1;

        if (open_top(dir_fd, name, &top_fd, err) < 0)
                return -1;
        if (mount_seal_fd(top_fd, deadline_msec, err) < 0)
                return err_wrap(err, "'%s'", name);
        return 0;
}

int mount_unseal(int dir_fd, const char *name, struct err *err)
{
        struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
        CLEANUP(closep) int top_fd = -1, fs_fd = -1;
        struct statfs fs;
        int id;

        if (open_top(dir_fd, name, &top_fd, err) < 0 || mount_id(top_fd, "", &id, err) < 0)
                return -1;
        if (mount_setattr(top_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s' writable", name);
        /* An overlay was sealed as a file system; a bind mount's is the whole disk's, not ours. */
        if (fstatfs(top_fd, &fs) < 0 || fs.f_type != OVERLAYFS_SUPER_MAGIC)
                return mount_seal_elsewhere(id, false, err);
        fs_fd = fspick(top_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
        if (fs_fd < 0 || fsconfig(fs_fd, FSCONFIG_SET_FLAG, "rw", NULL, 0) < 0 ||
            fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make the overlay writable");
        return 0;
}

int mount_clone(int dir_fd, const char *name, int *ret_mount_fd, struct err *err)
{
        int fd = open_tree(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_RECURSIVE | OPEN_TREE_CLONE |
                           OPEN_TREE_CLOEXEC);
        struct mount_attr attr = { .propagation = MS_PRIVATE };

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot clone the mount at '%s'", name);
        /* What is unmounted in one of the two sights must not go from the other. */
        if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0) {
                (void)err_fail(err, ERR_IO, errno, "cannot set apart the mount at '%s'", name);
                (void)close(fd);
                return -1;
        }
        *ret_mount_fd = fd;
        return 0;
}

int mount_drop(int dir_fd, const char *name, struct err *err)
{
        CLEANUP(closep) int top_fd = -1;
        char path[64];

        if (open_top(dir_fd, name, &top_fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", top_fd);
        if (umount2(path, MNT_DETACH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot take '%s' away", name);
        return 0;
}
