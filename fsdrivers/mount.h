/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FSDRIVERS_MOUNT_H
#define FSDRIVERS_MOUNT_H

/*
 * Mounts, by descriptor and detached until they are complete.
 *
 * mount_build() makes a detached mount of a tree, mount_nest() puts bind mounts of shared
 * directories and rendered files into it, mount_attach() shows the whole thing at a name in one
 * step.  Nothing of it can be seen before that, and closing the descriptor of a mount that was
 * never attached makes it go away.
 *
 * Every mount is NOSUID and NODEV and private before anything is nested into it: with shared
 * propagation the uploads mount would travel back into the pool.
 *
 * Needs Linux 5.12 (mount_setattr).  Older kernels have slower ways to the same end: nesting into
 * a detached mount (6.15) and more overlay layers than fit into 255 bytes (6.5) are done in a
 * short-lived child with a mount namespace of its own, from which a detached clone comes back.
 * MOVE_MOUNT_BENEATH needs 6.5 and has no other way (see mount_can_beneath()).
 *
 * A pool must be opened in the mount namespace in which it is used: the kernel clones no mount of
 * another one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum mount_kind { MOUNT_BIND, MOUNT_OVERLAY };

/* What a driver says of a tree.  All paths are relative to the pool; all strings belong to the
 * spec. */
struct mount_spec {
        enum mount_kind kind;
        bool read_only;
        char *source;  /* MOUNT_BIND: the directory */
        char **lowers; /* MOUNT_OVERLAY: topmost first */
        size_t n_lowers;
        char *upper;   /* MOUNT_OVERLAY: NULL when read_only */
        char *work;
};

/* mount_spec_done(spec): Free what ${spec} holds; a zeroed one is fine. */
void mount_spec_done(struct mount_spec *spec);

/* mount_build(pool_fd, spec, ret_mount_fd, err): A detached mount of the tree, NOSUID, NODEV,
 * private, and read-only as ${spec} says. */
int mount_build(int pool_fd, const struct mount_spec *spec, int *ret_mount_fd,
                struct err *err) MUST_CHECK;

enum mount_nest_flags { MOUNT_READ_ONLY = 1 << 0, MOUNT_NOEXEC = 1 << 1 };

/* mount_nest(mount_fd, path, source_fd, flags, err): Bind the directory or regular file
 * ${source_fd} onto ${path} (relative, see common/safepath.h) of a detached mount.  NOSUID and
 * NODEV always.  ERR_NOT_FOUND: the tree has no such entry; ERR_REFUSED: it is not of the same
 * type as the source. */
int mount_nest(int mount_fd, const char *path, int source_fd, unsigned flags,
               struct err *err) MUST_CHECK;

/* mount_attach(mount_fd, dir_fd, name, err): Show the mount at the directory ${name} of
 * ${dir_fd}, over what is mounted there already, if anything.  Close ${mount_fd} then: it counts
 * as a user of the mount and would keep it from being detached.  ERR_NOT_FOUND: no ${name}. */
int mount_attach(int mount_fd, int dir_fd, const char *name, struct err *err) MUST_CHECK;

/* mount_attach_beneath(mount_fd, dir_fd, name, err): As mount_attach(), but under the mount that
 * is there: it shows when that one is unmounted.  ERR_UNSUPPORTED: before Linux 6.5, or nothing
 * is mounted at ${name}. */
int mount_attach_beneath(int mount_fd, int dir_fd, const char *name, struct err *err) MUST_CHECK;
bool mount_can_beneath(void);

/* mount_exchange(dir_fd, a, b, err): The directories ${a} and ${b} of ${dir_fd} exchange their
 * names, with all that is mounted on them and whoever is in it, in every mount namespace and at
 * once.  ERR_UNSUPPORTED: the file system has no RENAME_EXCHANGE. */
int mount_exchange(int dir_fd, const char *a, const char *b, struct err *err) MUST_CHECK;

/* mount_detach(dir_fd, name, err): Unmount the topmost mount at ${name} and what is nested in it,
 * only if nobody is in it in any namespace; else everything is as it was and ERR_BUSY says which
 * process is there, as far as can be told.  A process that is only in something nested counts
 * too.  Nothing mounted is success.  ERR_HELD: a nested mount could not be put back, and which. */
int mount_detach(int dir_fd, const char *name, struct err *err) MUST_CHECK;

/* mount_seal(dir_fd, name, deadline_msec, err): Make the topmost mount at ${name} read-only, once
 * no file in it is open for writing, here and in every mount namespace it has spread to (a
 * service with PrivateTmp= writes through a mount of its own); nested mounts are left alone.
 * ERR_BUSY: someone still writes at the deadline; ERR_NOT_FOUND: nothing is mounted there. */
int mount_seal(int dir_fd, const char *name, unsigned deadline_msec, struct err *err) MUST_CHECK;

/* mount_seal_fd(top_fd, deadline_msec, err): As mount_seal(), for the mount that ${top_fd} is the
 * root of, which may be covered by another one meanwhile. */
int mount_seal_fd(int top_fd, unsigned deadline_msec, struct err *err) MUST_CHECK;

/* mount_unseal(dir_fd, name, err): The way back from mount_seal(). */
int mount_unseal(int dir_fd, const char *name, struct err *err) MUST_CHECK;

/* mount_clone(dir_fd, name, ret_mount_fd, err): A detached second sight of what is mounted at
 * ${name}, nested mounts included: the same files through another mount. */
int mount_clone(int dir_fd, const char *name, int *ret_mount_fd, struct err *err) MUST_CHECK;

/* mount_drop(dir_fd, name, err): Take the topmost mount at ${name} away from new lookups at once;
 * whoever is in it keeps it, but loses sight of what was nested in it (MNT_DETACH).  Only for a
 * place that cannot wait: mount_detach() loses nothing. */
int mount_drop(int dir_fd, const char *name, struct err *err) MUST_CHECK;

/* mount_is_at(dir_fd, name, ret_is, err): Is something mounted at ${name}?  Without reading the
 * table of mounts, which takes milliseconds on a server with thousands. */
int mount_is_at(int dir_fd, const char *name, bool *ret_is, struct err *err) MUST_CHECK;

/* mount_depth(dir_fd, name, ret_depth, err): How many mounts lie on each other at ${name}. */
int mount_depth(int dir_fd, const char *name, unsigned *ret_depth, struct err *err) MUST_CHECK;

/* mount_shared_parent(dir_fd, err): ERR_REFUSED when ${dir_fd} is not below a mount with shared
 * propagation: other mount namespaces (a web server with PrivateTmp=) would not see versions. */
int mount_shared_parent(int dir_fd, struct err *err) MUST_CHECK;

/* mount_shows(pool_fd, path, ret_shows, err): Is the directory ${path} of the pool, or anything
 * below it, part of a mount in any mount namespace of this machine, as the source of a bind mount
 * or as the upper or a lower of an overlay?  A detached mount that is only a descriptor of some
 * process is not seen, and neither is a namespace in which no process is. */
int mount_shows(int pool_fd, const char *path, bool *ret_shows, struct err *err) MUST_CHECK;

/* mount_shows_top(pool_fd, path, ret_shows, err): As mount_shows(), but an overlay counts only when
 * ${path} is its topmost layer: its upper, or its first lower when it has none. */
int mount_shows_top(int pool_fd, const char *path, bool *ret_shows, struct err *err) MUST_CHECK;

/* mount_shows_writable(pool_fd, path, ret_shows, err): As mount_shows(), but only where ${path} can
 * be written through the mount: a bind mount or an overlay's upper that is not read-only. */
int mount_shows_writable(int pool_fd, const char *path, bool *ret_shows,
                         struct err *err) MUST_CHECK;

/* How thoroughly somebody is looked for.  A quick look leaves out mapped files, of which a machine
 * has thousands: enough to wait by, and to be followed by a whole one before something goes. */
enum mount_look { MOUNT_LOOK_QUICK, MOUNT_LOOK_WHOLE };

/* mount_users(dir_fd, name, look, pids, n, ret_n, err): Processes whose cwd, root, program, an
 * open or a mapped file is in the topmost mount at ${name}, or in what propagation made of it in
 * another namespace; at most ${n} are written. */
int mount_users(int dir_fd, const char *name, enum mount_look look, pid_t *pids, size_t n,
                size_t *ret_n, struct err *err) MUST_CHECK;

#endif
