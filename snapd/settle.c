/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/ballast.h"
#include "snapd/plan.h"
#include "snapd/served.h"
#include "snapd/settle.h"
#include "snapd/sweep.h"
#include "snapd/switcher.h"

static struct view view_of(const struct version *version)
{
        return (struct view){
                .version = version->number,
                .tree = version->tree,
                .read_only = version->state != VERSION_ACTIVE,
                .database = version->database,
                .plain_fd = -1,
        };
}

static bool is_wanted(const struct plan_facts *facts, uint64_t number)
{
        for (size_t i = 0; i < facts->versions.n; i++)
                if (facts->versions.items[i].number == number)
                        return plan_is_shown(facts, &facts->versions.items[i]);
        return false;
}

static int hide_strays(struct step_env *env, const struct plan_facts *facts, struct err *err)
{
        CLEANUP(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int fd;

        if (served_versions_fd(env, &fd, err) < 0)
                return -1;
        dir = fdopendir(fd);
        if (dir == NULL) {
                (void)close(fd);
                return err_fail(err, ERR_IO, errno, "cannot read '%s/versions'", env->site->home);
        }
        while ((entry = readdir(dir)) != NULL) {
                char *end;
                uint64_t number = strtoull(entry->d_name, &end, 10);

                if (number == 0 || *end != '\0' || is_wanted(facts, number))
                        continue;
                if (served_hide(env, number, err) < 0 && err->code != ERR_BUSY)
                        return -1;
        }
        return 0;
}

static int show_wanted(struct step_env *env, const struct plan_facts *facts, struct err *err)
{
        struct err first = { 0 };

        /* The active one first; a kept one that cannot be shown must not stop it. */
        for (int pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < facts->versions.n; i++) {
                        const struct version *version = &facts->versions.items[i];
                        struct view view = view_of(version);

                        if ((version->state == VERSION_ACTIVE) != (pass == 0) ||
                            !plan_is_shown(facts, version))
                                continue;
                        if (served_show(env, &view, err) < 0 && err->code != ERR_BUSY &&
                            first.code == 0)
                                first = *err;
                }
        *err = first;
        return first.code == 0 ? 0 : -1;
}

int settle_site(struct step_env *env, struct err *err)
{
        struct plan_facts facts;
        struct op_list open = { 0 };
        struct fs_pool *pool;
        int ret;

        if (plan_facts_load(env->catalog, env->site->name, "settle", NULL, 0, &facts, err) < 0)
                return -1;
        if (facts.active == NULL) {
                plan_facts_done(&facts);
                return 0;
        }
        ret = env_pool(env, &pool, err) < 0 ? -1 : show_wanted(env, &facts, err);
        if (ret == 0)
                ret = journal_list(env->catalog, env->site->name, true, 1, &open, err);
        /* An open operation knows better which number is served and which mounts it needs. */
        if (ret == 0 && open.n == 0)
                ret = switcher_flip(env, facts.active->number, err) < 0 ||
                                      hide_strays(env, &facts, err) < 0
                              ? -1
                              : sweep_trees(env, err);
        op_list_done(&open);
        plan_facts_done(&facts);
        return ret;
}

static bool somebody_waits(struct step_env *env)
{
        struct op_list open = { 0 };
        struct err err;
        bool waits =
                journal_list(env->catalog, env->site->name, true, 1, &open, &err) < 0 || open.n > 0;

        op_list_done(&open);
        return waits;
}

static int measure(struct step_env *env, struct version *version, struct err *err)
{
        struct fs_sizes sizes;
        struct fs_pool *pool;
        uint64_t bytes = 0;
        struct db *db;

        if (env_pool(env, &pool, err) < 0 || env->fs->sizes(pool, version->tree, &sizes, err) < 0)
                return -1;
        if (version->database[0] != '\0' &&
            (env_database(env, &db, err) < 0 ||
             env->database_driver->size(db, version->database, &bytes, err) < 0))
                return -1;
        if (somebody_waits(env))
                return 0;
        /* What a version would give back changes with its neighbours, so all are measured. */
        version->files_bytes = (int64_t)sizes.total_bytes;
        version->freed_bytes = (int64_t)(sizes.freed_bytes + bytes);
        version->database_bytes = (int64_t)bytes;
        return catalog_put_version(env->catalog, env->site->name, version, err);
}

void settle_tidy(struct step_env *env)
{
        struct version_list versions = { 0 };
        struct fs_pool *pool;
        struct err err;
        int home_fd;

        /* Ballast that cannot be laid is missed on a full disk only; nothing fails for it now. */
        if (ballast_lay(env->dirs->state_fd, &err) < 0 || env_home(env, &home_fd, &err) < 0 ||
            ballast_lay(home_fd, &err) < 0)
                env_note(env, "warning: no room is kept for a rollback: %s", err.msg);
        if (env_pool(env, &pool, &err) < 0)
                return;
        if (!somebody_waits(env))
                (void)!sweep_trees(env, &err);
        if (env->fs->tidy != NULL && !somebody_waits(env))
                (void)env->fs->tidy(pool, &err);
        if (catalog_versions(env->catalog, env->site->name, &versions, &err) < 0)
                return;
        for (size_t i = 0; i < versions.n && !somebody_waits(env); i++)
                if (versions.items[i].state != VERSION_PRUNING)
                        (void)measure(env, &versions.items[i], &err);
        version_list_done(&versions);
}
