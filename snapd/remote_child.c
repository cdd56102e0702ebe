/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "dbdump/mariadb_keeper.h"
#include "snapd/module.h"
#include "snapd/remote_child.h"
#include "snapd/remote_wire.h"
#include "snapd/role.h"
#include "snapd/worker_child.h"

#define GRACE_MSEC 200 /* behind a hold's deadline, before the connection is closed over it */

enum { SOCKET_FD = 3, SECRET_FD, FIRST_FREE_FD };

struct server {
        const struct db_driver *driver;
        struct db *db;
        struct wire in, out, event;
        char *table; /* whose columns the other end knows */
        size_t n_columns;
        int64_t until_usec; /* of the hold that is on, 0 for none */
};

static int serve_fail(struct server *server, const char *what, struct err *err)
{
        return err_fail(err, ERR_UNSUPPORTED, 0, "the driver for %s cannot %s",
                        server->driver->name, what);
}

/* Has the other end had enough, or gone? */
static int check_stop(struct err *err)
{
        char byte;
        ssize_t n = recv(SOCKET_FD, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        return err_fail(err, ERR_REFUSED, 0, "stopped");
}

static int on_progress(const struct db_progress *progress, void *arg, struct err *err)
{
        struct server *server = arg;

        wire_begin(&server->event, WIRE_PROGRESS);
        wire_put(&server->event, progress->tables_done);
        wire_put(&server->event, progress->tables_all);
        wire_put(&server->event, progress->rows_done);
        wire_put(&server->event, progress->bytes_done);
        wire_put(&server->event, progress->bytes_all);
        return check_stop(err) < 0 ? -1 : wire_send(SOCKET_FD, &server->event, err);
}

/* Names of columns go over once a table. */
static int tell_table(struct server *server, const struct db_row_change *row, struct err *err)
{
        if (server->table != NULL && strcmp(server->table, row->table) == 0 &&
            server->n_columns == row->n_columns)
                return 0;
        free(server->table);
        server->table = strdup(row->table);
        server->n_columns = row->n_columns;
        if (server->table == NULL)
                return err_oom(err);
        wire_begin(&server->event, WIRE_TABLE);
        wire_put_text(&server->event, row->table);
        wire_put(&server->event, row->whole);
        wire_put(&server->event, row->n_key);
        wire_put(&server->event, row->n_columns);
        for (size_t i = 0; i < row->n_columns; i++)
                wire_put_text(&server->event, row->columns[i]);
        return wire_send(SOCKET_FD, &server->event, err);
}

static void put_values(struct wire *wire, const struct db_value *values, size_t n)
{
        wire_put(wire, values != NULL);
        for (size_t i = 0; values != NULL && i < n; i++)
                wire_put_bytes(wire, values[i].bytes, values[i].size);
}

static int on_row(const struct db_row_change *row, void *arg, struct err *err)
{
        struct server *server = arg;

        if (check_stop(err) < 0 || tell_table(server, row, err) < 0)
                return -1;
        wire_begin(&server->event, WIRE_ROW);
        wire_put(&server->event, row->change);
        put_values(&server->event, row->from, row->n_columns);
        put_values(&server->event, row->to, row->n_columns);
        return wire_send(SOCKET_FD, &server->event, err) < 0
                       ? err_wrap(err, "a row of '%s'", row->table)
                       : 0;
}

static int on_name(const char *schema, void *arg, struct err *err)
{
        struct server *server = arg;

        wire_begin(&server->event, WIRE_NAME);
        wire_put_text(&server->event, schema);
        return check_stop(err) < 0 ? -1 : wire_send(SOCKET_FD, &server->event, err);
}

static int on_dumped(const void *bytes, size_t n, void *arg, struct err *err)
{
        struct server *server = arg;
        const char *at = bytes;

        while (n > 0) {
                size_t piece = n > WIRE_MAX / 4 ? WIRE_MAX / 4 : n;

                wire_begin(&server->event, WIRE_BYTES);
                wire_put_bytes(&server->event, at, piece);
                if (check_stop(err) < 0 || wire_send(SOCKET_FD, &server->event, err) < 0)
                        return -1;
                at += piece;
                n -= piece;
        }
        return 0;
}

static ssize_t on_wanted(void *bytes, size_t size, void *arg, struct err *err)
{
        struct server *server = arg;
        const char *got;
        size_t n;

        wire_begin(&server->event, WIRE_ASK);
        wire_put(&server->event, size);
        if (wire_send(SOCKET_FD, &server->event, err) < 0 ||
            wire_receive(SOCKET_FD, &server->event, -1, err) < 0)
                return -1;
        if (server->event.kind != WIRE_BYTES)
                return err_fail(err, ERR_REFUSED, 0, "stopped");
        got = wire_get_bytes(&server->event, &n);
        if (n > size || got == NULL)
                return err_fail(err, ERR_INVALID, 0, "more than was asked for");
        memcpy(bytes, got, n);
        return (ssize_t)n;
}

/* The calls.  Each reads its arguments from server->in and adds its results to server->out. */

static int serve_features(struct server *server, struct err *err)
{
        unsigned features = 0;

        if (server->driver->features(server->db, wire_get_text(&server->in), &features, err) < 0)
                return -1;
        wire_put(&server->out, features);
        return 0;
}

static int serve_check(struct server *server, struct err *err)
{
        return server->driver->check(server->db, wire_get_text(&server->in), err);
}

static int serve_hold(struct server *server, struct err *err)
{
        const char *schema = wire_get_text(&server->in);
        unsigned msec = (unsigned)wire_get(&server->in);
        int64_t until = clock_boot_usec() + ((int64_t)msec + GRACE_MSEC) * 1000;

        if (server->driver->hold(server->db, schema, msec, err) < 0)
                return -1;
        server->until_usec = until;
        return 0;
}

static int serve_release(struct server *server, struct err *err)
{
        server->until_usec = 0;
        return server->driver->release(server->db, err);
}

static int serve_copy(struct server *server, struct err *err)
{
        const char *from = wire_get_text(&server->in), *to = wire_get_text(&server->in);

        return server->driver->copy(server->db, from, to, on_progress, server, err);
}

static int serve_exists(struct server *server, struct err *err)
{
        bool exists = false;

        if (server->driver->exists(server->db, wire_get_text(&server->in), &exists, err) < 0)
                return -1;
        wire_put(&server->out, exists);
        return 0;
}

static int serve_verify(struct server *server, struct err *err)
{
        const char *schema = wire_get_text(&server->in), *copy = wire_get_text(&server->in);

        return server->driver->verify(server->db, schema, copy, err);
}

static int serve_set_writable(struct server *server, struct err *err)
{
        const char *schema = wire_get_text(&server->in);

        return server->driver->set_writable(server->db, schema, wire_get(&server->in) != 0, err);
}

static int serve_size(struct server *server, struct err *err)
{
        uint64_t bytes = 0;

        if (server->driver->size(server->db, wire_get_text(&server->in), &bytes, err) < 0)
                return -1;
        wire_put(&server->out, bytes);
        return 0;
}

static int serve_drop(struct server *server, struct err *err)
{
        return db_drop(server->driver, server->db, wire_get_text(&server->in), err);
}

static int serve_forecast(struct server *server, struct err *err)
{
        struct db_forecast forecast = { 0 };

        /* Without one, what is sent says nothing: DB_WAY_AUTO. */
        if (server->driver->forecast != NULL &&
            server->driver->forecast(server->db, wire_get_text(&server->in), &forecast, err) < 0)
                return -1;
        wire_put(&server->out, forecast.way);
        wire_put(&server->out, forecast.copy_msec);
        wire_put(&server->out, forecast.stall_msec);
        wire_put(&server->out, forecast.disk_bytes);
        wire_put_text(&server->out, forecast.why);
        return 0;
}

static int serve_fingerprint(struct server *server, struct err *err)
{
        CLEANUP(freep) char *text = NULL;

        if (server->driver->fingerprint == NULL)
                return serve_fail(server, "describe a schema", err);
        if (server->driver->fingerprint(server->db, wire_get_text(&server->in), &text, err) < 0)
                return -1;
        wire_put_text(&server->out, text);
        return 0;
}

static int serve_diff(struct server *server, struct err *err)
{
        const char *from = wire_get_text(&server->in), *to = wire_get_text(&server->in);

        free(STEAL(server->table));
        if (server->driver->diff == NULL)
                return serve_fail(server, "compare databases", err);
        return server->driver->diff(server->db, from, to, on_row, server, err);
}

static int serve_dump(struct server *server, struct err *err)
{
        if (server->driver->dump == NULL)
                return serve_fail(server, "dump a database", err);
        return server->driver->dump(server->db, wire_get_text(&server->in), on_dumped, server, err);
}

static int serve_load(struct server *server, struct err *err)
{
        if (server->driver->load == NULL)
                return serve_fail(server, "load a dump", err);
        return server->driver->load(server->db, wire_get_text(&server->in), on_wanted, server, err);
}

static int serve_list(struct server *server, struct err *err)
{
        if (server->driver->list == NULL)
                return serve_fail(server, "list copies", err);
        return server->driver->list(server->db, on_name, server, err);
}

static int (*const calls[WIRE_CALLS])(struct server *, struct err *) = {
        [WIRE_FEATURES] = serve_features, [WIRE_CHECK] = serve_check,
        [WIRE_HOLD] = serve_hold,         [WIRE_RELEASE] = serve_release,
        [WIRE_COPY] = serve_copy,         [WIRE_EXISTS] = serve_exists,
        [WIRE_VERIFY] = serve_verify,     [WIRE_SET_WRITABLE] = serve_set_writable,
        [WIRE_SIZE] = serve_size,         [WIRE_DROP] = serve_drop,
        [WIRE_FORECAST] = serve_forecast, [WIRE_FINGERPRINT] = serve_fingerprint,
        [WIRE_DIFF] = serve_diff,         [WIRE_DUMP] = serve_dump,
        [WIRE_LOAD] = serve_load,         [WIRE_LIST] = serve_list,
};

/* The last word of a call: its error, code 0 for none, then what it added. */
static int tell_end(struct server *server, const struct err *failed, struct err *err)
{
        CLEANUP(wire_donep) struct wire end = { 0 };

        wire_begin(&end, WIRE_END);
        wire_put(&end, failed->code);
        wire_put(&end, (uint64_t)(int64_t)failed->os);
        wire_put_text(&end, failed->code == 0 ? "" : failed->msg);
        if (failed->code == 0)
                wire_put_bytes(&end, server->out.data == NULL ? "" : server->out.data,
                               server->out.n);
        return wire_send(SOCKET_FD, &end, err);
}

/* Nobody asked for the release in time: the connection goes, and every lock with it. */
static void end_hold(struct server *server)
{
        server->driver->close(server->db);
        server->db = NULL;
}

static int next_call(struct server *server, struct err *err)
{
        int msec = -1;

        if (server->until_usec != 0) {
                int64_t left = (server->until_usec - clock_boot_usec()) / 1000 + 1;

                msec = left < 0 ? 0 : (int)left;
        }
        if (wire_receive(SOCKET_FD, &server->in, msec, err) == 0)
                return 0;
        if (err->code != ERR_TIMEOUT)
                return -1;
        end_hold(server);
        return wire_receive(SOCKET_FD, &server->in, -1, err);
}

/* What a call comes to is its return value: one that went well may have left an error on its way.
 */
static void do_call(struct server *server, struct err *failed)
{
        if (calls[server->in.kind](server, failed) < 0) {
                if (failed->code == 0)
                        (void)err_fail(failed, ERR_IO, 0, "the driver failed without a reason");
                return;
        }
        *failed = (struct err){ 0 };
        if (!server->out.ok)
                (void)err_fail(failed, ERR_UNSUPPORTED, 0, "the answer is larger than %u MiB",
                               WIRE_MAX >> 20);
}

static void serve(struct server *server)
{
        struct err err = { 0 };

        while (next_call(server, &err) == 0) {
                struct err failed = { 0 };

                if (server->in.kind == WIRE_STOP) /* it came when the call had ended */
                        continue;
                wire_begin(&server->out, 0);
                if (server->db == NULL)
                        (void)err_fail(&failed, ERR_TIMEOUT, 0,
                                       "the deadline of the hold had passed, and its connection "
                                       "was closed: a longer one is needed");
                else if (server->in.kind >= WIRE_CALLS || calls[server->in.kind] == NULL)
                        return; /* not a word of ours */
                else
                        do_call(server, &failed);
                if (tell_end(server, &failed, &err) < 0)
                        return;
        }
}

/* Nothing of the parent's stays but the two descriptors; the libraries read no environment, which
 * could name other servers and files. */
static int settle(const struct remote_child *child, struct err *err)
{
        CLEANUP(closep) int socket_fd = fcntl(child->socket_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        CLEANUP(closep) int secret_fd = -1;

        if (child->conf->secret_fd >= 0)
                secret_fd = fcntl(child->conf->secret_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        if (socket_fd < 0 || dup2(socket_fd, SOCKET_FD) < 0 ||
            (secret_fd >= 0 && dup2(secret_fd, SECRET_FD) < 0))
                return err_fail(err, ERR_IO, errno, "cannot set up descriptors");
        if (close_range(secret_fd >= 0 ? FIRST_FREE_FD : SECRET_FD, UINT_MAX, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot close descriptors");
        (void)steal_fd(&socket_fd);
        (void)steal_fd(&secret_fd);
        if (clearenv() != 0)
                return err_fail(err, ERR_IO, 0, "cannot clear the environment");
        return worker_child_null(err);
}

static int enter(const struct remote_child *child, pid_t parent, struct err *err)
{
        if (sandbox_enter(&roles[WORKER_DATABASE].sandbox, child->uid, child->gid, err) < 0)
                return -1;
        /* The change of user has cleared it (prctl(2)). */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                return err_fail(err, ERR_IO, errno, "the caller is gone");
        return 0;
}

/* While we are root.  A server that has to be copied by its files is told of here why it cannot. */
static int start_keeper(const struct remote_child *child, struct db_conf *conf, pid_t *ret_pid,
                        struct err *err)
{
        return !child->engine->files || conf->socket_path == NULL || conf->way != DB_WAY_FILES
                       ? 0
                       : mariadb_keeper_start(conf->socket_path, ret_pid, &conf->files_fd, err);
}

/* While files can still be opened. */
static const struct db_driver *find(const struct remote_engine *engine, struct err *err)
{
        char module[64], symbol[64];
        void *found = NULL;

        if (engine->driver != NULL)
                return engine->driver;
        (void)snprintf(module, sizeof(module), "db-%s", engine->name);
        (void)snprintf(symbol, sizeof(symbol), "db_driver_%s", engine->name);
        return module_find(module, symbol, &found, err) < 0 ? NULL : found;
}

int remote_child_run(const struct remote_child *child)
{
        static struct server server; /* there is one in a process */
        struct db_conf conf = *child->conf;
        struct err failed = { 0 }, err;
        pid_t parent = getppid(), keeper = -1;

        server.driver = find(child->engine, &failed);
        if (settle(child, &failed) < 0)
                return 1; /* where the socket is now nobody can say */
        conf.secret_fd = conf.secret_fd >= 0 ? SECRET_FD : -1;
        conf.root_fd = -1;
        if (server.driver != NULL && start_keeper(child, &conf, &keeper, &failed) == 0 &&
            enter(child, parent, &failed) == 0 &&
            server.driver->open(&conf, &server.db, &failed) == 0)
                failed = (struct err){ 0 };
        else if (failed.code == 0)
                (void)err_fail(&failed, ERR_IO, 0, "the driver failed without a reason");
        wire_begin(&server.out, 0);
        if (tell_end(&server, &failed, &err) == 0 && failed.code == 0)
                serve(&server);
        if (server.db != NULL)
                server.driver->close(server.db);
        if (keeper > 0)
                (void)waitpid(keeper, NULL, 0);
        return 0;
}
