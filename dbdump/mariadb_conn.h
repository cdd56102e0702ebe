/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_CONN_H
#define DBDUMP_MARIADB_CONN_H

/*
 * A connection to a MariaDB or MySQL server.
 *
 * Every session of ours is alike, whatever the server's defaults: strict, UTC, REPEATABLE READ,
 * names in UTF-8.  The server is not trusted with this machine: it gets no local file, no password
 * in clear and no plugin of its choice.
 *
 * A statement is sent and its answer waited for with a limit; when that passes the statement is
 * killed from a second connection and this one is of no more use.
 */

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "dbdump/dbdriver.h"
#include "dbdump/mariadb_sql.h"

#define MARIADB_NO_LIMIT 0u

/* How to log in.  The strings are its own. */
struct mariadb_login {
        char *socket_path, *host, *user, *password;
        uint16_t port;
        unsigned timeout_msec;
};

struct mariadb_conn {
        MYSQL *mysql;
        const struct mariadb_login *login; /* outlives the connection */
        bool is_mariadb;
        unsigned version;    /* 101106 for 10.11.6, 80036 for 8.0.36 */
        unsigned limit_msec; /* of a statement; the login's, until somebody sets it */
        bool broken;         /* nothing more can be said over it */
};

/* mariadb_login_make(conf, ret_login, err): Copy what is needed and read the password, a line of
 * at most 1 kB, from conf->secret_fd.  mariadb_login_done(login): The password's memory is wiped.
 */
int mariadb_login_make(const struct db_conf *conf, struct mariadb_login *ret_login,
                       struct err *err) MUST_CHECK;
void mariadb_login_done(struct mariadb_login *login);

/* mariadb_conn_open(login, ret_conn, err): ERR_DENIED: the server does not let us in;
 * ERR_UNSUPPORTED: it is older than MariaDB 10.6 or MySQL 8.0. */
int mariadb_conn_open(const struct mariadb_login *login, struct mariadb_conn **ret_conn,
                      struct err *err) MUST_CHECK;

/* mariadb_disconnect(conn): NULL is fine.  The server ends the session with all it holds. */
void mariadb_disconnect(struct mariadb_conn *conn);
DEFINE_CLEANUP(struct mariadb_conn *, mariadb_disconnect);

/* mariadb_run(conn, err, fmt, ...): A statement without rows, put together as by
 * mariadb_sql_add(), within the connection's limit.  mariadb_run_sql(conn, sql, msec, err): one
 * that was put together before, with a limit of its own. */
int mariadb_run(struct mariadb_conn *conn, struct err *err, const char *fmt, ...) MUST_CHECK;
int mariadb_run_sql(struct mariadb_conn *conn, struct mariadb_sql *sql, unsigned msec,
                    struct err *err) MUST_CHECK;

/* mariadb_each(conn, row, arg, err, fmt, ...): Call ${row} for every row of an answer that fits
 * in memory; -1 from it ends the loop.  A NULL in ${values} is SQL's. */
typedef int (*mariadb_row)(void *arg, char **values, const unsigned long *sizes, struct err *err);
int mariadb_each(struct mariadb_conn *conn, mariadb_row row, void *arg, struct err *err,
                 const char *fmt, ...) MUST_CHECK;

/* mariadb_number(conn, ret_number, err, fmt, ...): The first column of the first row; 0 when that
 * is NULL or there is none.  mariadb_text(): the same as text, which the caller frees; NULL. */
int mariadb_number(struct mariadb_conn *conn, uint64_t *ret_number, struct err *err,
                   const char *fmt, ...) MUST_CHECK;
int mariadb_text(struct mariadb_conn *conn, char **ret_text, struct err *err, const char *fmt,
                 ...) MUST_CHECK;

/* The same in steps, for who has several connections to watch.  mariadb_send() does not wait;
 * mariadb_wait() says whether the answer has come within ${msec}; mariadb_finish() takes it, for
 * statements without rows. */
int mariadb_send(struct mariadb_conn *conn, struct mariadb_sql *sql, struct err *err) MUST_CHECK;
bool mariadb_wait(const struct mariadb_conn *conn, int msec);
int mariadb_finish(struct mariadb_conn *conn, struct err *err) MUST_CHECK;

/* mariadb_query(conn, sql, ret_result, err): Rows as they come, not kept: for mysql_fetch_row().
 * mariadb_fetched(conn, err): after the last one, -1 when it was not the end. */
int mariadb_query(struct mariadb_conn *conn, struct mariadb_sql *sql, MYSQL_RES **ret_result,
                  struct err *err) MUST_CHECK;
int mariadb_fetched(struct mariadb_conn *conn, struct err *err) MUST_CHECK;

/* mariadb_kill(conn, query_only): End what the connection does, from a second one; what goes wrong
 * is not said, as there is an error on its way already. */
void mariadb_kill(const struct mariadb_conn *conn, bool query_only);

/* mariadb_fail(conn, err, fmt, ...): Fill err from the connection's error, without values of rows
 * (mariadb_said.h); the phrase comes first. */
int mariadb_fail(struct mariadb_conn *conn, struct err *err, const char *fmt, ...) PRINTF(3, 4);

#endif
