/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/driver/fs_conformance.h"

static struct err err;

/* The pools that are open, so that the end of the test closes them: what a driver's close() forgets
 * is a leak then.  Children of a test end by _exit() and close nothing. */
static struct fs_pool *opened[8];

static void close_all(void)
{
        for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
                fs_case.driver->close(opened[i]);
                opened[i] = NULL;
        }
}

static void open_pool(struct world *world)
{
        size_t i = 0;

        while (i < sizeof(opened) / sizeof(opened[0]) && opened[i] != NULL)
                i++;
        ASSERT(i < sizeof(opened) / sizeof(opened[0]));
        ASSERT_OK(world->driver->open(world->pool_fd, &opened[i], &err));
        world->pool = opened[i];
}

void world_close(struct world *world)
{
        for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++)
                if (opened[i] == world->pool)
                        opened[i] = NULL;
        world->driver->close(world->pool);
        world->pool = NULL;
}

void world_make(struct world *world)
{
        root_begin();
        *world = (struct world){ .driver = fs_case.driver, .head_fd = -1 };
        world->root = root_fs(fs_case.fs_type, fs_case.mbytes);
        world->root_fd = open(world->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(world->root_fd >= 0);
        world->pool_fd = root_dir(world->root, "pool");
        ASSERT(fchmod(world->pool_fd, 0700) == 0);
        if (world->driver->probe(world->pool_fd, &err) < 0)
                test_skip("%s: %s", world->driver->name, err.msg);
        ASSERT(atexit(close_all) == 0);
        open_pool(world);
}

void world_reopen(struct world *world)
{
        world_close(world);
        open_pool(world);
}

void world_crash(struct world *world)
{
        char pool[200];

        root_crash(world->root);
        closep(&world->head_fd);
        world->head_fd = -1;
        world_close(world);
        (void)close(world->pool_fd);
        (void)close(world->root_fd);
        root_reboot(world->root);
        world->root_fd = open(world->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)snprintf(pool, sizeof(pool), "%s/pool", world->root);
        world->pool_fd = open(pool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(world->root_fd >= 0 && world->pool_fd >= 0);
        open_pool(world);
}

void world_import(struct world *world, fs_id head)
{
        CLEANUP(closep) int fd = -1;
        char name[NAME_MAX + 1], slot[NAME_MAX + 1];

        (void)snprintf(name, sizeof(name), "site-%llu", (unsigned long long)head);
        if (!has(world->root_fd, name)) {
                put_dir(world->root_fd, name, 0755);
                fd = openat(world->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                fill(fd);
        } else
                fd = openat(world->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT(fd >= 0);
        if (world->driver->features & FS_IMPORT_MOVES) {
                CLEANUP(closep) int dir_fd = -1;
                struct stat st;

                ASSERT(fstat(fd, &st) == 0);

                ASSERT_OK(world->driver->import(world->pool, -1, head, &err));
                ASSERT_OK(world->driver->slot(world->pool, head, &dir_fd, slot, &err));
                ASSERT(renameat2(world->root_fd, name, dir_fd, slot, RENAME_EXCHANGE) == 0);
                /* xfs takes a new parent for a change of the directory itself. */
                ASSERT(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }) == 0);
        } else
                ASSERT_OK(world->driver->import(world->pool, fd, head, &err));
}

int world_mount(struct world *world, fs_id id, bool read_only)
{
        struct mount_spec spec;
        int fd;

        ASSERT_OK(world->driver->mounts(world->pool, id, read_only, &spec, &err));
        ASSERT_OK(mount_build(world->pool_fd, &spec, &fd, &err));
        mount_spec_done(&spec);
        return fd;
}

void world_use(struct world *world, fs_id head)
{
        closep(&world->head_fd);
        world->head_fd = world_mount(world, head, false);
}

void world_start(struct world *world, fs_id head)
{
        world_import(world, head);
        world_use(world, head);
}

void world_capture(struct world *world, fs_id head, fs_id frozen)
{
        ASSERT_OK(world->driver->capture(world->pool, head, frozen, &err));
        if (world->driver->features & FS_CAPTURE_REMOUNTS)
                world_use(world, head);
}

void put(int fd, const char *path, const char *text)
{
        CLEANUP(closep) int file = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
                test_fail(__FILE__, __LINE__, "cannot write '%s': %s", path, strerror(errno));
}

void put_dir(int fd, const char *path, mode_t mode)
{
        if (mkdirat(fd, path, 0700) < 0 || fchmodat(fd, path, mode, 0) < 0)
                test_fail(__FILE__, __LINE__, "cannot make '%s': %s", path, strerror(errno));
}

void put_link(int fd, const char *path, const char *target)
{
        if (symlinkat(target, fd, path) < 0)
                test_fail(__FILE__, __LINE__, "cannot link '%s': %s", path, strerror(errno));
}

void del(int fd, const char *path)
{
        if (unlinkat(fd, path, is_dir(fd, path) ? AT_REMOVEDIR : 0) < 0)
                test_fail(__FILE__, __LINE__, "cannot delete '%s': %s", path, strerror(errno));
}

static int del_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

void del_tree(int fd, const char *path)
{
        char whole[400];

        (void)snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%s", fd, path);
        if (nftw(whole, del_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
                test_fail(__FILE__, __LINE__, "cannot delete '%s': %s", path, strerror(errno));
}

bool has(int fd, const char *path)
{
        return faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool is_dir(int fd, const char *path)
{
        struct stat st;

        return fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

void expect_text(int fd, const char *path, const char *text)
{
        CLEANUP(closep) int file = openat(fd, path, O_RDONLY | O_CLOEXEC);
        char got[200];
        ssize_t n = file < 0 ? -1 : read(file, got, sizeof(got) - 1);

        if (n < 0)
                test_fail(__FILE__, __LINE__, "cannot read '%s': %s", path, strerror(errno));
        got[n] = '\0';
        if (strcmp(got, text) != 0)
                test_fail(__FILE__, __LINE__, "'%s' holds '%s', not '%s'", path, got, text);
}

/* user::rw- user:1234:r-- group::r-- mask::r-- other::---, as the kernel's xattr has it. */
static const unsigned char acl[] = {
        2, 0,    0,    0,    1,    0,    6,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,    4,
        0, 0xd2, 0x04, 0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,   0,
        4, 0,    0xff, 0xff, 0xff, 0xff, 32, 0, 0,    0,    0xff, 0xff, 0xff, 0xff,
};

static void set_xattr(int fd, const char *path, const char *name, const void *value, size_t n)
{
        CLEANUP(closep) int file = openat(fd, path, O_RDONLY | O_CLOEXEC);

        if (file < 0 || fsetxattr(file, name, value, n, 0) < 0)
                test_fail(__FILE__, __LINE__, "cannot set %s of '%s': %s", name, path,
                          strerror(errno));
}

static void set_time(int fd, const char *path, long sec, long nsec)
{
        struct timespec times[2] = { { .tv_sec = sec, .tv_nsec = nsec },
                                     { .tv_sec = sec, .tv_nsec = nsec } };

        ASSERT(utimensat(fd, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

static void fill_odd_names(int fd)
{
        char longest[NAME_MAX + 1] = { 0 };

        put_dir(fd, "odd", 0755);
        memset(longest, 'x', NAME_MAX);
        longest[0] = 'L';
        put(fd, "odd/new\nline", "newline");
        put(fd, "odd/\xff\xfe", "not UTF-8");
        put(fd, "odd/ two  spaces ", "spaces");
        put(fd, "odd/-rf", "dash");
        put(fd, "odd/.wh.name", "a whiteout elsewhere");
        put(fd, "odd/co:lon,comma\\back", "specials of mount options");
        put_dir(fd, "odd/deep", 0755);
        {
                CLEANUP(closep) int dir = openat(fd, "odd/deep", O_RDONLY | O_DIRECTORY);

                put(dir, longest, "the longest name");
        }
}

static void fill_sparse(int fd)
{
        CLEANUP(closep) int file = openat(fd, "sparse", O_WRONLY | O_CREAT, 0600);

        ASSERT(file >= 0 && pwrite(file, "end", 3, 1 << 20) == 3);
}

void fill(int fd)
{
        put(fd, "index.php", "<?php version 1");
        put_dir(fd, "lib", 0755);
        put_dir(fd, "lib/sub", 02775);
        put(fd, "lib/a", "a");
        put(fd, "lib/b", "b");
        put(fd, "lib/sub/c", "c");
        put_dir(fd, "empty", 0711);
        put_dir(fd, "sticky", 01777);
        put(fd, "tool", "#!/bin/sh");
        ASSERT(fchownat(fd, "tool", 1000, 1001, 0) == 0 && fchmodat(fd, "tool", 04755, 0) == 0);
        ASSERT(fchownat(fd, "lib/sub", 1000, 1001, 0) == 0);
        ASSERT(fchmodat(fd, "lib/sub", 02775, 0) == 0);
        put(fd, "linked", "one file");
        ASSERT(linkat(fd, "linked", fd, "lib/linked-too", 0) == 0);
        put_link(fd, "dangling", "../nowhere/at all");
        put_link(fd, "lib/link", "a");
        ASSERT(fchownat(fd, "dangling", 1000, 1000, AT_SYMLINK_NOFOLLOW) == 0);
        ASSERT(mkfifoat(fd, "fifo", 0620) == 0);
        fill_sparse(fd);
        fill_odd_names(fd);
        set_xattr(fd, "lib/a", "user.comment", "kept", 4);
        set_xattr(fd, "lib", "user.of.directory", "kept too", 8);
        set_xattr(fd, "index.php", "system.posix_acl_access", acl, sizeof(acl));
        set_xattr(fd, "empty", "system.posix_acl_default", acl, sizeof(acl));
        set_xattr(fd, ".", "user.of.root", "r", 1);
        ASSERT(fchmodat(fd, ".", 0751, 0) == 0 && fchownat(fd, ".", 1000, 1001, 0) == 0);
        set_time(fd, "lib/a", 1000000000, 123456789);
        set_time(fd, "dangling", 1000000001, 5);
        set_time(fd, "lib", 1000000002, 999999999);
        set_time(fd, ".", 1000000003, 7);
}
