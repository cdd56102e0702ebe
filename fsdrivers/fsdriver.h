/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_FSDRIVER_H
#define FSDRIVERS_FSDRIVER_H

/*
 * File-system drivers.
 *
 * A pool is one directory, root's and 0700, that a driver manages; it holds trees.
 *
 *   head     a writable tree.  The live site runs on one.
 *   frozen   a read-only tree, made from a head by capture and never changed after.
 *
 *          capture             branch
 *   head ---------> frozen   --------> head
 *
 * Both are named by a number that the catalog gave out: a driver turns the number into a path, so
 * no path from a request ever reaches it.  Numbers are not used twice.
 *
 * What the journal relies on, for every driver (tests/driver/fs_conformance.c checks it):
 *
 *   - A call is atomic.  After a crash its result is whole or absent, never partial; debris is
 *     swept by open().
 *   - A call is repeatable.  Run again with the same numbers after it succeeded, it succeeds and
 *     changes nothing.
 *   - What a call did is on stable storage when it returns.
 *   - A driver does not mount, log, or ask the clock.  It says what to mount (mounts()); mount.h
 *     does it.
 *   - The entries of a tree keep owner, mode, times, xattrs and ACLs, hard links within the tree,
 *     holes.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "fsdrivers/mount.h"

typedef uint64_t fs_id; /* 0 is no tree */

struct fs_pool; /* a driver's own; opaque to everyone else */

enum fs_kind { FS_HEAD, FS_FROZEN };

struct fs_info {
        fs_id id;
        fs_id parent; /* what it was captured or branched from; 0 for an imported tree */
        enum fs_kind kind;
};

struct fs_sizes {
        uint64_t total_bytes; /* what du would say of the whole tree */
        uint64_t freed_bytes; /* what removing it now would give back; an estimate */
};

enum fs_feature {
        FS_CAPTURE_REMOUNTS = 1 << 0, /* capture changes what mounts() says of the head: mount it
                                       * anew and seal the old mount (overlayfs) */
        FS_IMPORT_MOVES = 1 << 1,     /* import() takes the directory itself, see slot() */
};

/* One changed entry between two trees. */
struct fs_change {
        const char *path; /* relative to the tree's root */
        char status[8];   /* "+.....", "-.....", or any of "cpugxa" at its own place: content,
                           * permissions, user, group, xattrs, ACL; "t....." for another type */
};

/* Called once a tree or a change.  A return of -1 stops the walk and is passed on. */
typedef int (*fs_visit)(const struct fs_info *info, void *arg, struct err *err);
typedef int (*fs_change_visit)(const struct fs_change *change, void *arg, struct err *err);

/* A driver.  Everything is required unless it says optional.  Calls on one pool come from one
 * thread.  Beyond its own errors any call can fail with ERR_IO or ERR_NO_SPACE. */
struct fs_driver {
        const char *name;  /* "btrfs"; stored in the catalog, so never changed */
        unsigned features; /* enum fs_feature */

        /* Can this driver manage trees under dir_fd?  ERR_UNSUPPORTED, with the reason for a
         * person, when it cannot.  Changes nothing. */
        int (*probe)(int dir_fd, struct err *err);

        /* Open the pool in the directory dir_fd, making it when empty; finish or sweep what a
         * crash left.  The pool keeps its own copy of dir_fd.  Give *ret_pool to close(). */
        int (*open)(int dir_fd, struct fs_pool **ret_pool, struct err *err);
        void (*close)(struct fs_pool *pool); /* NULL is fine */

        /* Make head from a directory outside the pool.
         *
         * Without FS_IMPORT_MOVES: head is a copy of src_fd (a snapshot where it is one, else
         * reflinks, else bytes), src_fd is left as it was, and called again the copy catches up
         * with what changed in src_fd since, as long as nobody wrote to head.
         *
         * With FS_IMPORT_MOVES: src_fd is not looked at; the head is made with an empty tree and
         * the caller exchanges the directory with slot() (renameat2, RENAME_EXCHANGE), so that
         * nothing is copied and at no moment the site is not there.  src_fd may be -1. */
        int (*import)(struct fs_pool *pool, int src_fd, fs_id head, struct err *err);

        /* Where the plain directory of a head lies: a directory of the pool (the caller closes
         * it) and the name in it.  ERR_UNSUPPORTED: the head is not a plain directory; make it
         * one with flatten().  Used to adopt a directory and to give it back. */
        int (*slot)(struct fs_pool *pool, fs_id head, int *ret_dir_fd,
                    char name[static NAME_MAX + 1], struct err *err);

        /* Freeze head as it is now into frozen.
         * ERR_NOT_FOUND: no such head. */
        int (*capture)(struct fs_pool *pool, fs_id head, fs_id frozen, struct err *err);

        /* Make head a writable tree that starts as frozen.
         * ERR_NOT_FOUND: no such frozen tree. */
        int (*branch)(struct fs_pool *pool, fs_id frozen, fs_id head, struct err *err);

        /* Remove a tree; one that is not there is removed already.
         * ERR_BUSY: it is mounted in some namespace. */
        int (*remove)(struct fs_pool *pool, fs_id id, struct err *err);

        /* ERR_NOT_FOUND is the answer to "is it there?". */
        int (*stat)(struct fs_pool *pool, fs_id id, struct fs_info *ret_info, struct err *err);

        int (*walk)(struct fs_pool *pool, fs_visit visit, void *arg, struct err *err);

        /* What to mount to see the tree; read-only for a frozen one or when read_only.  The
         * paths are relative to the pool.  The caller frees with mount_spec_done(). */
        int (*mounts)(struct fs_pool *pool, fs_id id, bool read_only, struct mount_spec *ret_spec,
                      struct err *err);

        /* Return once everything that happened in id is on stable storage. */
        int (*sync)(struct fs_pool *pool, fs_id id, struct err *err);

        /* Make the directories paths[0..n) of a head that is not mounted yet (or, with
         * FS_CAPTURE_REMOUNTS, of the upper of its next mount), each empty and 0555 root where it
         * was not a directory: mount points for what is shared.  A symbolic link or a file there
         * gives way in head only.  Missing parents get the owner of the tree's root. */
        int (*stubs)(struct fs_pool *pool, fs_id head, const char *const *paths, size_t n,
                     struct err *err);

        int (*sizes)(struct fs_pool *pool, fs_id id, struct fs_sizes *ret_sizes, struct err *err);

        /* Visit what differs between two trees, in no promised order, without walking everything
         * where the file system can tell. */
        int (*diff)(struct fs_pool *pool, fs_id from, fs_id to, fs_change_visit visit, void *arg,
                    struct err *err);

        /* Optional.  Make a head that nobody writes to a plain directory: afterwards slot() works
         * and the head needs no other tree. */
        int (*flatten)(struct fs_pool *pool, fs_id head, struct err *err);

        /* Optional.  Background work that keeps the pool quick (merge deep stacks, delete
         * unreferenced layers).  Safe at any time, changes nothing that anyone can see. */
        int (*tidy)(struct fs_pool *pool, struct err *err);
};

extern const struct fs_driver fs_driver_btrfs;
extern const struct fs_driver fs_driver_overlayfs;

/* fs_driver_by_name(table, name): The entry of a NULL-terminated table, or NULL. */
const struct fs_driver *fs_driver_by_name(const struct fs_driver *const *table, const char *name);

/* fs_driver_choose(table, dir_fd, ret_driver, err): The first driver of a NULL-terminated table,
 * which is in order of preference, whose probe() accepts ${dir_fd}.  ERR_UNSUPPORTED carries the
 * reason of the last one. */
int fs_driver_choose(const struct fs_driver *const *table, int dir_fd,
                     const struct fs_driver **ret_driver, struct err *err) MUST_CHECK;

#endif
