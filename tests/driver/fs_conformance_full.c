/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

/* A full disk: each call either happens or leaves what was, however little is left for it. */

static struct err err;

/* Fill the file system with one file, leave about ${left} bytes. */
static void fill_up(struct world *w, off_t left)
{
        CLEANUP(closep) int fd = openat(w->root_fd, "ballast", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat st;
        off_t at = 0;

        ASSERT(fd >= 0);
        for (off_t size = 64 << 20; size >= 4096; size /= 2)
                while (fallocate(fd, 0, at, size) == 0)
                        at += size;
        (void)fsync(fd);
        ASSERT(fstat(fd, &st) == 0);
        ASSERT(ftruncate(fd, st.st_size > left ? st.st_size - left : 0) == 0);
        (void)fsync(fd);
}

static void make_room(struct world *w)
{
        (void)unlinkat(w->root_fd, "ballast", 0);
        sync();
}

static bool there(struct world *w, fs_id id)
{
        struct fs_info info;

        return w->driver->stat(w->pool, id, &info, &err) == 0;
}

/* One attempt with so much room: success, or no space and the world as before. */
static bool attempt(struct world *w, fs_id id, const char *before)
{
        int ret;

        if (id % 2 == 0)
                ret = w->driver->capture(w->pool, 1, id, &err);
        else
                ret = w->driver->branch(w->pool, 2, id, &err);
        if (ret < 0 && err.code != ERR_NO_SPACE)
                test_fail(__FILE__, __LINE__, "%s: %s", err_name(err.code), err.msg);
        make_room(w);
        world_reopen(w);
        if (ret == 0) {
                ASSERT(there(w, id));
                expect_same(before, listing_of(w, id));
        }
        expect_same(before, listing_of(w, 1));
        expect_same(before, listing_of(w, 2));
        return ret == 0;
}

TEST(full_disk_leaves_old_or_new)
{
        fs_id id = 10;
        char *before;
        struct world w;
        bool failed = false;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        closep(&w.head_fd);
        w.head_fd = -1;
        before = listing_of(&w, 2);
        for (off_t left = 0; left <= 64 * 1024; left += 4096)
                for (int call = 0; call < 2; call++, id++) {
                        fill_up(&w, left);
                        if (!attempt(&w, id, before)) {
                                failed = true;
                                /* With room again the same call succeeds. */
                                ASSERT(attempt(&w, id, before));
                        }
                        ASSERT_OK(w.driver->remove(w.pool, id, &err));
                }
        if (!failed)
                printf("# it never ran out of space: what it needs is reserved\n");
}

TEST(full_disk_does_not_keep_trees_from_being_removed)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        for (fs_id id = 2; id < 6; id++) {
                put(w.head_fd, "index.php", "changed");
                world_capture(&w, 1, id);
        }
        closep(&w.head_fd);
        w.head_fd = -1;
        fill_up(&w, 0);
        for (fs_id id = 2; id < 6; id++)
                ASSERT_OK(w.driver->remove(w.pool, id, &err));
        ASSERT(!there(&w, 3));
}
