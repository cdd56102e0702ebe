/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

/* What only the overlayfs driver has: layers, and mounts that go on using them. */

static struct err err;

static void put_mbyte(int fd, const char *path)
{
        CLEANUP(closep) int file = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        static char block[1 << 20];

        memset(block, 'm', sizeof(block));
        ASSERT(write(file, block, sizeof(block)) == sizeof(block));
}

static void attach(struct world *w, fs_id id, const char *name)
{
        CLEANUP(closep) int fd = world_mount(w, id, false);

        put_dir(w->root_fd, name, 0755);
        ASSERT_OK(mount_attach(fd, w->root_fd, name, &err));
}

/* How many entries a directory has. */
static size_t entries(int dir_fd)
{
        CLEANUP(closedirp) DIR *dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY));
        struct dirent *entry;
        size_t n = 0;

        ASSERT(dir != NULL);
        while ((entry = readdir(dir)) != NULL)
                n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        return n;
}

static size_t n_layers(struct world *w)
{
        CLEANUP(closep) int fd = openat(w->pool_fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return entries(fd) - 1; /* the empty one */
}

/* Between a capture and the sealing of the head's old mount that mount writes to a layer which a
 * frozen tree lists: such a layer is not merged. */
TEST(tidy_leaves_what_an_old_mount_still_writes)
{
        struct world w;

        world_make(&w);
        world_import(&w, 1);
        ASSERT_OK(w.driver->capture(w.pool, 1, 2, &err));
        attach(&w, 1, "old");
        put_mbyte(w.root_fd, "old/large");
        put_mbyte(w.root_fd, "old/index.php");
        ASSERT_OK(w.driver->capture(w.pool, 1, 3, &err));
        ASSERT_OK(w.driver->remove(w.pool, 2, &err));
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        put(w.root_fd, "old/late", "written before the seal");
        world_use(&w, 1);
        expect_text(w.head_fd, "late", "written before the seal");

        /* Sealed, it is merged, and the old mount goes on showing what it showed. */
        ASSERT_OK(mount_seal(w.root_fd, "old", 1000, &err));
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_EQ(n_layers(&w), 3);
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        ASSERT(has(w.pool_fd, "layers/1-2_1"));
        expect_text(w.root_fd, "old/late", "written before the seal");
        world_use(&w, 1);
        expect_text(w.head_fd, "late", "written before the seal");
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(mount_detach(w.root_fd, "old", &err));
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        ASSERT_EQ(n_layers(&w), 2);
}

TEST(tidy_leaves_layers_apart_that_trees_need)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        for (fs_id id = 2; id < 6; id++) {
                put_mbyte(w.head_fd, "large");
                world_capture(&w, 1, id);
        }
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_EQ(n_layers(&w), 5);
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        ASSERT_EQ(n_layers(&w), 5);
        ASSERT(has(w.pool_fd, "layers/1-3") && has(w.pool_fd, "layers/1-4"));
        ASSERT_OK(w.driver->remove(w.pool, 4, &err));
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        ASSERT_EQ(n_layers(&w), 4);
        ASSERT(has(w.pool_fd, "layers/1-4_1-3"));
}

/* A tree mounted before its layers were merged is still that tree. */
TEST(merged_tree_is_busy_under_its_old_mount)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        for (fs_id id = 2; id < 5; id++) {
                put_mbyte(w.head_fd, "large");
                world_capture(&w, 1, id);
        }
        closep(&w.head_fd);
        w.head_fd = -1;
        attach(&w, 4, "kept");
        ASSERT_OK(w.driver->remove(w.pool, 2, &err));
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        ASSERT(!has(w.pool_fd, "layers/1-2_1-3"));
        ASSERT_ERR(w.driver->remove(w.pool, 4, &err), ERR_BUSY, "tree 4 is mounted");
        ASSERT(has(w.root_fd, "kept/lib/a"));
        ASSERT_OK(mount_detach(w.root_fd, "kept", &err));
        ASSERT_OK(w.driver->remove(w.pool, 4, &err));
}

TEST(too_deep_a_stack_is_refused_and_tidied)
{
        struct world w;
        char *head;

        world_make(&w);
        world_import(&w, 1);
        for (fs_id id = 2; id < 499; id++)
                ASSERT_OK(w.driver->capture(w.pool, 1, id, &err));
        world_use(&w, 1);
        head = listing(w.head_fd);
        ASSERT_ERR(w.driver->capture(w.pool, 1, 600, &err), ERR_REFUSED, "tidy the pool first");
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        ASSERT_OK(w.driver->capture(w.pool, 1, 600, &err));
        expect_same(head, listing_of(&w, 600));
        expect_same(head, listing_of(&w, 400));
}

TEST(damaged_record_stops_everything_that_could_delete)
{
        struct mount_spec spec;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        closep(&w.head_fd);
        w.head_fd = -1;
        put(w.pool_fd, "trees/2", "{\"format\":1,\"kind\":\"frozen\",\"layers\":[\"../../etc\"]}");
        ASSERT_ERR(w.driver->mounts(w.pool, 2, true, &spec, &err), ERR_CORRUPT, "tree 2");
        ASSERT_ERR(w.driver->remove(w.pool, 1, &err), ERR_CORRUPT, "tree 2");
        ASSERT_ERR(w.driver->tidy(w.pool, &err), ERR_CORRUPT, "tree 2");
        put(w.pool_fd, "trees/2", "");
        ASSERT_ERR(w.driver->tidy(w.pool, &err), ERR_CORRUPT, "tree 2");
        ASSERT(has(w.pool_fd, "layers/1"));
}

TEST(size_of_a_frozen_tree_is_measured_once)
{
        struct fs_sizes first, again, head;
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        put_mbyte(w.head_fd, "large");
        for (fs_id id = 2; id < 5; id++)
                world_capture(&w, 1, id);
        ASSERT_OK(w.driver->sync(w.pool, 1, &err));
        ASSERT_OK(w.driver->sizes(w.pool, 4, &first, &err));
        ASSERT_OK(w.driver->remove(w.pool, 3, &err));
        closep(&w.head_fd);
        w.head_fd = -1;
        ASSERT_OK(w.driver->tidy(w.pool, &err));
        world_reopen(&w);

        /* What only a look at the files could tell is not looked at again. */
        put_mbyte(w.pool_fd, "layers/1/planted");
        ASSERT_OK(w.driver->sizes(w.pool, 4, &again, &err));
        ASSERT_EQ(again.total_bytes, first.total_bytes);
        ASSERT_OK(w.driver->sizes(w.pool, 1, &head, &err));
        ASSERT(head.total_bytes >= first.total_bytes + (1 << 20));
}

TEST(number_of_another_tree_is_not_taken)
{
        struct world w;

        world_make(&w);
        world_start(&w, 1);
        world_capture(&w, 1, 2);
        ASSERT_ERR(w.driver->branch(w.pool, 2, 1, &err), ERR_EXISTS, "1");
        ASSERT_ERR(w.driver->capture(w.pool, 1, 1, &err), ERR_EXISTS, "1");
        ASSERT_ERR(w.driver->import(w.pool, -1, 2, &err), ERR_EXISTS, "2");
}

TEST(open_pool_must_be_of_root_alone)
{
        struct fs_pool *pool;
        struct world w;

        world_make(&w);
        ASSERT(fchmod(w.pool_fd, 0755) == 0);
        ASSERT_ERR(w.driver->open(w.pool_fd, &pool, &err), ERR_REFUSED, "0700");
}

TEST(probe_names_what_is_missing_and_leaves_nothing)
{
        CLEANUP(closep) int fd = -1;
        const char *plain;

        root_begin();
        plain = root_fs("ramfs", 8);
        fd = open(plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_ERR(fs_driver_overlayfs.probe(fd, &err), ERR_UNSUPPORTED, "extended attributes");
        ASSERT_EQ(entries(fd), 0);
}

/* The second layer of an adopted directory: a link there is hidden, not removed. */
TEST(stub_over_a_link_of_an_adopted_directory_leaves_the_link)
{
        static const char *const paths[] = { "lib/link", "uploads" };
        CLEANUP(closep) int dir_fd = -1;
        char name[NAME_MAX + 1];
        struct world w;

        world_make(&w);
        world_import(&w, 1);
        ASSERT_OK(w.driver->stubs(w.pool, 1, paths + 1, 1, &err));
        ASSERT_OK(w.driver->slot(w.pool, 1, &dir_fd, name, &err)); /* nothing had to be hidden */
        ASSERT_OK(w.driver->stubs(w.pool, 1, paths, 2, &err));
        ASSERT(!is_dir(w.pool_fd, "layers/1/lib/link"));
        world_use(&w, 1);
        ASSERT(is_dir(w.head_fd, "lib/link"));
        ASSERT_ERR(w.driver->slot(w.pool, 1, &dir_fd, name, &err), ERR_UNSUPPORTED, "2 layers");
}

static int wait_for(pid_t pid)
{
        int status = -1;

        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Two processes at one pool: records are changed one after the other. */
TEST(two_processes_capture_at_once)
{
        struct world w;
        pid_t pids[2];
        char *head;

        world_make(&w);
        world_import(&w, 1);
        head = listing_of(&w, 1);
        for (int i = 0; i < 2; i++) {
                pids[i] = fork();
                if (pids[i] != 0)
                        continue;
                if (w.driver->open(w.pool_fd, &w.pool, &err) < 0)
                        _exit(1);
                for (fs_id id = 0; id < 20; id++)
                        if (w.driver->capture(w.pool, 1, 100 + 100 * (fs_id)i + id, &err) < 0 ||
                            (id % 5 == 0 && w.driver->tidy(w.pool, &err) < 0))
                                _exit(1);
                _exit(0);
        }
        for (int i = 0; i < 2; i++)
                ASSERT_EQ(wait_for(pids[i]), 0);
        for (fs_id id = 0; id < 20; id++) {
                expect_same(head, listing_of(&w, 100 + id));
                expect_same(head, listing_of(&w, 200 + id));
        }
        expect_same(head, listing_of(&w, 1));
}
