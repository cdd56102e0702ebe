/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/lock.h"

/* flock() has no timeout, so it is asked again: often enough that nobody notices, and a look costs
 * a few microseconds. */
#define PAUSE_NSEC     1000000
#define PAUSE_MAX_NSEC 4000000

int lock_take(const struct dirs *dirs, const char *name, unsigned wait_msec, int *ret_fd,
              struct err *err)
{
        int64_t deadline = clock_boot_usec() + (int64_t)wait_msec * 1000;
        struct timespec pause = { .tv_nsec = PAUSE_NSEC };
        CLEANUP(closep) int fd = -1;

        fd = openat(dirs->run_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open the lock '%s'", name);
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return err_fail(err, ERR_IO, errno, "cannot take the lock '%s'", name);
                if (clock_boot_usec() >= deadline)
                        return err_fail(err, ERR_BUSY, 0, "'%s' is held by another process", name);
                (void)nanosleep(&pause, NULL);
                if (pause.tv_nsec < PAUSE_MAX_NSEC)
                        pause.tv_nsec *= 2;
        }
        *ret_fd = steal_fd(&fd);
        return 0;
}

int lock_site(const struct dirs *dirs, const char *site, unsigned wait_msec, int *ret_fd,
              struct err *err)
{
        char name[64];

        (void)snprintf(name, sizeof(name), "site-%s.lock", site);
        if (lock_take(dirs, name, wait_msec, ret_fd, err) == 0)
                return 0;
        return err->code == ERR_BUSY
                       ? err_fail(err, ERR_BUSY, 0, "site '%s' is busy: try again", site)
                       : -1;
}
