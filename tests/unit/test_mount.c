/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fsdrivers/mount_internal.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

static struct err err;

/* A pool with the layers a (file "in-a", directory "sub"), b (file "in-b"), up, work, and beside
 * it versions/, shared, with the mount point 7, and uploads/. */
struct world {
        const char *root;
        int pool_fd, versions_fd, uploads_fd;
};

static void put_file(int dir_fd, const char *name, const char *text)
{
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        ASSERT(fd >= 0);
        ASSERT_EQ(write(fd, text, strlen(text)), strlen(text));
        (void)close(fd);
}

static bool has(int dir_fd, const char *path)
{
        return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void world_make(struct world *world)
{
        static const char *const dirs[] = {
                "a", "a/sub", "a/sub/deep", "b", "up", "work", "empty"
        };
        char versions[200];

        root_begin();
        world->root = root_fs("tmpfs", 64);
        world->pool_fd = root_dir(world->root, "pool");
        for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
                ASSERT(mkdirat(world->pool_fd, dirs[i], 0755) == 0);
        put_file(world->pool_fd, "a/in-a", "a");
        put_file(world->pool_fd, "b/in-b", "b");
        world->uploads_fd = root_dir(world->root, "uploads");
        put_file(world->uploads_fd, "photo", "p");
        (void)close(root_dir(world->root, "versions"));
        (void)snprintf(versions, sizeof(versions), "%s/versions", world->root);
        root_share(versions);
        world->versions_fd = open(versions, O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT(mkdirat(world->versions_fd, "7", 0755) == 0);
        ASSERT(mkdirat(world->versions_fd, "8", 0755) == 0);
}

static struct mount_spec bind_of(const char *dir, bool read_only)
{
        struct mount_spec spec = { .kind = MOUNT_BIND,
                                   .read_only = read_only,
                                   .source = strdup(dir) };

        return spec;
}

static struct mount_spec overlay_of(bool read_only)
{
        struct mount_spec spec = { .kind = MOUNT_OVERLAY, .read_only = read_only, .n_lowers = 2 };

        spec.lowers = calloc(2, sizeof(char *));
        spec.lowers[0] = strdup("a");
        spec.lowers[1] = strdup("b");
        if (!read_only) {
                spec.upper = strdup("up");
                spec.work = strdup("work");
        }
        return spec;
}

static int build(const struct world *world, struct mount_spec spec)
{
        int fd;

        ASSERT_OK(mount_build(world->pool_fd, &spec, &fd, &err));
        mount_spec_done(&spec);
        return fd;
}

/* Attach and let go of the descriptor, which would count as a user of the mount. */
static void show(const struct world *world, struct mount_spec spec, const char *name)
{
        int fd = build(world, spec);

        ASSERT_OK(mount_attach(fd, world->versions_fd, name, &err));
        (void)close(fd);
}

static unsigned long flags_of(int dir_fd, const char *path)
{
        int fd = openat(dir_fd, path, O_PATH | O_CLOEXEC);
        struct statvfs vfs;

        ASSERT(fd >= 0 && fstatvfs(fd, &vfs) == 0);
        (void)close(fd);
        return vfs.f_flag;
}

TEST(bind_shows_the_directory_without_suid_and_devices)
{
        struct world world;
        int fd;

        world_make(&world);
        fd = build(&world, bind_of("a", false));
        ASSERT(has(fd, "in-a"));
        ASSERT_EQ(flags_of(fd, ".") & (ST_NOSUID | ST_NODEV | ST_RDONLY), ST_NOSUID | ST_NODEV);
        put_file(fd, "new", "n");
        ASSERT(has(world.pool_fd, "a/new"));
}

TEST(read_only_bind_refuses_writes)
{
        struct world world;
        int fd;

        world_make(&world);
        fd = build(&world, bind_of("a", true));
        ASSERT(openat(fd, "new", O_WRONLY | O_CREAT, 0644) < 0 && errno == EROFS);
        put_file(world.pool_fd, "a/new", "n"); /* the pool itself is not touched by it */
}

TEST(bind_does_not_follow_a_link_out_of_the_pool)
{
        struct world world;
        struct mount_spec spec = bind_of("out", false);
        int fd;

        world_make(&world);
        ASSERT(symlinkat("/etc", world.pool_fd, "out") == 0);
        ASSERT_ERR(mount_build(world.pool_fd, &spec, &fd, &err), ERR_REFUSED, "symbolic link");
        mount_spec_done(&spec);
}

TEST(overlay_works_in_the_way_of_every_kernel)
{
        static const enum overlay_how ways[] = { OVERLAY_BY_FD, OVERLAY_BY_PATH, OVERLAY_BY_PAGE };
        struct mount_spec rw = overlay_of(false), ro = overlay_of(true);
        struct world world;
        int fd;

        test_need_shared_files();
        world_make(&world);
        for (size_t i = 0; i < 3; i++) {
                char name[8];

                (void)snprintf(name, sizeof(name), "new%zu", i);
                if (mount_overlay(world.pool_fd, &rw, ways[i], &fd, &err) < 0)
                        test_fail(__FILE__, __LINE__, "way %zu: %s", i, err.msg);
                ASSERT(has(fd, "in-a") && has(fd, "in-b") && !has(fd, name));
                put_file(fd, name, "n");
                ASSERT(has(world.pool_fd, "up/new0"));
                ASSERT_EQ(flags_of(fd, ".") & (ST_NOSUID | ST_NODEV), ST_NOSUID | ST_NODEV);
                (void)close(fd);
                ASSERT_OK(mount_overlay(world.pool_fd, &ro, ways[i], &fd, &err));
                ASSERT(has(fd, "in-b") && !has(fd, name));
                ASSERT(mkdirat(fd, "no", 0755) < 0 && errno == EROFS);
                (void)close(fd);
        }
        mount_spec_done(&rw);
        mount_spec_done(&ro);
}

TEST(overlay_takes_500_layers)
{
        struct mount_spec spec = { .kind = MOUNT_OVERLAY, .read_only = true, .n_lowers = 500 };
        struct world world;
        int fd;

        world_make(&world);
        spec.lowers = calloc(500, sizeof(char *));
        for (unsigned i = 0; i < 500; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "layer-%u", i);
                ASSERT(mkdirat(world.pool_fd, name, 0755) == 0);
                spec.lowers[i] = strdup(name);
        }
        put_file(world.pool_fd, "layer-499/deepest", "d");
        fd = build(&world, spec);
        ASSERT(has(fd, "deepest"));
}

TEST(overlay_failure_names_the_layer)
{
        struct mount_spec spec = overlay_of(false);
        struct world world;
        int fd;

        world_make(&world);
        ASSERT(unlinkat(world.pool_fd, "work", AT_REMOVEDIR) == 0);
        ASSERT_ERR(mount_build(world.pool_fd, &spec, &fd, &err), ERR_NOT_FOUND, "'work'");
        mount_spec_done(&spec);
}

static void nest_and_check(bool staged)
{
        struct world world;
        int fd;

        world_make(&world);
        fd = build(&world, bind_of("a", false));
        if (staged) {
                int clone_fd = open_tree(world.uploads_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);

                ASSERT(clone_fd >= 0);
                ASSERT_OK(mount_nest_staged(fd, "sub/deep", clone_fd, &err));
                ASSERT_OK(mount_nest_staged(
                        fd, "sub", open_tree(world.uploads_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE),
                        &err));
                ASSERT(has(fd, "sub/photo"));
                ASSERT(has(fd, "in-a"));
                ASSERT_OK(mount_attach(fd, world.versions_fd, "7", &err));
                ASSERT(has(world.versions_fd, "7/sub/photo"));
                return;
        }
        ASSERT_OK(mount_nest(fd, "sub", world.uploads_fd, MOUNT_NOEXEC, &err));
        ASSERT_EQ(flags_of(fd, "sub") & (ST_NOSUID | ST_NODEV | ST_NOEXEC),
                  ST_NOSUID | ST_NODEV | ST_NOEXEC);
        put_file(fd, "sub/new", "n");
        ASSERT(has(world.uploads_fd, "new"));
        ASSERT_OK(mount_attach(fd, world.versions_fd, "7", &err));
        ASSERT(has(world.versions_fd, "7/sub/photo"));
        ASSERT(!has(world.pool_fd, "a/sub/photo")); /* nothing travels back into the pool */
}

TEST(nest_binds_a_shared_directory)
{
        nest_and_check(false);
}

TEST(nest_works_before_linux_6_15)
{
        test_need_shared_files();
        nest_and_check(true);
}

TEST(nest_binds_a_file_and_read_only)
{
        struct world world;
        int fd, source_fd;

        world_make(&world);
        fd = build(&world, bind_of("a", false));
        source_fd = openat(world.uploads_fd, "photo", O_RDONLY | O_CLOEXEC);
        ASSERT_OK(mount_nest(fd, "in-a", source_fd, MOUNT_READ_ONLY, &err));
        ASSERT(openat(fd, "in-a", O_WRONLY) < 0 && errno == EROFS);
}

TEST(nest_refuses_what_does_not_fit)
{
        struct world world;
        int fd;

        world_make(&world);
        fd = build(&world, bind_of("a", false));
        ASSERT_ERR(mount_nest(fd, "nowhere", world.uploads_fd, 0, &err), ERR_NOT_FOUND, "nowhere");
        ASSERT_ERR(mount_nest(fd, "in-a", world.uploads_fd, 0, &err), ERR_REFUSED, "'in-a'");
        ASSERT(symlinkat("/etc", fd, "link") == 0);
        ASSERT_ERR(mount_nest(fd, "link", world.uploads_fd, 0, &err), ERR_REFUSED, "'link'");
        ASSERT_ERR(mount_nest(fd, "link/x", world.uploads_fd, 0, &err), ERR_REFUSED, "link");
}

TEST(attach_covers_and_depth_counts)
{
        struct world world;
        unsigned depth;
        bool is;

        world_make(&world);
        ASSERT(mount_is_at(world.versions_fd, "7", &is, &err) == 0 && !is);
        ASSERT_OK(mount_depth(world.versions_fd, "7", &depth, &err));
        ASSERT_EQ(depth, 0);
        show(&world, bind_of("a", false), "7");
        ASSERT(mount_is_at(world.versions_fd, "7", &is, &err) == 0 && is);
        show(&world, bind_of("b", false), "7");
        ASSERT(has(world.versions_fd, "7/in-b") && !has(world.versions_fd, "7/in-a"));
        ASSERT_OK(mount_depth(world.versions_fd, "7", &depth, &err));
        ASSERT_EQ(depth, 2);
        ASSERT_ERR(mount_attach(build(&world, bind_of("b", false)), world.versions_fd, "9", &err),
                   ERR_NOT_FOUND, "'9'");
}

TEST(attach_beneath_shows_when_the_top_goes)
{
        struct world world;
        int fd;

        world_make(&world);
        if (!mount_can_beneath())
                test_skip("mounting beneath takes Linux 6.5");
        fd = build(&world, bind_of("b", false));
        ASSERT_ERR(mount_attach_beneath(fd, world.versions_fd, "7", &err), ERR_UNSUPPORTED,
                   "nothing is mounted");
        show(&world, bind_of("a", false), "7");
        ASSERT_OK(mount_attach_beneath(fd, world.versions_fd, "7", &err));
        (void)close(fd);
        ASSERT(has(world.versions_fd, "7/in-a"));
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT(has(world.versions_fd, "7/in-b"));
}

/* Attach "a" with uploads at "sub" and "sub2" nested into that once more. */
static void attach_nested(struct world *world, const char *name)
{
        int fd = build(world, bind_of("a", false));

        ASSERT_OK(mount_nest(fd, "sub", world->uploads_fd, 0, &err));
        ASSERT(mkdirat(world->uploads_fd, "inner", 0755) == 0);
        ASSERT_OK(mount_nest(fd, "sub/inner", world->uploads_fd, 0, &err));
        ASSERT_OK(mount_attach(fd, world->versions_fd, name, &err));
        (void)close(fd);
}

TEST(detach_takes_nested_mounts_along)
{
        struct world world;
        unsigned depth;

        world_make(&world);
        attach_nested(&world, "7");
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT_OK(mount_depth(world.versions_fd, "7", &depth, &err));
        ASSERT_EQ(depth, 0);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
}

static void sit_in(void *arg)
{
        if (chdir(arg) < 0)
                _exit(1);
}

TEST(detach_names_who_is_there_and_leaves_everything)
{
        struct world world;
        char inside[200], pid[24];
        size_t n;
        pid_t sitter, found[4];

        world_make(&world);
        attach_nested(&world, "7");
        (void)snprintf(inside, sizeof(inside), "%s/versions/7", world.root);
        sitter = root_hold(sit_in, inside, 0);
        (void)snprintf(pid, sizeof(pid), "process %d (", sitter);
        ASSERT_ERR(mount_detach(world.versions_fd, "7", &err), ERR_BUSY, pid);
        ASSERT(has(world.versions_fd, "7/sub/inner/photo"));
        ASSERT_OK(mount_users(world.versions_fd, "7", MOUNT_LOOK_QUICK, found, 4, &n, &err));
        ASSERT_EQ(n, 1);
        ASSERT_EQ(found[0], sitter);
        root_release(sitter);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
}

TEST(detach_puts_nested_mounts_back_when_one_is_in_use)
{
        struct world world;
        char inside[200];
        pid_t sitter;

        world_make(&world);
        attach_nested(&world, "7");
        (void)snprintf(inside, sizeof(inside), "%s/versions/7/sub", world.root);
        sitter = root_hold(sit_in, inside, 0);
        ASSERT_ERR(mount_detach(world.versions_fd, "7", &err), ERR_BUSY, "'sub'");
        ASSERT(has(world.versions_fd, "7/sub/inner/photo"));
        root_release(sitter);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
}

TEST(detach_sees_users_in_a_slave_namespace)
{
        struct world world;
        char inside[200], pid[24];
        pid_t sitter;

        world_make(&world);
        attach_nested(&world, "7");
        (void)snprintf(inside, sizeof(inside), "%s/versions/7", world.root);
        sitter = root_hold(sit_in, inside, MS_SLAVE);
        (void)snprintf(pid, sizeof(pid), "process %d (", sitter);
        ASSERT_ERR(mount_detach(world.versions_fd, "7", &err), ERR_BUSY, pid);
        root_release(sitter);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
}

TEST(detach_minds_only_its_own_sight_of_an_overlay)
{
        struct world world;
        char inside[200];
        pid_t sitter;
        int fd;

        world_make(&world);
        show(&world, overlay_of(false), "8");
        ASSERT_OK(mount_clone(world.versions_fd, "8", &fd, &err));
        ASSERT_OK(mount_attach(fd, world.versions_fd, "7", &err));
        (void)close(fd);
        (void)snprintf(inside, sizeof(inside), "%s/versions/8", world.root);
        sitter = root_hold(sit_in, inside, MS_SLAVE);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT_ERR(mount_detach(world.versions_fd, "8", &err), ERR_BUSY, "in use by process");
        root_release(sitter);
        ASSERT_OK(mount_detach(world.versions_fd, "8", &err));
}

TEST(detach_does_not_follow_a_link_the_tenant_put_above_a_nested_mount)
{
        struct world world;
        int fd;

        world_make(&world);
        fd = build(&world, bind_of("a", false));
        ASSERT_OK(mount_nest(fd, "sub/deep", world.uploads_fd, 0, &err));
        ASSERT_OK(mount_attach(fd, world.versions_fd, "7", &err));
        (void)close(fd);
        fd = build(&world, bind_of("b", false));
        ASSERT(mkdirat(fd, "deep", 0755) == 0);
        ASSERT_OK(mount_nest(fd, "deep", world.uploads_fd, 0, &err));
        ASSERT_OK(mount_attach(fd, world.versions_fd, "8", &err));
        (void)close(fd);
        ASSERT(renameat(world.versions_fd, "7/sub", world.versions_fd, "7/moved") == 0);
        ASSERT(symlinkat("../8", world.versions_fd, "7/sub") == 0);
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT(has(world.versions_fd, "8/deep/photo"));
}

static void open_for_writing(void *arg)
{
        if (open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0)
                _exit(1);
}

/* As it is seen by that process. */
static int open_by(pid_t pid, const char *file)
{
        char there[300];

        (void)snprintf(there, sizeof(there), "/proc/%d/root%s", pid, file);
        return open(there, O_WRONLY | O_CLOEXEC);
}

static void seal_and_check(bool overlay, unsigned long propagation)
{
        struct world world;
        char file[200];
        pid_t writer, onlooker;

        if (propagation != 0)
                test_need_shared_files();
        world_make(&world);
        show(&world, overlay ? overlay_of(false) : bind_of("a", false), "7");
        (void)snprintf(file, sizeof(file), "%s/versions/7/log", world.root);
        writer = root_hold(open_for_writing, file, propagation);
        onlooker = root_hold(NULL, NULL, propagation);
        ASSERT_ERR(mount_seal(world.versions_fd, "7", 20, &err), ERR_BUSY, "'7'");
        root_release(writer);
        ASSERT_OK(mount_seal(world.versions_fd, "7", 1000, &err));
        ASSERT(mkdirat(world.versions_fd, "7/no", 0755) < 0 && errno == EROFS);
        /* Also where only the other namespace can reach. */
        ASSERT(propagation == 0 || (open_by(onlooker, file) < 0 && errno == EROFS));
        ASSERT_OK(mount_seal(world.versions_fd, "7", 0, &err));
        ASSERT_OK(mount_unseal(world.versions_fd, "7", &err));
        ASSERT(open_by(propagation == 0 ? getpid() : onlooker, file) >= 0);
        root_release(onlooker);
}

TEST(seal_waits_for_writers_of_a_bind)
{
        seal_and_check(false, 0);
}

TEST(seal_waits_for_writers_of_an_overlay)
{
        seal_and_check(true, 0);
}

TEST(seal_reaches_a_bind_in_other_namespaces)
{
        seal_and_check(false, MS_SLAVE);
}

TEST(seal_reaches_an_overlay_in_other_namespaces)
{
        seal_and_check(true, MS_PRIVATE);
}

TEST(shared_parent_is_told_from_a_private_one)
{
        struct world world;

        world_make(&world);
        ASSERT_OK(mount_shared_parent(world.versions_fd, &err));
        ASSERT_ERR(mount_shared_parent(world.pool_fd, &err), ERR_REFUSED, "make-shared");
}

static bool shows(const struct world *world, const char *path)
{
        bool ret = false;

        ASSERT_OK(mount_shows(world->pool_fd, path, &ret, &err));
        return ret;
}

static int visit_once(const struct mount_ns *ns, void *arg, struct err *e)
{
        (void)e;
        ASSERT(ns->own);
        return (int)++*(unsigned *)arg;
}

TEST(namespaces_are_visited_until_it_is_enough)
{
        unsigned visits = 0;

        ASSERT_OK(mount_each_ns(visit_once, &visits, &err));
        ASSERT_EQ(visits, 1);
}

TEST(shows_finds_binds_and_layers)
{
        struct world world;

        world_make(&world);
        ASSERT(!shows(&world, "a"));
        show(&world, bind_of("a", true), "7");
        ASSERT(shows(&world, "a") && !shows(&world, "b") && !shows(&world, "up"));
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT(!shows(&world, "a"));
        show(&world, overlay_of(false), "7");
        ASSERT(shows(&world, "a") && shows(&world, "b") && shows(&world, "up"));
        ASSERT(!shows(&world, "empty") && !shows(&world, "p"));
        ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
        ASSERT(!shows(&world, "up"));
}

TEST(shows_finds_what_only_another_namespace_still_has)
{
        static const enum overlay_how ways[] = { OVERLAY_BY_FD, OVERLAY_BY_PATH, OVERLAY_BY_PAGE };
        struct mount_spec spec = overlay_of(false);
        struct world world;

        test_need_shared_files();
        world_make(&world);
        for (size_t i = 0; i < 3; i++) {
                pid_t holder;
                int fd;

                ASSERT_OK(mount_overlay(world.pool_fd, &spec, ways[i], &fd, &err));
                ASSERT_OK(mount_attach(fd, world.versions_fd, "7", &err));
                (void)close(fd);
                holder = root_hold(NULL, NULL, MS_PRIVATE);
                ASSERT_OK(mount_detach(world.versions_fd, "7", &err));
                ASSERT(shows(&world, "b") && shows(&world, "up") && !shows(&world, "empty"));
                root_release(holder);
                ASSERT(!shows(&world, "b"));
        }
        mount_spec_done(&spec);
}

/* After a live capture the old mount is covered, and so is what propagation made of it. */
TEST(seal_of_a_covered_mount_asks_only_who_is_in_it)
{
        CLEANUP(closep) int old_fd = -1;
        CLEANUP(closep) int clone_fd = -1;
        struct world world;
        char file[200];
        pid_t writer, onlooker;

        test_need_shared_files();
        world_make(&world);
        show(&world, bind_of("a", false), "7");
        show(&world, overlay_of(false), "8");
        (void)snprintf(file, sizeof(file), "%s/versions/7/log", world.root);
        writer = root_hold(open_for_writing, file, MS_SLAVE);
        onlooker = root_hold(NULL, NULL, MS_SLAVE);
        old_fd = openat(world.versions_fd, "7", O_PATH | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(mount_clone(world.versions_fd, "8", &clone_fd, &err));
        ASSERT_OK(mount_attach(clone_fd, world.versions_fd, "7", &err));

        ASSERT_ERR(mount_seal_fd(old_fd, 20, &err), ERR_BUSY, "is in it");
        root_release(writer);
        ASSERT_OK(mount_seal_fd(old_fd, 1000, &err));
        ASSERT(mkdirat(old_fd, "no", 0755) < 0 && errno == EROFS);
        root_release(onlooker);
}
