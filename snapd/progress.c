/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/progress.h"

#define FILE_NAME  "progress"
#define SLOTS      256
#define EVERY_USEC (USEC_PER_SEC / 10)

struct slot {
        struct progress progress;
        uint64_t sum; /* reading and writing are not atomic to each other */
};

static off_t slot_offset(uint64_t op)
{
        return (off_t)((op % SLOTS) * sizeof(struct slot));
}

/* Never 0 for a slot that was written: a hole in the file reads as zeroes. */
static uint64_t slot_sum(const struct progress *p)
{
        uint64_t sum = 1;

        for (unsigned i = 0; i < sizeof(*p) / sizeof(uint64_t); i++)
                sum = sum * 1099511628211U ^ ((const uint64_t *)p)[i];
        return sum | 1;
}

void progress_open(int dir_fd, struct progress_file *file)
{
        file->fd = openat(dir_fd, FILE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        file->next_usec = 0;
}

void progress_close(struct progress_file *file)
{
        closep(&file->fd);
        file->fd = -1;
}

bool progress_get(const struct progress_file *file, uint64_t op, struct progress *ret_progress)
{
        struct slot slot;

        if (file->fd < 0 ||
            pread(file->fd, &slot, sizeof(slot), slot_offset(op)) != (ssize_t)sizeof(slot))
                return false;
        if (slot.sum != slot_sum(&slot.progress) || slot.progress.op != op)
                return false;
        *ret_progress = slot.progress;
        return true;
}

bool progress_put(struct progress_file *file, const struct progress *progress)
{
        int64_t now = clock_boot_usec();
        struct slot slot = { .progress = *progress };
        struct progress before = { 0 };

        if (file->fd < 0 || (progress->done != progress->all && now < file->next_usec))
                return false;
        file->next_usec = now + EVERY_USEC;
        (void)progress_get(file, progress->op, &before);
        slot.progress.count = before.count + 1;
        slot.sum = slot_sum(&slot.progress);
        /* A full disk costs the progress bar, not the operation. */
        return pwrite(file->fd, &slot, sizeof(slot), slot_offset(progress->op)) ==
               (ssize_t)sizeof(slot);
}
