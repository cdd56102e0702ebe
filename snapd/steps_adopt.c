/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/mount.h"
#include "fsdrivers/tree.h"
#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/exchange.h"
#include "snapd/served.h"
#include "snapd/steps.h"
#include "snapd/switcher.h"

/*
 * Adoption: a directory in use becomes version 1, and what versions share moves out of it.  Each
 * step is one exchange of names, so the site is served all the while.  Going back (`site remove`)
 * is the same steps the other way round.
 */

#define ADOPTED "adopted-docroot"

/* A path in the docroot and its place in HOME, both open. */
struct pair {
        int from_fd, to_fd;
        struct place from, to;
        char link[PATH_MAX];
};

static void pair_done(struct pair *pair)
{
        closep(&pair->from_fd);
        closep(&pair->to_fd);
}

/* pair_open(env, from, to, pair): ${from} absolute, ${to} relative to HOME; directories above
 * ${to} are made. */
static int pair_open(struct step_env *env, const char *from, const char *to, struct pair *pair,
                     struct err *err)
{
        const char *slash = strrchr(to, '/');
        char parent[1100];
        int home_fd;

        pair->from_fd = pair->to_fd = -1;
        (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - to), to);
        (void)snprintf(pair->link, sizeof(pair->link), "%s/%s", env->site->home, to);
        if (env_home(env, &home_fd, err) < 0 ||
            safepath_mkdirs(home_fd, parent, 0755, 0, 0, &pair->to_fd, err) < 0)
                return -1;
        if (exchange_open(from, &pair->from_fd, &pair->from.name, err) < 0) {
                closep(&pair->to_fd);
                return -1;
        }
        pair->from.dir_fd = pair->from_fd;
        pair->to = (struct place){ pair->to_fd, slash + 1 };
        return 0;
}

static int pair_move(struct step_env *env, const char *from, const char *to, bool out,
                     struct err *err)
{
        struct pair pair;
        int ret;

        if (pair_open(env, from, to, &pair, err) < 0)
                return err_wrap(err, "'%s'", from);
        ret = out ? exchange_out(pair.from, pair.to, pair.link, err)
                  : exchange_in(pair.from, pair.to, pair.link, from, err);
        pair_done(&pair);
        return ret < 0 ? err_wrap(err, "'%s'", from) : 0;
}

/* share.out {from, to}: from is absolute, to relative to HOME.  Also moves the database. */
static int share_out_run(struct step_env *env, const json_t *args, struct err *err)
{
        return pair_move(env, arg_text(args, "from"), arg_text(args, "to"), true, err);
}

static int share_out_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return pair_move(env, arg_text(args, "from"), arg_text(args, "to"), false, err);
}

static void share_out_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "move '%s' to '%s' and leave a link", arg_text(args, "from"),
                       arg_text(args, "to"));
}

const struct step_kind step_share_out = {
        .name = "share.out",
        .run = share_out_run,
        .undo = share_out_undo,
        .describe = share_out_describe,
};

static void share_in_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "move '%s' back to '%s'", arg_text(args, "to"),
                       arg_text(args, "from"));
}

const struct step_kind step_share_in = {
        .name = "share.in",
        .run = share_out_undo,
        .describe = share_in_describe,
};

/* share.link {from, to}: the old path leads to the shared place again, before it is given back.
 * share.unlink {from, to}: it leads nowhere, so that nobody uses a version's database behind its
 * back. */
static int share_link_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct pair pair;
        int ret = 0;

        if (pair_open(env, arg_text(args, "from"), arg_text(args, "to"), &pair, err) < 0)
                return -1;
        if (!exchange_is_link(pair.from, pair.link)) {
                if (symlinkat(pair.link, pair.from.dir_fd, pair.from.name) < 0)
                        ret = err_fail(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
                                       "cannot make a link at '%s'", arg_text(args, "from"));
                else
                        ret = file_sync_dir(pair.from.dir_fd, err);
        }
        pair_done(&pair);
        return ret;
}

static int share_unlink_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct pair pair;
        int ret = 0;

        if (pair_open(env, arg_text(args, "from"), arg_text(args, "to"), &pair, err) < 0)
                return -1;
        if (exchange_is_link(pair.from, pair.link)) {
                if (unlinkat(pair.from.dir_fd, pair.from.name, 0) < 0)
                        ret = err_fail(err, ERR_IO, errno, "cannot remove the link '%s'",
                                       arg_text(args, "from"));
                else
                        ret = file_sync_dir(pair.from.dir_fd, err);
        }
        pair_done(&pair);
        return ret;
}

static void share_link_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make '%s' lead to '%s'", arg_text(args, "from"),
                       arg_text(args, "to"));
}

static void share_unlink_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "remove the link '%s'", arg_text(args, "from"));
}

const struct step_kind step_share_link = {
        .name = "share.link",
        .run = share_link_run,
        .undo = share_unlink_run,
        .describe = share_link_describe,
};

const struct step_kind step_share_unlink = {
        .name = "share.unlink",
        .run = share_unlink_run,
        .undo = share_link_run,
        .describe = share_unlink_describe,
};

/* fs.import {docroot, head}: with a driver that copies; called a second time, shortly before the
 * directory is taken, it brings over what has changed meanwhile. */
static int import_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, fd = -1;
        struct fs_pool *pool;
        const char *name;

        if (env_pool(env, &pool, err) < 0 ||
            exchange_open(arg_text(args, "docroot"), &parent_fd, &name, err) < 0)
                return -1;
        if ((env->fs->features & FS_IMPORT_MOVES) == 0 &&
            safepath_open(parent_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return -1;
        return env->fs->import(pool, fd, json_get_u64(args, "head"), err);
}

static int import_undo(struct step_env *env, const json_t *args, struct err *err)
{
        struct fs_pool *pool;

        return env_pool(env, &pool, err) < 0
                       ? -1
                       : env->fs->remove(pool, json_get_u64(args, "head"), err);
}

static void import_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make tree %" PRIu64 " from '%s'", json_get_u64(args, "head"),
                       arg_text(args, "docroot"));
}

const struct step_kind step_fs_import = {
        .name = "fs.import",
        .run = import_run,
        .undo = import_undo,
        .describe = import_describe,
};

/* Where the docroot's directory goes to and comes from: the pool, or, with a driver that copies,
 * the home. */
static int taken_place(struct step_env *env, const json_t *args, int *ret_fd,
                       char name[static NAME_MAX + 1], struct err *err)
{
        struct fs_pool *pool;
        int home_fd;

        if (env_pool(env, &pool, err) < 0)
                return -1;
        if ((env->fs->features & FS_IMPORT_MOVES) != 0)
                return env->fs->slot(pool, json_get_u64(args, "head"), ret_fd, name, err);
        if (env_home(env, &home_fd, err) < 0 ||
            safepath_open(home_fd, "", O_RDONLY | O_DIRECTORY, ret_fd, err) < 0)
                return -1;
        (void)snprintf(name, NAME_MAX + 1, "%s",
                       json_get_bool(args, "give") ? "given-docroot" : ADOPTED);
        return 0;
}

static int docroot_move(struct step_env *env, const json_t *args, bool out, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, taken_fd = -1;
        char taken[NAME_MAX + 1], link[PATH_MAX];
        struct place from, to;
        unsigned depth;

        if (exchange_open(arg_text(args, "docroot"), &parent_fd, &from.name, err) < 0 ||
            taken_place(env, args, &taken_fd, taken, err) < 0)
                return -1;
        from.dir_fd = parent_fd;
        to = (struct place){ taken_fd, taken };
        (void)snprintf(link, sizeof(link), "%s/current", env->site->home);
        if (!switcher_mounts(env->site))
                return out ? exchange_out(from, to, link, err)
                           : exchange_in(from, to, link, NULL, err);

        /* Mounted on already, it was taken before; and only what is not mounted on can be moved. */
        if (mount_depth(parent_fd, from.name, &depth, err) < 0)
                return -1;
        if (out)
                return depth > 0 ? 0 : exchange_out(from, to, NULL, err);
        for (; depth > 0; depth--)
                if (mount_drop(parent_fd, from.name, err) < 0)
                        return -1;
        return exchange_in(from, to, NULL, NULL, err);
}

/* docroot.take {docroot, head} */
static int docroot_take_run(struct step_env *env, const json_t *args, struct err *err)
{
        return docroot_move(env, args, true, err);
}

static int docroot_take_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return docroot_move(env, args, false, err);
}

static void docroot_take_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make '%s' a link to what is served", arg_text(args, "docroot"));
}

const struct step_kind step_docroot_take = {
        .name = "docroot.take",
        .run = docroot_take_run,
        .undo = docroot_take_undo,
        .describe = docroot_take_describe,
};

/* docroot.clear {}: the directory that a driver copied when the site was adopted goes, unless
 * somebody is still in it. */
static int docroot_clear_run(struct step_env *env, const json_t *args, struct err *err)
{
        bool shows;
        int home_fd;

        (void)args;
        if (env_home(env, &home_fd, err) < 0)
                return -1;
        if (faccessat(home_fd, ADOPTED, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (mount_shows(home_fd, ADOPTED, &shows, err) < 0)
                return -1;
        return shows ? 0 : tree_remove(home_fd, ADOPTED, err);
}

static void docroot_clear_describe(const json_t *args, char *buf, size_t size)
{
        (void)args;
        (void)snprintf(buf, size, "remove the directory that was copied when it was adopted");
}

const struct step_kind step_docroot_clear = {
        .name = "docroot.clear",
        .run = docroot_clear_run,
        .describe = docroot_clear_describe,
};

/* fs.stubs {head, database}: what adoption left as links in the tree becomes the directories that
 * shared ones are bound onto, for every later sight of it. */
static int stubs_run(struct step_env *env, const json_t *args, struct err *err)
{
        return served_stubs(env, json_get_u64(args, "head"), arg_text(args, "database"), err);
}

static void stubs_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make places for shared directories in tree %" PRIu64,
                       json_get_u64(args, "head"));
}

const struct step_kind step_fs_stubs = {
        .name = "fs.stubs",
        .run = stubs_run,
        .describe = stubs_describe,
};

static void docroot_give_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make '%s' a plain directory again", arg_text(args, "docroot"));
}

/* docroot.give {docroot, head, give: true} */
const struct step_kind step_docroot_give = {
        .name = "docroot.give",
        .run = docroot_take_undo,
        .undo = docroot_take_run,
        .describe = docroot_give_describe,
};
