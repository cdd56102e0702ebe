/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"

/* With O_NONBLOCK a file that somebody holds a lease on is EAGAIN, until they let go of it or
 * /proc/sys/fs/lease-break-time (45 s) is over.  A tenant may hold one on each file. */
#define LEASE_PAUSE_NSEC (20 * 1000 * 1000)
#define LEASE_TRIES      50

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

int safepath_valid(const char *path, struct err *err)
{
        size_t n = strlen(path);

        if (n == 0 || n > 1023)
                return err_fail(err, ERR_INVALID, 0, "a path has 1 to 1,023 bytes");
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
                        return err_fail(err, ERR_INVALID, 0,
                                        "a path has no control characters");
        for (const char *at = path; at != NULL; at = strchr(at, '/')) {
                size_t len;

                if (at != path)
                        at++;
                len = strcspn(at, "/");
                if (len == 0 || (len == 1 && at[0] == '.') ||
                    (len == 2 && at[0] == '.' && at[1] == '.'))
                        return err_fail(err, ERR_INVALID, 0,
                                        "'%s' is not a relative path without '.', '..' and '//'",
                                        path);
        }
        return 0;
}

bool safepath_within(const char *path, const char *dir)
{
        size_t n = strlen(dir);

        return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static int open_beneath(int root_fd, const char *path, int flags, __u64 resolve, int *ret_fd,
                        struct err *err)
{
        struct open_how how = {
                .flags = (__u64)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                .resolve = resolve,
        };
        const struct timespec pause = { .tv_nsec = LEASE_PAUSE_NSEC };
        unsigned tries = 0;
        int fd;

        /* O_PATH takes only O_CLOEXEC, O_DIRECTORY and O_NOFOLLOW beside it. */
        if ((flags & O_PATH) == 0)
                how.flags |= O_NONBLOCK | O_NOCTTY;
        do {
                if (tries > 0)
                        (void)nanosleep(&pause, NULL);
                fd = (int)syscall(SYS_openat2, root_fd, path[0] == '\0' ? "." : path, &how,
                                  sizeof(how));
        } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < LEASE_TRIES)));

        if (fd >= 0) {
                *ret_fd = fd;
                return 0;
        }
        switch (errno) {
        case ENOENT:
                return err_fail(err, ERR_NOT_FOUND, errno, "'%s'", path);
        case ELOOP:
                return err_fail(err, ERR_REFUSED, 0, "'%s' leads through a symbolic link", path);
        case ENOTDIR: /* a link as the last component with O_DIRECTORY is this, not ELOOP */
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is not a directory, or leads through a symbolic link", path);
        case EAGAIN:
                return err_fail(err, ERR_BUSY, 0, "a process holds a lease on '%s': stop it",
                                path);
        case EXDEV:
                return err_fail(err, ERR_REFUSED, 0, "'%s' leads onto another file system or mount",
                                path);
        default:
                return err_fail(err, ERR_IO, errno, "cannot open '%s'", path);
        }
}

int safepath_open(int root_fd, const char *path, int flags, int *ret_fd, struct err *err)
{
        return open_beneath(root_fd, path, flags, BENEATH | RESOLVE_NO_XDEV, ret_fd, err);
}

int safepath_open_mounted(int root_fd, const char *path, int flags, int *ret_fd, struct err *err)
{
        return open_beneath(root_fd, path, flags, BENEATH, ret_fd, err);
}

int safepath_open_parent(int root_fd, const char *path, int *ret_parent_fd, const char **ret_name,
                         struct err *err)
{
        const char *slash = strrchr(path, '/');
        char parent[1024];

        if (safepath_valid(path, err) < 0)
                return -1;
        (void)snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - path),
                       path);
        if (safepath_open(root_fd, parent, O_PATH | O_DIRECTORY, ret_parent_fd, err) < 0)
                return -1;
        *ret_name = slash == NULL ? path : slash + 1;
        return 0;
}

/* One level of safepath_mkdirs(): after it, *dir_fd is the child. */
static int mkdir_one(int *dir_fd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                     struct err *err)
{
        bool made = mkdirat(*dir_fd, name, 0700) == 0;
        int fd;

        if (!made && errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot make the directory '%s'", name);
        if (safepath_open(*dir_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return -1;
        (void)close(*dir_fd);
        *dir_fd = fd;
        if (made && (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0))
                return err_fail(err, ERR_IO, errno, "cannot set the owner of '%s'", name);
        return 0;
}

int safepath_mkdirs(int root_fd, const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
                    struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char copy[1024], *rest = NULL;

        if (safepath_valid(path, err) < 0)
                return -1;
        (void)snprintf(copy, sizeof(copy), "%s", path);
        if (safepath_open(root_fd, "", O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return -1;
        for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest))
                if (mkdir_one(&fd, name, mode, uid, gid, err) < 0)
                        return -1;
        *ret_fd = steal_fd(&fd);
        return 0;
}

static int check_trusted(int fd, const char *path, int len, struct err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%.*s'", len, path);
        /* A sticky directory such as /tmp lets nobody rename what root made in it. */
        if (st.st_uid != 0 || ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX)))
                return err_fail(err, ERR_REFUSED, 0,
                                "'%.*s' can be changed by others than root (owner %u, mode %04o)",
                                len == 0 ? 1 : len, len == 0 ? "/" : path, st.st_uid,
                                st.st_mode & 07777);
        return 0;
}

int safepath_open_trusted(const char *path, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char copy[1024], *rest = NULL;

        if (path[0] != '/' || (path[1] != '\0' && safepath_valid(path + 1, err) < 0))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a plain absolute path", path);
        if (fd < 0 || check_trusted(fd, path, 0, err) < 0)
                return fd < 0 ? err_fail(err, ERR_IO, errno, "cannot open '/'") : -1;
        (void)snprintf(copy, sizeof(copy), "%s", path + 1);
        for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
                int next;

                if (safepath_open_mounted(fd, name, O_PATH | O_DIRECTORY, &next, err) < 0)
                        return err_wrap(err, "'%s'", path);
                (void)close(fd);
                fd = next;
                if (check_trusted(fd, path, (int)(name - copy) + 1 + (int)strlen(name),
                                  err) < 0)
                        return -1;
        }
        *ret_fd = steal_fd(&fd);
        return 0;
}
