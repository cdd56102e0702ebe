/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_dump.h"
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_keys.h"
#include "dbdump/mariadb_names.h"
#include "dbdump/mariadb_objects.h"
#include "dbdump/mariadb_policy.h"
#include "dbdump/mariadb_table.h"

#define BATCH_BYTES (1 << 20)
#define LARGE_BYTES (4 << 20) /* of a row; more goes in pieces */
#define PIECE_BYTES (4 << 20)

const char mariadb_dump_head[] =
        "-- A database of MariaDB, dumped by sitesnap, form 1.  To load it by hand:\n"
        "--   mariadb --binary-mode NAME <FILE\n"
        "DELIMITER ;;\n"
        "SET SESSION sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,"
        "NO_DIR_IN_CREATE,NO_ENGINE_SUBSTITUTION', time_zone='+00:00', foreign_key_checks=0, "
        "check_constraint_checks=0, max_statement_time=0;;\n";

/* A row that was left out, by the condition that finds it. */
struct large_rows {
        char **conditions;
        size_t n;
};

/* Its two statements; views stand on others, and come behind those. */
struct view {
        char *quoted; /* its name */
        struct mariadb_sql context, sql;
};

struct dumping {
        struct mariadb_dump *dump;
        struct mariadb_table *table;
        struct mariadb_layout layout;
        struct mariadb_sql text;
        struct large_rows large;
        struct view *views;
        size_t n_views;
        uint64_t seen;
        bool bytes; /* the reader's session takes names and texts as bytes now */
};

static void dumping_done(struct dumping *dumping)
{
        mariadb_layout_done(&dumping->layout);
        mariadb_sql_done(&dumping->text);
        for (size_t i = 0; i < dumping->large.n; i++)
                free(dumping->large.conditions[i]);
        free(dumping->large.conditions);
        for (size_t i = 0; i < dumping->n_views; i++) {
                free(dumping->views[i].quoted);
                mariadb_sql_done(&dumping->views[i].context);
                mariadb_sql_done(&dumping->views[i].sql);
        }
        free(dumping->views);
}

static int put(struct mariadb_dump *dump, const char *kind, const struct mariadb_sql *sql,
               struct err *err)
{
        char line[64];
        int n;

        if (sql->failed) {
                *err = sql->why;
                return -1;
        }
        n = snprintf(line, sizeof(line), MARIADB_DUMP_MARK "%s %zu\n", kind, sql->n);
        return dump->sink(line, (size_t)n, dump->arg, err) < 0 ||
                               dump->sink(sql->text, sql->n, dump->arg, err) < 0 ||
                               dump->sink(MARIADB_DUMP_TAIL, strlen(MARIADB_DUMP_TAIL), dump->arg,
                                          err) < 0
                       ? -1
                       : 0;
}

/* Rows are bytes, definitions are UTF-8: said for a client that reads the file, not for us. */
static int speak(struct dumping *dumping, bool bytes, struct err *err)
{
        static const char *const lines[] = { "SET NAMES utf8mb4;;\n", "SET NAMES binary;;\n" };
        struct mariadb_dump *dump = dumping->dump;

        if (dumping->bytes == bytes)
                return 0;
        dumping->bytes = bytes;
        return dump->sink(lines[bytes], strlen(lines[bytes]), dump->arg, err);
}

static int add_schema(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)sizes;
        (void)err;
        mariadb_sql_add(arg, "ALTER DATABASE CHARACTER SET %s COLLATE %s", values[0], values[1]);
        return 0;
}

static int put_head(struct mariadb_dump *dump, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        if (mariadb_each(dump->control, add_schema, &sql, err,
                         "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME"
                         " FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %L",
                         dump->hold->schema) < 0)
                return -1;
        if (sql.n == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no database '%s'",
                                dump->hold->schema);
        return dump->sink(mariadb_dump_head, strlen(mariadb_dump_head), dump->arg, err) < 0
                       ? -1
                       : put(dump, "schema", &sql, err);
}

static int put_definition(struct dumping *dumping, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        struct mariadb_dump *dump = dumping->dump;
        const struct mariadb_table *table = dumping->table;

        if (table->kind == MARIADB_SEQUENCE) {
                /* Numbers only, and the row that follows sets all of them. */
                mariadb_sql_add(&sql, "CREATE SEQUENCE %I ENGINE=%s", table->name, table->engine);
        } else {
                if (mariadb_definition(dump->control, dump->hold->schema, table->name, &text, err) <
                    0)
                        return -1;
                mariadb_names_repoint(&sql, text, dump->hold->schema, NULL);
        }
        return speak(dumping, false, err) < 0 ? -1 : put(dump, "table", &sql, err);
}

static int put_batch(struct dumping *dumping, struct err *err)
{
        if (dumping->text.n == 0)
                return 0;
        if (speak(dumping, true, err) < 0 || put(dumping->dump, "rows", &dumping->text, err) < 0)
                return -1;
        mariadb_sql_reset(&dumping->text);
        return 0;
}

/* By its key, or where it has none by its place in the one order in which the view is read: an
 * index that has all of one column's values would give that column in another. */
static int leave_out(struct dumping *dumping, char **values, const unsigned long *sizes,
                     struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        const struct mariadb_layout *layout = &dumping->layout;
        struct large_rows *large = &dumping->large;
        char **conditions = reallocarray(large->conditions, large->n + 1, sizeof(*conditions));
        const char *word = " WHERE ";

        if (conditions == NULL)
                return err_oom(err);
        large->conditions = conditions;
        for (size_t i = 0; i < layout->n; i++)
                if (layout->columns[i].key != 0) {
                        mariadb_sql_add(&sql, "%s%I=", word, layout->columns[i].name);
                        mariadb_layout_literal(&sql, &layout->columns[i], values[i], sizes[i]);
                        word = " AND ";
                }
        if (layout->n_key == 0)
                mariadb_sql_add(&sql, " USE INDEX () LIMIT %U,1", dumping->seen);
        if (sql.failed) {
                *err = sql.why;
                return -1;
        }
        conditions[large->n++] = STEAL(sql.text);
        return 0;
}

static int put_row(struct dumping *dumping, char **values, const unsigned long *sizes,
                   struct err *err)
{
        const char *large = values[dumping->layout.n];

        if (large != NULL && large[0] == '1') {
                if (leave_out(dumping, values, sizes, err) < 0)
                        return -1;
                dumping->seen++;
                return 0;
        }
        dumping->seen++;
        if (dumping->text.n == 0)
                mariadb_layout_insert(&dumping->layout, &dumping->text, dumping->table->name);
        else
                mariadb_sql_bytes(&dumping->text, ",", 1);
        mariadb_layout_row(&dumping->layout, &dumping->text, values, sizes);
        dumping->dump->rows++;
        dumping->table->copied++;
        return dumping->text.n < BATCH_BYTES ? 0 : put_batch(dumping, err);
}

static int put_rows(struct dumping *dumping, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        struct mariadb_conn *view = dumping->dump->hold->views[0];
        MYSQL_RES *rows;
        MYSQL_ROW values;
        int r = 0;

        mariadb_layout_select(&dumping->layout, &sql, dumping->dump->hold->schema, dumping->table,
                              LARGE_BYTES);
        if (mariadb_query(view, &sql, &rows, err) < 0)
                return -1;
        while (r == 0 && (values = mysql_fetch_row(rows)) != NULL)
                r = put_row(dumping, values, mysql_fetch_lengths(rows), err);
        if (r == 0)
                r = mariadb_fetched(view, err);
        else /* freeing it would read what is left */
                mariadb_kill(view, true);
        mysql_free_result(rows);
        return r < 0 ? -1 : put_batch(dumping, err);
}

struct piece {
        struct mariadb_sql *sql;
        const struct mariadb_column *column;
        const char *before, *behind;
        uint64_t bytes;
        bool null, failed;
};

static int take_piece(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct piece *piece = arg;

        (void)err;
        piece->null = values[0] == NULL;
        piece->failed = values[0] == NULL && values[1] != NULL;
        piece->bytes = sizes[0];
        mariadb_sql_add(piece->sql, "%s", piece->before);
        if (piece->column->long_ && !piece->null)
                mariadb_sql_value(piece->sql, values[0], sizes[0]);
        else
                mariadb_layout_literal(piece->sql, piece->column, values[0], sizes[0]);
        mariadb_sql_add(piece->sql, "%s", piece->behind);
        return 0;
}

/* One column of it, into a variable, in pieces. */
static int put_value(struct dumping *dumping, size_t column, const char *condition, struct err *err)
{
        struct mariadb_dump *dump = dumping->dump;
        const struct mariadb_column *c = &dumping->layout.columns[column];
        char first[64], more[64];
        uint64_t at = 1;

        (void)snprintf(first, sizeof(first), "SET @v%zu=", column);
        (void)snprintf(more, sizeof(more), "SET @v%zu=CONCAT(@v%zu,", column, column);
        for (;;) {
                struct piece piece = {
                        &dumping->text, c,    at == 1 ? first : more, at == 1 ? "" : ")", 0,
                        false,          false
                };

                mariadb_sql_reset(&dumping->text);
                if (mariadb_each(
                            dump->hold->views[0], take_piece, &piece, err,
                            c->long_  ? "SELECT SUBSTRING(CAST(%I AS BINARY), %U, %U), %I IS "
                                        "NOT NULL OR NULL FROM %I.%I%s" MARIADB_NO_VIEW "%s"
                            : c->real ? "SELECT %I*1e0, NULL AND %U AND %U AND %I IS NULL FROM "
                                        "%I.%I%s" MARIADB_NO_VIEW "%s"
                                      : "SELECT %I, NULL AND %U AND %U AND %I IS NULL FROM "
                                        "%I.%I%s" MARIADB_NO_VIEW "%s",
                            c->name, at, (uint64_t)PIECE_BYTES, c->name, dump->hold->schema,
                            dumping->table->name,
                            dumping->table->kind == MARIADB_VERSIONED ? " FOR SYSTEM_TIME ALL" : "",
                            condition) < 0)
                        return -1;
                if (piece.failed)
                        return err_fail(err, ERR_UNSUPPORTED, 0,
                                        "a value in '%s' is larger than max_allowed_packet of the "
                                        "server: raise that to dump it",
                                        c->name);
                if (dumping->text.n == 0)
                        return err_fail(err, ERR_CORRUPT, 0, "a row has gone");
                if ((at == 1 || piece.bytes > 0) && put(dump, "value", &dumping->text, err) < 0)
                        return -1;
                at += piece.bytes;
                if (!c->long_ || piece.null || piece.bytes < PIECE_BYTES)
                        return 0;
        }
}

/* With its values as variables of the reader's session. */
static int put_large(struct dumping *dumping, const char *condition, struct err *err)
{
        const struct mariadb_layout *layout = &dumping->layout;

        if (speak(dumping, true, err) < 0)
                return -1;
        for (size_t i = 0; i < layout->n; i++)
                if (put_value(dumping, i, condition, err) < 0)
                        return -1;
        mariadb_sql_reset(&dumping->text);
        mariadb_layout_insert(layout, &dumping->text, dumping->table->name);
        for (size_t i = 0; i < layout->n; i++)
                mariadb_sql_add(&dumping->text, "%s@v%u", i == 0 ? "(" : ",", (unsigned)i);
        mariadb_sql_bytes(&dumping->text, ")", 1);
        dumping->dump->rows++;
        dumping->table->copied++;
        return put_batch(dumping, err);
}

static int put_table(struct dumping *dumping, struct err *err)
{
        const struct mariadb_hold *hold = dumping->dump->hold;

        dumping->seen = 0;
        dumping->table->copied = 0;
        mariadb_layout_done(&dumping->layout);
        if (mariadb_layout_read(dumping->dump->control, hold->schema, dumping->table,
                                &dumping->layout, err) < 0 ||
            put_definition(dumping, err) < 0 || put_rows(dumping, err) < 0)
                return -1;
        while (dumping->large.n > 0) {
                CLEANUP(freep) char *condition = dumping->large.conditions[--dumping->large.n];

                if (put_large(dumping, condition, err) < 0)
                        return -1;
        }
        dumping->dump->tables++;
        /* Lets go of the table, so that nobody's ALTER waits for the others. */
        return hold->in_hold ? mariadb_hold_check(dumping->dump->hold, err)
                             : mariadb_run(hold->views[0], err, "ROLLBACK TO SAVEPOINT sitesnap");
}

static void add_setting(struct mariadb_sql *sql, const char *name, const char *value)
{
        mariadb_sql_add(sql, value == NULL ? "%s=DEFAULT" : "%s=%L", name, value);
}

static int keep_view(struct dumping *dumping, const char *name, struct view *view, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql quoted = { 0 };
        struct view *views = reallocarray(dumping->views, dumping->n_views + 1, sizeof(*views));

        mariadb_sql_add(&quoted, "%I", name);
        if (views != NULL)
                dumping->views = views;
        if (views == NULL || quoted.failed) {
                mariadb_sql_done(&view->context);
                mariadb_sql_done(&view->sql);
                return err_oom(err);
        }
        view->quoted = STEAL(quoted.text);
        views[dumping->n_views++] = *view;
        *view = (struct view){ 0 };
        return 0;
}

static int put_object(const struct mariadb_object *object, void *arg, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql context = { 0 };
        struct dumping *dumping = arg;

        if (!mariadb_policy_charset(object->charset))
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the %s '%s' was written in the character set '%s', which is not "
                                "read from a dump: make it anew in a session with utf8mb4",
                                object->kind, object->name, object->charset);
        mariadb_sql_add(&context, "SET ");
        add_setting(&context, "sql_mode", object->sql_mode);
        add_setting(&context, ", character_set_client", object->charset);
        add_setting(&context, ", collation_connection", object->collation);
        add_setting(&context, ", time_zone", object->zone);
        dumping->dump->objects++;
        if (strcmp(object->kind, "view") == 0) {
                struct view view = { NULL, context, *object->sql };

                context = *object->sql = (struct mariadb_sql){ 0 };
                return keep_view(dumping, object->name, &view, err);
        }
        return put(dumping->dump, "context", &context, err) < 0 ||
                               put(dumping->dump, "object", object->sql, err) < 0
                       ? -1
                       : 0;
}

static bool stands_on_a_later(const struct dumping *dumping, size_t i)
{
        for (size_t j = 0; j < dumping->n_views; j++)
                if (j != i && dumping->views[j].sql.n > 0 &&
                    strstr(dumping->views[i].sql.text, dumping->views[j].quoted) != NULL)
                        return true;
        return false;
}

/* A column of another view's name may make two wait for each other: then in any order, which our
 * reader does not mind. */
static int put_views(struct dumping *dumping, struct err *err)
{
        bool any = true;

        for (size_t left = dumping->n_views; left > 0;) {
                bool patient = any;

                any = false;
                for (size_t i = 0; i < dumping->n_views; i++) {
                        struct view *view = &dumping->views[i];

                        if (view->sql.n == 0 || (patient && stands_on_a_later(dumping, i)))
                                continue;
                        if (put(dumping->dump, "context", &view->context, err) < 0 ||
                            put(dumping->dump, "object", &view->sql, err) < 0)
                                return -1;
                        mariadb_sql_reset(&view->sql);
                        any = true;
                        left--;
                }
        }
        return 0;
}

static int check_unchanged(struct mariadb_dump *dump, struct err *err)
{
        CLEANUP(freep) char *objects = NULL;
        char line[200];

        if (mariadb_fingerprint(dump->control, dump->hold->schema, dump->prefix, &objects, err) < 0)
                return -1;
        if (!mariadb_fingerprint_differs(dump->hold->objects, objects, line, sizeof(line)))
                return 0;
        return err_fail(err, ERR_BUSY, 0, "'%s' was changed while it was dumped: '%s'; try again",
                        dump->hold->schema, line);
}

int mariadb_dump_make(struct mariadb_dump *dump, struct err *err)
{
        CLEANUP(dumping_done) struct dumping dumping = { .dump = dump };
        struct mariadb_hold *hold = dump->hold;
        char line[128];
        int n;

        if (mariadb_keys_check(dump->control, hold->schema, dump->prefix, err) < 0 ||
            put_head(dump, err) < 0 || mariadb_run(hold->views[0], err, "SET NAMES binary") < 0 ||
            (!hold->in_hold && mariadb_run(hold->views[0], err, "SAVEPOINT sitesnap") < 0))
                return -1;
        hold->views[0]->limit_msec = MARIADB_NO_LIMIT;
        for (size_t i = 0; i < hold->tables.n; i++) {
                dumping.table = &hold->tables.all[i];
                if (put_table(&dumping, err) < 0)
                        return err_wrap(err, "the table '%s'", dumping.table->name);
        }
        if (speak(&dumping, false, err) < 0 ||
            mariadb_objects_read(dump->control, hold->schema, dump->prefix, put_object, &dumping,
                                 err) < 0 ||
            put_views(&dumping, err) < 0 || check_unchanged(dump, err) < 0)
                return -1;
        n = snprintf(line, sizeof(line),
                     MARIADB_DUMP_MARK "end %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", dump->tables,
                     dump->rows, dump->objects);
        return dump->sink(line, (size_t)n, dump->arg, err);
}
