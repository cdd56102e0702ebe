/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_rows.h"
#include "dbdump/postgres_tenant.h"

#define WORKERS_MAX 16
#define REPORT_MSEC 500
#define CHUNK       (256 << 10) /* bytes that are sent at once; a row is a message to libpq */
#define TURN        (4 << 20)   /* bytes of one stream before the other has its turn */

enum task {
        TASK_NONE,
        TASK_INSERT, /* rows in the server */
        TASK_STREAM, /* rows through us */
        TASK_END,    /* the server's word that it has them */
        TASK_MOVE,   /* from the side table, for generated columns */
        TASK_INDEX,
};

struct worker {
        struct postgres_link *to, *from;
        struct postgres_table *table;
        enum task task;
        char *chunk;
        size_t used;
        bool full; /* the chunk waits until the server takes it */
        uint64_t rows;
        bool said; /* the first row of an answer was seen */
        bool more; /* there may be something that no poll() tells of */
};

static int table_name(const char *schema, const char *name, char *out, size_t size, struct err *err)
{
        char a[POSTGRES_NAME_MAX], b[POSTGRES_NAME_MAX];

        if (postgres_quote(schema, a, err) < 0 || postgres_quote(name, b, err) < 0)
                return -1;
        (void)snprintf(out, size, "%s.%s", a, b);
        return 0;
}

static int send_text(struct postgres_link *link, const char *sql, struct err *err)
{
        return PQsendQuery(link->conn, sql) ? 0 : postgres_fail(err, link, NULL);
}

static int send_as_owner(const struct postgres_rows *rows, struct worker *worker, unsigned number,
                         const char *statement, const char *snapshot, struct err *err)
{
        const struct postgres_tenant tenant = { rows->place->work, worker->table->owner,
                                                rows->place->path, number, snapshot };
        const char *name = worker->table->name;
        CLEANUP(freep) char *sql = NULL;

        if (postgres_tenant_sql(worker->to, &tenant, &name, &statement, 1, &sql, err) < 0)
                return -1;
        worker->said = false;
        return send_text(worker->to, sql, err);
}

static int begin_insert(const struct postgres_rows *rows, struct worker *worker, unsigned number,
                        struct err *err)
{
        const struct postgres_table *table = worker->table;
        char from[2 * POSTGRES_NAME_MAX], to[2 * POSTGRES_NAME_MAX];
        CLEANUP(freep) char *sql = NULL;
        bool none = table->columns[0] == '\0';

        if (table_name(table->schema, table->name, from, sizeof(from), err) < 0 ||
            table_name(rows->to_schema, table->name, to, sizeof(to), err) < 0)
                return -1;
        if (asprintf(&sql, "INSERT INTO %s %s%s%s SELECT %s FROM ONLY %s", to, none ? "" : "(",
                     table->columns, none ? "" : ") OVERRIDING SYSTEM VALUE", table->selected,
                     from) < 0) {
                sql = NULL;
                return err_oom(err);
        }
        worker->task = TASK_INSERT;
        return send_as_owner(rows, worker, number, sql, rows->view->snapshot, err);
}

/* A generated column evaluates an expression of the tenant's for every row: such rows go into a
 * side table first, and from there with his rights. */
static int side_table(const struct postgres_rows *rows, const struct postgres_table *table,
                      char *out, size_t size)
{
        return snprintf(out, size, "%s.\"sitesnap.rows%u\"", rows->place->work, table->oid);
}

static int begin_copy_in(const struct postgres_rows *rows, struct worker *worker, const char *to,
                         struct err *err)
{
        const struct postgres_table *table = worker->table;
        char side[2 * POSTGRES_NAME_MAX], owner[POSTGRES_NAME_MAX];
        CLEANUP(freep) char *sql = NULL;

        (void)side_table(rows, table, side, sizeof(side));
        if (table->generated &&
            (postgres_quote(table->owner, owner, err) < 0 ||
             postgres_runf(worker->to, err,
                           "CREATE UNLOGGED TABLE %s AS SELECT %s FROM %s WITH NO DATA; "
                           "GRANT SELECT ON %s TO %s",
                           side, table->columns, to, side, owner) < 0))
                return -1;
        if (!table->generated)
                side[0] = '\0';
        if (postgres_runf(worker->to, err, "BEGIN%s%s", side[0] == '\0' ? "; TRUNCATE ONLY " : "",
                          side[0] == '\0' ? to : "") < 0)
                return -1;
        /* FREEZE: the table is as new as the transaction, and needs no cleaning later. */
        if (asprintf(&sql, "COPY %s %s%s%s FROM STDIN%s", side[0] == '\0' ? to : side,
                     side[0] == '\0' && table->columns[0] != '\0' ? "(" : "",
                     side[0] == '\0' ? table->columns : "",
                     side[0] == '\0' && table->columns[0] != '\0' ? ")" : "",
                     side[0] == '\0' ? " (FREEZE)" : "") < 0) {
                sql = NULL;
                return err_oom(err);
        }
        if (postgres_begin_copy(worker->to, sql, PGRES_COPY_IN, err) < 0)
                return err_wrap(err, "the table '%s'", table->name);
        return PQsetnonblocking(worker->to->conn, 1) == 0 ? 0
                                                          : postgres_fail(err, worker->to, NULL);
}

static int begin_stream(const struct postgres_rows *rows, struct worker *worker, struct err *err)
{
        const struct postgres_table *table = worker->table;
        char name[2 * POSTGRES_NAME_MAX];

        if (table_name(table->schema, table->name, name, sizeof(name), err) < 0 ||
            begin_copy_in(rows, worker, name, err) < 0)
                return -1;
        if (postgres_view_send(worker->from, table->schema, table->name, table->columns, err) < 0)
                return err_wrap(err, "the table '%s'", table->name);
        worker->task = TASK_STREAM;
        worker->used = 0;
        worker->full = false;
        worker->more = true;
        return 0;
}

static int begin_table(struct postgres_rows *rows, struct worker *worker, unsigned number,
                       struct postgres_table *table, struct err *err)
{
        worker->table = table;
        worker->rows = 0;
        return rows->to_schema != NULL ? begin_insert(rows, worker, number, err)
                                       : begin_stream(rows, worker, err);
}

/* As many as were sent: what is put in by statements of the tenant's is compared with that. */
static void note_rows(struct postgres_rows *rows, struct worker *worker)
{
        worker->table->rows = worker->rows;
        rows->progress.rows_done += worker->rows;
        rows->progress.bytes_done += worker->table->bytes;
}

static void end_table(struct postgres_rows *rows, struct worker *worker)
{
        worker->task = TASK_NONE;
        rows->progress.tables_done++;
}

/* The table is whole when its indexes are. */
static int begin_indexes(struct postgres_rows *rows, struct worker *worker, unsigned number,
                         struct err *err)
{
        CLEANUP(freep) char *sql = NULL;

        if (postgres_build_table_sql(worker->to, rows->place, rows->objects, worker->table->oid,
                                     number, &sql, err) < 0)
                return -1;
        if (sql != NULL) {
                worker->task = TASK_INDEX;
                worker->said = false;
                return send_text(worker->to, sql, err);
        }
        end_table(rows, worker);
        return 0;
}

/* The statement was run within another, which tells what it failed with in words alone. */
static int told_fail(const char *text, struct err *err)
{
        return strstr(text, "lock timeout") != NULL
                       ? err_fail(err, ERR_BUSY, 0,
                                  "somebody is altering it, so it was not waited for; try again")
                       : err_fail(err, ERR_UNSUPPORTED, 0, "%s", text);
}

/* What answers there are; true at the end of the last. */
static int collect(struct worker *worker, bool *ret_ended, struct err *err)
{
        *ret_ended = false;
        if (!PQconsumeInput(worker->to->conn))
                return postgres_fail(err, worker->to, NULL);
        while (!PQisBusy(worker->to->conn)) {
                CLEANUP(PQclearp) PGresult *result = PQgetResult(worker->to->conn);
                ExecStatusType status;

                if (result == NULL) {
                        *ret_ended = true;
                        return 0;
                }
                status = PQresultStatus(result);
                if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
                        return postgres_fail(err, worker->to, result);
                if (status == PGRES_TUPLES_OK && !worker->said && PQntuples(result) > 0) {
                        worker->said = true;
                        /* A name that is not there is no matter of order here. */
                        if (PQntuples(result) > 2)
                                return told_fail(PQgetvalue(result, 2, 0), err);
                        if (worker->task == TASK_INSERT)
                                worker->rows = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
                }
                if (worker->task == TASK_END && PQcmdTuples(result)[0] != '\0')
                        worker->rows = strtoull(PQcmdTuples(result), NULL, 10);
        }
        return 0;
}

/* Send the chunk; false: the server does not take it yet. */
static int put_chunk(struct worker *worker, bool *ret_sent, struct err *err)
{
        int r = worker->used == 0
                        ? 1
                        : PQputCopyData(worker->to->conn, worker->chunk, (int)worker->used);

        if (r < 0)
                return postgres_fail(err, worker->to, NULL);
        *ret_sent = r == 1;
        worker->full = r == 0;
        if (r == 1)
                worker->used = 0;
        return 0;
}

/* Until the server has taken all that was put: PQsetnonblocking() does not wait for that, and fails
 * when the server is slow. */
static int put_all(struct worker *worker, struct err *err)
{
        int r;

        while ((r = PQflush(worker->to->conn)) > 0) {
                struct pollfd fd = { PQsocket(worker->to->conn), POLLIN | POLLOUT, 0 };

                if (poll(&fd, 1, -1) < 0 && errno != EINTR)
                        return err_fail(err, ERR_IO, errno, "cannot wait for the server");
                if ((fd.revents & ~POLLOUT) != 0 && !PQconsumeInput(worker->to->conn))
                        return postgres_fail(err, worker->to, NULL);
        }
        return r < 0 || PQsetnonblocking(worker->to->conn, 0) != 0
                       ? postgres_fail(err, worker->to, NULL)
                       : 0;
}

/* A row larger than a chunk goes by itself. */
static int take_row(struct worker *worker, const char *row, size_t n, struct err *err)
{
        bool sent;

        if (n > CHUNK) {
                if (put_all(worker, err) < 0 ||
                    (worker->used > 0 &&
                     PQputCopyData(worker->to->conn, worker->chunk, (int)worker->used) != 1) ||
                    PQputCopyData(worker->to->conn, row, (int)n) != 1 ||
                    PQsetnonblocking(worker->to->conn, 1) != 0)
                        return postgres_fail(err, worker->to, NULL);
                worker->used = 0;
                return 0;
        }
        memcpy(worker->chunk + worker->used, row, n);
        worker->used += n;
        return worker->used > CHUNK ? put_chunk(worker, &sent, err) : 0;
}

/* Why the one that takes rows does not any more. */
static int taker_fail(struct worker *worker, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = PQgetResult(worker->to->conn);

        (void)postgres_fail(err, worker->to, result);
        return err_wrap(err, "the table '%s'", worker->table->name);
}

static int end_stream(struct worker *worker, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        bool sent = true;

        /* The end of COPY TO says whether it was one. */
        if (postgres_answer(worker->from, &result, err) < 0)
                return err_wrap(err, "reading the table '%s'", worker->table->name);
        if (put_all(worker, err) < 0 || put_chunk(worker, &sent, err) < 0 ||
            PQputCopyEnd(worker->to->conn, NULL) != 1)
                return taker_fail(worker, err);
        worker->task = TASK_END;
        return 0;
}

/* Up to a turn's bytes; less when one of the two servers is slower. */
static int pump(struct worker *worker, struct err *err)
{
        size_t moved = 0;
        bool sent;
        int r;

        if (!PQconsumeInput(worker->to->conn) || !PQconsumeInput(worker->from->conn))
                return postgres_fail(err,
                                     PQstatus(worker->to->conn) == CONNECTION_OK ? worker->from
                                                                                 : worker->to,
                                     NULL);
        worker->more = false;
        r = PQflush(worker->to->conn);
        if (r < 0)
                return taker_fail(worker, err);
        if (r > 0)
                return 0;
        if (worker->full && put_chunk(worker, &sent, err) < 0)
                return -1;
        while (!worker->full && moved < TURN) {
                CLEANUP(postgres_freememp) char *row = NULL;
                int n = PQgetCopyData(worker->from->conn, &row, 1);

                if (n == 0)
                        return 0;
                if (n < 0)
                        return end_stream(worker, err);
                if (take_row(worker, row, (size_t)n, err) < 0)
                        return taker_fail(worker, err);
                moved += (size_t)n;
                worker->more = moved >= TURN;
        }
        return 0;
}

static int begin_move(const struct postgres_rows *rows, struct worker *worker, unsigned number,
                      struct err *err)
{
        char side[2 * POSTGRES_NAME_MAX], name[2 * POSTGRES_NAME_MAX];
        CLEANUP(freep) char *sql = NULL;

        (void)side_table(rows, worker->table, side, sizeof(side));
        if (table_name(worker->table->schema, worker->table->name, name, sizeof(name), err) < 0)
                return -1;
        if (asprintf(&sql, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", name,
                     worker->table->columns, worker->table->columns, side) < 0) {
                sql = NULL;
                return err_oom(err);
        }
        worker->task = TASK_MOVE;
        return send_as_owner(rows, worker, number, sql, NULL, err);
}

/* What a table whose rows were sent still needs. */
static int begin_rest(struct postgres_rows *rows, struct worker *worker, unsigned number,
                      struct postgres_table *table, struct err *err)
{
        worker->table = table;
        return table->generated ? begin_move(rows, worker, number, err)
                                : begin_indexes(rows, worker, number, err);
}

/* Is it in the text, and not as a part of another word? */
static bool is_named(const char *text, const char *name)
{
        size_t n = strlen(name);

        for (const char *at = text; (at = strstr(at, name)) != NULL; at++)
                if ((at == text || isalnum((unsigned char)at[-1]) == 0) &&
                    isalnum((unsigned char)at[n]) == 0)
                        return true;
        return false;
}

/* Whatever of a worker's task can be done without waiting. */
static int step(struct postgres_rows *rows, struct worker *worker, unsigned number, struct err *err)
{
        char side[2 * POSTGRES_NAME_MAX];
        bool ended;

        if (worker->task == TASK_STREAM)
                return pump(worker, err);
        if (collect(worker, &ended, err) < 0)
                return is_named(err->msg, worker->table->name)
                               ? -1
                               : err_wrap(err, "the table '%s'", worker->table->name);
        if (!ended)
                return 0;
        if (worker->task == TASK_INDEX) {
                end_table(rows, worker);
                return 0;
        }
        if (worker->task == TASK_END) {
                worker->task = TASK_NONE;
                note_rows(rows, worker);
                return postgres_run(worker->to, "COMMIT", err);
        }
        if (worker->task == TASK_INSERT)
                note_rows(rows, worker);
        if (worker->task == TASK_MOVE) {
                (void)side_table(rows, worker->table, side, sizeof(side));
                if (postgres_runf(worker->to, err, "DROP TABLE %s", side) < 0)
                        return -1;
        }
        return begin_indexes(rows, worker, number, err);
}

static void watch(const struct worker *worker, struct pollfd fds[2])
{
        fds[0] = fds[1] = (struct pollfd){ -1, 0, 0 };
        if (worker->task == TASK_NONE)
                return;
        fds[0] = (struct pollfd){ PQsocket(worker->to->conn), POLLIN, 0 };
        if (worker->task != TASK_STREAM)
                return;
        if (worker->full || PQflush(worker->to->conn) > 0)
                fds[0].events |= POLLOUT;
        else
                fds[1] = (struct pollfd){ PQsocket(worker->from->conn), POLLIN, 0 };
}

typedef int (*begin_task)(struct postgres_rows *rows, struct worker *worker, unsigned number,
                          struct postgres_table *table, struct err *err);

/* What ${begin} begins, for each table. */
static int work(struct postgres_rows *rows, struct worker *workers, unsigned n, begin_task begin,
                struct err *err)
{
        size_t next = 0;

        for (;;) {
                struct pollfd fds[2 * WORKERS_MAX];
                unsigned busy = 0, more = 0;

                for (unsigned i = 0; i < n; i++) {
                        while (workers[i].task == TASK_NONE && next < rows->view->n_tables)
                                if (begin(rows, &workers[i], i + 1, &rows->view->tables[next++],
                                          err) < 0)
                                        return -1;
                        busy += workers[i].task != TASK_NONE;
                        more += workers[i].task == TASK_STREAM && workers[i].more;
                        watch(&workers[i], &fds[2 * (size_t)i]);
                }
                if (rows->report != NULL && rows->report(&rows->progress, rows->arg, err) < 0)
                        return -1;
                if (busy == 0)
                        return 0;
                if (poll(fds, 2 * n, more > 0 ? 0 : REPORT_MSEC) < 0 && errno != EINTR)
                        return err_fail(err, ERR_IO, errno, "cannot wait for the server");
                for (unsigned i = 0; i < n; i++)
                        if (workers[i].task != TASK_NONE && step(rows, &workers[i], i + 1, err) < 0)
                                return -1;
        }
}

static int hire(struct postgres_rows *rows, struct worker *worker, struct err *err)
{
        if (postgres_connect(rows->server, rows->to_database, &worker->to, err) < 0 ||
            postgres_patience(worker->to, 0, err) < 0)
                return -1;
        if (rows->to_schema != NULL)
                return 0;
        worker->chunk = malloc(2 * CHUNK + 1);
        if (worker->chunk == NULL)
                return err_oom(err);
        if (postgres_connect(rows->server, rows->from_database, &worker->from, err) < 0 ||
            postgres_patience(worker->from, 0, err) < 0 || postgres_restrict(worker->from, err) < 0)
                return -1;
        return postgres_runf(worker->from, err,
                             "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                             "SET TRANSACTION SNAPSHOT '%s'",
                             rows->view->snapshot);
}

/* What is still running is of no use, and would keep the half-made copy from being dropped. */
static void dismiss(struct worker *worker)
{
        struct postgres_link *const links[] = { worker->to, worker->from };
        char text[256];

        for (int i = 0; i < 2; i++) {
                PGcancel *cancel = NULL;

                if (links[i] != NULL && PQtransactionStatus(links[i]->conn) == PQTRANS_ACTIVE)
                        cancel = PQgetCancel(links[i]->conn);
                if (cancel != NULL)
                        (void)PQcancel(cancel, text, sizeof(text));
                PQfreeCancel(cancel);
                postgres_close(links[i]);
        }
        free(worker->chunk);
}

int postgres_rows_copy(struct postgres_rows *rows, struct err *err)
{
        struct worker workers[WORKERS_MAX] = { 0 };
        unsigned n = rows->streams == 0 ? 2 : rows->streams;
        struct err why;
        int r = 0;

        if (n > WORKERS_MAX)
                n = WORKERS_MAX;
        if (n > rows->view->n_tables)
                n = rows->view->n_tables == 0 ? 1 : (unsigned)rows->view->n_tables;
        for (unsigned i = 0; r == 0 && i < n; i++)
                r = hire(rows, &workers[i], err);
        if (r == 0)
                r = work(rows, workers, n, begin_table, err);
        /* An index of one table may call what alters another, which we must not COPY into then. */
        if (r == 0 && rows->to_schema == NULL)
                r = work(rows, workers, n, begin_rest, err);
        /* Without the session that has the view, what it is copied by fails with other words. */
        if (r < 0 && postgres_run(rows->view->look, "SELECT 1", &why) < 0)
                *err = why;
        for (unsigned i = 0; i < n; i++)
                dismiss(&workers[i]);
        return r;
}
