/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROGRESS_H
#define SNAPD_PROGRESS_H

/*
 * How far running steps are: news for people, worth no fsync and no transaction.
 *
 * A file of fixed size beside the catalog with a slot for each of 256 operations; a later
 * operation takes an earlier one's slot.  A slot that was torn, lost or taken reads as "not
 * known", and nothing depends on it.
 */

#include <stdbool.h>
#include <stdint.h>

struct progress {
        uint64_t op, part, step;
        uint64_t done, all;
        uint64_t count; /* how often the operation has reported */
};

struct progress_file {
        int fd;            /* -1: there is no news */
        int64_t next_usec; /* when the next report is worth writing, on the boot clock */
};

/* progress_open(dir_fd, file): Make the file when it is missing. */
void progress_open(int dir_fd, struct progress_file *file);
void progress_close(struct progress_file *file);

/* progress_put(file, progress): Write it, its count filled in; at most ten times a second, and
 * when all is done.  true when it was written. */
bool progress_put(struct progress_file *file, const struct progress *progress);

/* progress_get(file, op, ret_progress): false when nothing is known. */
bool progress_get(const struct progress_file *file, uint64_t op, struct progress *ret_progress);

#endif
