/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "dbdump/identifier.h"
#include "dbdump/postgres_link.h"
#include "dbdump/postgres_said.h"

#define TIMEOUT_MSEC 30000
#define GRACE_MSEC   5000 /* the server ends a statement by itself; silence beyond is its death */
#define SECRET_MAX   1024

/* ".../.s.PGSQL.5433" is the socket of port 5433 in a directory; a directory is one too. */
static void socket_place(struct postgres_server *server, const char *path, uint16_t port)
{
        const char *base = strrchr(path, '/');
        struct stat st;

        if (base != NULL && strncmp(base, "/.s.PGSQL.", 10) == 0 &&
            !(stat(path, &st) == 0 && S_ISDIR(st.st_mode))) {
                (void)snprintf(server->host, sizeof(server->host), "%.*s", (int)(base - path),
                               path);
                (void)snprintf(server->port, sizeof(server->port), "%.5s", base + 10);
                return;
        }
        (void)snprintf(server->host, sizeof(server->host), "%s", path);
        (void)snprintf(server->port, sizeof(server->port), "%d", port == 0 ? 5432 : port);
}

int postgres_server_init(struct postgres_server *server, const struct db_conf *conf,
                         struct err *err)
{
        const char *where = conf->socket_path != NULL ? conf->socket_path : conf->host;

        *server = (struct postgres_server){ .timeout_msec = conf->timeout_msec };
        if (server->timeout_msec == 0)
                server->timeout_msec = TIMEOUT_MSEC;
        if (where == NULL || conf->user == NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "a PostgreSQL server needs a socket or host, and a user");
        if (strlen(where) >= sizeof(server->host) || strlen(conf->user) >= sizeof(server->user))
                return err_fail(err, ERR_INVALID, 0, "'%.100s': too long", where);
        if (conf->socket_path != NULL) {
                socket_place(server, where, conf->port);
        } else {
                (void)snprintf(server->host, sizeof(server->host), "%s", where);
                (void)snprintf(server->port, sizeof(server->port), "%d",
                               conf->port == 0 ? 5432 : conf->port);
        }
        (void)snprintf(server->user, sizeof(server->user), "%s", conf->user);
        if (conf->secret_fd < 0)
                return 0;
        /* It may have been read before, by another connection of the same configuration. */
        (void)lseek(conf->secret_fd, 0, SEEK_SET);
        if (file_read_fd(conf->secret_fd, SECRET_MAX, &server->password, NULL, err) < 0)
                return err_wrap(err, "the password of '%s'", server->user);
        server->password[strcspn(server->password, "\r\n")] = '\0';
        return 0;
}

void postgres_server_done(struct postgres_server *server)
{
        if (server->password != NULL)
                explicit_bzero(server->password, strlen(server->password));
        free(server->password);
        server->password = NULL;
}

/* What the states of SQL mean for us; the first that begins so. */
static const struct {
        const char *state;
        enum err_code code;
} states[] = {
        { "08", ERR_IO },
        { "28", ERR_DENIED },
        { "42501", ERR_DENIED },
        { "3D000", ERR_NOT_FOUND },
        { "3F000", ERR_NOT_FOUND },
        { "42P01", ERR_NOT_FOUND },
        { "53100", ERR_NO_SPACE },
        { "54", ERR_UNSUPPORTED },
        { "55P03", ERR_BUSY },
        { "40P01", ERR_BUSY },
        { "55006", ERR_BUSY },
        { "57014", ERR_TIMEOUT },
        { "25P03", ERR_TIMEOUT },
        { "0A000", ERR_UNSUPPORTED },
};

int postgres_fail(struct err *err, struct postgres_link *link, const PGresult *result)
{
        const char *state = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
        enum err_code code = ERR_IO;
        char text[POSTGRES_SAID_MAX] = "";

        if (state == NULL) {
                (void)snprintf(text, sizeof(text), "the connection to the server is lost: %s",
                               PQerrorMessage(link->conn));
        } else {
                for (size_t i = 0; i < sizeof(states) / sizeof(states[0]) && code == ERR_IO; i++)
                        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0)
                                code = states[i].code;
                postgres_said(result, text);
        }
        for (char *c = text; *c != '\0'; c++)
                if (*c == '\n' || *c == '\t')
                        *c = ' ';
        for (size_t n = strlen(text); n > 0 && text[n - 1] == ' '; n--)
                text[n - 1] = '\0';
        return err_fail(err, code, 0, "%s", text);
}

/* The message of a connection that was not made has no SQLSTATE (libpq tells none), so the server's
 * own words decide. */
static int connect_fail(struct err *err, PGconn *conn, const char *database)
{
        const char *text = PQerrorMessage(conn);
        enum err_code code = ERR_IO;
        char line[300];

        if (PQconnectionNeedsPassword(conn) || strstr(text, "authentication failed") != NULL ||
            strstr(text, "pg_hba.conf") != NULL || strstr(text, "permission denied") != NULL)
                code = ERR_DENIED;
        else if (strstr(text, "does not exist") != NULL && strstr(text, "database \"") != NULL)
                code = ERR_NOT_FOUND;
        (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
        return err_fail(err, code, 0, "database '%s': %s", database, line);
}

/* Whoever alters a table waits for our view of it, and then we for him: the server cannot see that
 * circle, since our view waits outside of it.  So we do not wait for long. */
#define SETTINGS                                                                                   \
        "-c search_path=pg_catalog,pg_temp -c row_security=off -c check_function_bodies=off "      \
        "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=3 "      \
        "-c bytea_output=hex -c standard_conforming_strings=on -c xmloption=content "              \
        "-c quote_all_identifiers=off -c default_transaction_isolation=read\\ committed "          \
        "-c default_transaction_read_only=off -c default_transaction_deferrable=off "              \
        "-c default_tablespace= -c default_table_access_method=heap -c lock_timeout=5000 "         \
        "-c client_min_messages=error -c synchronous_commit=on -c jit=off -c array_nulls=on "      \
        "-c transform_null_equals=off "                                                            \
        "-c idle_in_transaction_session_timeout=0 -c statement_timeout=%u"

/* libpq writes notices to stderr by itself. */
static void say_nothing(void *arg, const char *message)
{
        (void)arg;
        (void)message;
}

/* A session of ours waits for another of ours for as long as that works.  Not every server has
 * these settings, and a connection cannot ask for one that is not there. */
static int stay(struct postgres_link *link, struct err *err)
{
        return PQserverVersion(link->conn) < 140000
                       ? 0
                       : postgres_ask(link,
                                      "SELECT set_config(name, '0', false) FROM pg_settings WHERE "
                                      "name IN ('idle_session_timeout', 'transaction_timeout')",
                                      NULL, 0, NULL, err);
}

/* Bytes as the database has them: SQL_ASCII on our side is never converted. */
int postgres_connect(const struct postgres_server *server, const char *database,
                     struct postgres_link **ret_link, struct err *err)
{
        char settings[1024], timeout[16];
        const char *const keys[] = { "host",
                                     "port",
                                     "user",
                                     "password",
                                     "dbname",
                                     "passfile",
                                     "application_name",
                                     "client_encoding",
                                     "connect_timeout",
                                     "options",
                                     "keepalives_idle",
                                     NULL };
        const char *const values[] = { server->host,
                                       server->port,
                                       server->user,
                                       server->password,
                                       database,
                                       "/dev/null/none",
                                       server->purpose[0] == '\0' ? "sitesnap" : server->purpose,
                                       "SQL_ASCII",
                                       timeout,
                                       settings,
                                       "30",
                                       NULL };
        CLEANUP(postgres_closep) struct postgres_link *link = calloc(1, sizeof(*link));

        if (link == NULL)
                return err_oom(err);
        (void)snprintf(settings, sizeof(settings), SETTINGS, server->timeout_msec);
        (void)snprintf(timeout, sizeof(timeout), "%u", server->timeout_msec / 1000 + 2);
        link->conn = PQconnectdbParams(keys, values, 0);
        link->patience_msec = server->timeout_msec;
        if (link->conn == NULL)
                return err_oom(err);
        if (PQstatus(link->conn) != CONNECTION_OK)
                return connect_fail(err, link->conn, database);
        (void)PQsetNoticeProcessor(link->conn, say_nothing, NULL);
        if (stay(link, err) < 0)
                return -1;
        *ret_link = STEAL(link);
        return 0;
}

void postgres_close(struct postgres_link *link)
{
        if (link == NULL)
                return;
        PQfinish(link->conn);
        free(link);
}

/* Until an answer can be taken; a server that is silent for too long is not waited for. */
static int wait_answer(struct postgres_link *link, int64_t until_usec, struct err *err)
{
        while (PQisBusy(link->conn)) {
                struct pollfd fd = { PQsocket(link->conn), POLLIN, 0 };
                int64_t left = (until_usec - clock_boot_usec()) / 1000;

                if (until_usec != 0 && left <= 0)
                        return err_fail(err, ERR_TIMEOUT, 0, "the server does not answer");
                if (poll(&fd, 1, until_usec == 0 ? -1 : (int)left + 1) < 0 && errno != EINTR)
                        return err_fail(err, ERR_IO, errno, "cannot wait for the server");
                if (fd.revents != 0 && !PQconsumeInput(link->conn))
                        return postgres_fail(err, link, NULL);
        }
        return 0;
}

/* All answers; the last one with rows is kept for who wants it. */
int postgres_answer(struct postgres_link *link, PGresult **ret_result, struct err *err)
{
        CLEANUP(PQclearp) PGresult *kept = NULL;
        int64_t until_usec =
                link->patience_msec == 0
                        ? 0
                        : clock_boot_usec() + (int64_t)(link->patience_msec + GRACE_MSEC) * 1000;
        struct err later; /* than the first, which counts */
        int r = 0;

        for (;;) {
                PGresult *result;
                ExecStatusType status;

                if (wait_answer(link, until_usec, r < 0 ? &later : err) < 0)
                        return -1;
                result = PQgetResult(link->conn);
                if (result == NULL)
                        break;
                status = PQresultStatus(result);
                if (r == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
                    status != PGRES_EMPTY_QUERY)
                        r = postgres_fail(err, link, result);
                /* Of a transaction in one text, its answer counts, not its COMMIT. */
                if (kept != NULL && status != PGRES_TUPLES_OK &&
                    PQresultStatus(kept) == PGRES_TUPLES_OK) {
                        PQclear(result);
                } else {
                        PQclear(kept);
                        kept = result;
                }
                if (PQstatus(link->conn) != CONNECTION_OK)
                        break;
        }
        if (r == 0 && PQstatus(link->conn) != CONNECTION_OK)
                r = postgres_fail(err, link, NULL);
        if (r == 0 && ret_result != NULL)
                *ret_result = STEAL(kept);
        return r;
}

int postgres_run(struct postgres_link *link, const char *sql, struct err *err)
{
        if (!PQsendQuery(link->conn, sql))
                return postgres_fail(err, link, NULL);
        return postgres_answer(link, NULL, err);
}

void postgres_try(struct postgres_link *link, const char *sql)
{
        struct err ignored;

        if (PQstatus(link->conn) == CONNECTION_OK && postgres_run(link, sql, &ignored) < 0)
                return;
}

int postgres_runf(struct postgres_link *link, struct err *err, const char *fmt, ...)
{
        CLEANUP(freep) char *sql = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&sql, fmt, ap);
        va_end(ap);
        if (n < 0) {
                sql = NULL;
                return err_oom(err);
        }
        return postgres_run(link, sql, err);
}

int postgres_ask(struct postgres_link *link, const char *sql, const char *const *params, int n,
                 PGresult **ret_result, struct err *err)
{
        if (!PQsendQueryParams(link->conn, sql, n, NULL, params, NULL, NULL, 0))
                return postgres_fail(err, link, NULL);
        return postgres_answer(link, ret_result, err);
}

int postgres_relay(struct postgres_link *asked, struct postgres_link *link, const char *sql,
                   const char *const *params, int n, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(asked, sql, params, n, &result, err) < 0)
                return -1;
        for (int i = 0; i < PQntuples(result); i++)
                if (!PQgetisnull(result, i, 0) &&
                    postgres_run(link, PQgetvalue(result, i, 0), err) < 0)
                        return -1;
        return 0;
}

int postgres_begin_copy(struct postgres_link *link, const char *sql, ExecStatusType way,
                        struct err *err)
{
        PGresult *result;
        bool ready;

        if (!PQsendQuery(link->conn, sql))
                return postgres_fail(err, link, NULL);
        result = PQgetResult(link->conn);
        ready = PQresultStatus(result) == way;
        if (!ready)
                (void)postgres_fail(err, link, result);
        PQclear(result);
        return ready ? 0 : -1;
}

int postgres_patience(struct postgres_link *link, unsigned msec, struct err *err)
{
        /* Whoever works for a client that is gone notices (14 and later). */
        if (postgres_runf(link, err,
                          "SET statement_timeout = %u; SELECT set_config(name, '1000', false) FROM "
                          "pg_settings WHERE name = 'client_connection_check_interval'",
                          msec) < 0)
                return -1;
        link->patience_msec = msec;
        return 0;
}

int postgres_quote(const char *name, char out[static POSTGRES_NAME_MAX], struct err *err)
{
        return identifier_quote(&identifier_postgres, name, out, POSTGRES_NAME_MAX, err);
}

char *postgres_literal(struct postgres_link *link, const char *text, struct err *err)
{
        char *literal = PQescapeLiteral(link->conn, text, strlen(text));

        if (literal == NULL)
                (void)err_fail(err, ERR_INVALID, 0, "not a string of the server's encoding: %s",
                               PQerrorMessage(link->conn));
        return literal;
}
