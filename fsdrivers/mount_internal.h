/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_MOUNT_INTERNAL_H
#define FSDRIVERS_MOUNT_INTERNAL_H

/*
 * What the files mount*.c share, and what their tests need to reach the ways of older kernels.
 */

#include <dirent.h>
#include <libmount.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fsdrivers/mount.h"

/* Sources of our overlay mounts: "sitesnap-MAJOR-MINOR-INODE" of the pool, so that a layer is
 * recognised in any mount namespace, under whatever path the pool is known there. */
#define MOUNT_TAG_MAX 80
int mount_tag(int pool_fd, char tag[static MOUNT_TAG_MAX], struct err *err) MUST_CHECK;

/* How layers are given to overlayfs, newest first; mount_build() takes the first that works. */
enum overlay_how {
        OVERLAY_BY_FD,   /* FSCONFIG_SET_FD, 6.13 */
        OVERLAY_BY_PATH, /* one "lowerdir+" a layer, 6.5 */
        OVERLAY_BY_PAGE, /* mount(2) with all of them in a page of options, any kernel */
};
int mount_overlay(int pool_fd, const struct mount_spec *spec, enum overlay_how how, int *ret_fd,
                  struct err *err) MUST_CHECK;

/* mount_in_child(run, arg, ret_fd, err): Run ${run} in a child with a mount namespace of its own
 * (a private copy of ours) that shares our descriptors, and hand over the descriptor it made. */
typedef int (*mount_child)(void *arg, int *ret_fd, struct err *err);
int mount_in_child(mount_child run, void *arg, int *ret_fd, struct err *err) MUST_CHECK;

/* mount_nest_staged(mount_fd, path, clone_fd, err): Before 6.15 nothing can be moved into a
 * detached mount: attach it in a child's namespace, nest there, and take a recursive clone, which
 * then stands behind the number ${mount_fd}. */
int mount_nest_staged(int mount_fd, const char *path, int clone_fd, struct err *err) MUST_CHECK;

/* mount_open_proc(): /proc to be read, or NULL. */
DIR *mount_open_proc(void);

/* A mount namespace with the process it was found through. */
struct mount_ns {
        pid_t pid;
        bool own;
        struct libmnt_table *table;
};
typedef int (*mount_ns_visit)(const struct mount_ns *ns, void *arg, struct err *err);

/* mount_each_ns(visit, arg, err): Visit the table of each mount namespace some process is in,
 * our own first, until a visit returns 1.  A namespace that only a descriptor or a bind mount keeps
 * is not found. */
int mount_each_ns(mount_ns_visit visit, void *arg, struct err *err) MUST_CHECK;

/* mount_table_own(ret_table, err): Our own /proc/self/mountinfo. */
int mount_table_own(struct libmnt_table **ret_table, struct err *err) MUST_CHECK;

static inline void mount_table_unrefp(struct libmnt_table **table)
{
        mnt_unref_table(*table);
}

static inline void mount_iter_freep(struct libmnt_iter **iter)
{
        mnt_free_iter(*iter);
}

/* mount_table_find(table, id): The entry with this id, or NULL. */
struct libmnt_fs *mount_table_find(struct libmnt_table *table, int id);

/* mount_group(fs, key): The peer group after "shared:" or "master:", 0 when there is none. */
unsigned mount_group(struct libmnt_fs *fs, const char *key);

/* mount_id(dir_fd, name, ret_id, err): The id of the mount on which ${name} lies ("" for
 * ${dir_fd} itself). */
int mount_id(int dir_fd, const char *name, int *ret_id, struct err *err) MUST_CHECK;

/* mount_users_of(top, look, pids, n, ret_n, err): As mount_users() for the mount with the id
 * ${top}. */
int mount_users_of(int top, enum mount_look look, pid_t *pids, size_t n, size_t *ret_n,
                   struct err *err) MUST_CHECK;

/* mount_seal_elsewhere(top, seal, err): Make read-only, or writable again, what propagation made of
 * the mount ${top} in other mount namespaces.  ERR_BUSY: somebody writes there. */
int mount_seal_elsewhere(int top, bool seal, struct err *err) MUST_CHECK;

#endif
