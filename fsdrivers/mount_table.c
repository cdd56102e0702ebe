/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/mount_internal.h"

/* Linux 5.8. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

int mount_id(int dir_fd, const char *name, int *ret_id, struct err *err)
{
        struct statx stx;

        if (statx(dir_fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID,
                  &stx) < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                                "cannot stat '%s'", name);
        if ((stx.stx_mask & STATX_MNT_ID) == 0)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the kernel does not tell mount ids");
        *ret_id = (int)stx.stx_mnt_id;
        return 0;
}

DIR *mount_open_proc(void)
{
        CLEANUP(closep) int fd = openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *proc = fd < 0 ? NULL : fdopendir(fd);

        if (proc != NULL)
                (void)steal_fd(&fd);
        return proc;
}

static struct libmnt_table *table_read(const char *path)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = mnt_new_table();

        if (table == NULL || mnt_table_parse_file(table, path) != 0)
                return NULL;
        return STEAL(table);
}

int mount_table_own(struct libmnt_table **ret_table, struct err *err)
{
        *ret_table = table_read("/proc/self/mountinfo");
        if (*ret_table == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read /proc/self/mountinfo");
        return 0;
}

struct libmnt_fs *mount_table_find(struct libmnt_table *table, int id)
{
        CLEANUP(mount_iter_freep) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_BACKWARD);
        struct libmnt_fs *fs;

        while (iter != NULL && mnt_table_next_fs(table, iter, &fs) == 0)
                if (mnt_fs_get_id(fs) == id)
                        return fs;
        return NULL;
}

unsigned mount_group(struct libmnt_fs *fs, const char *key)
{
        const char *fields = mnt_fs_get_optional_fields(fs);
        const char *at = fields == NULL ? NULL : strstr(fields, key);

        return at == NULL ? 0 : (unsigned)strtoul(at + strlen(key), NULL, 10);
}

struct seen_ns {
        ino_t *inodes;
        size_t n;
};

static int seen_add(struct seen_ns *seen, ino_t inode, bool *ret_new, struct err *err)
{
        ino_t *more;

        *ret_new = false;
        for (size_t i = 0; i < seen->n; i++)
                if (seen->inodes[i] == inode)
                        return 0;
        more = realloc(seen->inodes, (seen->n + 1) * sizeof(*more));
        if (more == NULL)
                return err_oom(err);
        seen->inodes = more;
        seen->inodes[seen->n++] = inode;
        *ret_new = true;
        return 0;
}

/* A process that ended meanwhile takes its namespace out of our interest. */
static int visit_process(int proc_fd, const char *name, bool own, struct seen_ns *seen,
                         mount_ns_visit visit, void *arg, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        struct mount_ns ns = { .pid = own ? getpid() : (pid_t)strtol(name, NULL, 10), .own = own };
        char path[64];
        struct stat st;
        bool is_new;

        (void)snprintf(path, sizeof(path), "%s/ns/mnt", name);
        if (fstatat(proc_fd, path, &st, 0) < 0)
                return 0;
        if (seen_add(seen, st.st_ino, &is_new, err) < 0)
                return -1;
        if (!is_new)
                return 0;
        (void)snprintf(path, sizeof(path), "/proc/%s/mountinfo", name);
        table = table_read(path);
        if (table == NULL)
                return 0;
        ns.table = table;
        return visit(&ns, arg, err);
}

int mount_each_ns(mount_ns_visit visit, void *arg, struct err *err)
{
        CLEANUP(closedirp) DIR *proc = mount_open_proc();
        struct seen_ns seen = { 0 };
        struct dirent *entry;
        int ret;

        if (proc == NULL)
                return err_fail(err, ERR_IO, errno, "cannot read /proc");
        ret = visit_process(dirfd(proc), "self", true, &seen, visit, arg, err);
        while (ret == 0 && (entry = readdir(proc)) != NULL)
                if (isdigit((unsigned char)entry->d_name[0]))
                        ret = visit_process(dirfd(proc), entry->d_name, false, &seen, visit, arg,
                                            err);
        free(seen.inodes);
        return ret < 0 ? -1 : 0;
}

/* Where a directory lies in its file system: what mountinfo calls root and the device. */
struct place {
        dev_t devno;
        char root[2300];   /* path within the file system */
        char target[1200]; /* path in our namespace */
        char tag[MOUNT_TAG_MAX];
        const char *path; /* relative to the pool */
        enum { SHOWS_ANY, SHOWS_TOP, SHOWS_WRITABLE } how;
        bool shows;
};

static bool path_within(const char *path, const char *dir)
{
        size_t n = strlen(dir);

        if (strcmp(dir, "/") == 0)
                return true;
        return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static int place_make(int pool_fd, const char *path, struct libmnt_table *table,
                      struct place *place, struct err *err)
{
        const char *root, *target;
        struct libmnt_fs *fs;
        char self[40], abs[1024];
        ssize_t n;
        int id;

        if (mount_id(pool_fd, "", &id, err) < 0 || mount_tag(pool_fd, place->tag, err) < 0)
                return -1;
        (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", pool_fd);
        n = readlink(self, abs, sizeof(abs) - 1);
        if (n < 0)
                return err_fail(err, ERR_IO, errno, "cannot tell where the pool is");
        abs[n] = '\0';
        fs = mount_table_find(table, id);
        if (fs == NULL || !path_within(abs, mnt_fs_get_target(fs)))
                return err_fail(err, ERR_IO, 0, "the pool is not in this mount namespace");

        root = mnt_fs_get_root(fs);
        target = mnt_fs_get_target(fs);
        place->devno = mnt_fs_get_devno(fs);
        place->path = path;
        (void)snprintf(place->root, sizeof(place->root), "%s%s/%s",
                       strcmp(root, "/") == 0 ? "" : root,
                       strcmp(target, "/") == 0 ? abs : abs + strlen(target), path);
        (void)snprintf(place->target, sizeof(place->target), "%s/%s", abs, path);
        return 0;
}

/* One layer of an overlay's options.  Ours are recognised by the pool in the mount's source and
 * the end of the path, since the path is as the mounting process saw it, or a /proc/self/fd one;
 * strangers' by the whole path. */
static bool layer_matches(const struct place *place, bool tagged, const char *layer, size_t n)
{
        size_t len = strlen(place->path);
        char whole[1200];

        if (tagged)
                return n >= len && strncmp(layer + n - len, place->path, len) == 0 &&
                       (n == len || layer[n - len - 1] == '/');
        (void)snprintf(whole, sizeof(whole), "%.*s", (int)n, layer);
        return path_within(whole, place->target);
}

/* A single "lowerdir=" joins all layers by colons. */
static bool any_layer_matches(const struct place *place, bool tagged, const char *value, size_t n)
{
        while (n > 0) {
                const char *colon = memchr(value, ':', n);
                size_t len = colon == NULL ? n : (size_t)(colon - value);

                if (layer_matches(place, tagged, value, len))
                        return true;
                if (colon == NULL || place->how == SHOWS_TOP)
                        return false;
                value += len + 1;
                n -= len + 1;
        }
        return false;
}

static bool overlay_shows(const struct place *place, struct libmnt_fs *fs)
{
        const char *source = mnt_fs_get_source(fs);
        bool tagged = source != NULL && strcmp(source, place->tag) == 0;
        char *options = (char *)mnt_fs_get_fs_options(fs), *name, *value;
        bool first = true, lower = false, upper = false, has_upper = false;
        size_t name_n, value_n;

        while (mnt_optstr_next_option(&options, &name, &name_n, &value, &value_n) == 0) {
                if (value == NULL)
                        continue;
                if (strncmp(name, "upperdir", 8) == 0) {
                        has_upper = true;
                        upper = any_layer_matches(place, tagged, value, value_n);
                } else if (strncmp(name, "lowerdir", 8) == 0) {
                        if (first || place->how != SHOWS_TOP)
                                lower |= any_layer_matches(place, tagged, value, value_n);
                        first = false;
                }
        }
        if (place->how == SHOWS_WRITABLE)
                return upper &&
                       mnt_optstr_get_option(mnt_fs_get_fs_options(fs), "ro", NULL, NULL) != 0;
        return place->how == SHOWS_TOP && has_upper ? upper : upper || lower;
}

static bool bind_shows(const struct place *place, struct libmnt_fs *fs)
{
        if (mnt_fs_get_devno(fs) != place->devno || !path_within(mnt_fs_get_root(fs), place->root))
                return false;
        return place->how != SHOWS_WRITABLE ||
               mnt_optstr_get_option(mnt_fs_get_vfs_options(fs), "ro", NULL, NULL) != 0;
}

static int shows_in(const struct mount_ns *ns, void *arg, struct err *err)
{
        CLEANUP(mount_iter_freep) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
        struct place *place = arg;
        struct libmnt_fs *fs;

        if (iter == NULL)
                return err_oom(err);
        while (!place->shows && mnt_table_next_fs(ns->table, iter, &fs) == 0) {
                if (bind_shows(place, fs))
                        place->shows = true;
                else if (mnt_fs_get_fstype(fs) != NULL &&
                         strcmp(mnt_fs_get_fstype(fs), "overlay") == 0)
                        place->shows = overlay_shows(place, fs);
        }
        return place->shows ? 1 : 0;
}

static int shows(int pool_fd, const char *path, int how, bool *ret_shows, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        struct place place = { .how = how };
        struct mount_ns own = { .own = true };
        int ret;

        if (mount_table_own(&table, err) < 0 || place_make(pool_fd, path, table, &place, err) < 0)
                return -1;
        /* What is shown at all is mostly shown here, and there may be thousands of mounts. */
        own.table = table;
        ret = shows_in(&own, &place, err);
        if (ret < 0 || (ret == 0 && mount_each_ns(shows_in, &place, err) < 0))
                return -1;
        *ret_shows = place.shows;
        return 0;
}

int mount_shows(int pool_fd, const char *path, bool *ret_shows, struct err *err)
{
        return shows(pool_fd, path, SHOWS_ANY, ret_shows, err);
}

int mount_shows_top(int pool_fd, const char *path, bool *ret_shows, struct err *err)
{
        return shows(pool_fd, path, SHOWS_TOP, ret_shows, err);
}

int mount_shows_writable(int pool_fd, const char *path, bool *ret_shows, struct err *err)
{
        return shows(pool_fd, path, SHOWS_WRITABLE, ret_shows, err);
}

int mount_is_at(int dir_fd, const char *name, bool *ret_is, struct err *err)
{
        int below, id;

        if (mount_id(dir_fd, "", &below, err) < 0 || mount_id(dir_fd, name, &id, err) < 0)
                return -1;
        *ret_is = id != below;
        return 0;
}

int mount_depth(int dir_fd, const char *name, unsigned *ret_depth, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        int below, id;
        unsigned depth = 0;

        if (mount_id(dir_fd, "", &below, err) < 0 || mount_id(dir_fd, name, &id, err) < 0 ||
            (id != below && mount_table_own(&table, err) < 0))
                return -1;
        /* A mount on another has that one as its parent. */
        while (id != below) {
                struct libmnt_fs *fs = mount_table_find(table, id);

                if (fs == NULL)
                        return err_fail(err, ERR_IO, 0, "'%s' is not in this mount namespace",
                                        name);
                id = mnt_fs_get_parent_id(fs);
                depth++;
        }
        *ret_depth = depth;
        return 0;
}

int mount_shared_parent(int dir_fd, struct err *err)
{
        CLEANUP(mount_table_unrefp) struct libmnt_table *table = NULL;
        struct libmnt_fs *fs;
        int id;

        if (mount_id(dir_fd, "", &id, err) < 0 || mount_table_own(&table, err) < 0)
                return -1;
        fs = mount_table_find(table, id);
        if (fs == NULL)
                return err_fail(err, ERR_IO, 0, "the directory is not in this mount namespace");
        if (mount_group(fs, "shared:") == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the mount at '%s' has private propagation, so services with "
                                "mounts of their own would not see versions; run "
                                "'mount --make-shared %s'",
                                mnt_fs_get_target(fs), mnt_fs_get_target(fs));
        return 0;
}
