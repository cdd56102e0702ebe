/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "snapd/args.h"
#include "snapd/steps.h"
#include "snapd/env.h"

/* fs.capture {head, frozen} */
static int capture_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct fs_pool *pool;

        return env_pool(env, &pool, err) < 0 ? -1
                                             : env->fs->capture(pool, json_get_u64(args, "head"),
                                                                json_get_u64(args, "frozen"), err);
}

static int remove_tree(struct step_env *env, fs_id tree, struct err *err)
{
        struct fs_pool *pool;

        if (env_pool(env, &pool, err) < 0)
                return -1;
        if (env->fs->remove(pool, tree, err) == 0)
                return 0;
        if (err->code != ERR_BUSY)
                return -1;
        /* fs.sweep and the next start look for trees that no version knows. */
        env_note(env, "tree %" PRIu64 " is removed later: %s", tree, err->msg);
        return 0;
}

static int capture_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return remove_tree(env, json_get_u64(args, "frozen"), err);
}

static void capture_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "keep tree %" PRIu64 " as it is now, as tree %" PRIu64,
                       json_get_u64(args, "head"), json_get_u64(args, "frozen"));
}

const struct step_kind step_fs_capture = {
        .name = "fs.capture",
        .run = capture_run,
        .undo = capture_undo,
        .describe = capture_describe,
};

/* fs.branch {frozen, head} */
static int branch_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct fs_pool *pool;

        return env_pool(env, &pool, err) < 0 ? -1
                                             : env->fs->branch(pool, json_get_u64(args, "frozen"),
                                                               json_get_u64(args, "head"), err);
}

static int branch_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return remove_tree(env, json_get_u64(args, "head"), err);
}

static void branch_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make the writable tree %" PRIu64 " from kept tree %" PRIu64,
                       json_get_u64(args, "head"), json_get_u64(args, "frozen"));
}

const struct step_kind step_fs_branch = {
        .name = "fs.branch",
        .run = branch_run,
        .undo = branch_undo,
        .describe = branch_describe,
};

/* fs.remove {tree} */
static int remove_run(struct step_env *env, const json_t *args, struct err *err)
{
        return remove_tree(env, json_get_u64(args, "tree"), err);
}

static void remove_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "remove tree %" PRIu64, json_get_u64(args, "tree"));
}

const struct step_kind step_fs_remove = {
        .name = "fs.remove",
        .run = remove_run,
        .describe = remove_describe,
};
