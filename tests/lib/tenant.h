/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_TENANT_H
#define TESTS_LIB_TENANT_H

/*
 * A tenant with SQLite databases, in processes of his own: what a test does to a database is never
 * done in the process that tests the driver, as closing a file there would drop locks.
 *
 * Every function fails the test itself.
 */

#include <sys/types.h>

#include "dbdump/dbdriver.h"

#define TENANT 33 /* www-data; any unprivileged id would do */

/* tenant_begin(fs, mbytes, ret_conf): Skip unless root; a fresh file system (root.h) with the
 * directory of the schemas on it. */
void tenant_begin(const char *fs, unsigned mbytes, struct db_conf *ret_conf);

/* tenant_root(): The path of that directory. */
const char *tenant_root(void);

/* tenant_dir(schema): Make the directory of a schema, the tenant's, 0700. */
void tenant_dir(const char *schema);

/* tenant_sql(uid, file, sql): Run statements on root/FILE as ${uid}; 0, or SQLite's first error.
 * tenant_value(): The first column of the first row, which lives until the next call, or NULL. */
int tenant_sql(uid_t uid, const char *file, const char *sql);
const char *tenant_value(uid_t uid, const char *file, const char *sql);

/* tenant_keep(file, sql): The same in a process that stays, with the connection open and whatever
 * transaction; tenant_end() kills it. */
pid_t tenant_keep(const char *file, const char *sql);
void tenant_end(pid_t pid);

#endif
