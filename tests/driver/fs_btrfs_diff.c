/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/treediff.h"
#include "tests/driver/fs_conformance.h"
#include "tests/lib/churn.h"

/*
 * The diff by generation against the one that walks both trees: random operations on heads that
 * are captured and branched, then every tree against every other.  SEED and ROUNDS of the
 * environment repeat a run or make it longer.
 */

static struct err err;

#define LINES 4000

static char *lines[LINES];
static size_t n_lines;

static int collect(const struct fs_change *change, void *arg, struct err *e)
{
        (void)arg;
        (void)e;
        ASSERT(n_lines < LINES);
        ASSERT(asprintf(&lines[n_lines++], "%s %s\n", change->status, change->path) > 0);
        return 0;
}

static int line_order(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *joined(void)
{
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);

        ASSERT(out != NULL);
        if (n_lines > 0)
                qsort(lines, n_lines, sizeof(*lines), line_order);
        for (size_t i = 0; i < n_lines; i++) {
                ASSERT(fputs(lines[i], out) >= 0);
                free(lines[i]);
        }
        ASSERT(fclose(out) == 0);
        n_lines = 0;
        return text;
}

/* Compare two trees both ways; the number of changes. */
static size_t check_pair(struct world *w, fs_id a, fs_id b)
{
        CLEANUP(closep) int from = world_mount(w, a, true), to = world_mount(w, b, true);
        CLEANUP(freep) char *quick = NULL;
        CLEANUP(freep) char *slow = NULL;
        size_t changes;

        ASSERT_OK(w->driver->diff(w->pool, a, b, collect, NULL, &err));
        quick = joined();
        ASSERT_OK(treediff(from, to, 0, collect, NULL, &err));
        changes = n_lines;
        slow = joined();
        if (strcmp(quick, slow) != 0)
                test_fail(__FILE__, __LINE__, "%llu to %llu, by generation:\n%s\nby walking:\n%s",
                          (unsigned long long)a, (unsigned long long)b, quick, slow);
        return changes;
}

static unsigned from_env(const char *name, unsigned otherwise)
{
        const char *text = getenv(name);

        return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

static void operate_on(struct world *w, fs_id head, unsigned n)
{
        CLEANUP(closep) int fd = world_mount(w, head, false);

        churn(fd, n);
}

/* 1 is a head; 2, 3 are captured from it; 4 and 5 branched from 2; 6 captured from 4, 7 branched
 * from 6 and 8 captured from 7: parents, children, siblings and cousins. */
static size_t one_round(struct world *w, fs_id first, size_t *pairs)
{
        const fs_id base = first - 1;
        size_t changes = 0;

        put_dir(w->root_fd, "empty", 0755);
        {
                CLEANUP(closep) int fd = openat(w->root_fd, "empty", O_RDONLY | O_DIRECTORY);

                ASSERT_OK(w->driver->import(w->pool, fd, base + 1, &err));
        }
        del(w->root_fd, "empty");
        operate_on(w, base + 1, 300);
        ASSERT_OK(w->driver->capture(w->pool, base + 1, base + 2, &err));
        operate_on(w, base + 1, churn_pick(120));
        ASSERT_OK(w->driver->capture(w->pool, base + 1, base + 3, &err));
        ASSERT_OK(w->driver->branch(w->pool, base + 2, base + 4, &err));
        ASSERT_OK(w->driver->branch(w->pool, base + 2, base + 5, &err));
        operate_on(w, base + 4, churn_pick(80));
        operate_on(w, base + 5, churn_pick(80));
        ASSERT_OK(w->driver->capture(w->pool, base + 4, base + 6, &err));
        operate_on(w, base + 4, churn_pick(40));
        ASSERT_OK(w->driver->branch(w->pool, base + 6, base + 7, &err));
        operate_on(w, base + 7, churn_pick(40));
        operate_on(w, base + 1, churn_pick(40));
        ASSERT_OK(w->driver->capture(w->pool, base + 7, base + 8, &err));
        operate_on(w, base + 7, 1 + churn_pick(9));
        /* The history leads through trees that are gone, in some rounds. */
        if (churn_pick(3) == 0) {
                ASSERT_OK(w->driver->remove(w->pool, base + 2, &err));
                ASSERT_OK(w->driver->remove(w->pool, base + 4, &err));
        }
        for (fs_id a = base + 1; a <= base + 8; a++)
                for (fs_id b = base + 1; b <= base + 8; b++) {
                        struct fs_info info;

                        if (a == b || w->driver->stat(w->pool, a, &info, &err) < 0 ||
                            w->driver->stat(w->pool, b, &info, &err) < 0)
                                continue;
                        changes += check_pair(w, a, b);
                        (*pairs)++;
                }
        for (fs_id id = base + 1; id <= base + 8; id++)
                ASSERT_OK(w->driver->remove(w->pool, id, &err));
        return changes;
}

TEST(diff_by_generation_is_what_a_walk_finds)
{
        unsigned seed = from_env("SEED", 1), rounds = from_env("ROUNDS", 12);
        size_t pairs = 0, changes = 0;
        struct world w;

        world_make(&w);
        for (unsigned i = 0; i < rounds; i++) {
                churn_seed(seed + i);
                printf("# seed %u\n", seed + i);
                changes += one_round(&w, 1 + i * 8, &pairs);
        }
        printf("# %zu pairs of trees, %zu changes\n", pairs, changes);
        ASSERT(changes > rounds * 100);
}

TEST(strangers_are_compared_by_walking)
{
        struct world w;

        world_make(&w);
        world_import(&w, 1);
        world_import(&w, 2);
        world_use(&w, 2);
        put(w.head_fd, "lib/a", "other");
        ASSERT_EQ(check_pair(&w, 1, 2), 1);
}

/* BTRFS_IOC_INO_LOOKUP cannot tell paths of 4,080 bytes and more. */
TEST(paths_too_long_for_the_kernel_to_tell_are_found)
{
        CLEANUP(closep) int fd = -1;
        char name[201];
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        memset(name, 'd', 200);
        name[200] = '\0';
        fd = openat(w.head_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < 25; i++) {
                int next;

                put_dir(fd, name, 0755);
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                (void)close(fd);
                fd = next;
        }
        world_capture(&w, 1, 2);
        put(fd, "bottom", "x");
        n_lines = 0;
        ASSERT_OK(w.driver->diff(w.pool, 2, 1, collect, NULL, &err));
        ASSERT_EQ(n_lines, 1);
        ASSERT(strncmp(lines[0], "+..... ddd", 10) == 0 && strlen(lines[0]) > 5000);
}

/* What lies in memory only is a change as well. */
TEST(a_change_of_this_moment_is_found_in_a_head)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        ASSERT_EQ(check_pair(&w, 2, 1), 0);
        ASSERT_EQ(check_pair(&w, 1, 1), 0);
        for (unsigned i = 0; i < 20; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "new%u", i);
                put(w.head_fd, name, "x");
                ASSERT_EQ(check_pair(&w, 2, 1), i + 1);
        }
}

TEST(a_mapped_write_is_found)
{
        CLEANUP(closep) int file = -1;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put(w.head_fd, "mapped", "before");
        world_capture(&w, 1, 2);
        file = openat(w.head_fd, "mapped", O_RDWR | O_CLOEXEC);
        ASSERT(pwrite(file, "B", 1, 0) == 1);
        ASSERT_EQ(check_pair(&w, 2, 1), 1);
}

TEST(a_file_of_many_names_is_reported_by_each)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put(w.head_fd, "one", "x");
        for (unsigned i = 0; i < 1200; i++) { /* more than one item of references holds */
                char name[200];

                (void)snprintf(name, sizeof(name), "lib/a_long_name_that_fills_the_item_%0100u", i);
                ASSERT(linkat(w.head_fd, "one", w.head_fd, name, 0) == 0);
        }
        world_capture(&w, 1, 2);
        put(w.head_fd, "one", "y");
        ASSERT_EQ(check_pair(&w, 2, 1), 1201);
}
