/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REMOTE_H
#define SNAPD_REMOTE_H

/*
 * A server's database driver in a process of its own.
 *
 * What a server sends is parsed by libmariadb or libpq, and rows are a tenant's: none of it is read
 * by root.  The driver runs in a child (role `database` of snapd/role.h) as a user of this machine
 * without other rights, and is called through a socket; remote_driver has the same calls and passes
 * them on.  What comes back is bounded and believed no more than the server is.
 *
 * The child ends with its parent, and with it every connection, so that a hold never outlives
 * the operation.  The hold's deadline is kept on the child's side too, whatever the driver does.
 */

#include "dbdump/dbdriver.h"

/* A driver by name; NULL: the module "db-NAME" has it (snapd/module.h).  With ${files} it may get a
 * process beside it that handles the server's files with the server's own rights
 * (dbdump/mariadb_keeper.h). */
struct remote_engine {
        const char *name;
        const struct db_driver *driver;
        bool files;
};

/* Its `open` is NULL: remote_open() is the way in. */
extern const struct db_driver remote_driver;

/* remote_open(engine, conf, uid, gid, ret_db, err): Start a child as ${uid} and let it open the
 * driver with ${conf}; conf->secret_fd may be closed afterwards.  ERR_REFUSED: ${uid} is root.
 * ERR_UNSUPPORTED comes later, from each call that the driver does not have. */
int remote_open(const struct remote_engine *engine, const struct db_conf *conf, uid_t uid,
                gid_t gid, struct db **ret_db, struct err *err) MUST_CHECK;

/* remote_alive(db): Can it still be called?  Not after the child died or was ended. */
bool remote_alive(const struct db *db);

#endif
