/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_FILES_H
#define DBDUMP_POSTGRES_FILES_H

/*
 * A copy of a whole database by the server's own files: CREATE DATABASE ... TEMPLATE.
 *
 * The server copies the files of a database in which nobody is, so the site's sessions are ended
 * and new ones kept out, for the copy's length and until it is released.  Nothing of that is
 * written down anywhere: both are locks on the database that sessions of ours have or wait for,
 * and that the server takes back when such a session ends, by itself or at its deadline.  Who
 * connects meanwhile waits; he is not turned away.
 *
 *   - "make" runs CREATE DATABASE, which locks newcomers out from its start to its end.
 *   - "keep" waits in the queue behind it for an exclusive lock (a RENAME that is taken back), and
 *     has it until the release, so that the tree can be captured.
 *   - Those that were in are ended; our own sessions, which hold the writers, go last.
 */

#include "dbdump/postgres_copy.h"

struct postgres_files;

/* postgres_files_check(link, source, err): Is this way possible for the database ${source}, and may
 * we end every session that is in it?  ERR_UNSUPPORTED, ERR_DENIED: the reason. */
int postgres_files_check(struct postgres_link *link, const char *source,
                         struct err *err) MUST_CHECK;

/* postgres_files_clones(link, ret_clones, err): Are files cloned and not read (18 and later)? */
int postgres_files_clones(struct postgres_link *link, bool *ret_clones, struct err *err) MUST_CHECK;

/* postgres_files_copy(copy, ret_files, err): As postgres_copy_make(), out of a view that holds its
 * writers.  Nobody gets into the original before postgres_files_release(), or the hold's deadline.
 * ERR_TIMEOUT: that has passed, and nothing was made. */
int postgres_files_copy(struct postgres_copy *copy, struct postgres_files **ret_files,
                        struct err *err) MUST_CHECK;

/* postgres_files_release(files, err): Sessions are let in again, and the rows of the copy counted
 * for its view.  ERR_TIMEOUT: they are in since the deadline. */
int postgres_files_release(struct postgres_files *files, struct err *err) MUST_CHECK;
void postgres_files_close(struct postgres_files *files); /* NULL is fine; lets sessions in */

#endif
