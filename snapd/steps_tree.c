/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "fsdrivers/tree.h"
#include "fsdrivers/treecopy.h"
#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/exchange.h"
#include "snapd/render.h"
#include "snapd/steps.h"

/*
 * Steps that walk a whole tree: the look at a directory before it is taken over, and the making of
 * a plain one that is given back.
 */

#define NOTES_MAX 40 /* of one kind; a tree can have a million links that lead out of it */

struct survey {
        struct step_env *env;
        uint64_t seen[TREECOPY_KINDS];
        char refused[PATH_MAX];
};

/* What the person is told of; other mounts and subvolumes cannot be part of a version. */
static int survey_report(enum treecopy_kind kind, const char *path, void *arg, struct err *err)
{
        struct survey *survey = arg;

        (void)err;
        if ((kind == TREECOPY_MOUNT || kind == TREECOPY_SUBVOLUME) && survey->refused[0] == '\0')
                (void)snprintf(survey->refused, sizeof(survey->refused), "%s", path);
        if (++survey->seen[kind] <= NOTES_MAX)
                env_note(survey->env, "note: '%s': %s", path, treecopy_kind_text(kind));
        return 0;
}

/* fs.survey {docroot} */
static int survey_run(struct step_env *env, const json_t *args, struct err *err)
{
        const struct site *site = env->site;
        CLEANUP(freep) const char **excludes = calloc(site->n_shared + 1, sizeof(*excludes));
        CLEANUP(closep) int parent_fd = -1, fd = -1;
        struct survey survey = { .env = env };
        struct treecopy_options options = { .excludes = excludes,
                                            .report = survey_report,
                                            .arg = &survey };
        const char *name = NULL;

        if (excludes == NULL)
                return err_oom(err);
        for (; options.n_excludes < site->n_shared; options.n_excludes++)
                excludes[options.n_excludes] = site->shared[options.n_excludes];
        if (site->database.path != NULL && site->database.path[0] != '/')
                excludes[options.n_excludes++] = site->database.path;
        if (exchange_open(arg_text(args, "docroot"), &parent_fd, &name, err) < 0 ||
            safepath_open(parent_fd, name, O_RDONLY | O_DIRECTORY, &fd, err) < 0)
                return err_wrap(err, "'%s'", arg_text(args, "docroot"));
        if (treecopy_survey(fd, &options, NULL, err) < 0)
                return -1;
        for (int kind = 0; kind < TREECOPY_KINDS; kind++)
                if (survey.seen[kind] > NOTES_MAX)
                        env_note(env, "note: %" PRIu64 " more: %s", survey.seen[kind] - NOTES_MAX,
                                 treecopy_kind_text(kind));
        if (survey.refused[0] != '\0')
                return err_fail(
                        err, ERR_REFUSED, 0,
                        "'%s' in '%s' is another mount or a subvolume, which a version cannot "
                        "hold: share it (--shared), or take it out; nothing was changed",
                        survey.refused, arg_text(args, "docroot"));
        return 0;
}

static void survey_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "look through '%s' for what cannot be taken over",
                       arg_text(args, "docroot"));
}

const struct step_kind step_fs_survey = {
        .name = "fs.survey",
        .run = survey_run,
        .describe = survey_describe,
};

/* In a tree that leaves the pool, what was shared is a link until it is moved back. */
static int put_link(int slot_fd, const char *path, const char *target, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1;
        struct place place;

        if (safepath_open_parent(slot_fd, path, &parent_fd, &place.name, err) < 0)
                return -1;
        place.dir_fd = parent_fd;
        if (exchange_is_link(place, target))
                return 0;
        if (unlinkat(parent_fd, place.name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return err_fail(err, ERR_IO, errno, "'%s' is not the empty directory that it was",
                                path);
        if (symlinkat(target, parent_fd, place.name) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a link at '%s'", path);
        return 0;
}

static int put_links(struct step_env *env, const json_t *args, int tree_fd, struct err *err)
{
        char target[PATH_MAX];
        json_t *item;
        size_t i;

        json_array_foreach (json_object_get(args, "links"), i, item) {
                (void)snprintf(target, sizeof(target), "%s/%s", env->site->home,
                               arg_text(item, "to"));
                if (put_link(tree_fd, arg_text(item, "path"), target, err) < 0)
                        return -1;
        }
        return 0;
}

/* What is given back names the database that the site has now. */
static int put_config(struct step_env *env, const json_t *args, int tree_fd, struct err *err)
{
        const struct view view = {
                .version = json_get_u64(args, "version"),
                .database = arg_text(args, "database"),
                .plain_fd = -1,
        };

        if (view.database[0] == '\0')
                return 0;
        if (render_into(env, &view, tree_fd, err) < 0)
                return -1;
        env_note(env, "the site's database is '%s' now; its configuration names it", view.database);
        return 0;
}

/* A tree that is a subvolume cannot take in directories by rename, so that what is given back is a
 * directory of HOME's own, with reflinks where there are any. */
static int copy_out(struct step_env *env, const json_t *args, int tree_fd, struct err *err)
{
        CLEANUP(closep) int home_fd = -1, copy_fd = -1;
        int trusted_fd;

        if (env_home(env, &trusted_fd, err) < 0 ||
            safepath_open(trusted_fd, "", O_RDONLY | O_DIRECTORY, &home_fd, err) < 0)
                return -1;
        if (faccessat(home_fd, "given-docroot", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        if (safepath_mkdirs(home_fd, "given-docroot.partial", 0700, 0, 0, &copy_fd, err) < 0 ||
            treecopy(tree_fd, copy_fd, NULL, NULL, err) < 0 ||
            put_links(env, args, copy_fd, err) < 0 || put_config(env, args, copy_fd, err) < 0)
                return -1;
        if (syncfs(copy_fd) < 0 ||
            renameat(home_fd, "given-docroot.partial", home_fd, "given-docroot") < 0)
                return err_fail(err, ERR_IO, errno, "cannot finish the copy in '%s'",
                                env->site->home);
        return file_sync_dir(home_fd, err);
}

/* fs.flatten {head, links: [{path, to}], version, database}: after it, the tree is one plain
 * directory where docroot.give finds it, and its configuration names ${database} when there is
 * one. */
static int flatten_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1, tree_fd = -1;
        fs_id head = json_get_u64(args, "head");
        char name[NAME_MAX + 1];
        struct fs_pool *pool;

        if (env_pool(env, &pool, err) < 0 ||
            (env->fs->flatten != NULL && env->fs->flatten(pool, head, err) < 0) ||
            env->fs->slot(pool, head, &dir_fd, name, err) < 0 ||
            safepath_open_mounted(dir_fd, name, O_RDONLY | O_DIRECTORY, &tree_fd, err) < 0)
                return -1;
        if ((env->fs->features & FS_IMPORT_MOVES) == 0)
                return copy_out(env, args, tree_fd, err);
        return put_links(env, args, tree_fd, err) < 0 || put_config(env, args, tree_fd, err) < 0
                       ? -1
                       : env->fs->sync(pool, head, err);
}

static int flatten_undo(struct step_env *env, const json_t *args, struct err *err)
{
        int home_fd;

        (void)args;
        if (env_home(env, &home_fd, err) < 0)
                return -1;
        return tree_remove(home_fd, "given-docroot.partial", err) < 0
                       ? -1
                       : tree_remove(home_fd, "given-docroot", err);
}

static void flatten_describe(const json_t *args, char *buf, size_t size)
{
        const char *database = arg_text(args, "database");

        (void)snprintf(buf, size, "make tree %" PRIu64 " one plain directory%s%s%s",
                       json_get_u64(args, "head"),
                       database[0] == '\0' ? "" : " that names its database, '", database,
                       database[0] == '\0' ? "" : "'");
}

const struct step_kind step_fs_flatten = {
        .name = "fs.flatten",
        .run = flatten_run,
        .undo = flatten_undo,
        .describe = flatten_describe,
};
