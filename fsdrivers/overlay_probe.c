/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/safepath.h"
#include "fsdrivers/overlay_internal.h"

/* File systems that people try and that cannot work, for a sentence with a name in it.  The
 * numbers are the kernel's, linux/magic.h and fs/. */
static const struct {
        long magic;
        const char *name;
} known[] = {
        { 0x6969, "nfs" },       { 0x4d44, "vfat" },       { 0x2011bab0, "exfat" },
        { 0x794c7630, "overlayfs" }, { 0x65735546, "fuse" }, { 0xff534d42, "cifs" },
        { 0xfe534d42, "smb2" },  { 0x01021997, "9p" },     { 0x5346544e, "ntfs" },
        { 0x2fc12fc1, "zfs" },
};

static const char *fs_name(int fd, char buf[static 32])
{
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return "this file system";
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                if ((long)fs.f_type == known[i].magic)
                        return known[i].name;
        (void)snprintf(buf, 32, "file system 0x%lx", (unsigned long)fs.f_type);
        return buf;
}

static int unsupported(int fd, int os, const char *what, struct err *err)
{
        char buf[32];

        return err_fail(err, ERR_UNSUPPORTED, os, "overlayfs cannot work on %s: %s",
                        fs_name(fd, buf), what);
}

/* Without d_type overlayfs shows whiteouts as files. */
static bool tells_types(int fd)
{
        CLEANUP(closedirp) DIR *dir = NULL;
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent *entry;

        dir = copy < 0 ? NULL : fdopendir(copy);
        while (dir != NULL && (entry = readdir(dir)) != NULL)
                if (entry->d_name[0] != '.')
                        return entry->d_type == DT_DIR;
        return false;
}

/* Delete a lower file through a mount and look whether the upper says so. */
static int try_mount(int fd, struct err *err)
{
        char lower[] = "lower", upper[] = "upper", work[] = "work", *lowers[] = { lower };
        struct mount_spec spec = { .kind = MOUNT_OVERLAY, .lowers = lowers, .n_lowers = 1,
                                   .upper = upper, .work = work };
        CLEANUP(closep) int mount_fd = -1;
        struct err inner;
        struct stat st;

        if (mount_build(fd, &spec, &mount_fd, &inner) < 0)
                return unsupported(fd, 0, inner.msg, err);
        if (unlinkat(mount_fd, "file", 0) < 0)
                return unsupported(fd, errno, "a file of a lower layer cannot be deleted", err);
        if (fstatat(fd, "upper/file", &st, AT_SYMLINK_NOFOLLOW) < 0 || !overlay_is_whiteout(&st))
                return unsupported(fd, 0, "it does not keep whiteouts", err);
        if (mkdirat(mount_fd, "dir", 0755) < 0)
                return unsupported(fd, errno, "the mount cannot be written", err);
        return 0;
}

static int probe_in(int fd, struct err *err)
{
        static const char *const dirs[] = { "lower", "upper", "work" };

        for (size_t i = 0; i < 3; i++)
                if (mkdirat(fd, dirs[i], 0755) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot make a directory");
        if (mknodat(fd, "lower/file", S_IFREG | 0644, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a file");
        if (!tells_types(fd))
                return unsupported(fd, 0, "it does not tell the types of files when listing (on "
                                   "xfs: made with ftype=0)", err);
        if (fsetxattr(fd, "trusted.overlay.probe", "y", 1, 0) < 0)
                return unsupported(fd, errno, "no trusted extended attributes", err);
        return try_mount(fd, err);
}

int overlay_probe(int dir_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct err ignored;
        char name[32];
        int ret;

        if (geteuid() != 0)
                return err_fail(err, ERR_UNSUPPORTED, 0, "overlayfs takes root");
        (void)snprintf(name, sizeof(name), ".probe-%d", getpid());
        if (tree_remove(dir_fd, name, err) < 0)
                return -1;
        if (mkdirat(dir_fd, name, 0700) < 0)
                return unsupported(dir_fd, errno, "no directory can be made", err);
        ret = safepath_open(dir_fd, name, O_RDONLY | O_DIRECTORY, &fd, err);
        if (ret == 0)
                ret = probe_in(fd, err);
        if (tree_remove(dir_fd, name, &ignored) < 0 && ret == 0) {
                *err = ignored;
                return -1;
        }
        return ret;
}
