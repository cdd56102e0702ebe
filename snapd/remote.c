/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapd/remote.h"
#include "snapd/remote_child.h"
#include "snapd/remote_wire.h"
#include "snapd/worker_child.h"

#define ASK_MSEC    1000 /* how often somebody who wants to stop a copy is asked */
#define STOP_MSEC   5000 /* how long a driver may take to hear of it */
#define COLUMNS_MAX 8192
#define OPEN_MSEC   60000

struct table {
        char *name;
        bool whole;
        size_t n_columns, n_key;
        char **columns;
        struct db_value *values; /* room for two rows */
};

struct db {
        struct worker_child child;
        int socket_fd; /* -1: the child was ended */
        struct wire wire;
        struct table table;
};

/* What a call does with the frames that come before its end. */
struct listener {
        db_report report;
        db_row_report row;
        db_sink sink;
        db_source source;
        db_visit visit;
        void *arg;
        struct db_progress progress; /* the last one */
};

static void table_done(struct table *table)
{
        for (size_t i = 0; table->columns != NULL && i < table->n_columns; i++)
                free(table->columns[i]);
        free(table->columns);
        free(table->values);
        free(table->name);
        *table = (struct table){ 0 };
}

/* The child goes, and with it its connections; the server takes back what was not committed. */
static void end_child(struct db *db)
{
        if (db->socket_fd < 0)
                return;
        (void)close(db->socket_fd);
        db->socket_fd = -1;
        (void)worker_child_end(&db->child);
}

bool remote_alive(const struct db *db)
{
        return db->socket_fd >= 0;
}

static int broken(struct db *db, struct err *err)
{
        end_child(db);
        return err_fail(err, ERR_CORRUPT, 0, "the database process does not speak as it should");
}

static int take_progress(struct db *db, struct listener *listener, struct err *err)
{
        struct db_progress *progress = &listener->progress;

        progress->tables_done = wire_get(&db->wire);
        progress->tables_all = wire_get(&db->wire);
        progress->rows_done = wire_get(&db->wire);
        progress->bytes_done = wire_get(&db->wire);
        progress->bytes_all = wire_get(&db->wire);
        return listener->report == NULL ? 0 : listener->report(progress, listener->arg, err);
}

static int take_table(struct db *db, struct err *err)
{
        struct table *table = &db->table;
        uint64_t n;

        table_done(table);
        table->name = strdup(wire_get_text(&db->wire));
        table->whole = wire_get(&db->wire) != 0;
        table->n_key = wire_get(&db->wire);
        n = wire_get(&db->wire);
        if (!db->wire.ok || n > COLUMNS_MAX || table->n_key > n)
                return broken(db, err);
        table->columns = calloc(n + 1, sizeof(*table->columns));
        table->values = calloc(2 * n + 1, sizeof(*table->values));
        if (table->name == NULL || table->columns == NULL || table->values == NULL)
                return err_oom(err);
        for (table->n_columns = 0; table->n_columns < n; table->n_columns++) {
                char *column = strdup(wire_get_text(&db->wire));

                if (column == NULL)
                        return err_oom(err);
                table->columns[table->n_columns] = column;
        }
        return db->wire.ok ? 0 : broken(db, err);
}

static const struct db_value *take_values(struct db *db, struct db_value *values)
{
        if (wire_get(&db->wire) == 0)
                return NULL;
        for (size_t i = 0; i < db->table.n_columns; i++)
                values[i].bytes = wire_get_bytes(&db->wire, &values[i].size);
        return values;
}

static int take_row(struct db *db, const struct listener *listener, struct err *err)
{
        const struct table *table = &db->table;
        uint64_t change = wire_get(&db->wire);
        struct db_row_change row = {
                .table = table->name,
                .change = (enum db_change)change,
                .whole = table->whole,
                .n_columns = table->n_columns,
                .columns = (const char *const *)table->columns,
                .n_key = table->n_key,
        };

        if (table->name == NULL || change > DB_ROW_DELETED)
                return broken(db, err);
        row.from = take_values(db, table->values);
        row.to = take_values(db, table->values + table->n_columns);
        if (!db->wire.ok || (row.from == NULL && row.to == NULL))
                return broken(db, err);
        return listener->row(&row, listener->arg, err);
}

static int give_bytes(struct db *db, const struct listener *listener, struct err *err)
{
        uint64_t want = wire_get(&db->wire);
        size_t size = want < (1 << 20) ? (size_t)want : 1 << 20;
        CLEANUP(freep) char *bytes = malloc(size + 1);
        ssize_t n;

        if (bytes == NULL)
                return err_oom(err);
        n = listener->source(bytes, size, listener->arg, err);
        if (n < 0)
                return -1;
        wire_begin(&db->wire, WIRE_BYTES);
        wire_put_bytes(&db->wire, bytes, (size_t)n);
        return wire_send(db->socket_fd, &db->wire, err);
}

static int take_bytes(struct db *db, const struct listener *listener, struct err *err)
{
        size_t n;
        const char *bytes = wire_get_bytes(&db->wire, &n);

        return bytes == NULL ? broken(db, err) : listener->sink(bytes, n, listener->arg, err);
}

static int take_event(struct db *db, struct listener *listener, struct err *err)
{
        switch (db->wire.kind) {
        case WIRE_PROGRESS:
                return take_progress(db, listener, err);
        case WIRE_TABLE:
                return listener->row == NULL ? broken(db, err) : take_table(db, err);
        case WIRE_ROW:
                return listener->row == NULL ? broken(db, err) : take_row(db, listener, err);
        case WIRE_BYTES:
                return listener->sink == NULL ? broken(db, err) : take_bytes(db, listener, err);
        case WIRE_ASK:
                return listener->source == NULL ? broken(db, err) : give_bytes(db, listener, err);
        case WIRE_NAME:
                return listener->visit == NULL
                               ? broken(db, err)
                               : listener->visit(wire_get_text(&db->wire), listener->arg, err);
        default:
                return broken(db, err);
        }
}

/* Tell the driver that it is enough, and let it clean up behind itself; one that does not hear is
 * ended. */
static void stop_call(struct db *db)
{
        CLEANUP(wire_donep) struct wire stop = { 0 };
        struct err ignored;

        if (db->socket_fd < 0)
                return;
        wire_begin(&stop, WIRE_STOP);
        if (wire_send(db->socket_fd, &stop, &ignored) == 0)
                while (wire_receive(db->socket_fd, &db->wire, STOP_MSEC, &ignored) == 0)
                        if (db->wire.kind == WIRE_END)
                                return;
        end_child(db);
}

/* The message goes on to logs and terminals; the results stay in db->wire, to be read on. */
static int take_end(struct db *db, struct err *err)
{
        uint64_t code = wire_get(&db->wire);
        int os = (int)wire_get(&db->wire);
        const char *text = wire_get_text(&db->wire);
        size_t n;

        if (!db->wire.ok || code >= ERR_CODES)
                return broken(db, err);
        if (code != 0) {
                (void)err_fail(err, (enum err_code)code, 0, "%s", text);
                for (char *c = err->msg; *c != '\0'; c++)
                        if ((unsigned char)*c < 0x20 || *c == 0x7f)
                                *c = '?';
                err->os = os;
                return -1;
        }
        /* What follows is one run of bytes: go into it. */
        if (wire_get_bytes(&db->wire, &n) == NULL)
                return broken(db, err);
        db->wire.n = db->wire.at - 1;
        db->wire.at = db->wire.n - n;
        return 0;
}

/* Wait for the end of the call that was sent, with whoever wants to know what happens on the way.
 * A statement can take as long as it needs, but somebody who asked for an end is heard. */
static int finish(struct db *db, struct listener *listener, int first_msec, struct err *err)
{
        int msec = listener->report != NULL ? ASK_MSEC : first_msec;
        struct err why = { 0 };

        for (;;) {
                if (wire_receive(db->socket_fd, &db->wire, msec, err) < 0) {
                        if (err->code == ERR_TIMEOUT && listener->report != NULL) {
                                if (listener->report(&listener->progress, listener->arg, err) == 0)
                                        continue;
                                stop_call(db);
                                return -1;
                        }
                        end_child(db);
                        return -1;
                }
                if (db->wire.kind == WIRE_END)
                        return take_end(db, err);
                if (take_event(db, listener, &why) < 0) {
                        stop_call(db);
                        *err = why;
                        return -1;
                }
        }
}

static int call(struct db *db, struct listener *listener, struct err *err)
{
        if (db->socket_fd < 0)
                return err_fail(err, ERR_IO, 0, "the database process has ended");
        if (wire_send(db->socket_fd, &db->wire, err) < 0) {
                end_child(db);
                return -1;
        }
        return finish(db, listener, -1, err);
}

static int call_plain(struct db *db, struct err *err)
{
        struct listener nobody = { 0 };

        return call(db, &nobody, err);
}

static void ask(struct db *db, unsigned kind, const char *schema)
{
        wire_begin(&db->wire, kind);
        if (schema != NULL)
                wire_put_text(&db->wire, schema);
}

static int child_body(const struct worker_ends *ends, const void *arg, int *ret_status,
                      struct err *err)
{
        (void)ends;
        (void)ret_status;
        (void)err;
        _exit(remote_child_run(arg));
}

int remote_open(const struct remote_engine *engine, const struct db_conf *conf, uid_t uid,
                gid_t gid, struct db **ret_db, struct err *err)
{
        CLEANUP(closep) int ours = -1, theirs = -1;
        CLEANUP(freep) struct db *db = calloc(1, sizeof(*db));
        struct remote_child child = { engine, conf, uid, gid, -1 };
        struct listener nobody = { 0 };
        int pair[2];

        if (db == NULL)
                return err_oom(err);
        if (uid == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "what a server sends is not read as root; name another user");
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a socket pair");
        ours = pair[0];
        child.socket_fd = theirs = pair[1];
        if (worker_child_start(0, child_body, &child, &db->child, err) < 0)
                return -1;
        db->socket_fd = steal_fd(&ours);
        closep(&theirs);
        theirs = -1;
        if (finish(db, &nobody, OPEN_MSEC, err) < 0) {
                end_child(db);
                wire_done(&db->wire);
                return -1;
        }
        *ret_db = STEAL(db);
        return 0;
}

/* Without its socket the child ends by itself and says goodbye to the server. */
static void remote_close(struct db *db)
{
        struct pollfd ended = { .fd = db == NULL ? -1 : db->child.pid_fd, .events = POLLIN };

        if (db == NULL)
                return;
        if (db->socket_fd >= 0 && shutdown(db->socket_fd, SHUT_RDWR) == 0)
                (void)poll(&ended, 1, STOP_MSEC);
        end_child(db);
        table_done(&db->table);
        wire_done(&db->wire);
        free(db);
}

static int remote_features(struct db *db, const char *schema, unsigned *ret_features,
                           struct err *err)
{
        ask(db, WIRE_FEATURES, schema);
        if (call_plain(db, err) < 0)
                return -1;
        *ret_features = (unsigned)wire_get(&db->wire);
        return 0;
}

static int remote_check(struct db *db, const char *schema, struct err *err)
{
        ask(db, WIRE_CHECK, schema);
        return call_plain(db, err);
}

static int remote_hold(struct db *db, const char *schema, unsigned deadline_msec, struct err *err)
{
        ask(db, WIRE_HOLD, schema);
        wire_put(&db->wire, deadline_msec);
        return call_plain(db, err);
}

static int remote_release(struct db *db, struct err *err)
{
        ask(db, WIRE_RELEASE, NULL);
        return call_plain(db, err);
}

static int remote_copy(struct db *db, const char *from, const char *to, db_report report, void *arg,
                       struct err *err)
{
        struct listener listener = { .report = report, .arg = arg };

        ask(db, WIRE_COPY, from);
        wire_put_text(&db->wire, to);
        return call(db, &listener, err);
}

static int remote_exists(struct db *db, const char *schema, bool *ret_exists, struct err *err)
{
        ask(db, WIRE_EXISTS, schema);
        if (call_plain(db, err) < 0)
                return -1;
        *ret_exists = wire_get(&db->wire) != 0;
        return 0;
}

static int remote_verify(struct db *db, const char *schema, const char *copy, struct err *err)
{
        ask(db, WIRE_VERIFY, schema);
        wire_put_text(&db->wire, copy);
        return call_plain(db, err);
}

static int remote_set_writable(struct db *db, const char *schema, bool writable, struct err *err)
{
        ask(db, WIRE_SET_WRITABLE, schema);
        wire_put(&db->wire, writable);
        return call_plain(db, err);
}

static int remote_size(struct db *db, const char *schema, uint64_t *ret_bytes, struct err *err)
{
        ask(db, WIRE_SIZE, schema);
        if (call_plain(db, err) < 0)
                return -1;
        *ret_bytes = wire_get(&db->wire);
        return 0;
}

static int remote_drop(struct db *db, const char *copy, struct err *err)
{
        ask(db, WIRE_DROP, copy);
        return call_plain(db, err);
}

static int remote_forecast(struct db *db, const char *schema, struct db_forecast *ret_forecast,
                           struct err *err)
{
        struct db_forecast forecast = { 0 };
        uint64_t way;

        ask(db, WIRE_FORECAST, schema);
        if (call_plain(db, err) < 0)
                return -1;
        way = wire_get(&db->wire);
        forecast.copy_msec = wire_get(&db->wire);
        forecast.stall_msec = wire_get(&db->wire);
        forecast.disk_bytes = wire_get(&db->wire);
        (void)snprintf(forecast.why, sizeof(forecast.why), "%s", wire_get_text(&db->wire));
        if (!db->wire.ok || way > DB_WAY_DUMP)
                return broken(db, err);
        forecast.way = (enum db_way)way;
        *ret_forecast = forecast;
        return 0;
}

static int remote_fingerprint(struct db *db, const char *schema, char **ret_text, struct err *err)
{
        ask(db, WIRE_FINGERPRINT, schema);
        if (call_plain(db, err) < 0)
                return -1;
        *ret_text = strdup(wire_get_text(&db->wire));
        return *ret_text == NULL ? err_oom(err) : 0;
}

static int remote_diff(struct db *db, const char *from, const char *to, db_row_report report,
                       void *arg, struct err *err)
{
        struct listener listener = { .row = report, .arg = arg };

        ask(db, WIRE_DIFF, from);
        wire_put_text(&db->wire, to);
        return call(db, &listener, err);
}

static int remote_dump(struct db *db, const char *schema, db_sink sink, void *arg, struct err *err)
{
        struct listener listener = { .sink = sink, .arg = arg };

        ask(db, WIRE_DUMP, schema);
        return call(db, &listener, err);
}

static int remote_load(struct db *db, const char *to, db_source source, void *arg, struct err *err)
{
        struct listener listener = { .source = source, .arg = arg };

        ask(db, WIRE_LOAD, to);
        return call(db, &listener, err);
}

static int remote_list(struct db *db, db_visit visit, void *arg, struct err *err)
{
        struct listener listener = { .visit = visit, .arg = arg };

        ask(db, WIRE_LIST, NULL);
        return call(db, &listener, err);
}

const struct db_driver remote_driver = {
        .name = "remote",
        .close = remote_close,
        .features = remote_features,
        .check = remote_check,
        .hold = remote_hold,
        .release = remote_release,
        .copy = remote_copy,
        .exists = remote_exists,
        .verify = remote_verify,
        .set_writable = remote_set_writable,
        .size = remote_size,
        .drop = remote_drop,
        .forecast = remote_forecast,
        .fingerprint = remote_fingerprint,
        .diff = remote_diff,
        .dump = remote_dump,
        .load = remote_load,
        .list = remote_list,
};
