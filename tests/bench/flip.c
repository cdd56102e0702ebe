/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench_flip DIR [RUNS]: What the flip of `current` costs on the file system of DIR, beside the
 * bare calls, each in turns with the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/bench/series.h"

#define RUNS_MAX 100000
#define SYNCED   2 /* what the others are compared with */

static const char *const targets[] = { "versions/7", "versions/8" };

static int bare_rename(int dir_fd, const char *target, struct err *err)
{
        (void)target;
        return renameat(dir_fd, "made", dir_fd, "current") == 0
                       ? 0
                       : err_fail(err, ERR_IO, errno, "renameat");
}

static int bare_flip(int dir_fd, const char *target, struct err *err)
{
        return symlinkat(target, dir_fd, "next") == 0 &&
                               renameat(dir_fd, "next", dir_fd, "current") == 0
                       ? 0
                       : err_fail(err, ERR_IO, errno, "symlinkat and renameat");
}

static int synced_flip(int dir_fd, const char *target, struct err *err)
{
        if (bare_flip(dir_fd, target, err) < 0)
                return -1;
        return fsync(dir_fd) == 0 ? 0 : err_fail(err, ERR_IO, errno, "fsync");
}

static int our_flip(int dir_fd, const char *target, struct err *err)
{
        return file_link_replace(dir_fd, "current", target, err);
}

static const struct way {
        const char *name;
        int (*flip)(int dir_fd, const char *target, struct err *err);
        bool made; /* the link is made before the clock starts */
} ways[] = {
        { "rename(2) of a link made before", bare_rename, true },
        { "symlink + rename", bare_flip, false },
        [SYNCED] = { "symlink + rename + fsync of the directory", synced_flip, false },
        { "the flip (file_link_replace)", our_flip, false },
};

#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

static struct series times[N_WAYS];

static int run_once(int dir_fd, size_t way, size_t run, struct err *err)
{
        const char *target = targets[run % 2];
        double started;

        if (ways[way].made && symlinkat(target, dir_fd, "made") < 0)
                return err_fail(err, ERR_IO, errno, "symlinkat");
        started = series_now();
        if (ways[way].flip(dir_fd, target, err) < 0)
                return -1;
        series_note(&times[way], started);
        return 0;
}

int main(int argc, char **argv)
{
        size_t runs = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
        CLEANUP(closep) int dir_fd = -1;
        struct err err;

        if (argc > 1)
                dir_fd = openat(AT_FDCWD, argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0 || runs == 0 || runs > RUNS_MAX) {
                (void)fprintf(stderr, "usage: bench_flip DIR [1 to %d RUNS]\n", RUNS_MAX);
                return 2;
        }
        for (size_t run = 0; run < runs; run++)
                for (size_t way = 0; way < N_WAYS; way++)
                        if (run_once(dir_fd, way, run, &err) < 0) {
                                (void)fprintf(stderr, "%s: %s\n", ways[way].name, err.msg);
                                return 1;
                        }
        (void)unlinkat(dir_fd, "current", 0);
        for (size_t way = 0; way < N_WAYS; way++)
                series_report(ways[way].name, &times[way], &times[SYNCED]);
        return 0;
}
