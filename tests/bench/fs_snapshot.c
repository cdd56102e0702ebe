/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/fsdriver.h"
#include "fsdrivers/treediff.h"
#include "tests/bench/series.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

/*
 * What a version costs on btrfs, each figure beside what it is compared with, taken in turns in
 * one run.  See README.md.
 */

static struct err err;
static const struct fs_driver *driver = &fs_driver_btrfs;

/* A site on a pool, and a subvolume beside it for what is made by others. */
struct bench {
        const char *root;
        int root_fd, pool_fd, head_fd;
        struct fs_pool *pool;
        fs_id head, next;
        unsigned n_raw;
};

static void write_file(int fd, const char *path, size_t n, unsigned salt)
{
        static char bytes[8192];
        CLEANUP(closep) int file = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        memset(bytes, 'a' + (int)(salt % 26), sizeof(bytes));
        if (file < 0 || write(file, bytes, n) != (ssize_t)n)
                test_fail(__FILE__, __LINE__, "cannot write '%s': %m", path);
}

static void file_name(char name[static 40], unsigned i)
{
        (void)snprintf(name, 40, "d%03u/s%02u/file-%u.php", i / 2000 % 1000, i / 100 % 20, i);
}

/* Directories of a hundred files, nine of ten of them small enough for the metadata. */
static void populate(int fd, unsigned files)
{
        for (unsigned i = 0; i < files; i++) {
                char name[40];

                file_name(name, i);
                if (i % 2000 == 0) {
                        name[4] = '\0';
                        (void)mkdirat(fd, name, 0755);
                        name[4] = '/';
                }
                if (i % 100 == 0) {
                        name[8] = '\0';
                        (void)mkdirat(fd, name, 0755);
                        name[8] = '/';
                }
                write_file(fd, name, i % 10 == 0 ? 6000 : 400, i);
        }
}

static void begin(struct bench *b, unsigned files, unsigned mbytes)
{
        CLEANUP(closep) int empty_fd = -1;
        struct mount_spec spec;

        root_begin();
        *b = (struct bench){ .head = 1, .next = 2 };
        b->root = root_fs("btrfs", mbytes);
        b->root_fd = open(b->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        b->pool_fd = root_dir(b->root, "pool");
        empty_fd = root_dir(b->root, "empty");
        (void)close(root_dir(b->root, "raw"));
        ASSERT_OK(driver->open(b->pool_fd, &b->pool, &err));
        ASSERT_OK(driver->import(b->pool, empty_fd, b->head, &err));
        ASSERT_OK(driver->mounts(b->pool, b->head, false, &spec, &err));
        ASSERT_OK(mount_build(b->pool_fd, &spec, &b->head_fd, &err));
        mount_spec_done(&spec);
        populate(b->head_fd, files);
        ASSERT_OK(driver->sync(b->pool, b->head, &err));
}

/* What happens in a site between two snapshots. */
static void touch_some(int fd, unsigned files, unsigned n, unsigned salt)
{
        for (unsigned i = 0; i < n; i++) {
                char name[40];

                file_name(name, (unsigned)((uint64_t)(i * 7919 + salt * 104729) % files));
                write_file(fd, name, 1000 + salt % 1000, salt);
        }
}

static void raw_snapshot(struct bench *b, struct series *s)
{
        CLEANUP(closep) int raw_fd = openat(b->root_fd, "raw", O_RDONLY | O_DIRECTORY);
        CLEANUP(closep) int fd = openat(b->head_fd, ".", O_RDONLY | O_DIRECTORY);
        struct btrfs_ioctl_vol_args_v2 args = { .fd = fd, .flags = BTRFS_SUBVOL_RDONLY };
        double started;

        (void)snprintf(args.name, sizeof(args.name), "raw-%u", b->n_raw++);
        started = series_now();
        ASSERT(ioctl(raw_fd, BTRFS_IOC_SNAP_CREATE_V2, &args) == 0);
        series_note(s, started);
}

static void capture(struct bench *b, struct series *s)
{
        double started = series_now();

        ASSERT_OK(driver->capture(b->pool, b->head, b->next++, &err));
        series_note(s, started);
}

static void run_timed(const char *const *argv, struct series *s)
{
        double started = series_now();

        if (root_run(argv) == 0)
                series_note(s, started);
        else
                printf("#   %s failed: left out\n", argv[0]);
}

/* A writable snapshot of the head, for snapper alone: it puts a subvolume of its own into what it
 * manages.  Its configurations lie in /etc; in this namespace alone they are elsewhere.  The
 * open subvolume, or -1 when there is no snapper. */
static int snapper_begin(struct bench *b, char subvolume[static 300])
{
        const char *const argv[] = { "snapper",       "--no-dbus", "-c", "bench",
                                     "create-config", subvolume,   NULL };
        CLEANUP(closep) int fd = openat(b->head_fd, ".", O_RDONLY | O_DIRECTORY);
        CLEANUP(closep) int list_fd = -1;
        struct btrfs_ioctl_vol_args_v2 args = { .fd = fd, .name = "snapper" };

        (void)snprintf(subvolume, 300, "%s/snapper", b->root);
        ASSERT(ioctl(b->root_fd, BTRFS_IOC_SNAP_CREATE_V2, &args) == 0);
        if (access("/etc/snapper/configs", F_OK) < 0 || access("/etc/default/snapper", F_OK) < 0 ||
            mount("none", "/etc/snapper/configs", "tmpfs", 0, NULL) < 0)
                return -1;
        list_fd = open("/etc/snapper/configs/list", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (list_fd < 0 || write(list_fd, "SNAPPER_CONFIGS=\"\"\n", 19) != 19 ||
            mount("/etc/snapper/configs/list", "/etc/default/snapper", NULL, MS_BIND, NULL) < 0 ||
            root_run(argv) != 0) {
                printf("#   snapper is not here, or does not take a configuration\n");
                return -1;
        }
        return open(subvolume, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void snapshot_cost(unsigned files, unsigned runs, bool copies)
{
        static struct series raw, captured, snapper, copied;
        const char *const snapper_argv[] = {
                "snapper", "--no-dbus", "-c", "bench", "create", NULL
        };
        char from[300], to[300], subvolume[300];
        const char *const copy_argv[] = { "cp", "-a", "--reflink=always", from, to, NULL };
        CLEANUP(closep) int snapper_fd = -1;
        struct bench b;

        begin(&b, files, 1000 + files / 60);
        (void)snprintf(from, sizeof(from), "%s/pool/trees/h1.0", b.root);
        (void)snprintf(to, sizeof(to), "%s/copy", b.root);
        snapper_fd = snapper_begin(&b, subvolume);
        for (unsigned i = 0; i < runs; i++) {
                /* In turns, and each in another order, so that none has the better moment. */
                for (unsigned turn = 0; turn < 2; turn++) {
                        touch_some(b.head_fd, files, 10, i * 2 + turn);
                        if (turn == i % 2)
                                raw_snapshot(&b, &raw);
                        else
                                capture(&b, &captured);
                }
                if (snapper_fd >= 0 && i < 15) {
                        touch_some(snapper_fd, files, 10, i);
                        run_timed(snapper_argv, &snapper);
                }
        }
        if (copies)
                run_timed(copy_argv, &copied);
        printf("# snapshot of %u files, least / median of %u\n", files, runs);
        series_report("ioctl(BTRFS_IOC_SNAP_CREATE_V2)", &raw, &raw);
        series_report("capture", &captured, &raw);
        series_report("snapper --no-dbus create", &snapper, &raw);
        series_report("cp -a --reflink=always", &copied, &raw);
}

TEST(snapshot_of_1k_files)
{
        snapshot_cost(1000, 60, true);
}

TEST(snapshot_of_100k_files)
{
        snapshot_cost(100000, 60, true);
}

TEST(snapshot_of_500k_files)
{
        snapshot_cost(500000, 40, false);
}

TEST(snapshot_with_many_versions)
{
        static const unsigned levels[] = { 1, 100, 500 };
        struct bench b;

        begin(&b, 1000, 1500);
        for (size_t l = 0; l < 3; l++) {
                static struct series raw, captured;

                raw.n = captured.n = 0;
                while (b.next - 2 < levels[l]) {
                        struct series unused = { .n = 0 };

                        touch_some(b.head_fd, 1000, 2, (unsigned)b.next);
                        capture(&b, &unused);
                }
                for (unsigned i = 0; i < 40; i++) {
                        touch_some(b.head_fd, 1000, 10, i);
                        if (i % 2)
                                raw_snapshot(&b, &raw);
                        touch_some(b.head_fd, 1000, 10, i + 1000);
                        capture(&b, &captured);
                        ASSERT_OK(driver->remove(b.pool, --b.next, &err));
                        touch_some(b.head_fd, 1000, 10, i + 2000);
                        if (i % 2 == 0)
                                raw_snapshot(&b, &raw);
                }
                printf("# snapshot with %u versions, least / median of 40\n", levels[l]);
                series_report("ioctl(BTRFS_IOC_SNAP_CREATE_V2)", &raw, &raw);
                series_report("capture", &captured, &raw);
        }
}

static int count(const struct fs_change *change, void *arg, struct err *e)
{
        (void)change;
        (void)e;
        ++*(unsigned *)arg;
        return 0;
}

static unsigned diff_trees(struct bench *b, fs_id from, fs_id to, struct series *s)
{
        double started = series_now();
        unsigned n = 0;

        ASSERT_OK(driver->diff(b->pool, from, to, count, &n, &err));
        series_note(s, started);
        return n;
}

/* All of both trees is read, as it has to be where the file system cannot tell. */
static unsigned walk_trees(struct bench *b, const char *from, const char *to, struct series *s)
{
        CLEANUP(closep) int trees_fd = openat(b->pool_fd, "trees", O_RDONLY | O_DIRECTORY);
        CLEANUP(closep) int from_fd = openat(trees_fd, from, O_RDONLY | O_DIRECTORY);
        CLEANUP(closep) int to_fd = openat(trees_fd, to, O_RDONLY | O_DIRECTORY);
        double started = series_now();
        unsigned n = 0;

        ASSERT(from_fd >= 0 && to_fd >= 0);
        ASSERT_OK(treediff(from_fd, to_fd, TREEDIFF_SAME_FS, count, &n, &err));
        series_note(s, started);
        return n;
}

/* Taking a plain directory over: copied once while the site runs, caught up with in the hold. */
TEST(import_of_100k_files)
{
        static struct series first, again, copied;
        char command[300];
        const char *const copy_argv[] = { "sh", "-c", command, NULL };
        CLEANUP(closep) int site_fd = -1;
        struct rusage before, after;
        struct bench b;

        begin(&b, 1, 8000);
        (void)snprintf(command, sizeof(command),
                       "cd %s && cp -a --reflink=always site copy && sync -f .", b.root);
        site_fd = root_dir(b.root, "site");
        populate(site_fd, 100000);
        ASSERT(syncfs(site_fd) == 0);
        run_timed(copy_argv, &copied);
        getrusage(RUSAGE_SELF, &before);
        for (fs_id id = 10; id < 13; id++) {
                double started = series_now();

                ASSERT_OK(driver->import(b.pool, site_fd, id, &err));
                series_note(&first, started);
                touch_some(site_fd, 100000, 50, (unsigned)id);
                started = series_now();
                ASSERT_OK(driver->import(b.pool, site_fd, id, &err));
                series_note(&again, started);
        }
        getrusage(RUSAGE_SELF, &after);
        printf("# import of 100,000 files, least / median of 3; %ld kB more memory at its peak\n",
               after.ru_maxrss - before.ru_maxrss);
        series_report("cp -a --reflink=always && sync -f", &copied, &copied);
        series_report("import", &first, &copied);
        series_report("import again, 50 files changed", &again, &copied);
}

TEST(changed_files_of_100k)
{
        static struct series frozen, live, walked, snapper, sizes;
        const char *const status_argv[] = { "snapper", "--no-dbus", "-c", "bench",
                                            "status",  "1..2",      NULL };
        const char *const create_argv[] = { "snapper", "--no-dbus", "-c", "bench", "create", NULL };
        struct fs_sizes size;
        char subvolume[300];
        CLEANUP(closep) int snapper_fd = -1;
        unsigned n = 0;
        struct bench b;

        begin(&b, 100000, 3000);
        snapper_fd = snapper_begin(&b, subvolume);
        if (snapper_fd >= 0)
                ASSERT(root_run(create_argv) == 0);
        ASSERT_OK(driver->capture(b.pool, 1, 2, &err));
        touch_some(b.head_fd, 100000, 50, 77);
        ASSERT_OK(driver->capture(b.pool, 1, 3, &err));
        if (snapper_fd >= 0) {
                touch_some(snapper_fd, 100000, 50, 77);
                ASSERT(root_run(create_argv) == 0);
        }
        for (unsigned i = 0; i < 40; i++) {
                n = diff_trees(&b, 2, 3, &frozen);
                ASSERT_EQ(n, 50);
                ASSERT_EQ(diff_trees(&b, 2, 1, &live) >= 50, 1);
                if (snapper_fd >= 0 && i < 10)
                        run_timed(status_argv, &snapper);
        }
        for (unsigned i = 0; i < 3; i++) {
                double started = series_now();

                ASSERT_EQ(walk_trees(&b, "f2.1", "f3.1", &walked), 50);
                started = series_now();
                ASSERT_OK(driver->sizes(b.pool, 2, &size, &err));
                series_note(&sizes, started);
        }
        printf("# %u changed files of 100,000, least / median\n", n);
        series_report("diff of two kept versions", &frozen, &frozen);
        series_report("diff of the live one with a kept one", &live, &frozen);
        series_report("snapper --no-dbus status", &snapper, &frozen);
        series_report("reading both trees", &walked, &frozen);
        series_report("sizes of a version", &sizes, &frozen);
}
