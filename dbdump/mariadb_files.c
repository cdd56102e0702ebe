/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "dbdump/mariadb_checkpoint.h"
#include "dbdump/mariadb_files.h"
#include "dbdump/mariadb_forecast.h"
#include "dbdump/mariadb_grants.h"
#include "dbdump/mariadb_keeper.h"
#include "dbdump/mariadb_names.h"
#include "dbdump/mariadb_table.h"

/* Measured with MariaDB 10.11 on two processors, with a file system that clones and one that does
 * not; what is dirty in the server's memory is written before the hold. */
#define IMPORT_BYTES_PER_MSEC (300 << 10)
#define COPY_BYTES_PER_MSEC   (400 << 10)
#define FLUSH_BYTES_PER_MSEC  (100 << 10)
#define TABLE_MSEC            40
#define TABLE_STALL_MSEC      2
#define STALL_MSEC            5

#define PATIENCE_MSEC    1000 /* of writers with an export that takes longer than was thought */
#define LOOK_MSEC        60000
#define CHECKPOINT_MSEC  300000
#define SETTLE_MSEC      60000 /* what is not written by then is written in the hold */
#define NO_DEADLINE_MSEC 600000

struct mariadb_files {
        int fd; /* -1: there is no keeper */
        enum db_way way;
        bool opened;               /* the keeper has the directory */
        bool clones;               /* every file of the last choice could be cloned */
        bool taken;                /* the keeper has files */
        char schema[PATH_MAX / 4]; /* as the server writes it in its directory */
};

int mariadb_files_open(int keeper_fd, enum db_way way, struct mariadb_files **ret_files,
                       struct err *err)
{
        struct mariadb_files *files = calloc(1, sizeof(*files));

        if (files == NULL)
                return err_oom(err);
        files->fd = keeper_fd > 0 ? keeper_fd : -1;
        files->way = way;
        *ret_files = files;
        return 0;
}

void mariadb_files_close(struct mariadb_files *files)
{
        /* The keeper ends by it, whoever was forked meanwhile and has the socket too. */
        if (files != NULL && files->fd >= 0) {
                (void)shutdown(files->fd, SHUT_RDWR);
                (void)close(files->fd);
        }
        free(files);
}

/* An answer that does not come in time is not waited for, nor anything after it. */
static int ask(struct mariadb_files *files, const struct keeper_call *call, int msec,
               struct keeper_answer *answer, struct err *err)
{
        struct pollfd fd = { .fd = files->fd, .events = POLLIN };
        int r;

        if (files->fd < 0)
                return err_fail(err, ERR_IO, 0, "the process for the server's files is gone");
        if (write(files->fd, call, sizeof(*call)) != (ssize_t)sizeof(*call))
                r = -1;
        else
                while ((r = poll(&fd, 1, msec)) < 0 && errno == EINTR)
                        continue;
        if (r <= 0 || read(files->fd, answer, sizeof(*answer)) != (ssize_t)sizeof(*answer)) {
                (void)close(files->fd);
                files->fd = -1;
                return err_fail(err, r == 0 ? ERR_TIMEOUT : ERR_IO, 0,
                                r == 0 ? "the server's files took too long"
                                       : "the process for the server's files is gone");
        }
        if (answer->code == 0)
                return 0;
        answer->msg[sizeof(answer->msg) - 1] = '\0';
        (void)err_fail(err, answer->code < ERR_CODES ? (enum err_code)answer->code : ERR_IO, 0,
                       "%s", answer->msg);
        err->os = answer->os;
        return -1;
}

/* ${table} NULL: a call without a name. */
static int ask_for(struct mariadb_files *files, uint32_t op, const char *schema, const char *table,
                   uint32_t flags, uint32_t slot, int msec, struct keeper_answer *answer,
                   struct err *err)
{
        struct keeper_call call = { .op = op, .flags = flags, .slot = slot };

        if (table != NULL)
                (void)snprintf(call.name, sizeof(call.name), "%s/%s", schema, table);
        return ask(files, &call, msec, answer, err);
}

static int open_directory(struct mariadb_files *files, struct mariadb_conn *conn, struct err *err)
{
        struct keeper_call call = { .op = KEEPER_DIRECTORY };
        struct keeper_answer answer;
        CLEANUP(freep) char *path = NULL;

        if (files->opened)
                return 0;
        if (mariadb_text(conn, &path, err, "SELECT @@datadir") < 0)
                return -1;
        (void)snprintf(call.name, sizeof(call.name), "%s", path == NULL ? "" : path);
        if (ask(files, &call, LOOK_MSEC, &answer, err) < 0)
                return -1;
        files->opened = true;
        return 0;
}

/* What stands against it for the whole server. */
static int check_server(struct mariadb_files *files, struct mariadb_conn *conn, struct err *err)
{
        bool known, exports, checkpoints;
        uint64_t encrypted;

        if (files->fd < 0)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the server's files are only reached through the socket of a "
                                "server on this machine that runs as a user of its own");
        if (!conn->is_mariadb)
                return err_fail(err, ERR_UNSUPPORTED, 0, "the server is not MariaDB");
        if (mariadb_number(conn, &encrypted, err,
                           "SELECT @@innodb_encrypt_tables <> 'OFF' OR "
                           "@@innodb_compression_default") < 0 ||
            mariadb_grants_global(conn, "RELOAD", &exports, err) < 0 ||
            mariadb_grants_global(conn, "SUPER", &checkpoints, err) < 0 ||
            mariadb_checkpoint_known(conn, &known, err) < 0)
                return -1;
        if (encrypted != 0)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the server encrypts or compresses every table");
        if (!known)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the server is too old to be asked for a checkpoint");
        if (!exports || !checkpoints)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the account may not export tables and ask for a checkpoint: GRANT "
                                "RELOAD, SUPER ON *.* TO it");
        return open_directory(files, conn, err);
}

struct naming {
        struct mariadb_tables *tables;
        struct mariadb_files *files;
};

static int take_name(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct naming *naming = arg;

        (void)sizes;
        (void)snprintf(naming->files->schema, sizeof(naming->files->schema), "%s", values[2]);
        for (size_t i = 0; i < naming->tables->n; i++) {
                struct mariadb_table *table = &naming->tables->all[i];

                if (table->kind != MARIADB_TABLE || strcmp(table->name, values[0]) != 0)
                        continue;
                free(table->file);
                table->file = strdup(values[1]);
                return table->file == NULL ? err_oom(err) : 0;
        }
        return 0;
}

/* Those of an engine and a format that can go this way get the name of their file. */
static int name_files(struct mariadb_files *files, struct mariadb_conn *conn, const char *schema,
                      struct mariadb_tables *tables, struct err *err)
{
        struct naming naming = { tables, files };

        return mariadb_each(
                conn, take_name, &naming, err,
                "SELECT TABLE_NAME, CAST(CONVERT(TABLE_NAME USING filename) AS BINARY),"
                " CAST(CONVERT(TABLE_SCHEMA USING filename) AS BINARY)"
                " FROM information_schema.TABLES WHERE TABLE_SCHEMA = %L AND ENGINE = 'InnoDB'"
                " AND TABLE_TYPE = 'BASE TABLE' AND ROW_FORMAT IN ('Dynamic', 'Compact',"
                " 'Redundant') AND CREATE_OPTIONS NOT LIKE '%%partitioned%%'"
                " AND CREATE_OPTIONS NOT LIKE '%%encrypt%%'"
                " AND CREATE_OPTIONS NOT LIKE '%%compress%%'"
                " AND TABLE_NAME NOT IN (SELECT TABLE_NAME FROM information_schema.STATISTICS"
                " WHERE TABLE_SCHEMA = %L AND INDEX_TYPE IN ('FULLTEXT', 'SPATIAL'))"
                " AND TABLE_NAME NOT IN (SELECT TABLE_NAME FROM information_schema.COLUMNS"
                " WHERE TABLE_SCHEMA = %L AND COLUMN_DEFAULT LIKE '%%val(%%')",
                schema, schema, schema);
}

/* Each is looked for, and cloned to see whether it can be. */
static int look(struct mariadb_files *files, struct mariadb_tables *tables, size_t *ret_n,
                uint64_t *ret_bytes, struct err *err)
{
        files->clones = true;
        *ret_n = 0;
        *ret_bytes = 0;
        for (size_t i = 0; i < tables->n; i++) {
                struct mariadb_table *table = &tables->all[i];
                struct keeper_answer answer;

                table->by_file = false;
                if (table->file == NULL)
                        continue;
                if (ask_for(files, KEEPER_LOOK, files->schema, table->file, 0, 0, LOOK_MSEC,
                            &answer, err) < 0) {
                        if (files->fd < 0 || err->code == ERR_NO_SPACE)
                                return -1;
                        continue; /* lies elsewhere: its rows are copied */
                }
                if ((answer.flags & KEEPER_CLONES) == 0)
                        files->clones = false;
                table->by_file = true;
                *ret_bytes += answer.number;
                ++*ret_n;
        }
        return 0;
}

static void use_none(struct mariadb_tables *tables)
{
        for (size_t i = 0; i < tables->n; i++)
                tables->all[i].by_file = false;
}

struct dirty {
        uint64_t bytes;
};

static int take_dirty(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)sizes;
        (void)err;
        ((struct dirty *)arg)->bytes = strtoull(values[1], NULL, 10);
        return 0;
}

/* What goes by file costs this instead; the rest as before. */
static int cost(const struct mariadb_files *files, struct mariadb_conn *conn,
                const struct mariadb_tables *tables, size_t n, uint64_t bytes,
                struct db_forecast *forecast, struct err *err)
{
        struct db_forecast rest;
        struct mariadb_tables others = { 0 };
        struct dirty dirty = { 0 };

        if (mariadb_each(conn, take_dirty, &dirty, err,
                         "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_bytes_dirty'") < 0)
                return -1;
        others.all = calloc(tables->n + 1, sizeof(*others.all));
        if (others.all == NULL)
                return err_oom(err);
        for (size_t i = 0; i < tables->n; i++)
                if (!tables->all[i].by_file)
                        others.all[others.n++] = tables->all[i];
        if (mariadb_forecast(&others, DB_WAY_SNAPSHOT, &rest, err) < 0) {
                free(others.all);
                return -1;
        }
        free(others.all);
        forecast->way = DB_WAY_FILES;
        forecast->copy_msec = rest.copy_msec + n * TABLE_MSEC + bytes / IMPORT_BYTES_PER_MSEC +
                              dirty.bytes / FLUSH_BYTES_PER_MSEC;
        forecast->stall_msec = rest.stall_msec + STALL_MSEC + n * TABLE_STALL_MSEC +
                               (files->clones ? 0 : bytes / COPY_BYTES_PER_MSEC);
        forecast->disk_bytes = rest.disk_bytes + bytes;
        if (mariadb_tables_in_hold(tables)) {
                forecast->stall_msec += forecast->copy_msec;
                (void)snprintf(forecast->why, sizeof(forecast->why), "%s", rest.why);
        } else
                (void)snprintf(
                        forecast->why, sizeof(forecast->why),
                        "%zu of %zu tables are %s in the hold, and put in behind a checkpoint of "
                        "the server",
                        n, tables->n, files->clones ? "cloned as files" : "copied byte by byte");
        return 0;
}

int mariadb_files_choose(struct mariadb_files *files, struct mariadb_conn *conn, const char *schema,
                         struct mariadb_tables *tables, struct db_forecast *forecast,
                         struct err *err)
{
        struct db_forecast ours = { 0 };
        uint64_t bytes = 0;
        size_t n = 0;

        /* Never by itself: see the header for what a crash of the server does. */
        if (files->way != DB_WAY_FILES)
                return 0;
        if (check_server(files, conn, err) < 0 ||
            name_files(files, conn, schema, tables, err) < 0 ||
            look(files, tables, &n, &bytes, err) < 0 ||
            cost(files, conn, tables, n, bytes, &ours, err) < 0) {
                use_none(tables);
                if (err->code == ERR_NOT_FOUND || err->code == ERR_REFUSED)
                        err->code = ERR_UNSUPPORTED;
                return err_wrap(err, "the way 'files' is not possible for '%s'", schema);
        }
        *forecast = ours;
        return 0;
}

int mariadb_files_settle(const struct mariadb_login *login, struct err *err)
{
        return mariadb_checkpoint(login, SETTLE_MSEC, err) < 0 && err->code != ERR_TIMEOUT ? -1 : 0;
}

static int left_msec(const struct mariadb_hold *hold, bool patient)
{
        int64_t left = hold->deadline_usec == 0 ? NO_DEADLINE_MSEC
                                                : (hold->deadline_usec - clock_boot_usec()) / 1000;

        if (left < 1)
                left = 1;
        return (int)(patient || left < PATIENCE_MSEC ? left : PATIENCE_MSEC);
}

static int export(struct mariadb_files *files, struct mariadb_hold *hold, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        bool patient = files->way == DB_WAY_FILES;
        const char *word = "FLUSH TABLES ";

        for (size_t i = 0; i < hold->tables.n; i++)
                if (hold->tables.all[i].by_file) {
                        mariadb_sql_add(&sql, "%s%I.%I", word, hold->schema,
                                        hold->tables.all[i].name);
                        word = ", ";
                }
        mariadb_sql_add(&sql, " FOR EXPORT");
        if (mariadb_run_sql(hold->exporter, &sql, (unsigned)left_msec(hold, patient), err) < 0)
                return -1;
        for (size_t i = 0; i < hold->tables.n; i++) {
                struct mariadb_table *table = &hold->tables.all[i];
                struct keeper_answer answer;

                if (!table->by_file)
                        continue;
                if (ask_for(files, KEEPER_TAKE, files->schema, table->file,
                            patient ? KEEPER_BYTES : 0, 0, left_msec(hold, patient), &answer,
                            err) < 0)
                        return err_wrap(err, "the file of '%s'", table->name);
                table->slot = (uint32_t)answer.number;
        }
        return mariadb_run(hold->exporter, err, "UNLOCK TABLES");
}

int mariadb_files_take(struct mariadb_files *files, struct mariadb_hold *hold, struct err *err)
{
        struct keeper_answer answer;
        int r = 0;

        if (files->taken &&
            ask_for(files, KEEPER_FORGET, NULL, NULL, 0, 0, LOOK_MSEC, &answer, err) < 0)
                r = -1;
        files->taken = true;
        if (r == 0)
                r = export(files, hold, err);
        mariadb_disconnect(hold->exporter);
        hold->exporter = NULL;
        if (r == 0 || files->way == DB_WAY_FILES)
                return r;
        use_none(&hold->tables);
        return 0;
}

/* A table that the server makes its own, on a connection that waits for it. */
struct lane {
        struct mariadb_conn *conn;
        struct mariadb_table *table; /* NULL: has none */
};

struct lanes {
        struct mariadb_files *files;
        struct mariadb_copy *copy;
        struct lane all[MARIADB_STREAMS_MAX];
        unsigned n;
        size_t next;
        char to[DB_NAME_MAX]; /* a copy's name is written as it is */
};

/* What the server says of a file that does not fit the table it was made from. */
#define SCHEMA_MISMATCH 1808

static void lanes_done(struct lanes *lanes)
{
        for (unsigned i = 0; i < lanes->n; i++)
                mariadb_disconnect(lanes->all[i].conn);
}

/* A table that has no file. */
static int make_empty(const struct lanes *lanes, struct mariadb_conn *conn,
                      const struct mariadb_table *table, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        CLEANUP(freep) char *text = NULL;
        const char *schema = lanes->copy->hold->schema;

        if (mariadb_definition(conn, schema, table->name, &text, err) < 0)
                return -1;
        mariadb_names_repoint(&sql, text, schema, lanes->copy->to);
        return mariadb_run_sql(conn, &sql, conn->limit_msec, err) < 0
                       ? -1
                       : mariadb_run(conn, err, "ALTER TABLE %I DISCARD TABLESPACE", table->name);
}

/* Behind the checkpoint no recovery meets in the log that a file of this number was deleted. */
static int make_all_empty(const struct lanes *lanes, struct err *err)
{
        const struct mariadb_tables *tables = &lanes->copy->hold->tables;
        bool any = false;

        for (size_t i = 0; i < tables->n; i++) {
                if (!tables->all[i].by_file)
                        continue;
                any = true;
                if (make_empty(lanes, lanes->all[0].conn, &tables->all[i], err) < 0)
                        return err_wrap(err, "the file of '%s'", tables->all[i].name);
        }
        return any ? mariadb_checkpoint(lanes->copy->login, CHECKPOINT_MSEC, err) : 0;
}

static int begin_import(struct lanes *lanes, struct lane *lane, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql import = { 0 };
        struct keeper_answer answer;

        if (ask_for(lanes->files, KEEPER_PUT, lanes->to, lane->table->file, 0, lane->table->slot,
                    LOOK_MSEC, &answer, err) < 0)
                return -1;
        mariadb_sql_add(&import, "ALTER TABLE %I IMPORT TABLESPACE", lane->table->name);
        return mariadb_send(lane->conn, &import, err);
}

/* Rows of a table that was altered in place lie otherwise than its definition says. */
static int end_import(struct lanes *lanes, struct lane *lane, struct err *err)
{
        struct db_progress *progress = &lanes->copy->progress;
        struct mariadb_table *table = STEAL(lane->table);
        struct keeper_answer answer;

        if (mariadb_finish(lane->conn, err) < 0) {
                if (mysql_errno(lane->conn->mysql) != SCHEMA_MISMATCH)
                        return -1;
                table->by_file = false;
                return mariadb_run(lane->conn, err, "DROP TABLE %I", table->name);
        }
        if (ask_for(lanes->files, KEEPER_TIDY, lanes->to, table->file, 0, 0, LOOK_MSEC, &answer,
                    err) < 0)
                return -1;
        progress->bytes_done += table->bytes;
        progress->tables_done++;
        return 0;
}

static int step(struct lanes *lanes, struct lane *lane, bool *ret_busy, struct err *err)
{
        struct mariadb_tables *tables = &lanes->copy->hold->tables;

        *ret_busy = true;
        if (lane->table != NULL)
                return mariadb_wait(lane->conn, 10) ? end_import(lanes, lane, err) : 0;
        while (lanes->next < tables->n && !tables->all[lanes->next].by_file)
                lanes->next++;
        *ret_busy = lanes->next < tables->n;
        if (!*ret_busy)
                return 0;
        lane->table = &tables->all[lanes->next++];
        return begin_import(lanes, lane, err);
}

static int import_all(struct lanes *lanes, struct err *err)
{
        bool any_busy = true;

        while (any_busy) {
                any_busy = false;
                for (unsigned i = 0; i < lanes->n; i++) {
                        const struct mariadb_table *table = lanes->all[i].table;
                        bool busy;

                        if (step(lanes, &lanes->all[i], &busy, err) < 0) {
                                if (lanes->all[i].table != NULL)
                                        table = lanes->all[i].table;
                                return table == NULL
                                               ? -1
                                               : err_wrap(err, "the file of '%s'", table->name);
                        }
                        any_busy |= busy;
                }
                if (mariadb_copy_report(lanes->copy, err) < 0)
                        return -1;
        }
        return 0;
}

int mariadb_files_put(struct mariadb_files *files, struct mariadb_copy *copy, struct err *err)
{
        CLEANUP(lanes_done) struct lanes lanes = { .files = files, .copy = copy };
        struct mariadb_hold *hold = copy->hold;

        (void)snprintf(lanes.to, sizeof(lanes.to), "%s", copy->to);
        while (lanes.n < hold->n_views) {
                struct lane *lane = &lanes.all[lanes.n];

                if (mariadb_conn_open(copy->login, &lane->conn, err) < 0)
                        return -1;
                lanes.n++;
                if (mariadb_run(lane->conn, err, "USE %I", copy->to) < 0)
                        return -1;
        }
        if (make_all_empty(&lanes, err) < 0 || import_all(&lanes, err) < 0)
                return -1;
        /* Under the lock only, and not afterwards, tables without a view show what they had. */
        for (size_t i = 0; i < hold->tables.n && hold->in_hold; i++)
                if (hold->tables.all[i].by_file &&
                    mariadb_files_count(hold, &hold->tables.all[i], err) < 0)
                        return -1;
        return 0;
}

int mariadb_files_count(const struct mariadb_hold *hold, struct mariadb_table *table,
                        struct err *err)
{
        struct mariadb_conn *witness = hold->views[hold->n_views];

        if (witness == NULL) /* in_hold: it was counted there */
                return 0;
        witness->limit_msec = MARIADB_NO_LIMIT;
        if ((!hold->in_hold && mariadb_run(witness, err, "SAVEPOINT sitesnap") < 0) ||
            mariadb_number(witness, &table->copied, err,
                           "SELECT COUNT(*) FROM %I.%I" MARIADB_NO_VIEW, hold->schema,
                           table->name) < 0)
                return err_wrap(err, "counting '%s'", table->name);
        /* Lets go of the table, so that nobody's ALTER waits for us. */
        return hold->in_hold ? 0 : mariadb_run(witness, err, "ROLLBACK TO SAVEPOINT sitesnap");
}
