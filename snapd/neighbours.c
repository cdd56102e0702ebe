/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/neighbours.h"

#define TAKEN_MAX 6

DEFINE_CLEANUP(struct site *, site_free);

/* What a site has for itself.  Its home may hold other homes, but not in the places that are
 * sitesnap's; what it came from (docroot, database) is a link to those places, or will be. */
struct taken {
        char paths[TAKEN_MAX][PATH_MAX];
        size_t n;
};

struct looking {
        struct step_env *env;
        const char *pool;
        struct taken ours;
};

static void take(struct taken *taken, const char *path, const char *below)
{
        if (path != NULL && path[0] == '/')
                (void)snprintf(taken->paths[taken->n++], PATH_MAX, "%s%s", path, below);
}

static void take_all(struct taken *taken, const struct site *site, const char *pool)
{
        static const char *const below_home[] = { "/current", "/versions", "/shared", "/db" };

        taken->n = 0;
        for (size_t i = 0; site != NULL && i < sizeof(below_home) / sizeof(below_home[0]); i++)
                take(taken, site->home, below_home[i]);
        take(taken, pool, "");
        if (site != NULL)
                take(taken, site->database.path, "");
}

/* A path of one site that lies in what another has for itself; NULL when there is none. */
static const char *intruder(const struct site *site, const char *pool, const struct taken *taken)
{
        const char *const paths[] = {
                pool,
                site == NULL ? NULL : site->home,
                site == NULL ? NULL : site->docroot,
                site == NULL ? NULL : site->database.path,
        };

        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                for (size_t k = 0; k < taken->n; k++)
                        if (paths[i] != NULL && safepath_within(paths[i], taken->paths[k]))
                                return paths[i];
        return NULL;
}

static bool text_same(const char *a, const char *b)
{
        return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Two sites with one database would roll one another back; tables with prefixes are apart. */
static bool shares_database(const struct site *ours, const struct site *theirs,
                            const struct version_list *versions)
{
        const struct site_database *a = &ours->database, *b = &theirs->database;

        if (!site_database_serves(ours) || !site_database_serves(theirs) ||
            strcmp(a->engine, b->engine) != 0 || !text_same(a->host, b->host) ||
            a->port != b->port || !text_same(a->database, b->database) ||
            (a->table_prefix != NULL && b->table_prefix != NULL &&
             strcmp(a->table_prefix, b->table_prefix) != 0))
                return false;
        for (size_t i = 0; i < versions->n; i++)
                if (strcmp(versions->items[i].database, a->name) == 0)
                        return true;
        return false;
}

static int check_shared_database(const struct looking *looking, const struct site *theirs,
                                 struct err *err)
{
        const struct site *ours = looking->env->site;
        struct version_list versions = { 0 };
        bool shares;

        if (theirs == NULL)
                return 0;
        if (catalog_versions(looking->env->catalog, theirs->name, &versions, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        shares = shares_database(ours, theirs, &versions);
        version_list_done(&versions);
        return !shares ? 0
                       : err_fail(
                                 err, ERR_REFUSED, 0,
                                 "the database '%s' belongs to the site '%s' already; sites in one "
                                 "database need a table_prefix each; nothing was changed",
                                 ours->database.name, theirs->name);
}

static int look_at(const char *name, void *arg, struct err *err)
{
        struct looking *looking = arg;
        const struct site *ours = looking->env->site;
        CLEANUP(site_freep) struct site *site = NULL;
        struct catalog_site row;
        struct taken theirs;
        struct err unreadable;
        const char *path;
        char found[PATH_MAX];

        if (strcmp(name, ours->name) == 0)
                return 0;
        if (catalog_site(looking->env->catalog, name, &row, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1; /* removed just now */
        /* Of one whose file has a mistake, what the catalog knows is all there is to go by. */
        if (site_load(looking->env->dirs->conf_fd, name, NULL, &site, &unreadable) < 0)
                site = NULL;
        take_all(&theirs, site, row.pool);
        path = intruder(ours, looking->pool, &theirs);
        if (path == NULL && site != NULL && strcmp(site->home, ours->home) == 0)
                path = ours->home;
        if (path == NULL)
                path = intruder(site, row.pool, &looking->ours);
        (void)snprintf(found, sizeof(found), "%s", path == NULL ? "" : path);
        catalog_site_done(&row);
        return path == NULL ? check_shared_database(looking, site, err)
                            : err_fail(err, ERR_REFUSED, 0,
                                       "'%s' would belong to '%s' and to the site '%s' at once: "
                                       "choose another; nothing was changed",
                                       found, ours->name, name);
}

int neighbours_check(struct step_env *env, const char *pool, struct err *err)
{
        struct looking looking = { .env = env, .pool = pool };

        take_all(&looking.ours, env->site, pool);
        return catalog_sites(env->catalog, look_at, &looking, err);
}
