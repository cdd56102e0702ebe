/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_HELPER_H
#define DBDUMP_SQLITE_HELPER_H

/*
 * A process that works on a tenant's databases as the tenant.
 *
 * SQLite never parses a tenant's file in a process of root's.  The helper is a child with the
 * tenant's ids and no others, no way back, no descriptors but its socket and the directory, and
 * limits; what it answers is bounded and believed no more than the tenant is.  The tenant can stop
 * or kill it, which only ends the operation on his own site.
 *
 * It is also the process that holds the locks: nothing else in it ever opens a database file,
 * because closing any descriptor of one drops all POSIX locks the process holds on it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "dbdump/sqlite_worker.h"

struct sqlite_helper;

/* Called with the progress of a long call; -1 stops it. */
typedef int (*sqlite_progress)(uint64_t bytes_done, uint64_t bytes_all, void *arg, struct err *err);

/* sqlite_helper_start(dir_fd, uid, gid, ret_helper, err): Start one on the directory ${dir_fd}.
 * ERR_REFUSED: ${uid} is root. */
int sqlite_helper_start(int dir_fd, uid_t uid, gid_t gid, struct sqlite_helper **ret_helper,
                        struct err *err) MUST_CHECK;

/* sqlite_helper_stop(helper): End it and wait for its end; its locks are gone then. */
void sqlite_helper_stop(struct sqlite_helper *helper); /* NULL is fine */
DEFINE_CLEANUP(struct sqlite_helper *, sqlite_helper_stop);

/* sqlite_helper_call(helper, call, fd, progress, arg, err): Ask for one thing and wait for the
 * answer.  ${fd} goes along, -1 for none; ${progress} may be NULL.  The error is the helper's, or
 * ERR_IO when it died, or ERR_TIMEOUT when it said nothing for too long and was ended. */
int sqlite_helper_call(struct sqlite_helper *helper, const struct sqlite_call *call, int fd,
                       sqlite_progress progress, void *arg, struct err *err) MUST_CHECK;

/* sqlite_helper_ask(helper, op, name, flags, fd, err): The same for a short one. */
int sqlite_helper_ask(struct sqlite_helper *helper, enum sqlite_op op, const char *name,
                      unsigned flags, int fd, struct err *err) MUST_CHECK;

/* sqlite_helper_text(helper, op, name, flags, ret_text, err): Ask for something that is written to
 * a file, and return that.  The caller frees it. */
int sqlite_helper_text(struct sqlite_helper *helper, enum sqlite_op op, const char *name,
                       unsigned flags, char **ret_text, struct err *err) MUST_CHECK;

/* Called with a socket whose other end the helper has: reads or writes it to its end. */
typedef int (*sqlite_stream)(int fd, void *arg, struct err *err);

/* sqlite_helper_stream(helper, call, work, arg, err): Ask for something that is longer than memory:
 * ${work} runs beside the helper.  The error is the helper's own where it has one. */
int sqlite_helper_stream(struct sqlite_helper *helper, const struct sqlite_call *call,
                         sqlite_stream work, void *arg, struct err *err) MUST_CHECK;

/* sqlite_helper_facts(helper, name, count, ret_text, err): What the view has of the database
 * ${name}, as lines (sqlite_view.h).  The caller frees it. */
int sqlite_helper_facts(struct sqlite_helper *helper, const char *name, bool count, char **ret_text,
                        struct err *err) MUST_CHECK;

#endif
