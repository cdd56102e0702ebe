/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_ROOT_H
#define TESTS_LIB_ROOT_H

/*
 * For tests that mount.  Everything happens in a mount namespace of the test's own child process,
 * so what it mounts is gone when the test ends, however it ends; loop devices free themselves
 * then, and their images lie in the test's directory.
 *
 * Each function fails the test itself.
 */

#include <stdbool.h>
#include <sys/types.h>

/* root_begin(): Skip the test unless we are root; afterwards mounts are ours alone. */
void root_begin(void);

/* root_fs(type, mbytes): A fresh file system ("ext4", "xfs", "btrfs", "tmpfs", "ramfs") of this
 * size, mounted; its mount point, which lives as long as the test.  Skips the test when the
 * system cannot make or mount one.  NULL for ${type} is a plain directory. */
const char *root_fs(const char *type, unsigned mbytes);

/* root_crash(path): As if the machine had crashed: remember what the disk of the file system at
 * ${path} holds at this moment, without what is only in memory.  root_reboot(path): the file
 * system is that from now on.  In between close what is open in it: closing can write. */
void root_crash(const char *path);
void root_reboot(const char *path);

/* root_dir(parent, name): An open new directory; the caller closes it. */
int root_dir(const char *parent, const char *name);

/* root_share(path): Make ${path} a mount with shared propagation, as versions/ lies on. */
void root_share(const char *path);

/* root_run(argv): Run a program, found by PATH, without output; its exit status. */
int root_run(const char *const *argv);

/* root_hold(run, arg, propagation): Start a process in a mount namespace of its own with this
 * propagation (MS_SLAVE, MS_PRIVATE), call ${run} in it, and come back when that has returned;
 * the process stays until root_release().  propagation 0: in our namespace. */
pid_t root_hold(void (*run)(void *arg), void *arg, unsigned long propagation);
void root_release(pid_t pid);

#endif
