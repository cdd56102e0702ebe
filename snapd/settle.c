/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fsdrivers/mount.h"
#include "snapd/ballast.h"
#include "snapd/front.h"
#include "snapd/notice_op.h"
#include "snapd/plan.h"
#include "snapd/served.h"
#include "snapd/settle.h"
#include "snapd/steps.h"
#include "snapd/strays.h"
#include "snapd/sweep.h"
#include "snapd/switcher.h"

/* Operations are forgotten one by one; their directories need not be looked through each time. */
#define SWEEP_EVERY 100

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

/* Is anything at all to be seen at versions/N? */
static bool shows_something(struct step_env *env, uint64_t number)
{
        CLEANUP(closep) int versions_fd = -1;
        bool mounted = false;
        struct err err;
        char name[24];

        (void)snprintf(name, sizeof(name), "%" PRIu64, number);
        /* What cannot be asked is shown again, which says why it cannot. */
        return served_versions_fd(env, &versions_fd, &err) == 0 &&
               mount_is_at(versions_fd, name, &mounted, &err) == 0 && mounted;
}

/* What is known of the operation that is open.  The catalog may be behind what it has mounted and
 * taken away, and visitors are in what it serves: so it sees to the mounts itself, but for those
 * that a reboot took. */
struct going {
        bool open;
        bool given_back;  /* the site is being removed and is a plain directory already */
        bool rebooted;    /* nothing was mounted since the machine started */
        uint64_t current; /* the version that is served, or would be */
};

static int going_load(struct step_env *env, struct going *going, struct err *err)
{
        struct op_list list = { 0 };
        struct op op = { 0 };
        char memory[64];

        memset(going, 0, sizeof(*going));
        if (journal_list(env->catalog, env->site->name, true, 2, &list, err) < 0)
                return -1;
        if (list.n == 0)
                return 0;
        /* A second one waits for the end of the first. */
        if (journal_get(env->catalog, list.items[list.n - 1].id, true, &op, err) < 0 ||
            served_current(env, &going->current, err) < 0) {
                op_list_done(&list);
                op_done(&op);
                return -1;
        }
        (void)snprintf(memory, sizeof(memory), "served/%s", env->site->name);
        going->open = true;
        going->rebooted = faccessat(env->dirs->run_fd, memory, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
        going->given_back = strcmp(op.verb, "remove") == 0 && op.pivot < op.n_steps &&
                            op.steps[op.pivot].mark == STEP_DONE;
        op_list_done(&list);
        op_done(&op);
        return 0;
}

static bool is_left_to(struct step_env *env, const struct going *going, uint64_t number)
{
        if (!going->open)
                return false;
        if (going->given_back || shows_something(env, number))
                return true;
        return number != going->current && !going->rebooted;
}

static int show_wanted(struct step_env *env, const struct plan_facts *facts,
                       const struct going *going, struct err *err)
{
        struct err first = { 0 };

        /* The active one first; a kept one that cannot be shown must not stop it. */
        for (int pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < facts->versions.n; i++) {
                        const struct version *version = &facts->versions.items[i];
                        struct view view = view_of(version);

                        if ((version->state == VERSION_ACTIVE) != (pass == 0) ||
                            !plan_is_shown(facts, version) ||
                            is_left_to(env, going, version->number))
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
        struct fs_pool *pool;
        struct going going;
        int home_fd, ret;

        if (plan_facts_load(env->catalog, env->site->name, "settle", NULL, 0, &facts, err) < 0)
                return -1;
        if (facts.active == NULL) {
                plan_facts_done(&facts);
                return 0;
        }
        ret = env_pool(env, &pool, err);
        if (ret == 0)
                ret = going_load(env, &going, err);
        if (ret == 0)
                ret = show_wanted(env, &facts, &going, err);
        if (ret == 0)
                ret = env_home(env, &home_fd, err);
        if (ret == 0)
                ret = front_render(env->catalog, env->site, home_fd, err);
        if (ret == 0 && !going.open)
                served_tidy(env);
        if (ret == 0 && !going.open)
                ret = switcher_flip(env, facts.active->number, err) < 0 ||
                                      hide_strays(env, &facts, err) < 0
                              ? -1
                              : sweep_trees(env, err);
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

/* The measuring took a while: somebody may have pinned or marked the version meanwhile, so what it
 * is now is read once more, within the transaction that writes it. */
static int put_sizes(struct step_env *env, uint64_t number, const struct fs_sizes *sizes,
                     uint64_t database_bytes, struct err *err)
{
        const char *site = env->site->name;
        struct version version = { 0 };
        bool own;
        int ret;

        if (catalog_enter(env->catalog, &own, err) < 0)
                return -1;
        ret = catalog_version(env->catalog, site, number, &version, err);
        if (ret == 0) {
                version.files_bytes = (int64_t)sizes->total_bytes;
                version.freed_bytes = (int64_t)(sizes->freed_bytes + database_bytes);
                version.database_bytes = (int64_t)database_bytes;
                ret = catalog_put_version(env->catalog, site, &version, err);
        }
        version_done(&version);
        return catalog_leave(env->catalog, own, ret, err);
}

static int measure(struct step_env *env, const struct version *version, struct err *err)
{
        struct fs_sizes sizes;
        struct fs_pool *pool;
        uint64_t bytes = 0;
        struct db *db;

        if (env_pool(env, &pool, err) < 0 || env->fs->sizes(pool, version->tree, &sizes, err) < 0)
                return -1;
        if (version->database[0] != '\0' && version->state == VERSION_KEPT &&
            env_database(env, &db, err) == 0)
                (void)!env->database_driver->set_writable(db, version->database, false, err);
        if (version->database[0] != '\0' &&
            (env_database(env, &db, err) < 0 ||
             env->database_driver->size(db, version->database, &bytes, err) < 0))
                return -1;
        if (somebody_waits(env))
                return 0;
        /* What a version would give back changes with its neighbours, so all are measured. */
        return put_sizes(env, version->number, &sizes, bytes, err);
}

/* Too little room is told once; what cannot be asked or told is left for the next time. */
static void tell_space(struct step_env *env)
{
        struct notice_space space = { .wanted_bytes = env->site->keep.free_bytes };
        struct statvfs fs;
        struct err err;

        if (env->pool_fd < 0 || fstatvfs(env->pool_fd, &fs) < 0)
                return;
        space.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        space.all_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        if (notice_space(env->dirs, env->site->name, &space, &err) < 0)
                env_note(env, "warning: no notice: %s", err.msg);
}

void settle_sweep(struct step_env *env)
{
        struct plan_facts facts = { 0 };
        struct err err;

        /* Without a version every tree and every sight would be one too many. */
        if (!somebody_waits(env) &&
            plan_facts_load(env->catalog, env->site->name, "settle", NULL, 0, &facts, &err) == 0 &&
            facts.active != NULL && hide_strays(env, &facts, &err) == 0)
                (void)!sweep_trees(env, &err);
        plan_facts_done(&facts);
}

static int note_stray(const char *name, void *arg, struct err *err)
{
        (void)err;
        env_note(arg,
                 "warning: database '%s' on the server has a name of ours and belongs to no "
                 "version; it is left alone",
                 name);
        return 0;
}

void settle_tidy(struct step_env *env)
{
        struct version_list versions = { 0 };
        struct fs_pool *pool;
        struct err err;
        int home_fd;

        site_accept(env->dirs->state_fd, env->site);

        /* Ballast that cannot be laid is missed on a full disk only; nothing fails for it now. */
        if (ballast_lay(env->dirs->state_fd, &err) < 0 || env_home(env, &home_fd, &err) < 0 ||
            ballast_lay(home_fd, &err) < 0)
                env_note(env, "warning: no room is kept for a rollback: %s", err.msg);
        if (env_pool(env, &pool, &err) < 0)
                return;
        tell_space(env);
        settle_sweep(env);
        if (env->operation % SWEEP_EVERY == 0)
                (void)!sweep_outputs(env->dirs, env->catalog, &err);
        if (!somebody_waits(env) && step_docroot_clear.run(env, NULL, &err) < 0)
                env_note(env, "warning: %s", err.msg);
        if (!somebody_waits(env) && strays_visit(env, note_stray, env, &err) < 0)
                env_note(env, "warning: %s", err.msg);
        if (env->fs->tidy != NULL && !somebody_waits(env))
                (void)env->fs->tidy(pool, &err);
        if (catalog_versions(env->catalog, env->site->name, &versions, &err) < 0)
                return;
        for (size_t i = 0; i < versions.n && !somebody_waits(env); i++)
                if (versions.items[i].state != VERSION_PRUNING)
                        (void)measure(env, &versions.items[i], &err);
        version_list_done(&versions);
}
