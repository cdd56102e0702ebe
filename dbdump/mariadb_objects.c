/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_body.h"
#include "dbdump/mariadb_charset.h"
#include "dbdump/mariadb_names.h"
#include "dbdump/mariadb_objects.h"

#define DEFINER_GONE 1449

/* What objects_each() hands on. */
struct making {
        struct mariadb_conn *conn;
        const char *from, *to, *prefix;
        mariadb_object_put put; /* NULL: they are made in ${to} */
        void *arg;
};

/* A row kept beyond its answer: making an object is a statement of its own. */
struct row {
        char *values[16];
};
struct rows {
        struct row *all;
        size_t n, columns;
};

static void rows_done(struct rows *rows)
{
        for (size_t i = 0; i < rows->n; i++)
                for (size_t j = 0; j < rows->columns; j++)
                        free(rows->all[i].values[j]);
        free(rows->all);
}

static int keep_row(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct rows *rows = arg;
        struct row *all = reallocarray(rows->all, rows->n + 1, sizeof(*all));

        (void)sizes;
        if (all == NULL)
                return err_oom(err);
        rows->all = all;
        all[rows->n] = (struct row){ 0 };
        rows->n++;
        for (size_t j = 0; j < rows->columns; j++)
                if (values[j] != NULL && (all[rows->n - 1].values[j] = strdup(values[j])) == NULL)
                        return err_oom(err);
        return 0;
}

static int take_warning(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)sizes;
        (void)err;
        if (strtoul(values[1], NULL, 10) == DEFINER_GONE)
                *(bool *)arg = true;
        return 0;
}

/* Make one, in the copy as the current schema.  The server says by a warning that a DEFINER is
 * gone, and nothing more: the object would fail when it is used, as it does in the original. */
static int make(struct mariadb_conn *conn, struct mariadb_sql *sql, const char *kind,
                const char *name, const char *definer, struct err *err)
{
        bool gone = false;

        if (mariadb_run_sql(conn, sql, conn->login->timeout_msec, err) < 0) {
                if (mysql_errno(conn->mysql) == 1227)
                        return err_fail(
                                err, ERR_DENIED, 0,
                                "the %s '%s' belongs to %s, and only who may act for others "
                                "can copy it: GRANT %s ON *.* TO the user of sitesnap",
                                kind, name, definer,
                                conn->is_mariadb         ? "SET USER"
                                : conn->version >= 80200 ? "SET_ANY_DEFINER"
                                                         : "SET_USER_ID");
                return err_wrap(err, "the %s '%s'", kind, name);
        }
        if (mysql_warning_count(conn->mysql) > 0 &&
            mariadb_each(conn, take_warning, &gone, err, "SHOW WARNINGS") < 0)
                return -1;
        if (gone)
                return err_fail(err, ERR_REFUSED, 0,
                                "the %s '%s' belongs to %s, and there is no such user: drop it, or "
                                "make it anew with another DEFINER",
                                kind, name, definer);
        return 0;
}

static int refuse(const struct making *making, const char *kind, const char *name, struct err *err)
{
        return err_fail(err, ERR_REFUSED, 0,
                        "the %s '%s' names its schema ('%s.'), so that its copy would still use "
                        "'%s': write the names in it without the schema",
                        kind, name, making->from, making->from);
}

static int refuse_reach(const struct making *making, const char *kind, const char *name,
                        const char *text, struct err *err)
{
        return mariadb_names_reaches(text, making->from) ? refuse(making, kind, name, err) : 0;
}

/* As begin_session() set it; names and texts of ours are UTF-8. */
int mariadb_object_reset(struct mariadb_conn *conn, struct err *err)
{
        return mariadb_run(conn, err, "SET NAMES utf8mb4") < 0 ||
                               mariadb_run(conn, err,
                                           "SET SESSION sql_mode='STRICT_ALL_TABLES,"
                                           "ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,"
                                           "NO_DIR_IN_CREATE,NO_ENGINE_SUBSTITUTION',"
                                           " time_zone='+00:00'") < 0
                       ? -1
                       : 0;
}

int mariadb_object_make(struct mariadb_conn *conn, const struct mariadb_object *object,
                        struct err *err)
{
        if (object->zone != NULL &&
            mariadb_run(conn, err, "SET SESSION time_zone=%L", object->zone) < 0)
                return -1;
        if (object->sql_mode != NULL &&
            mariadb_run(conn, err, "SET SESSION sql_mode=%L", object->sql_mode) < 0)
                return -1;
        if (mariadb_run(conn, err, "SET SESSION character_set_client=%L, collation_connection=%L",
                        object->charset, object->collation) < 0 ||
            make(conn, object->sql, object->kind, object->name, object->definer, err) < 0)
                return -1;
        return mariadb_object_reset(conn, err);
}

/* Make it with what it was parsed with, or hand it over. */
static int settle(struct making *making, const struct mariadb_object *object, struct err *err)
{
        if (mariadb_charset_encode(making->conn, object->sql, object->charset, err) < 0)
                return err_wrap(err, "the %s '%s'", object->kind, object->name);
        if (making->put != NULL)
                return making->put(object, making->arg, err);
        return mariadb_object_make(making->conn, object, err);
}

/* DEFINER=`user`@`host` from user@host: the last @ parts them. */
static void add_definer(struct mariadb_sql *sql, const char *definer)
{
        const char *at = strrchr(definer, '@');
        char user[512];

        (void)snprintf(user, sizeof(user), "%.*s",
                       at == NULL ? (int)strlen(definer) : (int)(at - definer), definer);
        mariadb_sql_add(sql, "CREATE DEFINER=%I", user);
        if (at != NULL && at[1] != '\0')
                mariadb_sql_add(sql, "@%I", at + 1);
}

static int copy_routine(struct making *making, char **row, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        CLEANUP(rows_done) struct rows shown = { .columns = 6 };
        const char *kind = row[1], *name = row[0];

        if (mariadb_each(making->conn, keep_row, &shown, err, "SHOW CREATE %s %I.%I", kind,
                         making->from, name) < 0)
                return err_wrap(err, "the %s '%s'", kind, name);
        if (shown.n != 1 || shown.all[0].values[2] == NULL)
                return err_fail(err, ERR_DENIED, 0,
                                "the body of the %s '%s' is not shown to us: GRANT SELECT ON "
                                "mysql.proc TO the user of sitesnap",
                                kind, name);
        if (refuse_reach(making, kind, name, shown.all[0].values[2], err) < 0)
                return -1;
        mariadb_sql_add(&sql, "%s", shown.all[0].values[2]);
        return settle(making,
                      &(struct mariadb_object){ kind, name, row[2], shown.all[0].values[1],
                                                shown.all[0].values[3], shown.all[0].values[4],
                                                NULL, &sql },
                      err);
}

/* The text that the server shows is compact, names without the schema, when that is the current
 * one and the view uses no other. */
static int copy_view(struct making *making, char **row, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        CLEANUP(rows_done) struct rows shown = { .columns = 4 };
        CLEANUP(freep) char *kept = NULL;
        const char *name = row[0];

        if (mariadb_run(making->conn, err, "USE %I", making->from) < 0 ||
            mariadb_each(making->conn, keep_row, &shown, err, "SHOW CREATE VIEW %I", name) < 0 ||
            (making->to != NULL && mariadb_run(making->conn, err, "USE %I", making->to) < 0))
                return err_wrap(err, "the view '%s'", name);
        if (shown.n != 1)
                return err_fail(err, ERR_BUSY, 0, "the view '%s' has gone", name);
        mariadb_names_repoint(&sql, shown.all[0].values[1], making->from, making->to);
        if (making->put != NULL && !sql.failed && mariadb_names_qualifies(sql.text, making->from))
                return refuse(making, "view", name, err);
        if (settle(making,
                   &(struct mariadb_object){ "view", name, row[1], NULL, shown.all[0].values[2],
                                             shown.all[0].values[3], NULL, &sql },
                   err) < 0)
                return -1;
        if (making->put != NULL)
                return 0;
        if (mariadb_text(making->conn, &kept, err,
                         "SELECT VIEW_DEFINITION FROM information_schema.VIEWS"
                         " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L",
                         making->to, name) < 0)
                return -1;
        return kept == NULL || mariadb_names_qualifies(kept, making->from)
                       ? refuse(making, "view", name, err)
                       : 0;
}

static int copy_trigger(struct making *making, char **row, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        CLEANUP(freep) char *body = NULL;

        if (mariadb_body_read(making->conn, "trigger", making->from, row[0], row[6], row[4], &body,
                              err) < 0 ||
            refuse_reach(making, "trigger", row[0], body, err) < 0)
                return -1;
        add_definer(&sql, row[5]);
        mariadb_sql_add(&sql, " TRIGGER %I %s %s ON %I FOR EACH ROW %s", row[0], row[1], row[2],
                        row[3], body);
        return settle(making,
                      &(struct mariadb_object){ "trigger", row[0], row[5], row[6], row[7], row[8],
                                                NULL, &sql },
                      err);
}

/* Read in the mode that the event was made in, where a backslash may be nothing special. */
static void add_text(struct mariadb_sql *sql, const char *text, const char *sql_mode)
{
        if (strstr(sql_mode, "NO_BACKSLASH_ESCAPES") == NULL) {
                mariadb_sql_add(sql, "%L", text);
                return;
        }
        mariadb_sql_bytes(sql, "'", 1);
        for (; *text != '\0'; text++)
                mariadb_sql_bytes(sql, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1);
        mariadb_sql_bytes(sql, "'", 1);
}

static int copy_event(struct making *making, char **row, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        CLEANUP(freep) char *body = NULL;
        enum {
                NAME,
                DEFINER,
                TYPE,
                AT,
                EVERY,
                FIELD,
                STARTS,
                ENDS,
                KEEP,
                STATUS,
                ZONE,
                MODE,
                COMMENT,
                BODY,
                CHARSET,
                COLLATION
        };

        if (mariadb_body_read(making->conn, "event", making->from, row[NAME], row[MODE], row[BODY],
                              &body, err) < 0 ||
            refuse_reach(making, "event", row[NAME], body, err) < 0)
                return -1;
        add_definer(&sql, row[DEFINER]);
        mariadb_sql_add(&sql, " EVENT %I ON SCHEDULE ", row[NAME]);
        if (row[EVERY] == NULL)
                mariadb_sql_add(&sql, "AT %L", row[AT]);
        else
                mariadb_sql_add(&sql, "EVERY %L %s", row[EVERY], row[FIELD]);
        if (row[STARTS] != NULL)
                mariadb_sql_add(&sql, " STARTS %L", row[STARTS]);
        if (row[ENDS] != NULL)
                mariadb_sql_add(&sql, " ENDS %L", row[ENDS]);
        mariadb_sql_add(&sql, " ON COMPLETION %s %s COMMENT ", row[KEEP],
                        strcmp(row[STATUS], "DISABLED") == 0 ? "DISABLE" : "DISABLE ON SLAVE");
        add_text(&sql, row[COMMENT], row[MODE]);
        mariadb_sql_add(&sql, " DO %s", body);
        return settle(making,
                      &(struct mariadb_object){ "event", row[NAME], row[DEFINER], row[MODE],
                                                row[CHARSET], row[COLLATION], row[ZONE], &sql },
                      err);
}

/* Views stand on others, in no order that the server tells: those that fail for want of one are
 * tried again as long as others succeed. */
static int copy_views(struct making *making, struct rows *views, struct err *err)
{
        for (size_t left = views->n, failed; left > 0; left = failed) {
                struct err why = { 0 };

                failed = 0;
                for (size_t i = 0; i < left; i++) {
                        struct row row = views->all[i];

                        if (copy_view(making, row.values, &why) == 0)
                                continue;
                        if (why.code != ERR_NOT_FOUND &&
                            mysql_errno(making->conn->mysql) != ER_VIEW_INVALID) {
                                *err = why;
                                return -1;
                        }
                        if (mariadb_object_reset(making->conn, err) < 0)
                                return -1;
                        views->all[i] = views->all[failed];
                        views->all[failed++] = row;
                }
                if (failed == left) {
                        *err = why;
                        return -1;
                }
        }
        return 0;
}

static int copy_rows(struct making *making, struct rows *rows,
                     int (*copy_one)(struct making *making, char **row, struct err *err),
                     struct err *err)
{
        for (size_t i = 0; i < rows->n; i++)
                if (copy_one(making, rows->all[i].values, err) < 0)
                        return -1;
        return 0;
}

/* In the order in which they need each other.  %L: the schema, the prefix twice. */
static const struct {
        size_t columns;
        const char *sql;
        int (*copy_one)(struct making *making, char **row, struct err *err); /* NULL: views */
} kinds[] = {
        { 3,
          "SELECT ROUTINE_NAME, ROUTINE_TYPE, DEFINER FROM information_schema.ROUTINES"
          " WHERE ROUTINE_SCHEMA = %L AND BINARY LEFT(ROUTINE_NAME, CHAR_LENGTH(%L)) = BINARY %L"
          " ORDER BY ROUTINE_TYPE = 'PACKAGE BODY', ROUTINE_TYPE, ROUTINE_NAME",
          copy_routine },
        { 2,
          "SELECT TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %L"
          " AND BINARY LEFT(TABLE_NAME, CHAR_LENGTH(%L)) = BINARY %L ORDER BY TABLE_NAME",
          NULL },
        { 9,
          "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, EVENT_OBJECT_TABLE,"
          " ACTION_STATEMENT, DEFINER, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION"
          " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %L"
          " AND BINARY LEFT(EVENT_OBJECT_TABLE, CHAR_LENGTH(%L)) = BINARY %L"
          " ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
          copy_trigger },
        { 16,
          "SELECT EVENT_NAME, DEFINER, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD,"
          " STARTS, ENDS, ON_COMPLETION, STATUS, TIME_ZONE, SQL_MODE, EVENT_COMMENT,"
          " EVENT_DEFINITION, CHARACTER_SET_CLIENT, COLLATION_CONNECTION"
          " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %L"
          " AND BINARY LEFT(EVENT_NAME, CHAR_LENGTH(%L)) = BINARY %L ORDER BY EVENT_NAME",
          copy_event },
};

static int each(struct making *making, struct err *err)
{
        struct mariadb_conn *conn = making->conn;

        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                CLEANUP(rows_done) struct rows rows = { .columns = kinds[i].columns };

                if (mariadb_each(conn, keep_row, &rows, err, kinds[i].sql, making->from,
                                 making->prefix, making->prefix) < 0)
                        return -1;
                if ((kinds[i].copy_one == NULL
                             ? copy_views(making, &rows, err)
                             : copy_rows(making, &rows, kinds[i].copy_one, err)) < 0)
                        return -1;
        }
        return 0;
}

int mariadb_objects_copy(struct mariadb_conn *conn, const char *from, const char *to,
                         const char *prefix, struct err *err)
{
        struct making making = { .conn = conn, .from = from, .to = to };

        making.prefix = prefix == NULL ? "" : prefix;
        return mariadb_run(conn, err, "USE %I", to) < 0 ? -1 : each(&making, err);
}

int mariadb_objects_read(struct mariadb_conn *conn, const char *schema, const char *prefix,
                         mariadb_object_put put, void *arg, struct err *err)
{
        struct making making = { .conn = conn, .from = schema, .put = put, .arg = arg };

        making.prefix = prefix == NULL ? "" : prefix;
        return each(&making, err);
}

int mariadb_objects_wake(struct mariadb_conn *conn, const char *schema, bool awake, struct err *err)
{
        CLEANUP(rows_done) struct rows rows = { .columns = 1 };

        if (mariadb_each(conn, keep_row, &rows, err,
                         "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %L"
                         " AND STATUS = %L",
                         schema, awake ? "SLAVESIDE_DISABLED" : "ENABLED") < 0)
                return -1;
        for (size_t i = 0; i < rows.n; i++)
                if (mariadb_run(conn, err, "ALTER EVENT %I.%I %s", schema, rows.all[i].values[0],
                                awake ? "ENABLE" : "DISABLE ON SLAVE") < 0)
                        return err_wrap(err, "the event '%s'", rows.all[i].values[0]);
        return 0;
}
