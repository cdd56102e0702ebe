/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_MODE_H
#define DBDUMP_SQLITE_MODE_H

/*
 * Read-only schemas.
 *
 * The files are the tenant's, and an owner can always chmod back: so a read-only schema belongs
 * to root, and the tenant reads it by an access list that names him, or by his group on a file
 * system that has no lists (files 0640, directories 0750).  A database in
 * WAL mode cannot even be read without writing its -shm, so it is put in DELETE mode meanwhile.
 * What everything was before stands in a file of root's in the directory, SQLITE_DIR_RECORD, and
 * comes back with set_writable(true).  Both directions can be repeated after a crash anywhere.
 *
 * Whoever has a WAL database open keeps it in that mode: ERR_BUSY, and everything stays as it was.
 * Whoever has another open for writing could go on writing; he is found by asking for a lease:
 * ERR_BUSY as well, with the schema closed to all new writers by then.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "dbdump/sqlite_dir.h"

/* sqlite_mode_recall(dir, err): Put into the listing of a read-only schema the permissions and
 * the journal modes that its entries have when it is writable. */
int sqlite_mode_recall(struct sqlite_dir *dir, struct err *err) MUST_CHECK;

/* sqlite_mode_freeze(root_fd, name, uid, gid, err): After it the tenant reads ${name} and cannot
 * change it.  ERR_BUSY: somebody still writes; again later. */
int sqlite_mode_freeze(int root_fd, const char *name, uid_t uid, gid_t gid,
                       struct err *err) MUST_CHECK;

/* sqlite_mode_thaw(root_fd, name, uid, gid, err): After it ${name} is the tenant's, as it was. */
int sqlite_mode_thaw(int root_fd, const char *name, uid_t uid, gid_t gid,
                     struct err *err) MUST_CHECK;

#endif
