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

        return env_pool(env, &pool, err) < 0 ?
                       -1 :
                       env->fs->capture(pool, json_get_u64(args, "head"),
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

        return env_pool(env, &pool, err) < 0 ?
                       -1 :
                       env->fs->branch(pool, json_get_u64(args, "frozen"),
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

/* Trees that no version points at: what an interrupted or busy removal left. */
struct sweep {
        struct version_list versions;
        fs_id doomed[64];
        size_t n;
};

static int sweep_visit(const struct fs_info *info, void *arg, struct err *err)
{
        struct sweep *sweep = arg;

        (void)err;
        for (size_t i = 0; i < sweep->versions.n; i++)
                if (sweep->versions.items[i].tree == info->id)
                        return 0;
        if (sweep->n < sizeof(sweep->doomed) / sizeof(sweep->doomed[0]))
                sweep->doomed[sweep->n++] = info->id;
        return 0;
}

/* fs.sweep {}: only ever the last step, when the catalog knows every tree that is needed. */
static int sweep_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct sweep sweep = { 0 };
        struct fs_pool *pool;
        int ret;

        (void)args;
        if (env_pool(env, &pool, err) < 0 ||
            catalog_versions(env->catalog, env->site->name, &sweep.versions, err) < 0)
                return -1;
        ret = env->fs->walk(pool, sweep_visit, &sweep, err);
        for (size_t i = 0; ret == 0 && i < sweep.n; i++)
                ret = remove_tree(env, sweep.doomed[i], err);
        version_list_done(&sweep.versions);
        return ret;
}

static void sweep_describe(const json_t *args, char *buf, size_t size)
{
        (void)args;
        (void)snprintf(buf, size, "remove trees that no version needs any more");
}

const struct step_kind step_fs_sweep = {
        .name = "fs.sweep",
        .run = sweep_run,
        .describe = sweep_describe,
};
