/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_LINK_H
#define DBDUMP_POSTGRES_LINK_H

/*
 * A connection to a PostgreSQL server.
 *
 * Every session of ours has the same settings from its start: nothing but pg_catalog is searched,
 * policies never hide rows from us in silence, values have one form, and bytes are not converted.
 * They are given at the connection, so that no setting of the database or the role comes first.
 */

#include <libpq-fe.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "dbdump/dbdriver.h"

#define POSTGRES_NAME_MAX 132 /* bytes of a quoted identifier with the NUL */

struct postgres_server {
        char host[128]; /* a name, or the directory of the socket */
        char port[8];
        char user[64];
        char purpose[64]; /* the session's application_name; "sitesnap" when empty */
        char *password;   /* NULL: none; wiped by postgres_server_done() */
        unsigned timeout_msec;
};

struct postgres_link {
        PGconn *conn;
        unsigned patience_msec; /* for a statement; 0: any time */
};

DEFINE_CLEANUP(PGresult *, PQclear); /* accepts NULL */

static inline void postgres_freemem(char *text)
{
        if (text != NULL)
                PQfreemem(text);
}
DEFINE_CLEANUP(char *, postgres_freemem);

/* postgres_server_init(server, conf, err): Where the server is and who we are there; the password
 * is read from conf->secret_fd. */
int postgres_server_init(struct postgres_server *server, const struct db_conf *conf,
                         struct err *err) MUST_CHECK;
void postgres_server_done(struct postgres_server *server);

/* postgres_connect(server, database, ret_link, err): The caller closes it.
 * ERR_NOT_FOUND: no such database.  ERR_DENIED: not let in. */
int postgres_connect(const struct postgres_server *server, const char *database,
                     struct postgres_link **ret_link, struct err *err) MUST_CHECK;
void postgres_close(struct postgres_link *link); /* NULL is fine */
DEFINE_CLEANUP(struct postgres_link *, postgres_close);

/* postgres_run(link, sql, err): Statements without an answer.
 * postgres_runf(link, err, fmt, ...): The same; names in it have been quoted.
 * postgres_ask(link, sql, params, n, ret_result, err): One statement and its answer, as text.
 * All three wait for timeout_msec at most, but for what was set by postgres_patience(). */
int postgres_run(struct postgres_link *link, const char *sql, struct err *err) MUST_CHECK;
int postgres_runf(struct postgres_link *link, struct err *err, const char *fmt, ...)
        PRINTF(3, 4) MUST_CHECK;
int postgres_ask(struct postgres_link *link, const char *sql, const char *const *params, int n,
                 PGresult **ret_result, struct err *err) MUST_CHECK;

/* postgres_relay(asked, link, sql, params, n, err): The statements that the server answers the
 * question with, a row each, are run on ${link}; a NULL is none. */
int postgres_relay(struct postgres_link *asked, struct postgres_link *link, const char *sql,
                   const char *const *params, int n, struct err *err) MUST_CHECK;

/* postgres_begin_copy(link, sql, way, err): A COPY statement; the server gives rows (${way}
 * PGRES_COPY_OUT) or takes them (PGRES_COPY_IN). */
int postgres_begin_copy(struct postgres_link *link, const char *sql, ExecStatusType way,
                        struct err *err) MUST_CHECK;

/* postgres_try(link, sql): The same where a failure changes nothing for us: the clearing up. */
void postgres_try(struct postgres_link *link, const char *sql);

/* postgres_patience(link, msec, err): How long the server may take for a statement from now on;
 * 0: any time, as for rows and indexes. */
int postgres_patience(struct postgres_link *link, unsigned msec, struct err *err) MUST_CHECK;

/* postgres_answer(link, ret_result, err): Wait for the end of what PQsendQuery() began: the first
 * failure, or the last answer with rows; ${ret_result} may be NULL. */
int postgres_answer(struct postgres_link *link, PGresult **ret_result, struct err *err) MUST_CHECK;

/* postgres_fail(err, conn, result): What the server or the connection complains about, without
 * values of rows (postgres_said.h); ${result} may be NULL.  The failure path. */
int postgres_fail(struct err *err, struct postgres_link *link, const PGresult *result);

/* postgres_quote(name, out, err): An identifier. */
int postgres_quote(const char *name, char out[static POSTGRES_NAME_MAX],
                   struct err *err) MUST_CHECK;

/* postgres_literal(link, text, err): A string constant, or NULL with err filled; the caller ends it
 * by PQfreemem(). */
char *postgres_literal(struct postgres_link *link, const char *text, struct err *err);

#endif
