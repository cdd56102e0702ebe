/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_FS_CONFORMANCE_H
#define TESTS_DRIVER_FS_CONFORMANCE_H

/*
 * One suite for all file-system drivers.  A new driver adds a file that defines fs_case and a line
 * in meson.build; the suite stays as it is.
 *
 * A test makes a world: a fresh file system with an open pool on it.  Trees are looked at through
 * detached mounts (mount_build()), as the programs do, so a tree's content is whatever its driver
 * says to mount.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "fsdrivers/fsdriver.h"
#include "tests/lib/root.h"
#include "tests/lib/test.h"

struct world;

struct fs_case {
        const struct fs_driver *driver;
        const char *fs_type; /* see root_fs() */
        unsigned mbytes;
        bool copies; /* trees share nothing, so removing one frees all of it */

        /* Optional.  Put into a closed pool with head 1, captured as 2, what crashes leave behind
         * in this driver, half a capture as 3 among it; and check that nothing of it is left. */
        void (*plant)(struct world *world);
        void (*expect_clean)(struct world *world);
};

extern const struct fs_case fs_case;

struct world {
        const struct fs_driver *driver;
        const char *root; /* mount point of the file system */
        int root_fd, pool_fd;
        struct fs_pool *pool;
        int head_fd; /* the writable mount of the head in use, or -1 */
};

/* world_make(world): A file system with an empty open pool, which the end of the test closes. */
void world_make(struct world *world);

/* world_close(world), world_reopen(world): Close the pool; close and open it, as after a crash. */
void world_close(struct world *world);
void world_reopen(struct world *world);

/* world_crash(world): What was only in memory is lost; the pool is opened again. */
void world_crash(struct world *world);

/* world_import(world, head): Adopt the directory ROOT/site-HEAD, made with the content of
 * fill() when it is not there, as head. */
void world_import(struct world *world, fs_id head);

/* world_mount(world, id, read_only): A detached mount of the tree; the caller closes it. */
int world_mount(struct world *world, fs_id id, bool read_only);

/* world_start(world, head): world_import() and a writable mount of it in head_fd. */
void world_start(struct world *world, fs_id head);

/* world_capture(world, head, frozen): Capture, and mount the head anew into head_fd where the
 * driver wants that. */
void world_capture(struct world *world, fs_id head, fs_id frozen);

/* world_use(world, head): Let go of head_fd and mount this head instead. */
void world_use(struct world *world, fs_id head);

/* Files by path beneath a descriptor; each fails the test itself. */
void put(int fd, const char *path, const char *text);
void put_dir(int fd, const char *path, mode_t mode);
void put_link(int fd, const char *path, const char *target);
void del(int fd, const char *path);
void del_tree(int fd, const char *path);
bool has(int fd, const char *path);
bool is_dir(int fd, const char *path);
void expect_text(int fd, const char *path, const char *text);

/* fill(fd): A tree with everything that a driver has to keep. */
void fill(int fd);

/* listing(fd): All of a tree as sorted lines: path, type, mode, owner, mtime, size, a sum of the
 * content, link target, xattrs and ACLs, and which names are hard links of one another.  The
 * attributes of overlayfs itself are left out.  Of the parent's pid, so never freed. */
char *listing(int fd);

/* listing_of(world, id): listing() of a tree, mounted read-only. */
char *listing_of(struct world *world, fs_id id);

/* expect_same(a, b): Two listings are equal; else the test fails with the first lines that
 * differ. */
void expect_same(const char *a, const char *b);

#endif
