/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/aside.h"
#include "snapd/render.h"
#include "snapd/served.h"

#define NAME_LEN 24 /* a 64-bit number */

/* Whoever is in what was replaced a moment ago has mostly left after this. */
#define TIDY_TRIES 5
#define TIDY_NSEC  20000000

/* Linux 6.8 (commit 98d2b43081972) has identities that are never used again; before it the plain
 * ones, which are enough while the memory in run/ is as old as the mount. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

static void number_name(uint64_t number, char name[static NAME_LEN])
{
        (void)snprintf(name, NAME_LEN, "%" PRIu64, number);
}

int served_versions_fd(struct step_env *env, int *ret_fd, struct err *err)
{
        int home_fd;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        if (safepath_open_mounted(home_fd, "versions", O_RDONLY | O_DIRECTORY, ret_fd, err) < 0)
                return err_wrap(err, "'%s'", env->site->home);
        return 0;
}

int served_current(struct step_env *env, uint64_t *ret_version, struct err *err)
{
        char target[64] = "";
        uint64_t version;
        int home_fd, end = 0;
        ssize_t n;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        n = readlinkat(home_fd, "current", target, sizeof(target) - 1);
        if (n < 0 && errno == ENOENT) {
                *ret_version = 0;
                return 0;
        }
        if (n < 0 || sscanf(target, "versions/%" SCNu64 "%n", &version, &end) != 1 ||
            target[end] != '\0')
                return err_fail(err, ERR_CORRUPT, 0,
                                "'%s/current' is not a link of ours to a version", env->site->home);
        *ret_version = version;
        return 0;
}

/* Which mount is the topmost at a name: 0 when it is only a directory of HOME's own. */
static uint64_t mount_identity(int dir_fd, const char *name)
{
        struct statx st;

        if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID_UNIQUE, &st) == 0 &&
            (st.stx_mask & STATX_MNT_ID_UNIQUE) != 0)
                return st.stx_mnt_id;
        if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) == 0)
                return st.stx_mnt_id;
        return 0;
}

static int memory_fd(struct step_env *env, int *ret_fd, struct err *err)
{
        char path[64];

        (void)snprintf(path, sizeof(path), "served/%s", env->site->name);
        return safepath_mkdirs(env->dirs->run_fd, path, 0700, 0, 0, ret_fd, err);
}

static void memory_text(const struct view *view, uint64_t identity, char *text, size_t size)
{
        (void)snprintf(text, size, "%" PRIu64 " %s %s %" PRIu64 "\n", view->tree,
                       view->read_only ? "ro" : "rw",
                       view->database[0] == '\0' ? "-" : view->database, identity);
}

bool served_shows(struct step_env *env, const struct view *view)
{
        CLEANUP(closep) int dir_fd = -1, versions_fd = -1;
        CLEANUP(freep) char *remembered = NULL;
        char name[NAME_LEN], text[256];
        struct err err;
        bool mounted;

        number_name(view->version, name);
        if (served_versions_fd(env, &versions_fd, &err) < 0 || memory_fd(env, &dir_fd, &err) < 0 ||
            mount_is_at(versions_fd, name, &mounted, &err) < 0 || !mounted ||
            file_read(dir_fd, name, sizeof(text), &remembered, NULL, &err) < 0)
                return false;
        memory_text(view, mount_identity(versions_fd, name), text, sizeof(text));
        return strcmp(text, remembered) == 0;
}

static int remember(struct step_env *env, const struct view *view, int versions_fd, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        char name[NAME_LEN], text[256];

        if (memory_fd(env, &dir_fd, err) < 0)
                return -1;
        number_name(view->version, name);
        memory_text(view, mount_identity(versions_fd, name), text, sizeof(text));
        return file_replace(dir_fd, name, text, strlen(text), 0600, err);
}

static void forget(struct step_env *env, const char *name)
{
        CLEANUP(closep) int dir_fd = -1;
        struct err err;

        /* A memory without its mount is told by the identity, so failing here is harmless. */
        if (memory_fd(env, &dir_fd, &err) == 0)
                (void)unlinkat(dir_fd, name, 0);
}

static bool database_is_nested(const struct site *site, const char *database)
{
        return database[0] != '\0' && site->database.path != NULL && site->database.path[0] != '/';
}

int served_stubs(struct step_env *env, fs_id head, const char *database, struct err *err)
{
        const struct site *site = env->site;
        CLEANUP(freep) const char **paths = calloc(site->n_shared + 1, sizeof(*paths));
        struct fs_pool *pool;
        size_t n = 0;

        if (paths == NULL)
                return err_oom(err);
        if (env_pool(env, &pool, err) < 0)
                return -1;
        for (; n < site->n_shared; n++)
                paths[n] = site->shared[n];
        if (database_is_nested(site, database))
                paths[n++] = site->database.path;
        return n == 0 ? 0 : env->fs->stubs(pool, head, paths, n, err);
}

static int nest_from(int root_fd, const char *source, int mount_fd, const char *target,
                     unsigned flags, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (safepath_open(root_fd, source, O_PATH | O_DIRECTORY, &fd, err) < 0)
                return err_wrap(err, "the shared directory '%s' is missing", source);
        return mount_nest(mount_fd, target, fd, flags, err);
}

static int nest_all(struct step_env *env, const struct view *view, int mount_fd, struct err *err)
{
        const struct site *site = env->site;
        unsigned flags = MOUNT_NOEXEC | (view->read_only ? MOUNT_READ_ONLY : 0);
        char source[1100];
        int home_fd;

        if (env_home(env, &home_fd, err) < 0)
                return -1;
        for (size_t i = 0; i < site->n_shared; i++) {
                (void)snprintf(source, sizeof(source), "shared/%s", site->shared[i]);
                if (nest_from(home_fd, source, mount_fd, site->shared[i], flags, err) < 0)
                        return -1;
        }
        if (!database_is_nested(site, view->database))
                return 0;
        (void)snprintf(source, sizeof(source), "db/%s", view->database);
        return nest_from(home_fd, source, mount_fd, site->database.path, flags, err);
}

static int build(struct step_env *env, const struct view *view, int *ret_mount_fd, struct err *err)
{
        struct mount_spec plain = { .kind = MOUNT_BIND, .source = (char *)"." };
        struct mount_spec spec = { 0 };
        struct fs_pool *pool;
        int ret;

        if (view->plain_fd >= 0)
                return mount_build(view->plain_fd, &plain, ret_mount_fd, err);
        if (env_pool(env, &pool, err) < 0)
                return -1;
        if (!view->read_only && served_stubs(env, view->tree, view->database, err) < 0)
                return -1;
        if (env->fs->mounts(pool, view->tree, view->read_only, &spec, err) < 0)
                return -1;
        ret = mount_build(env->pool_fd, &spec, ret_mount_fd, err);
        mount_spec_done(&spec);
        if (ret == 0 && nest_all(env, view, *ret_mount_fd, err) < 0) {
                (void)close(*ret_mount_fd);
                ret = -1;
        }
        return ret;
}

/* Is a process in the topmost mount at the name? */
static int look_for_users(int versions_fd, const char *name, enum mount_look look, bool *ret_used,
                          struct err *err)
{
        size_t n = 0;
        pid_t pid;

        if (mount_users(versions_fd, name, look, &pid, 1, &n, err) < 0)
                return -1;
        *ret_used = n > 0;
        if (n > 0)
                (void)err_fail(err, ERR_BUSY, 0, "process %d is in it", (int)pid);
        return 0;
}

/* At no moment the name shows nothing, or a part of what it showed: a request that was sent to this
 * version and waits for its turn must find it whole. */
static int put_in_place(int mount_fd, int versions_fd, const char *name, struct err *err)
{
        bool mounted;

        if (mount_is_at(versions_fd, name, &mounted, err) < 0)
                return -1;
        return mounted ? aside_show(versions_fd, name, mount_fd, err)
                       : mount_attach(mount_fd, versions_fd, name, err);
}

/* What is still in use goes later: with the next sight there, or when an operation ends. */
static void clear_aside(struct step_env *env, int versions_fd, const char *name)
{
        struct err err;
        bool left;

        if (aside_clear(versions_fd, name, &left, &err) < 0)
                env_note(env, "warning: what was shown at version %s before stays mounted: %s",
                         name, err.msg);
}

int served_used(struct step_env *env, uint64_t version, enum mount_look look, bool *ret_used,
                struct err *err)
{
        CLEANUP(closep) int versions_fd = -1;
        char name[NAME_LEN];
        bool mounted;

        number_name(version, name);
        if (served_versions_fd(env, &versions_fd, err) < 0)
                return -1;
        *ret_used = false;
        if (faccessat(versions_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (mount_is_at(versions_fd, name, &mounted, err) < 0)
                return -1;
        if (mounted && look_for_users(versions_fd, name, look, ret_used, err) < 0)
                return -1;
        return *ret_used ? 0 : aside_used(versions_fd, name, look, ret_used, err);
}

int served_show(struct step_env *env, const struct view *view, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1, mount_fd = -1;
        char name[NAME_LEN];

        if (served_shows(env, view))
                return 0;
        number_name(view->version, name);
        if (served_versions_fd(env, &versions_fd, err) < 0)
                return -1;
        if (mkdirat(versions_fd, name, 0755) < 0 && errno != EEXIST)
                return err_fail(err, ERR_IO, errno, "cannot make '%s/versions/%s'", env->site->home,
                                name);
        if (build(env, view, &mount_fd, err) < 0 || render_all(env, view, mount_fd, err) < 0 ||
            put_in_place(mount_fd, versions_fd, name, err) < 0)
                return err_wrap(err, "version %s of '%s'", name, env->site->name);
        if (remember(env, view, versions_fd, err) < 0)
                return -1;
        /* What is shown to be written is about to be served, and somebody waits for that. */
        if (view->read_only)
                clear_aside(env, versions_fd, name);
        return 0;
}

/* An older sitesnap laid sights on each other. */
static int drop_all(int versions_fd, const char *name, struct err *err)
{
        unsigned depth;

        if (mount_depth(versions_fd, name, &depth, err) < 0)
                return -1;
        for (; depth > 0; depth--)
                if (mount_drop(versions_fd, name, err) < 0)
                        return -1;
        return 0;
}

int served_unlay(struct step_env *env, const struct view *view, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1;
        char name[NAME_LEN];
        bool found;

        if (!served_shows(env, view))
                return 0;
        number_name(view->version, name);
        if (served_versions_fd(env, &versions_fd, err) < 0)
                return -1;
        forget(env, name);
        if (aside_back(versions_fd, name, &found, err) < 0)
                return -1;
        return found ? 0 : mount_drop(versions_fd, name, err);
}

void served_tidy(struct step_env *env)
{
        const struct timespec pause = { .tv_nsec = TIDY_NSEC };
        CLEANUP(closep) int versions_fd = -1;
        bool left = true;
        struct err err;

        if (served_versions_fd(env, &versions_fd, &err) < 0)
                return;
        for (unsigned tries = 0; left && tries < TIDY_TRIES; tries++) {
                if (tries > 0)
                        (void)nanosleep(&pause, NULL);
                if (aside_clear(versions_fd, NULL, &left, &err) < 0)
                        env_note(env, "warning: a version's former sight stays mounted: %s",
                                 err.msg);
        }
}

int served_hide(struct step_env *env, uint64_t version, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1;
        char name[NAME_LEN];
        bool used;

        number_name(version, name);
        if (served_versions_fd(env, &versions_fd, err) < 0 ||
            served_used(env, version, MOUNT_LOOK_WHOLE, &used, err) < 0)
                return -1;
        if (faccessat(versions_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (used || drop_all(versions_fd, name, err) < 0)
                return err_wrap(err, "version %s of '%s'", name, env->site->name);
        forget(env, name);
        clear_aside(env, versions_fd, name);
        /* Not empty: somebody of root's put something below it, which is not ours to remove. */
        (void)unlinkat(versions_fd, name, AT_REMOVEDIR);
        return 0;
}

static bool same_superblock(int dir_fd, const char *a, const char *b)
{
        struct stat one, other;

        return fstatat(dir_fd, a, &one, AT_SYMLINK_NOFOLLOW) == 0 &&
               fstatat(dir_fd, b, &other, AT_SYMLINK_NOFOLLOW) == 0 && one.st_dev == other.st_dev;
}

int served_cover(struct step_env *env, const struct view *view, uint64_t by, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1, old_fd = -1, clone_fd = -1;
        char name[NAME_LEN], by_name[NAME_LEN];
        struct err seal_err;

        number_name(view->version, name);
        number_name(by, by_name);
        if (served_versions_fd(env, &versions_fd, err) < 0)
                return -1;
        if (same_superblock(versions_fd, name, by_name))
                return remember(env, view, versions_fd, err);
        if (safepath_open_mounted(versions_fd, name, O_PATH | O_DIRECTORY, &old_fd, err) < 0 ||
            mount_clone(versions_fd, by_name, &clone_fd, err) < 0 ||
            aside_show(versions_fd, name, clone_fd, err) < 0)
                return err_wrap(err, "version %s of '%s'", name, env->site->name);
        if (remember(env, view, versions_fd, err) < 0)
                return -1;

        /* From here on whoever opens a path writes to the new head.  Somebody who keeps a file
         * open for longer than this still writes into the kept tree: said, not hidden. */
        if (mount_seal_fd(old_fd, env->site->drain_sec * 1000, &seal_err) < 0)
                env_note(env,
                         "warning: a process still has a file of version %s open for "
                         "writing; what it writes there is in the kept tree too (%s)",
                         name, seal_err.msg);
        closep(&old_fd);
        old_fd = -1;
        clear_aside(env, versions_fd, name);
        return 0;
}
