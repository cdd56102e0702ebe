/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ENV_H
#define SNAPD_ENV_H

/*
 * What a step may touch: the catalog, one site, its pool, its database, its home.  Everything but
 * the catalog is opened when it is first asked for and closed by env_done(); descriptors that the
 * env_*() functions return belong to the env.
 */

#include "dbdump/dbdriver.h"
#include "fsdrivers/fsdriver.h"
#include "snapd/catalog.h"
#include "snapd/dirs.h"
#include "snapd/journal.h"
#include "snapd/site.h"

struct step_env {
        const struct dirs *dirs;
        struct catalog *catalog;
        struct site *site; /* owned */

        op_id operation; /* 0 outside of an operation */
        enum plan_part part;
        size_t step; /* the one that runs now, for journal_progress() */

        const struct fs_driver *fs;
        struct fs_pool *pool;
        const struct db_driver *database_driver;
        struct db *database;
        bool must; /* what is done now must not fail: a server that is away is waited for */
        int home_fd, pool_fd, db_fd, output_fd; /* -1: not open */
};

/* env_init(env, dirs, catalog, site): Takes ${site} over. */
void env_init(struct step_env *env, const struct dirs *dirs, struct catalog *catalog,
              struct site *site);
void env_done(struct step_env *env);

/* env_home(env, ret_fd, err): HOME, O_PATH; every component of it is root's.
 * ERR_NOT_FOUND, ERR_REFUSED. */
int env_home(struct step_env *env, int *ret_fd, struct err *err) MUST_CHECK;

/* env_pool(env, ret_pool, err): The site's pool, opened with the driver the catalog names.  With
 * it env->fs and env->pool_fd are set. */
int env_pool(struct step_env *env, struct fs_pool **ret_pool, struct err *err) MUST_CHECK;

/* env_database(env, ret_db, err): The connection to the site's database; env->database_driver is
 * set with it.  A server's is opened in a process without root's rights (snapd/remote.h), anew when
 * that has ended.  With env->must a server that cannot be reached, as one that is being restarted,
 * is tried again for a while.  ERR_INVALID: the site has none. */
int env_database(struct step_env *env, struct db **ret_db, struct err *err) MUST_CHECK;

/* env_database_forget(env): Close the connection; the next call opens a new one. */
void env_database_forget(struct step_env *env);

/* env_output(env, ret_fd, err): state/ops/ID/output, for appending. */
int env_output(struct step_env *env, int *ret_fd, struct err *err) MUST_CHECK;

/* env_note(env, fmt, ...): A line for the person who follows the operation, into its output. */
void env_note(struct step_env *env, const char *fmt, ...) PRINTF(2, 3);

/* env_make_room(env): Give up the ballast of the state directory and of HOME; true when there was
 * any, so that what failed for want of room can be tried again. */
bool env_make_room(struct step_env *env);

/* env_drivers: NULL-terminated, in order of preference. */
extern const struct fs_driver *const env_drivers[];

/* env_pool_path(site, home_fd, ret_path, err): Where the pool of a new site goes: what its
 * configuration says, else .sitesnap/NAME at the root of the file system that HOME is on.  The
 * caller frees. */
int env_pool_path(const struct site *site, char **ret_path, struct err *err) MUST_CHECK;

#endif
