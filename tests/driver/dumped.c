/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/driver/dumped.h"
#include "tests/lib/test.h"

static int out(const void *bytes, size_t n, void *arg, struct err *err)
{
        return file_write_all(*(int *)arg, bytes, n, err);
}

static ssize_t in(void *bytes, size_t n, void *arg, struct err *err)
{
        static size_t next = 1;
        ssize_t r;

        next = next * 7 % 65521 + 1;
        r = read(*(int *)arg, bytes, n < next ? n : next);
        return r < 0 ? err_fail(err, ERR_IO, errno, "the dump") : r;
}

int dumped_try(const struct db_driver *driver, struct db *db, const char *schema, struct err *err)
{
        int fd = memfd_create("dump", MFD_CLOEXEC);

        ASSERT(fd >= 0);
        if (driver->dump(db, schema, out, &fd, err) == 0)
                return fd;
        (void)close(fd);
        return -1;
}

int dumped_make(const struct db_driver *driver, struct db *db, const char *schema)
{
        struct err err;
        int fd;

        ASSERT_OK(fd = dumped_try(driver, db, schema, &err));
        return fd;
}

int dumped_load(const struct db_driver *driver, struct db *db, const char *copy, int fd,
                struct err *err)
{
        ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
        return driver->load(db, copy, in, &fd, err);
}

void dumped_load_killed(const struct db_driver *driver, const struct db_conf *conf,
                        const char *copy, int fd, unsigned msec)
{
        pid_t pid = fork();
        struct err err;

        ASSERT(pid >= 0);
        if (pid == 0) {
                struct db *own = NULL;

                if (driver->open(conf, &own, &err) == 0)
                        (void)!dumped_load(driver, own, copy, fd, &err);
                for (;;)
                        (void)pause();
        }
        (void)usleep(msec * 1000);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}
