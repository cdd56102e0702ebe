/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs to show a version, on each file system that a site may lie on, and to look who is
 * in one on a machine with many processes.  See README.md.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/mount.h"
#include "tests/bench/series.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

#define RUNS       300
#define LOOKS      20
#define PROCESSES  200
#define NAMESPACES 10

static struct err err;

/* A pool with two layers and an upper, uploads, and versions/7, shared. */
struct site {
        int pool_fd, uploads_fd, versions_fd;
};

static void site_make(const char *type, struct site *site)
{
        static const char *const dirs[] = { "a", "a/uploads", "b", "up", "work" };
        const char *root = root_fs(type, 320);
        char versions[200];

        site->pool_fd = root_dir(root, "pool");
        for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
                ASSERT(mkdirat(site->pool_fd, dirs[i], 0755) == 0);
        site->uploads_fd = root_dir(root, "uploads");
        (void)close(root_dir(root, "versions"));
        (void)snprintf(versions, sizeof(versions), "%s/versions", root);
        root_share(versions);
        site->versions_fd = open(versions, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(site->versions_fd >= 0 && mkdirat(site->versions_fd, "7", 0755) == 0);
}

/* A version with its uploads, built out of sight and shown. */
static void show(const struct site *site, const struct mount_spec *spec)
{
        CLEANUP(closep) int fd = -1;

        ASSERT_OK(mount_build(site->pool_fd, spec, &fd, &err));
        ASSERT_OK(mount_nest(fd, "uploads", site->uploads_fd, MOUNT_NOEXEC, &err));
        ASSERT_OK(mount_attach(fd, site->versions_fd, "7", &err));
}

static void show_often(const char *type, const struct mount_spec *spec, const char *what)
{
        struct series shown = { 0 }, gone = { 0 };
        struct site site;
        char line[80];

        site_make(type, &site);
        for (size_t i = 0; i < RUNS; i++) {
                double begun = series_now();

                show(&site, spec);
                series_note(&shown, begun);
                begun = series_now();
                ASSERT_OK(mount_drop(site.versions_fd, "7", &err));
                series_note(&gone, begun);
        }
        (void)snprintf(line, sizeof(line), "%s on %s is shown with its uploads", what, type);
        series_report(line, &shown, NULL);
        (void)snprintf(line, sizeof(line), "%s on %s is dropped", what, type);
        series_report(line, &gone, NULL);
}

static const struct mount_spec plain = { .kind = MOUNT_BIND, .source = (char *)"a" };
static char *lowers[] = { (char *)"a", (char *)"b" };
static const struct mount_spec layers = { .kind = MOUNT_OVERLAY,
                                          .lowers = lowers,
                                          .n_lowers = 2,
                                          .upper = (char *)"up",
                                          .work = (char *)"work" };

#define SHOWN(type)                                                                                \
        TEST(a_version_is_shown_on_##type)                                                         \
        {                                                                                          \
                root_begin();                                                                      \
                show_often(#type, &plain, "a subvolume");                                          \
        }                                                                                          \
        TEST(an_overlay_is_shown_on_##type)                                                        \
        {                                                                                          \
                root_begin();                                                                      \
                show_often(#type, &layers, "an overlay");                                          \
        }

SHOWN(tmpfs)
SHOWN(ext4)
SHOWN(xfs)

static void look_often(const struct site *site, enum mount_look look, const char *what)
{
        struct series looks = { 0 };

        for (size_t i = 0; i < LOOKS; i++) {
                double begun = series_clock(CLOCK_PROCESS_CPUTIME_ID);
                size_t n;
                pid_t pid;

                ASSERT_OK(mount_users(site->versions_fd, "7", look, &pid, 1, &n, &err));
                ASSERT_EQ(n, 0);
                series_add(&looks, series_clock(CLOCK_PROCESS_CPUTIME_ID) - begun);
        }
        series_report(what, &looks, NULL);
}

TEST(nobody_is_in_a_version_on_a_machine_with_many_processes)
{
        pid_t pids[PROCESSES];
        struct site site;

        root_begin();
        site_make("tmpfs", &site);
        show(&site, &layers);
        for (size_t i = 0; i < PROCESSES; i++)
                pids[i] = root_hold(NULL, NULL, i < NAMESPACES ? MS_SLAVE : 0);
        look_often(&site, MOUNT_LOOK_QUICK, "a quick look, of the processor");
        look_often(&site, MOUNT_LOOK_WHOLE, "a whole look, of the processor");
        for (size_t i = 0; i < PROCESSES; i++)
                root_release(pids[i]);
}
