/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"

static int partial_name(const char *name, char partial[static NAME_MAX + 1], struct err *err)
{
        int n = snprintf(partial, NAME_MAX + 1, "%s.partial", name);

        if (n < 0 || n > NAME_MAX)
                return err_fail(err, ERR_INVALID, 0, "the name '%s' is too long", name);
        return 0;
}

int file_write_all(int fd, const void *data, size_t n, struct err *err)
{
        const char *at = data;

        while (n > 0) {
                ssize_t written = write(fd, at, n);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return err_fail(err, ERR_IO, errno, "cannot write");
                at += written;
                n -= (size_t)written;
        }
        return 0;
}

int file_sync_dir(int dir_fd, struct err *err)
{
        /* fsync refuses O_PATH descriptors, so the directory is opened once more. */
        CLEANUP(closep) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the directory to sync");
        if (fsync(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the directory");
        return 0;
}

int file_replace(int dir_fd, const char *name, const void *data, size_t n, mode_t mode,
                 struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char partial[NAME_MAX + 1];

        if (partial_name(name, partial, err) < 0)
                return -1;

        /* Debris of a crash goes first, so that O_EXCL can refuse what a stranger put there. */
        (void)unlinkat(dir_fd, partial, 0);
        fd = openat(dir_fd, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot create '%s'", partial);
        if (file_write_all(fd, data, n, err) < 0)
                return err_wrap(err, "'%s'", partial);
        if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync '%s'", partial);
        if (renameat(dir_fd, partial, dir_fd, name) < 0)
                return err_fail(err, ERR_IO, errno, "cannot rename to '%s'", name);
        return file_sync_dir(dir_fd, err);
}

int file_read_fd(int fd, size_t max, char **ret_data, size_t *ret_n, struct err *err)
{
        CLEANUP(freep) char *data = NULL;
        size_t n = 0, room = 0;

        for (;;) {
                ssize_t got;

                if (n + 1 >= room) {
                        char *more;

                        room = room == 0 ? 4096 : room * 2;
                        more = realloc(data, room);
                        if (more == NULL)
                                return err_oom(err);
                        data = more;
                }
                got = read(fd, data + n, room - n - 1);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_fail(err, ERR_IO, errno, "cannot read");
                if (got == 0)
                        break;
                n += (size_t)got;
                if (n > max)
                        return err_fail(err, ERR_INVALID, 0, "longer than %zu bytes", max);
        }
        data[n] = '\0';
        *ret_data = STEAL(data);
        if (ret_n != NULL)
                *ret_n = n;
        return 0;
}

int file_read(int dir_fd, const char *name, size_t max, char **ret_data, size_t *ret_n,
              struct err *err)
{
        CLEANUP(closep) int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                                "cannot open '%s'", name);
        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", name);
        if (!S_ISREG(st.st_mode))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a regular file", name);
        if (file_read_fd(fd, max, ret_data, ret_n, err) < 0)
                return err_wrap(err, "'%s'", name);
        return 0;
}

int file_link_replace(int dir_fd, const char *name, const char *target, struct err *err)
{
        char partial[NAME_MAX + 1];

        if (partial_name(name, partial, err) < 0)
                return -1;
        (void)unlinkat(dir_fd, partial, 0);
        if (symlinkat(target, dir_fd, partial) < 0)
                return err_fail(err, ERR_IO, errno, "cannot create the link '%s'", partial);
        if (renameat(dir_fd, partial, dir_fd, name) < 0)
                return err_fail(err, ERR_IO, errno, "cannot rename to '%s'", name);
        return file_sync_dir(dir_fd, err);
}
