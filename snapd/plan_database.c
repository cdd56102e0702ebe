/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapd/plan.h"
#include "snapd/steps.h"

#define TRIES 1000

/* Whether a name is free on a server only the server knows; a directory of copies is ours alone. */
static int is_taken(struct step_env *env, const char *name, bool *ret_taken, struct err *err)
{
        struct db *db;

        *ret_taken = false;
        if (!site_database_serves(env->site))
                return 0;
        return env_database(env, &db, err) < 0
                       ? -1
                       : env->database_driver->exists(db, name, ret_taken, err);
}

int plan_copy_name(struct step_env *env, char name[static DB_NAME_MAX], struct err *err)
{
        bool taken = true;
        uint64_t serial;

        for (int i = 0; i < TRIES && taken; i++) {
                if (catalog_take(env->catalog, "copy", 1, &serial, err) < 0)
                        return -1;
                db_copy_name(env->site->name, serial, name);
                if (is_taken(env, name, &taken, err) < 0)
                        return -1;
        }
        return taken ? err_fail(err, ERR_EXISTS, 0,
                                "the server has %d databases whose names were to be ours, '%s' "
                                "the last: another machine uses it; choose another site name",
                                TRIES, name)
                     : 0;
}

int plan_add_drop(struct plan *plan, const char *database, struct err *err)
{
        const enum plan_part part = PLAN_MAIN;

        if (database[0] == '\0')
                return 0;
        if (db_is_copy_name(database))
                ADD(step_db_drop, "{s:s}", "database", database);
        else
                ADD(step_db_leave, "{s:s}", "database", database);
        return 0;
}
