/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "fsdrivers/mount_internal.h"

/* Linux 6.13, merge "ovl: specify layers via file descriptors"; before it this is EINVAL. */
#ifndef FSCONFIG_SET_FD
#define FSCONFIG_SET_FD 5
#endif

/* Features of overlayfs that change what layers look like on disk are switched off in each mount,
 * whatever the module's defaults are: a layer must be readable as a plain tree by any kernel.
 * redirect_dir=nofollow also ignores a redirect that someone planted. */
static const char *const overlay_options[][2] = {
        { "redirect_dir", "nofollow" },
        { "metacopy", "off" },
        { "index", "off" },
        { "xino", "off" },
};

#define N_OPTIONS (sizeof(overlay_options) / sizeof(overlay_options[0]))

void mount_spec_done(struct mount_spec *spec)
{
        for (size_t i = 0; i < spec->n_lowers; i++)
                free(spec->lowers[i]);
        free(spec->lowers);
        free(spec->source);
        free(spec->upper);
        free(spec->work);
        memset(spec, 0, sizeof(*spec));
}

int mount_tag(int pool_fd, char tag[static MOUNT_TAG_MAX], struct err *err)
{
        struct stat st;

        if (fstat(pool_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat the pool");
        (void)snprintf(tag, MOUNT_TAG_MAX, "sitesnap-%u-%u-%llu", major(st.st_dev),
                       minor(st.st_dev), (unsigned long long)st.st_ino);
        return 0;
}

struct child_result {
        int status; /* 1 until the child has come to an end of its own */
        int fd;
        struct err err;
};

int mount_in_child(mount_child run, void *arg, int *ret_fd, struct err *err)
{
        struct child_result *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t pid;
        int ret = -1;

        if (shared == MAP_FAILED)
                return err_oom(err);
        shared->status = 1;

        /* Shared descriptors bring back the new one.  No exit signal: a daemon's SIGCHLD handling
         * does not see this child. */
        pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_FILES, 0, 0, 0, 0);
        if (pid == 0) {
                if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                        shared->status = err_fail(&shared->err, ERR_IO, errno,
                                                  "cannot make the mounts private");
                else
                        shared->status = run(arg, &shared->fd, &shared->err);
                _exit(0);
        }
        if (pid < 0)
                err_fail(err, ERR_IO, errno, "cannot start a child with its own mounts");
        else if (waitpid(pid, NULL, __WALL) < 0 || shared->status > 0)
                err_fail(err, ERR_IO, 0, "the child that prepares a mount ended early");
        else if (shared->status < 0)
                *err = shared->err;
        else {
                *ret_fd = shared->fd;
                ret = 0;
        }
        (void)munmap(shared, sizeof(*shared));
        return ret;
}

/* The kernel's own words, if it left any on the context: "e overlay: ...". */
static int overlay_fail(int fs_fd, const char *what, const char *value, struct err *err)
{
        int os = errno;
        char text[200];
        ssize_t n = read(fs_fd, text, sizeof(text) - 1);

        if (n <= 2)
                return err_fail(err, ERR_IO, os, "overlay: %s '%s'", what, value);
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return err_fail(err, ERR_IO, os, "overlay: %s '%s' (%s)", what, value, text + 2);
}

static int set_layer(int fs_fd, int pool_fd, const char *key, const char *path,
                     enum overlay_how how, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        char by_path[1100];
        int ret;

        /* Not O_PATH: the kernel takes those from 6.14 on only. */
        if (safepath_open(pool_fd, path, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return err_wrap(err, "layer");
        (void)snprintf(by_path, sizeof(by_path), "/proc/self/fd/%d/%s", pool_fd, path);
        ret = how == OVERLAY_BY_FD ? fsconfig(fs_fd, FSCONFIG_SET_FD, key, NULL, fd)
                                   : fsconfig(fs_fd, FSCONFIG_SET_STRING, key, by_path, 0);
        if (ret < 0)
                return overlay_fail(fs_fd, key, path, err);
        return 0;
}

static int set_layers(int fs_fd, int pool_fd, const struct mount_spec *spec, enum overlay_how how,
                      struct err *err)
{
        for (size_t i = 0; i < spec->n_lowers; i++)
                if (set_layer(fs_fd, pool_fd, "lowerdir+", spec->lowers[i], how, err) < 0)
                        return -1;
        if (spec->upper == NULL)
                return 0;
        if (set_layer(fs_fd, pool_fd, "upperdir", spec->upper, how, err) < 0)
                return -1;
        return set_layer(fs_fd, pool_fd, "workdir", spec->work, how, err);
}

static int overlay_by_context(int pool_fd, const struct mount_spec *spec, enum overlay_how how,
                              int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fs_fd = fsopen("overlay", FSOPEN_CLOEXEC);
        char tag[MOUNT_TAG_MAX];
        int fd;

        if (fs_fd < 0)
                return err_fail(err, errno == ENODEV ? ERR_UNSUPPORTED : ERR_IO, errno,
                                "this kernel has no overlayfs");
        if (mount_tag(pool_fd, tag, err) < 0)
                return -1;
        if (fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", tag, 0) < 0)
                return overlay_fail(fs_fd, "source", tag, err);
        for (size_t i = 0; i < N_OPTIONS; i++)
                if (fsconfig(fs_fd, FSCONFIG_SET_STRING, overlay_options[i][0],
                             overlay_options[i][1], 0) < 0)
                        return overlay_fail(fs_fd, overlay_options[i][0], overlay_options[i][1],
                                            err);
        if (set_layers(fs_fd, pool_fd, spec, how, err) < 0)
                return -1;
        if (spec->read_only && fsconfig(fs_fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
                return overlay_fail(fs_fd, "option", "ro", err);
        if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return overlay_fail(fs_fd, "cannot create the mount of", spec->lowers[0], err);
        fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                     (spec->read_only ? MOUNT_ATTR_RDONLY : 0));
        if (fd < 0)
                return overlay_fail(fs_fd, "cannot mount", spec->lowers[0], err);
        *ret_fd = fd;
        return 0;
}

struct page_mount {
        char pool[1024], tag[MOUNT_TAG_MAX], options[4096];
        struct stat pool_st;
        bool read_only;
};

/* In the child.  A layer must lie on a mount of our own namespace (clone_private_mount()), which
 * the parent's pool descriptor no longer does here: the pool is found by its path once more. */
static int page_mount_run(void *arg, int *ret_fd, struct err *err)
{
        const struct page_mount *page = arg;
        unsigned long flags = MS_NOSUID | MS_NODEV | (page->read_only ? MS_RDONLY : 0);
        struct stat st;
        int fd;

        if (chdir(page->pool) < 0 || stat(".", &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot enter the pool '%s'", page->pool);
        if (st.st_dev != page->pool_st.st_dev || st.st_ino != page->pool_st.st_ino)
                return err_fail(err, ERR_IO, 0, "'%s' is not the pool", page->pool);
        if (mount(page->tag, "/proc", "overlay", flags, page->options) < 0)
                return err_fail(err, ERR_IO, errno, "cannot mount the overlay");
        fd = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot take the overlay along");
        *ret_fd = fd;
        return 0;
}

static int overlay_by_page(int pool_fd, const struct mount_spec *spec, int *ret_fd, struct err *err)
{
        struct page_mount page = { .read_only = spec->read_only };
        char self[40];
        size_t n = 0;
        ssize_t len;

        (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", pool_fd);
        len = readlink(self, page.pool, sizeof(page.pool) - 1);
        if (len < 0 || fstat(pool_fd, &page.pool_st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot tell where the pool is");
        if (mount_tag(pool_fd, page.tag, err) < 0)
                return -1;
        for (size_t i = 0; i < N_OPTIONS; i++)
                n += (size_t)snprintf(page.options + n, sizeof(page.options) - n, "%s=%s,",
                                      overlay_options[i][0], overlay_options[i][1]);
        if (spec->upper != NULL)
                n += (size_t)snprintf(page.options + n, sizeof(page.options) - n,
                                      "upperdir=%s,workdir=%s,", spec->upper, spec->work);
        for (size_t i = 0; i < spec->n_lowers && n < sizeof(page.options); i++)
                n += (size_t)snprintf(page.options + n, sizeof(page.options) - n, "%s%s",
                                      i == 0 ? "lowerdir=" : ":", spec->lowers[i]);
        if (n >= sizeof(page.options))
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "%zu layers do not fit into one page of options; it takes "
                                "Linux 6.5, or fewer layers", spec->n_lowers);
        return mount_in_child(page_mount_run, &page, ret_fd, err);
}

int mount_overlay(int pool_fd, const struct mount_spec *spec, enum overlay_how how, int *ret_fd,
                  struct err *err)
{
        return how == OVERLAY_BY_PAGE ? overlay_by_page(pool_fd, spec, ret_fd, err)
                                      : overlay_by_context(pool_fd, spec, how, ret_fd, err);
}

static int mount_bind(int pool_fd, const struct mount_spec *spec, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;

        if (safepath_open(pool_fd, spec->source, O_PATH | O_DIRECTORY, &dir_fd, err) < 0)
                return -1;
        *ret_fd = open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        if (*ret_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot clone the mount of '%s'",
                                spec->source);
        return 0;
}

int mount_build(int pool_fd, const struct mount_spec *spec, int *ret_mount_fd, struct err *err)
{
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                            (spec->read_only ? MOUNT_ATTR_RDONLY : 0),
                .propagation = MS_PRIVATE,
        };
        CLEANUP(closep) int fd = -1;
        int ret;

        if (spec->kind == MOUNT_BIND)
                ret = mount_bind(pool_fd, spec, &fd, err);
        else {
                /* An older kernel answers EINVAL to a way that it does not know (EBADF where
                 * FSCONFIG_SET_FD is known but not for overlayfs's parameters). */
                ret = mount_overlay(pool_fd, spec, OVERLAY_BY_FD, &fd, err);
                if (ret < 0 && (err->os == EINVAL || err->os == EBADF))
                        ret = mount_overlay(pool_fd, spec, OVERLAY_BY_PATH, &fd, err);
                if (ret < 0 && err->os == EINVAL)
                        ret = mount_overlay(pool_fd, spec, OVERLAY_BY_PAGE, &fd, err);
        }
        if (ret < 0)
                return -1;
        if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set the mount's attributes");
        *ret_mount_fd = steal_fd(&fd);
        return 0;
}
