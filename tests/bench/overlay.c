/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a version costs on overlayfs, beside what it cannot do without, in turns in one run.  See
 * README.md.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/fsdriver.h"
#include "tests/bench/series.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define RUNS    40
#define FILES   20000
#define CHANGED 50
#define TIDY    8 /* captures before the stack is merged again, as the daemon would */

static struct err err;
static const struct fs_driver *driver = &fs_driver_overlayfs;

struct bench {
        int pool_fd;
        struct fs_pool *pool;
};

/* What the live version is written to. */
static int upper_of(const struct bench *b, fs_id head)
{
        struct mount_spec spec;
        int fd;

        ASSERT_OK(driver->mounts(b->pool, head, false, &spec, &err));
        fd = openat(b->pool_fd, spec.upper != NULL ? spec.upper : spec.source,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        mount_spec_done(&spec);
        ASSERT(fd >= 0);
        return fd;
}

static void write_files(const struct bench *b, fs_id head, unsigned n, unsigned salt)
{
        CLEANUP(closep) int dir_fd = upper_of(b, head);
        char bytes[3000];

        memset(bytes, 'a', sizeof(bytes));
        (void)snprintf(bytes, sizeof(bytes), "written in turn %u", salt);
        for (unsigned i = 0; i < n; i++) {
                CLEANUP(closep) int fd = -1;
                char name[40];

                (void)snprintf(name, sizeof(name), "file-%u.php", (i * 7919 + salt * 50) % FILES);
                fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                ASSERT(fd >= 0 && write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes));
        }
}

static int count(const struct fs_change *change, void *arg, struct err *e)
{
        (void)change;
        (void)e;
        ++*(unsigned *)arg;
        return 0;
}

static void measure(const char *type)
{
        struct series synced = { 0 }, captured = { 0 }, branched = { 0 }, differs = { 0 };
        struct bench b;
        fs_id id = 2;

        root_begin();
        b.pool_fd = root_dir(root_fs(type, 600), "pool");
        ASSERT(fchmod(b.pool_fd, 0700) == 0);
        ASSERT_OK(driver->open(b.pool_fd, &b.pool, &err));
        ASSERT_OK(driver->import(b.pool, -1, 1, &err));
        for (unsigned i = 0; i < FILES; i += 1000)
                write_files(&b, 1, 1000, 1000 + i / 1000);
        ASSERT_OK(driver->capture(b.pool, 1, id++, &err));
        for (unsigned i = 0; i < RUNS; i++) {
                double begun;
                unsigned n = 0;

                write_files(&b, 1, CHANGED, 2 * i);
                begun = series_now();
                ASSERT(syncfs(b.pool_fd) == 0);
                series_note(&synced, begun);

                write_files(&b, 1, CHANGED, 2 * i);
                begun = series_now();
                ASSERT_OK(driver->capture(b.pool, 1, id, &err));
                series_note(&captured, begun);

                begun = series_now();
                ASSERT_OK(driver->diff(b.pool, id - 1, id, count, &n, &err));
                series_note(&differs, begun);
                ASSERT(n >= CHANGED);

                begun = series_now();
                ASSERT_OK(driver->branch(b.pool, id, 1000 + i, &err));
                series_note(&branched, begun);
                ASSERT_OK(driver->remove(b.pool, 1000 + i, &err));
                id++;
                if (i % TIDY == TIDY - 1)
                        ASSERT_OK(driver->tidy(b.pool, &err));
        }
        driver->close(b.pool);
        (void)printf("# overlayfs on %s, %d files changed, least / median of %d\n", type, CHANGED,
                     RUNS);
        series_report("syncfs", &synced, NULL);
        series_report("capture, which has one in it", &captured, &synced);
        series_report("the changed files of two kept versions", &differs, NULL);
        series_report("branch", &branched, NULL);
}

TEST(overlay_on_ext4)
{
        measure("ext4");
}

TEST(overlay_on_xfs)
{
        measure("xfs");
}
