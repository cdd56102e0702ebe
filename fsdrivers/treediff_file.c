/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/treediff_file.h"

#define BUFFER_BYTES    (128 * 1024)
#define MAP_WORTH_BYTES (256 * 1024) /* below it, reading is as quick */
#define MAP_EXTENTS     64

/* Extents whose place on disk says nothing about their bytes: inline and delayed ones have none,
 * and btrfs gives that of the whole compressed extent, whichever part of it the file shows. */
#define MAP_UNSURE                                                                                 \
        (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |                  \
         FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_NOT_ALIGNED)

#define MAP_BYTES (sizeof(struct fiemap) + MAP_EXTENTS * sizeof(struct fiemap_extent))

/* The next extents from ${at}; dirty pages are written out first, so that every byte has its
 * place. */
static bool map_get(int fd, __u64 at, struct fiemap *map)
{
        memset(map, 0, sizeof(*map));
        map->fm_start = at;
        map->fm_length = FIEMAP_MAX_OFFSET - at;
        map->fm_flags = FIEMAP_FLAG_SYNC;
        map->fm_extent_count = MAP_EXTENTS;
        return ioctl(fd, FS_IOC_FIEMAP, map) == 0;
}

/* SHARED and MERGED depend on who else has the extent and how it was asked for. */
static bool extent_same(const struct fiemap_extent *a, const struct fiemap_extent *b)
{
        const __u32 ignored = FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_MERGED;

        return ((a->fe_flags | b->fe_flags) & MAP_UNSURE) == 0 &&
               (a->fe_flags & ~ignored) == (b->fe_flags & ~ignored) &&
               a->fe_logical == b->fe_logical && a->fe_physical == b->fe_physical &&
               a->fe_length == b->fe_length;
}

/* Do both files lie in the same blocks?  false is "cannot tell". */
static bool map_same(int from_fd, int to_fd)
{
        CLEANUP(freep) struct fiemap *from = malloc(MAP_BYTES);
        CLEANUP(freep) struct fiemap *to = malloc(MAP_BYTES);
        __u64 at = 0;

        if (from == NULL || to == NULL)
                return false;
        for (;;) {
                const struct fiemap_extent *last;
                __u32 n;

                if (!map_get(from_fd, at, from) || !map_get(to_fd, at, to))
                        return false;
                n = from->fm_mapped_extents;
                if (n != to->fm_mapped_extents)
                        return false;
                if (n == 0)
                        return true; /* only holes are left in both */
                for (__u32 i = 0; i < n; i++)
                        if (!extent_same(&from->fm_extents[i], &to->fm_extents[i]))
                                return false;
                last = &from->fm_extents[n - 1];
                if (last->fe_flags & FIEMAP_EXTENT_LAST)
                        return true;
                at = last->fe_logical + last->fe_length;
        }
}

/* A short read means the end of the file and nothing else. */
static int read_full(int fd, char *buffer, off_t at, size_t *ret_n, struct err *err)
{
        size_t n = 0;

        while (n < BUFFER_BYTES) {
                ssize_t got = pread(fd, buffer + n, BUFFER_BYTES - n, at + (off_t)n);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_fail(err, ERR_IO, errno, "cannot read");
                if (got == 0)
                        break;
                n += (size_t)got;
        }
        *ret_n = n;
        return 0;
}

int treediff_file(int from_fd, int to_fd, bool same_fs, bool *ret_differs, struct err *err)
{
        CLEANUP(freep) char *from = NULL;
        CLEANUP(freep) char *to = NULL;
        size_t n_from = 0, n_to = 0;
        struct stat st;
        off_t at = 0;

        if (fstat(from_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat");
        if (same_fs && st.st_size >= MAP_WORTH_BYTES && map_same(from_fd, to_fd)) {
                *ret_differs = false;
                return 0;
        }
        from = malloc(BUFFER_BYTES);
        to = malloc(BUFFER_BYTES);
        if (from == NULL || to == NULL)
                return err_oom(err);
        do {
                if (read_full(from_fd, from, at, &n_from, err) < 0 ||
                    read_full(to_fd, to, at, &n_to, err) < 0)
                        return -1;
                if (n_from != n_to || memcmp(from, to, n_from) != 0) {
                        *ret_differs = true;
                        return 0;
                }
                at += (off_t)n_from;
        } while (n_from == BUFFER_BYTES);
        *ret_differs = false;
        return 0;
}
