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
        return path == NULL ? 0
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
