/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/safepath.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "snapd/args.h"
#include "snapd/bundle_child.h"
#include "snapd/bundle_file.h"
#include "snapd/env.h"
#include "snapd/steps.h"

/*
 * A file becomes a version.  What is in it is written to HOME/STAGING/new, where STAGING is root's
 * alone (0700) and "new" the tenant's, so that the process that reads the bundle can write there
 * and nobody else can look; then the tree goes to the pool and the dump to the database.
 */

#define NEW         "new"
#define SPARE_BYTES (64U << 20) /* of the room at home that an archive does not get */
#define ASK_USEC    200000

struct watching {
        struct step_env *env;
        int64_t next_usec;
};

static int on_progress(uint64_t bytes, void *arg, struct err *err)
{
        struct watching *w = arg;
        int64_t now = clock_boot_usec();

        if (now < w->next_usec)
                return 0;
        w->next_usec = now + ASK_USEC;
        journal_progress(w->env->catalog, w->env->operation, w->env->part, w->env->step, bytes, 0);
        return journal_abort_asked(w->env->catalog, w->env->operation)
                       ? err_fail(err, ERR_REFUSED, 0, "stopped as asked")
                       : 0;
}

static int staging_remove(struct step_env *env, const char *name, struct err *err)
{
        int home_fd;

        return env_home(env, &home_fd, err) < 0 ? -1 : tree_remove(home_fd, name, err);
}

/* staging_open(env, name, below, ret_fd, err): HOME/NAME/new/BELOW; ERR_NOT_FOUND. */
static int staging_open(struct step_env *env, const char *name, const char *below, int *ret_fd,
                        struct err *err)
{
        char path[256];
        int home_fd;

        (void)snprintf(path, sizeof(path), "%s/" NEW "%s%s", name, below[0] == '\0' ? "" : "/",
                       below);
        return env_home(env, &home_fd, err) < 0
                       ? -1
                       : safepath_open(home_fd, path, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

static int staging_make(struct step_env *env, const char *name, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int staging_fd = -1;
        int home_fd;

        if (env_home(env, &home_fd, err) < 0 || staging_remove(env, name, err) < 0)
                return -1;
        if (mkdirat(home_fd, name, 0700) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s/%s'", env->site->home, name);
        if (safepath_open(home_fd, name, O_RDONLY | O_DIRECTORY, &staging_fd, err) < 0)
                return -1;
        if (mkdirat(staging_fd, NEW, 0700) < 0 ||
            fchownat(staging_fd, NEW, env->site->uid, env->site->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make '%s/" NEW "'", name);
        return safepath_open(staging_fd, NEW, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

static bool same_record(const json_t *args, const struct bundle_facts *facts)
{
        char hex[2 * BUNDLE_DIGEST_BYTES + 1];

        for (size_t i = 0; i < sizeof(facts->record); i++)
                (void)snprintf(hex + 2 * i, 3, "%02x", facts->record[i]);
        return strcmp(hex, arg_text(args, "record")) == 0;
}

/* bundle.unpack {file, by, staging, record} */
static int unpack_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int in_fd = -1, dir_fd = -1;
        struct watching watching = { .env = env };
        struct bundle_facts facts;
        struct statvfs room;
        struct bundle_unpack unpack = { .progress = on_progress, .arg = &watching };

        if (bundle_file_open(arg_text(args, "file"), (uid_t)json_get_u64(args, "by"), &in_fd, err) <
                    0 ||
            staging_make(env, arg_text(args, "staging"), &dir_fd, err) < 0)
                return -1;
        if (fstatvfs(dir_fd, &room) < 0)
                return err_fail(err, ERR_IO, errno, "cannot see how much space there is");
        unpack.in_fd = in_fd;
        unpack.dir_fd = dir_fd;
        unpack.bytes_max = (uint64_t)room.f_bavail * room.f_frsize;
        unpack.bytes_max -= unpack.bytes_max < SPARE_BYTES ? unpack.bytes_max : SPARE_BYTES;
        if (bundle_child_run(&unpack, env->site->uid, env->site->gid, &facts, err) < 0)
                return -1;
        if (!same_record(args, &facts))
                return err_fail(err, ERR_CORRUPT, 0,
                                "'%s' is another file than when it was looked at first; nothing "
                                "was imported",
                                arg_text(args, "file"));
        return syncfs(dir_fd) < 0 ? err_fail(err, ERR_IO, errno, "cannot sync what was unpacked")
                                  : 0;
}

static int unpack_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return staging_remove(env, arg_text(args, "staging"), err);
}

static void unpack_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "read '%s' and compare it with its manifest",
                       arg_text(args, "file"));
}

const struct step_kind step_bundle_unpack = {
        .name = "bundle.unpack",
        .run = unpack_run,
        .undo = unpack_undo,
        .describe = unpack_describe,
};

static int stop_at_first(const char *name, void *arg, struct err *err)
{
        (void)name;
        *(bool *)arg = false;
        return err_fail(err, ERR_EXISTS, 0, "found");
}

static bool is_empty(int dir_fd)
{
        struct err ignored;
        bool empty = true;

        return tree_each(dir_fd, stop_at_first, &empty, &ignored) == 0 && empty;
}

/* A driver that moves gives an empty directory for it.  Done once already, the two have changed
 * places, and the empty one is here. */
static int move_in(struct step_env *env, struct fs_pool *pool, const char *staging, int tree_fd,
                   fs_id head, struct err *err)
{
        CLEANUP(closep) int new_fd = -1, slot_fd = -1, head_fd = -1;
        char name[NAME_MAX + 1];

        if (is_empty(tree_fd))
                return 0;
        if (env->fs->slot(pool, head, &slot_fd, name, err) < 0 ||
            staging_open(env, staging, "", &new_fd, err) < 0)
                return -1;
        if (renameat2(new_fd, BUNDLE_TREE, slot_fd, name, RENAME_EXCHANGE) == 0)
                return syncfs(slot_fd) < 0 ? err_fail(err, ERR_IO, errno, "cannot sync the tree")
                                           : 0;
        if (errno != EXDEV)
                return err_fail(err, ERR_IO, errno, "cannot move the tree to the pool");
        /* The pool is on another disk than the home. */
        if (safepath_open(slot_fd, name, O_RDONLY | O_DIRECTORY, &head_fd, err) < 0 ||
            treecopy(tree_fd, head_fd, NULL, NULL, err) < 0)
                return -1;
        return syncfs(head_fd) < 0 ? err_fail(err, ERR_IO, errno, "cannot sync the tree") : 0;
}

/* bundle.tree {staging, head} */
static int tree_run(struct step_env *env, const json_t *args, struct err *err)
{
        const char *staging = arg_text(args, "staging");
        fs_id head = json_get_u64(args, "head");
        CLEANUP(closep) int tree_fd = -1;
        struct fs_pool *pool;

        if (env_pool(env, &pool, err) < 0)
                return -1;
        if (staging_open(env, staging, BUNDLE_TREE, &tree_fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? err_fail(err, ERR_CORRUPT, 0,
                                                             "the archive has no '" BUNDLE_TREE
                                                             "'; nothing was imported")
                                                  : -1;
        if ((env->fs->features & FS_IMPORT_MOVES) == 0)
                return env->fs->import(pool, tree_fd, head, err);
        if (env->fs->import(pool, -1, head, err) < 0)
                return -1;
        return move_in(env, pool, staging, tree_fd, head, err);
}

static int tree_undo(struct step_env *env, const json_t *args, struct err *err)
{
        struct fs_pool *pool;

        return env_pool(env, &pool, err) < 0
                       ? -1
                       : env->fs->remove(pool, json_get_u64(args, "head"), err);
}

static void tree_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make tree %" PRIu64 " of what was read",
                       json_get_u64(args, "head"));
}

const struct step_kind step_bundle_tree = {
        .name = "bundle.tree",
        .run = tree_run,
        .undo = tree_undo,
        .describe = tree_describe,
};

/* The dump's pieces, one behind the other. */
struct pieces {
        int dir_fd, fd;
        unsigned next;
};

static ssize_t next_bytes(void *bytes, size_t size, void *arg, struct err *err)
{
        struct pieces *pieces = arg;

        for (;;) {
                ssize_t n = pieces->fd < 0 ? 0 : read(pieces->fd, bytes, size);
                char name[16];

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_fail(err, ERR_IO, errno, "cannot read the dump");
                if (n > 0)
                        return n;
                closep(&pieces->fd);
                pieces->fd = -1;
                (void)snprintf(name, sizeof(name), "%08u", pieces->next++);
                if (safepath_open(pieces->dir_fd, name, O_RDONLY, &pieces->fd, err) < 0)
                        return err->code == ERR_NOT_FOUND ? 0 : -1;
        }
}

/* bundle.load {staging, database} */
static int load_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct pieces pieces = { -1, -1, 0 };
        struct db *db;
        int r;

        if (env_database(env, &db, err) < 0)
                return -1;
        if (env->database_driver->load == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "dumps of '%s' cannot be read yet; nothing was imported",
                                env->site->database.engine);
        if (staging_open(env, arg_text(args, "staging"), BUNDLE_DATABASE, &pieces.dir_fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? err_fail(err, ERR_CORRUPT, 0,
                                                             "the archive has no dump; nothing "
                                                             "was imported")
                                                  : -1;
        r = env->database_driver->load(db, arg_text(args, "database"), next_bytes, &pieces, err);
        closep(&pieces.fd);
        closep(&pieces.dir_fd);
        return r;
}

static int load_undo(struct step_env *env, const json_t *args, struct err *err)
{
        struct db *db;

        return env_database(env, &db, err) < 0
                       ? -1
                       : db_drop(env->database_driver, db, arg_text(args, "database"), err);
}

static void load_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make database '%s' of the dump", arg_text(args, "database"));
}

const struct step_kind step_bundle_load = {
        .name = "bundle.load",
        .run = load_run,
        .undo = load_undo,
        .describe = load_describe,
};

/* bundle.clear {staging} */
static void clear_describe(const json_t *args, char *buf, size_t size)
{
        (void)args;
        (void)snprintf(buf, size, "remove what was unpacked");
}

const struct step_kind step_bundle_clear = {
        .name = "bundle.clear",
        .run = unpack_undo,
        .describe = clear_describe,
};
