/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "snapd/strays.h"

struct search {
        const struct version_list *versions;
        char like[DB_NAME_MAX]; /* a copy's name of this site */
        db_visit visit;
        void *arg;
};

/* What stands behind the serial. */
static const char *base_of(const char *name)
{
        return strchr(name, '_');
}

static int look_at(const char *name, void *arg, struct err *err)
{
        const struct search *search = arg;

        if (!db_is_copy_name(name) || strcmp(base_of(name), base_of(search->like)) != 0)
                return 0;
        for (size_t i = 0; i < search->versions->n; i++)
                if (strcmp(search->versions->items[i].database, name) == 0)
                        return 0;
        return search->visit(name, search->arg, err);
}

int strays_visit(struct step_env *env, db_visit visit, void *arg, struct err *err)
{
        struct version_list versions = { 0 };
        struct search search = { .versions = &versions, .visit = visit, .arg = arg };
        struct db *db;
        int ret;

        if (!site_database_serves(env->site))
                return 0;
        if (env_database(env, &db, err) < 0 ||
            catalog_versions(env->catalog, env->site->name, &versions, err) < 0)
                return -1;
        db_copy_name(env->site->name, 1, search.like);
        ret = env->database_driver->list(db, look_at, &search, err);
        if (ret < 0 && err->code == ERR_UNSUPPORTED)
                ret = 0;
        version_list_done(&versions);
        return ret;
}
