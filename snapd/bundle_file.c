/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "snapd/bundle_file.h"

#define GROUPS_MAX 256

/* With another file-system uid the kernel takes root's capabilities over files away. */
static int become(uid_t by, struct err *err)
{
        struct passwd entry, *found = NULL;
        gid_t groups[GROUPS_MAX];
        int n = GROUPS_MAX;
        char buf[4096];

        if (by == 0)
                return 0;
        (void)getpwuid_r(by, &entry, buf, sizeof(buf), &found);
        if (found == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no user with the number %u", by);
        if (getgrouplist(entry.pw_name, entry.pw_gid, groups, &n) < 0)
                return err_fail(err, ERR_UNSUPPORTED, 0, "'%s' is in more than %d groups",
                                entry.pw_name, GROUPS_MAX);
        if (setgroups((size_t)n, groups) < 0)
                return err_fail(err, ERR_IO, errno, "cannot take the groups of '%s'",
                                entry.pw_name);
        (void)setfsgid(entry.pw_gid);
        (void)setfsuid(by);
        if (setfsuid((uid_t)-1) != (int)by)
                return err_fail(err, ERR_IO, 0, "cannot take the rights of '%s'", entry.pw_name);
        return 0;
}

/* A process of root's that cannot become root again must not go on. */
static void become_root(void)
{
        (void)setfsuid(0);
        (void)setfsgid(0);
        if (setfsuid((uid_t)-1) != 0 || setgroups(0, NULL) < 0)
                _exit(1);
}

static int open_by_path(const char *path, int flags)
{
        struct open_how how = { .flags = (__u64)(unsigned)(flags | O_CLOEXEC),
                                .resolve = RESOLVE_NO_MAGICLINKS };

        return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static int split(const char *path, char dir[static PATH_MAX], const char **ret_name,
                 struct err *err)
{
        const char *slash = strrchr(path, '/');

        if (slash == NULL || path[0] != '/' || slash[1] == '\0' || strlen(path) >= PATH_MAX ||
            strcmp(slash + 1, "..") == 0 || strcmp(slash + 1, ".") == 0)
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is not the absolute path of a file",
                                path);
        if (strlen(slash + 1) > BUNDLE_NAME_MAX)
                return err_fail(err, ERR_INVALID, 0,
                                "the name '%.300s' is too long: it may have at most %d bytes",
                                slash + 1, BUNDLE_NAME_MAX);
        (void)snprintf(dir, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
        *ret_name = slash + 1;
        return 0;
}

/* The directory that it lies in, and its name. */
struct place {
        int dir_fd;
        const char *name;
};

/* As whoever asked; the caller does its work and is root again by become_root(). */
static int enter(const char *path, uid_t by, struct place *place, struct err *err)
{
        char dir[PATH_MAX];

        if (split(path, dir, &place->name, err) < 0)
                return -1;
        if (become(by, err) < 0) {
                become_root();
                return -1;
        }
        place->dir_fd = open_by_path(dir, O_RDONLY | O_DIRECTORY);
        if (place->dir_fd >= 0)
                return 0;
        (void)err_fail(err,
                       errno == EACCES   ? ERR_DENIED
                       : errno == ENOENT ? ERR_NOT_FOUND
                                         : ERR_IO,
                       errno, "the directory '%s'", dir);
        become_root();
        return -1;
}

static int is_there(const struct place *place, const char *path, struct err *err)
{
        struct stat st;

        if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return err_fail(err, ERR_EXISTS, 0, "'%s' is there already", path);
        return 0;
}

int bundle_file_open(const char *path, uid_t by, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;
        int os;

        if (path[0] != '/')
                return err_fail(err, ERR_INVALID, 0, "'%.200s' is not an absolute path", path);
        if (become(by, err) < 0) {
                become_root();
                return -1;
        }
        fd = open_by_path(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        os = errno;
        become_root();
        if (fd < 0)
                return err_fail(err,
                                os == ENOENT   ? ERR_NOT_FOUND
                                : os == EACCES ? ERR_DENIED
                                               : ERR_IO,
                                os, "'%s'", path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a regular file", path);
        *ret_fd = steal_fd(&fd);
        return 0;
}

int bundle_file_check(const char *path, uid_t by, struct err *err)
{
        struct place place;
        int r;

        if (enter(path, by, &place, err) < 0)
                return -1;
        r = is_there(&place, path, err);
        (void)close(place.dir_fd);
        become_root();
        return r;
}

int bundle_file_partial(const char *path, char partial[static BUNDLE_PARTIAL_MAX], struct err *err)
{
        char dir[PATH_MAX];
        const char *name;
        uint64_t number;

        if (split(path, dir, &name, err) < 0)
                return -1;
        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
                return err_fail(err, ERR_IO, errno, "the kernel gives no random numbers");
        (void)snprintf(partial, BUNDLE_PARTIAL_MAX, "%s.%016" PRIx64 ".partial", name, number);
        return 0;
}

int bundle_file_create(const char *path, const char *partial, uid_t by, int *ret_fd,
                       struct err *err)
{
        struct place place;
        struct stat st;
        int fd = -1, os, r;

        if (enter(path, by, &place, err) < 0)
                return -1;
        r = is_there(&place, path, err);
        if (r == 0) {
                if (fstatat(place.dir_fd, partial, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISREG(st.st_mode) && st.st_uid == by)
                        (void)unlinkat(place.dir_fd, partial, 0);
                fd = openat(place.dir_fd, partial,
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
                os = errno;
                if (fd < 0)
                        r = err_fail(err,
                                     os == EACCES   ? ERR_DENIED
                                     : os == EEXIST ? ERR_EXISTS
                                     : os == ENOSPC ? ERR_NO_SPACE
                                                    : ERR_IO,
                                     os, "cannot make '%s' beside '%s'", partial, path);
        }
        (void)close(place.dir_fd);
        become_root();
        if (r == 0)
                *ret_fd = fd;
        return r;
}

int bundle_file_publish(const char *path, const char *partial, uid_t by, int fd, struct err *err)
{
        struct place place;
        int r = 0;

        if (fsync(fd) < 0)
                return err_fail(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, errno,
                                "cannot sync what is to become '%s'", path);
        if (enter(path, by, &place, err) < 0)
                return -1;
        if (renameat2(place.dir_fd, partial, place.dir_fd, place.name, RENAME_NOREPLACE) < 0)
                r = err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno, "cannot name '%s'",
                             path);
        else
                r = file_sync_dir(place.dir_fd, err);
        (void)close(place.dir_fd);
        become_root();
        return r;
}

int bundle_file_discard(const char *path, const char *partial, uid_t by, struct err *err)
{
        struct place place;
        int r = 0;

        /* A directory that is gone took it along. */
        if (enter(path, by, &place, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (unlinkat(place.dir_fd, partial, 0) < 0 && errno != ENOENT)
                r = err_fail(err, ERR_IO, errno, "cannot remove '%s' beside '%s'", partial, path);
        (void)close(place.dir_fd);
        become_root();
        return r;
}
