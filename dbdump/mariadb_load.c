/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_dump.h"
#include "dbdump/mariadb_grants.h"
#include "dbdump/mariadb_load.h"
#include "dbdump/mariadb_load_object.h"
#include "dbdump/mariadb_mark.h"
#include "dbdump/mariadb_policy.h"

#define LINE_MAX_BYTES 100
#define STATEMENT_MAX  (64 << 20)
#define COMMIT_EVERY   32     /* statements: what one transaction's undo may grow to */
#define ROWS_MSEC      120000 /* a megabyte of rows that takes longer hangs on something */
#define NAME_MAX_BYTES 260
#define WARN_TRUNCATED 1265

struct mariadb_load {
        const struct mariadb_login *login;
        char *to, *app_user;
        struct mariadb_conn *control, *writer;
        struct mariadb_sql held; /* bytes of what is not whole yet */
        size_t head;             /* of the constant beginning, how many bytes have come */
        size_t size;             /* of the statement that comes; 0: a line comes */
        char kind[16];
        bool ended, whole;
        unsigned uncommitted;
        uint64_t tables, rows, objects;
        uint64_t said[3]; /* of them at the end */
        struct mariadb_policy_context context;
        bool has_schema, has_context;
        char table[NAME_MAX_BYTES]; /* the last one, whose rows follow */
        struct mariadb_load_objects views;
};

static int corrupt(const char *what, struct err *err)
{
        return err_fail(err, ERR_CORRUPT, 0, "this is no dump of MariaDB, or a damaged one: %s",
                        what);
}

static int commit(struct mariadb_load *load, struct err *err)
{
        load->uncommitted = 0;
        return mariadb_run(load->writer, err, "COMMIT");
}

static int take_schema(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        char charset[64], collation[64];

        if (load->has_schema)
                return corrupt("it has two beginnings", err);
        if (mariadb_policy_schema(sql->text, sql->n, charset, collation, sizeof(charset), err) <
                    0 ||
            mariadb_run(load->control, err, "CREATE DATABASE %I CHARACTER SET %s COLLATE %s",
                        load->to, charset, collation) < 0 ||
            mariadb_run(load->control, err, "USE %I", load->to) < 0 ||
            mariadb_run(load->writer, err, "USE %I", load->to) < 0)
                return -1;
        load->has_schema = true;
        return load->app_user == NULL
                       ? 0
                       : mariadb_grants_set(load->control, load->to, load->app_user, true, err);
}

static int take_table(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        if (mariadb_policy_table(sql->text, sql->n, load->table, sizeof(load->table), err) < 0 ||
            commit(load, err) < 0)
                return -1;
        load->tables++;
        return mariadb_run_sql(load->control, sql, load->control->limit_msec, err) < 0
                       ? err_wrap(err, "the table '%s'", load->table)
                       : 0;
}

/* Rows are nothing that a message should show. */
static int write_rows(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        if (mariadb_send(load->writer, sql, err) < 0)
                return -1;
        if (mariadb_wait(load->writer, ROWS_MSEC))
                return mariadb_finish(load->writer, err);
        mariadb_kill(load->writer, false);
        load->writer->broken = true;
        return err_fail(err, ERR_TIMEOUT, 0,
                        "the database server has written nothing for %d s; is its disk full?",
                        ROWS_MSEC / 1000);
}

/* The value 0 of an ENUM, which stands for one that is not in its list, is let in by nothing but a
 * session that is not strict. */
static int write_again(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        return mariadb_run(load->writer, err,
                           "SET SESSION sql_mode=REPLACE(@@sql_mode, 'STRICT_ALL_TABLES', '')") <
                                       0 ||
                               write_rows(load, sql, err) < 0 ||
                               mariadb_run(load->writer, err,
                                           "SET SESSION sql_mode=CONCAT(@@sql_mode, "
                                           "',STRICT_ALL_TABLES')") < 0
                       ? -1
                       : 0;
}

static int take_rows(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        uint64_t rows;

        if (mariadb_policy_rows(sql->text, sql->n, &rows, err) < 0)
                return -1;
        load->rows += rows;
        if (write_rows(load, sql, err) < 0 &&
            (mysql_errno(load->writer->mysql) != WARN_TRUNCATED || write_again(load, sql, err) < 0))
                return err_wrap(err, "rows of the table '%s'", load->table);
        return ++load->uncommitted < COMMIT_EVERY ? 0 : commit(load, err);
}

/* A variable that has become NULL was too long for the server. */
static int take_value(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        if (mariadb_policy_value(sql->text, sql->n, err) < 0 || write_rows(load, sql, err) < 0)
                return -1;
        return mysql_warning_count(load->writer->mysql) == 0
                       ? 0
                       : err_fail(err, ERR_UNSUPPORTED, 0,
                                  "a value in the dump is larger than max_allowed_packet of the "
                                  "server: raise that to load it");
}

static int take_context(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        load->has_context = true;
        return mariadb_policy_context(sql->text, sql->n, &load->context, err);
}

static int take_object(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        if (!load->has_context)
                return corrupt("an object without its settings", err);
        load->has_context = false;
        load->objects++;
        return commit(load, err) < 0 ? -1
                                     : mariadb_load_object(&load->views, sql, &load->context, err);
}

/* Objects come last: a trigger would run for every row behind it. */
static const struct {
        const char *kind;
        int (*take)(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err);
        bool before_objects;
} kinds[] = {
        { "schema", take_schema, true }, { "table", take_table, true }, { "rows", take_rows, true },
        { "value", take_value, true },   { "context", take_context },   { "object", take_object },
};

static int take_statement(struct mariadb_load *load, struct mariadb_sql *sql, struct err *err)
{
        bool first = strcmp(load->kind, "schema") == 0;

        if (!first && !load->has_schema)
                return corrupt("it has no beginning", err);
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i].kind, load->kind) == 0)
                        return kinds[i].before_objects && load->objects > 0
                                       ? corrupt("a table or a row behind an object", err)
                                       : kinds[i].take(load, sql, err);
        return corrupt("a statement of an unknown kind", err);
}

/* What a client that reads the file is told between them. */
static bool is_remark(const char *line)
{
        return strcmp(line, "SET NAMES utf8mb4;;") == 0 || strcmp(line, "SET NAMES binary;;") == 0;
}

static int take_line(struct mariadb_load *load, const char *line, struct err *err)
{
        unsigned long long size;
        int n = 0;

        if (is_remark(line))
                return 0;
        if (sscanf(line, MARIADB_DUMP_MARK "end %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
                   &load->said[0], &load->said[1], &load->said[2], &n) == 3 &&
            line[n] == '\0') {
                load->ended = true;
                return 0;
        }
        if (sscanf(line, MARIADB_DUMP_MARK "%15[a-z] %llu%n", load->kind, &size, &n) != 2 ||
            line[n] != '\0' || size == 0 || size > STATEMENT_MAX)
                return corrupt("a line that says nothing", err);
        load->size = (size_t)size;
        return 0;
}

/* Takes what is whole off the beginning of the bytes; 0 when there is nothing. */
static int advance(struct mariadb_load *load, const char *at, size_t n, size_t *ret_taken,
                   struct err *err)
{
        const size_t tail = strlen(MARIADB_DUMP_TAIL);
        const char *end;

        *ret_taken = 0;
        if (load->ended && n > 0)
                return corrupt("there is something behind its end", err);
        if (load->size > 0) {
                struct mariadb_sql sql = { .text = (char *)at, .n = load->size };
                char *behind = (char *)at + load->size, kept;
                int r;

                if (n < load->size + tail)
                        return 0;
                kept = *behind;
                if (memcmp(behind, MARIADB_DUMP_TAIL, tail) != 0)
                        return corrupt("a statement does not end where it should", err);
                *behind = '\0';
                r = take_statement(load, &sql, err);
                *behind = kept;
                *ret_taken = load->size + tail;
                load->size = 0;
                return r;
        }
        end = memchr(at, '\n', n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES);
        if (end == NULL)
                return n < LINE_MAX_BYTES ? 0 : corrupt("a line without an end", err);
        {
                char line[LINE_MAX_BYTES + 1];

                (void)snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
                *ret_taken = (size_t)(end - at) + 1;
                return take_line(load, line, err);
        }
}

int mariadb_load_feed(struct mariadb_load *load, const void *bytes, size_t n, struct err *err)
{
        const char *in = bytes;
        size_t at = 0, taken;

        for (; n > 0 && mariadb_dump_head[load->head] != '\0'; n--)
                if (*in++ != mariadb_dump_head[load->head++])
                        return corrupt("it does not begin as one", err);
        mariadb_sql_bytes(&load->held, in, n);
        if (load->held.failed) {
                *err = load->held.why;
                return -1;
        }
        do {
                if (load->held.n == 0)
                        return 0;
                if (advance(load, load->held.text + at, load->held.n - at, &taken, err) < 0)
                        return -1;
                at += taken;
        } while (taken > 0 && at < load->held.n);
        memmove(load->held.text, load->held.text + at, load->held.n - at);
        load->held.n -= at;
        load->held.text[load->held.n] = '\0';
        return 0;
}

int mariadb_load_end(struct mariadb_load *load, struct err *err)
{
        if (!load->ended || load->held.n > 0)
                return corrupt("it ends too early", err);
        if (load->said[0] != load->tables || load->said[1] != load->rows ||
            load->said[2] != load->objects)
                return corrupt("it has not as much in it as it says", err);
        if (commit(load, err) < 0 || mariadb_load_views(&load->views, err) < 0 ||
            mariadb_mark_clear(load->control, load->to, err) < 0)
                return -1;
        load->whole = true;
        return 0;
}

static int open_both(struct mariadb_load *load, struct err *err)
{
        bool there, whole;

        if (mariadb_conn_open(load->login, &load->control, err) < 0 ||
            mariadb_conn_open(load->login, &load->writer, err) < 0 ||
            mariadb_run(load->writer, err, "SET NAMES binary") < 0 ||
            mariadb_run(load->writer, err, "SET SESSION autocommit=0") < 0)
                return -1;
        if (db_is_copy_name(load->to))
                return mariadb_mark_set(load->control, load->to, err) < 0 ||
                                       mariadb_mark_remove(load->control, load->to, err) < 0 ||
                                       mariadb_mark_set(load->control, load->to, err) < 0
                               ? -1
                               : 0;
        load->whole = true; /* whatever it is, it is nothing of ours */
        if (mariadb_mark_schema(load->control, load->to, &there, &whole, err) < 0)
                return -1;
        return err_fail(err, there ? ERR_EXISTS : ERR_INVALID, 0,
                        "'%s' is not a copy of ours and is not made into one", load->to);
}

int mariadb_load_begin(const struct mariadb_login *login, const char *to, const char *app_user,
                       struct mariadb_load **ret_load, struct err *err)
{
        CLEANUP(mariadb_load_donep) struct mariadb_load *load = calloc(1, sizeof(*load));

        if (load == NULL)
                return err_oom(err);
        load->login = login;
        load->to = strdup(to);
        load->app_user = app_user == NULL ? NULL : strdup(app_user);
        load->whole = load->to == NULL;
        if (load->to == NULL || (app_user != NULL && load->app_user == NULL))
                return err_oom(err);
        if (open_both(load, err) < 0)
                return -1;
        load->views = (struct mariadb_load_objects){ load->control, load->to, load->app_user };
        *ret_load = STEAL(load);
        return 0;
}

void mariadb_load_done(struct mariadb_load *load)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *second = NULL;
        struct err ignored;

        if (load == NULL)
                return;
        mariadb_disconnect(load->writer);
        mariadb_disconnect(load->control);
        /* The mark stands when this fails, so whatever is left is nobody's copy. */
        if (!load->whole && mariadb_conn_open(load->login, &second, &ignored) == 0) {
                if (load->app_user != NULL)
                        (void)!mariadb_grants_forget(second, load->to, load->app_user, &ignored);
                (void)!mariadb_mark_remove(second, load->to, &ignored);
        }
        mariadb_load_objects_done(&load->views);
        mariadb_sql_done(&load->held);
        free(load->to);
        free(load->app_user);
        free(load);
}
