/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/ballast.h"

#define NAME       ".ballast"
#define PARTIAL    ".ballast.partial"
#define DATA_BYTES (8u << 20)
#define N_SMALL    300 /* small files give back what a file system keeps apart for metadata */
#define SMALL_SIZE 1500

static void remove_all(int dir_fd, const char *name)
{
        CLEANUP(closep) int fd = -1;
        struct err err;
        char small[16];

        if (safepath_open(dir_fd, name, O_RDONLY | O_DIRECTORY, &fd, &err) < 0)
                return;
        (void)unlinkat(fd, "data", 0);
        for (int i = 0; i < N_SMALL; i++) {
                (void)snprintf(small, sizeof(small), "%d", i);
                (void)unlinkat(fd, small, 0);
        }
        (void)unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static int write_file(int dir_fd, const char *name, size_t size, struct err *err)
{
        CLEANUP(closep)
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        unsigned char block[4096];

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot make the ballast '%s'", name);
        /* Not zeros: a file system that compresses would keep no room for them. */
        for (size_t i = 0; i < sizeof(block); i++)
                block[i] = (unsigned char)((i * 2654435761u) >> 13);
        while (size > 0) {
                size_t n = size < sizeof(block) ? size : sizeof(block);

                block[size % sizeof(block)]++;
                if (file_write_all(fd, block, n, err) < 0)
                        return -1;
                size -= n;
        }
        return 0;
}

static int write_all(int fd, struct err *err)
{
        char small[16];

        if (write_file(fd, "data", DATA_BYTES, err) < 0)
                return -1;
        for (int i = 0; i < N_SMALL; i++) {
                (void)snprintf(small, sizeof(small), "%d", i);
                if (write_file(fd, small, SMALL_SIZE, err) < 0)
                        return -1;
        }
        if (syncfs(fd) < 0)
                return err_fail(err, ERR_IO, errno, "cannot sync the ballast");
        return 0;
}

int ballast_lay(int dir_fd, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct statvfs st;

        if (faccessat(dir_fd, NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        if (fstatvfs(dir_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot ask for free space");
        if ((uint64_t)st.f_bavail * st.f_frsize < 5ull * DATA_BYTES)
                return 0;
        remove_all(dir_fd, PARTIAL);
        if (safepath_mkdirs(dir_fd, PARTIAL, 0700, 0, 0, &fd, err) < 0)
                return -1;
        if (write_all(fd, err) < 0) {
                remove_all(dir_fd, PARTIAL);
                return -1;
        }
        if (renameat(dir_fd, PARTIAL, dir_fd, NAME) < 0)
                return err_fail(err, ERR_IO, errno, "cannot lay the ballast");
        return 0;
}

bool ballast_drop(int dir_fd)
{
        CLEANUP(closep) int fd = -1;
        struct err err;

        if (faccessat(dir_fd, NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
            faccessat(dir_fd, PARTIAL, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        remove_all(dir_fd, NAME);
        remove_all(dir_fd, PARTIAL); /* a process died while it laid it */
        /* The room is there once the removal is on disk, on some file systems not before. */
        if (safepath_open(dir_fd, "", O_RDONLY | O_DIRECTORY, &fd, &err) == 0)
                (void)syncfs(fd);
        return true;
}
