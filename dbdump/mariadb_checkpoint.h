/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_CHECKPOINT_H
#define DBDUMP_MARIADB_CHECKPOINT_H

/*
 * A checkpoint of the server: what is in its log by now is in its files too, and no recovery reads
 * it any more.
 *
 * A server that has little to do makes none by itself for hours.  It is asked for as its own backup
 * does (SET GLOBAL innodb_log_checkpoint_now), which needs SUPER.  That statement goes on for as
 * long as somebody writes, so the log is watched and it is taken back.
 */

#include "dbdump/mariadb_conn.h"

/* mariadb_checkpoint_known(conn, ret_known, err): Is the server new enough to be asked? */
int mariadb_checkpoint_known(struct mariadb_conn *conn, bool *ret_known,
                             struct err *err) MUST_CHECK;

/* mariadb_checkpoint(login, msec, err): There was one since the call.  ERR_TIMEOUT: not yet. */
int mariadb_checkpoint(const struct mariadb_login *login, unsigned msec,
                       struct err *err) MUST_CHECK;

#endif
