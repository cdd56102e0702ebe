/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsdrivers/mount.h"
#include "snapd/aside.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

static struct err err;

/* Directories a and b with a file of that name in each; versions/, shared, where 7 shows a. */
struct world {
        const char *root;
        int root_fd, versions_fd;
};

static int build(const struct world *world, const char *dir)
{
        struct mount_spec spec = { .kind = MOUNT_BIND, .source = (char *)dir };
        int fd;

        ASSERT_OK(mount_build(world->root_fd, &spec, &fd, &err));
        return fd;
}

static void world_make(struct world *world)
{
        char versions[200];
        int fd;

        root_begin();
        world->root = root_fs("tmpfs", 16);
        world->root_fd = open(world->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(mkdirat(world->root_fd, "a", 0755) == 0 && mkdirat(world->root_fd, "b", 0755) == 0);
        ASSERT(mkdirat(world->root_fd, "a/a", 0755) == 0 &&
               mkdirat(world->root_fd, "b/b", 0755) == 0);
        ASSERT(mkdirat(world->root_fd, "versions", 0755) == 0);
        (void)snprintf(versions, sizeof(versions), "%s/versions", world->root);
        root_share(versions);
        world->versions_fd = open(versions, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(mkdirat(world->versions_fd, "7", 0755) == 0);
        fd = build(world, "a");
        ASSERT_OK(mount_attach(fd, world->versions_fd, "7", &err));
        (void)close(fd);
}

static void show(const struct world *world, const char *dir)
{
        int fd = build(world, dir);

        test_need_shared_files();
        ASSERT_OK(aside_show(world->versions_fd, "7", fd, &err));
        (void)close(fd);
}

static bool has(const struct world *world, const char *path)
{
        return faccessat(world->versions_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* How many entries there are: one is 7 itself. */
static unsigned long entries(const struct world *world)
{
        struct stat st;

        ASSERT(fstat(world->versions_fd, &st) == 0);
        return st.st_nlink - 2; /* each directory links to it */
}

static void sit_in(void *arg)
{
        if (chdir(arg) < 0)
                _exit(1);
}

TEST(what_nobody_is_in_goes_when_it_is_cleared)
{
        struct world world;
        unsigned depth;
        bool left;

        world_make(&world);
        show(&world, "b");
        ASSERT(has(&world, "7/b") && !has(&world, "7/a"));
        ASSERT_OK(mount_depth(world.versions_fd, "7", &depth, &err));
        ASSERT_EQ(depth, 1);
        ASSERT_EQ(entries(&world), 2);
        ASSERT_OK(aside_clear(world.versions_fd, "8", &left, &err));
        ASSERT_EQ(entries(&world), 2);
        ASSERT_OK(aside_clear(world.versions_fd, "7", &left, &err));
        ASSERT(!left && has(&world, "7/b"));
        ASSERT_EQ(entries(&world), 1);
}

TEST(who_is_in_it_stays_and_is_known)
{
        struct world world;
        char inside[200], still[64];
        bool left, used;
        pid_t sitter;

        world_make(&world);
        (void)snprintf(inside, sizeof(inside), "%s/versions/7", world.root);
        sitter = root_hold(sit_in, inside, 0);
        show(&world, "b");
        ASSERT_OK(aside_used(world.versions_fd, "7", MOUNT_LOOK_QUICK, &used, &err));
        ASSERT(used && err.code == ERR_BUSY);
        ASSERT_OK(aside_clear(world.versions_fd, NULL, &left, &err));
        ASSERT(left);
        (void)snprintf(still, sizeof(still), "/proc/%d/cwd/a", sitter);
        ASSERT(faccessat(AT_FDCWD, still, F_OK, 0) == 0);
        root_release(sitter);
        ASSERT_OK(aside_used(world.versions_fd, "7", MOUNT_LOOK_QUICK, &used, &err));
        ASSERT(!used);
        ASSERT_OK(aside_clear(world.versions_fd, NULL, &left, &err));
        ASSERT(!left);
        ASSERT_EQ(entries(&world), 1);
}

static void map_and_close(void *arg)
{
        int fd = open(arg, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
                _exit(1);
        (void)close(fd);
}

TEST(who_only_has_a_file_mapped_stays_too_and_is_found_by_a_whole_look)
{
        struct world world;
        char inside[200];
        bool left, used;
        pid_t mapper;
        int fd;

        world_make(&world);
        fd = openat(world.root_fd, "a/library", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        ASSERT(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
        (void)snprintf(inside, sizeof(inside), "%s/versions/7/library", world.root);
        mapper = root_hold(map_and_close, inside, 0);
        show(&world, "b");
        ASSERT_OK(aside_used(world.versions_fd, "7", MOUNT_LOOK_QUICK, &used, &err));
        ASSERT(!used);
        ASSERT_OK(aside_used(world.versions_fd, "7", MOUNT_LOOK_WHOLE, &used, &err));
        ASSERT(used && err.code == ERR_BUSY);
        ASSERT_OK(aside_clear(world.versions_fd, "7", &left, &err));
        ASSERT(left);
        root_release(mapper);
        ASSERT_OK(aside_clear(world.versions_fd, "7", &left, &err));
        ASSERT(!left);
}

/* With what is nested in it, and for those who see it through mounts of their own. */
TEST(the_names_of_mount_points_are_exchanged_everywhere_at_once)
{
        struct world world;
        char inside[200], seen[300];
        pid_t sitter;
        int fd;

        test_need_shared_files();
        world_make(&world);
        ASSERT(mkdirat(world.versions_fd, "8", 0755) == 0);
        fd = build(&world, "b");
        ASSERT_OK(mount_nest(fd, "b", world.root_fd, 0, &err));
        ASSERT_OK(mount_attach(fd, world.versions_fd, "8", &err));
        (void)close(fd);
        (void)snprintf(inside, sizeof(inside), "%s/versions/8", world.root);
        sitter = root_hold(sit_in, inside, MS_SLAVE);
        ASSERT_OK(mount_exchange(world.versions_fd, "7", "8", &err));
        ASSERT(has(&world, "8/a") && has(&world, "7/b/a"));
        (void)snprintf(seen, sizeof(seen), "/proc/%d/root%s/a", sitter, inside);
        ASSERT(faccessat(AT_FDCWD, seen, F_OK, 0) == 0);
        (void)snprintf(seen, sizeof(seen), "/proc/%d/cwd/b/a", sitter);
        ASSERT(faccessat(AT_FDCWD, seen, F_OK, 0) == 0);
        ASSERT_OK(mount_detach(world.versions_fd, "8", &err));
        ASSERT_ERR(mount_detach(world.versions_fd, "7", &err), ERR_BUSY, "in use by process");
        root_release(sitter);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT_ERR(mount_exchange(world.versions_fd, "7", "9", &err), ERR_IO, "'9'");
}

TEST(the_last_one_comes_back)
{
        struct world world;
        bool found, left;

        world_make(&world);
        ASSERT_OK(aside_back(world.versions_fd, "7", &found, &err));
        ASSERT(!found);
        show(&world, "b");
        show(&world, "b/b");
        ASSERT(!has(&world, "7/b"));
        ASSERT_OK(aside_back(world.versions_fd, "7", &found, &err));
        ASSERT(found && has(&world, "7/b"));
        ASSERT_OK(aside_clear(world.versions_fd, NULL, &left, &err));
        ASSERT_EQ(entries(&world), 1);
}

/* A crash between the steps leaves an empty place, or the new sight there. */
TEST(what_a_crash_left_is_cleared_and_names_of_others_stay)
{
        struct world world;
        bool left;
        int fd;

        world_make(&world);
        ASSERT(mkdirat(world.versions_fd, ".7.1", 0755) == 0);
        ASSERT(mkdirat(world.versions_fd, ".7.2", 0755) == 0);
        ASSERT(mkdirat(world.versions_fd, ".7.x", 0755) == 0);
        fd = build(&world, "b");
        ASSERT_OK(mount_attach(fd, world.versions_fd, ".7.2", &err));
        (void)close(fd);
        ASSERT_OK(aside_clear(world.versions_fd, "7", &left, &err));
        ASSERT(!left && has(&world, "7/a") && has(&world, ".7.x"));
        ASSERT_EQ(entries(&world), 2);
}
