/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "fsdrivers/treecopy_file.h"

#define TRIES           3
#define TICK_NSEC       (10 * 1000 * 1000) /* the longest of any kernel configuration */
#define BUFFER_BYTES    (256 * 1024)
#define RETRY_BYTES_MAX (64 * 1024 * 1024) /* larger ones are not copied byte by byte again */

/* btrfs refuses to clone between a file with and one without checksums (EINVAL); an empty file
 * can still become one without. */
static int clone_nocow(int src_fd, int dst_fd)
{
        int src_flags, dst_flags;

        if (ioctl(src_fd, FS_IOC_GETFLAGS, &src_flags) < 0 || (src_flags & FS_NOCOW_FL) == 0 ||
            ioctl(dst_fd, FS_IOC_GETFLAGS, &dst_flags) < 0)
                return -1;
        dst_flags |= FS_NOCOW_FL;
        if (ioctl(dst_fd, FS_IOC_SETFLAGS, &dst_flags) < 0)
                return -1;
        return ioctl(dst_fd, FICLONE, src_fd);
}

/* Shares the blocks of the whole file. It fails where the file systems differ or cannot; then
 * bytes are copied. */
static bool clone(int src_fd, int dst_fd)
{
        if (ioctl(dst_fd, FICLONE, src_fd) == 0)
                return true;
        return errno == EINVAL && clone_nocow(src_fd, dst_fd) == 0;
}

static int copy_by_buffer(int src_fd, int dst_fd, off_t at, off_t end, struct err *err)
{
        CLEANUP(freep) char *buffer = malloc(BUFFER_BYTES);

        if (buffer == NULL)
                return err_oom(err);
        if (lseek(dst_fd, at, SEEK_SET) < 0)
                return err_fail(err, ERR_IO, errno, "cannot seek");
        while (at < end) {
                off_t left = end - at;
                ssize_t n = pread(src_fd, buffer, left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES,
                                  at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_fail(err, ERR_IO, errno, "cannot read");
                if (n == 0)
                        break; /* it became shorter */
                if (file_write_all(dst_fd, buffer, (size_t)n, err) < 0)
                        return -1;
                at += n;
        }
        return 0;
}

/* copy_file_range stays in the kernel, but not every pair of file systems can. */
static int copy_range(int src_fd, int dst_fd, off_t at, off_t end, struct err *err)
{
        while (at < end) {
                off_t from = at, to = at;
                ssize_t n = copy_file_range(src_fd, &from, dst_fd, &to, (size_t)(end - at), 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP ||
                              errno == ENOSYS || errno == EPERM || errno == ETXTBSY))
                        return copy_by_buffer(src_fd, dst_fd, at, end, err);
                if (n < 0)
                        return err_fail(err, ERR_IO, errno, "cannot copy");
                if (n == 0)
                        break;
                at += n;
        }
        return 0;
}

/* Only what is not a hole. Where SEEK_DATA is not known (EINVAL) all of the file counts as data. */
static int copy_data(int src_fd, int dst_fd, off_t size, struct err *err)
{
        off_t at = 0;

        if (ftruncate(dst_fd, size) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the size");
        while (at < size) {
                off_t data = lseek(src_fd, at, SEEK_DATA), hole;

                if (data < 0 && errno == ENXIO)
                        break; /* nothing but a hole up to the end */
                if (data < 0)
                        data = at;
                if (data >= size)
                        break;
                hole = lseek(src_fd, data, SEEK_HOLE);
                if (hole < 0 || hole > size)
                        hole = size;
                if (hole <= data)
                        break; /* it was cut off meanwhile */
                if (copy_range(src_fd, dst_fd, data, hole, err) < 0)
                        return -1;
                at = hole;
        }
        return 0;
}

/* Written to in between shows in one of these, see stat_settled(). */
static bool is_same(const struct stat *a, const struct stat *b)
{
        return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
               a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
               a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* A file written to within the present tick of the clock can change again without its times
 * showing it (before Linux 6.13): then the tick is waited out.  A ctime in the future, after the
 * clock was set back, says nothing. */
static int stat_settled(int fd, struct stat *ret_stat)
{
        const struct timespec pause = { .tv_nsec = TICK_NSEC };
        struct timespec now;
        int64_t age_nsec;

        if (fstat(fd, ret_stat) < 0 || clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0)
                return -1;
        age_nsec = (now.tv_sec - ret_stat->st_ctim.tv_sec) * 1000000000 + now.tv_nsec -
                   ret_stat->st_ctim.tv_nsec;
        if (age_nsec > 0 || age_nsec < -TICK_NSEC)
                return 0;
        (void)nanosleep(&pause, NULL);
        return fstat(fd, ret_stat);
}

int treecopy_file(int src_fd, int dst_fd, struct stat *ret_stat, bool *ret_torn, struct err *err)
{
        struct stat after;

        for (unsigned tries = 0; tries < TRIES; tries++) {
                bool cloned = false;

                if (stat_settled(src_fd, ret_stat) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot stat");
                if (tries > 0 && ftruncate(dst_fd, 0) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot empty the copy");
                if (ret_stat->st_size > 0) {
                        cloned = clone(src_fd, dst_fd);
                        if (!cloned && copy_data(src_fd, dst_fd, ret_stat->st_size, err) < 0)
                                return -1;
                }
                if (fstat(src_fd, &after) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot stat");
                *ret_torn = !is_same(ret_stat, &after);
                if (!*ret_torn || (!cloned && after.st_size > RETRY_BYTES_MAX))
                        break;
        }
        return 0;
}
