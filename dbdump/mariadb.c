/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/dbdriver.h"
#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_copy.h"
#include "dbdump/mariadb_diff.h"
#include "dbdump/mariadb_dump.h"
#include "dbdump/mariadb_files.h"
#include "dbdump/mariadb_fingerprint.h"
#include "dbdump/mariadb_forecast.h"
#include "dbdump/mariadb_grants.h"
#include "dbdump/mariadb_hold.h"
#include "dbdump/mariadb_load.h"
#include "dbdump/mariadb_mark.h"
#include "dbdump/mariadb_objects.h"
#include "dbdump/mariadb_verify.h"

/*
 * The MariaDB driver, for MySQL 8 too.
 *
 * A schema is a database of the server.  mariadb_hold.h is the instant, mariadb_copy.h the copy,
 * mariadb_mark.h what makes it whole or absent, mariadb_grants.h who may do what.
 *
 * MySQL: what is different stands in tables of mariadb_conn.c and mariadb_fingerprint.c.  No test
 * has run against it.
 */

struct db {
        struct mariadb_login login;
        struct mariadb_conn *control; /* opened anew when the server was restarted */
        char *app_user, *prefix;
        unsigned streams;
        enum db_way way;
        struct mariadb_files *files;
        struct mariadb_hold *hold; /* the last view; its lists stay for verify() */
        bool copied; /* it was released and a copy was made of it: the next copy() is another's */
};

#define STREAMS    2    /* more gain nothing where the server has two processors */
#define HOLD_MSEC  5000 /* of our own, when the caller did not hold */
#define LOAD_BYTES (1 << 20)

static int control(struct db *db, struct mariadb_conn **ret_conn, struct err *err)
{
        if (db->control != NULL && !db->control->broken && mysql_ping(db->control->mysql) == 0) {
                *ret_conn = db->control;
                return 0;
        }
        mariadb_disconnect(db->control);
        db->control = NULL;
        if (mariadb_conn_open(&db->login, &db->control, err) < 0)
                return -1;
        *ret_conn = db->control;
        return 0;
}

static void forget_hold(struct db *db)
{
        mariadb_hold_end(db->hold);
        db->hold = NULL;
        db->copied = false;
}

static void mariadb_driver_close(struct db *db)
{
        if (db == NULL)
                return;
        forget_hold(db);
        mariadb_disconnect(db->control);
        mariadb_login_done(&db->login);
        mariadb_files_close(db->files);
        free(db->app_user);
        free(db->prefix);
        free(db);
}
DEFINE_CLEANUP(struct db *, mariadb_driver_close);

static int copy_text(const char *text, char **ret_copy, struct err *err)
{
        if (text == NULL || text[0] == '\0')
                return 0;
        *ret_copy = strdup(text);
        return *ret_copy == NULL ? err_oom(err) : 0;
}

static int mariadb_driver_open(const struct db_conf *conf, struct db **ret_db, struct err *err)
{
        CLEANUP(mariadb_driver_closep) struct db *db = calloc(1, sizeof(*db));
        struct mariadb_conn *conn;

        if (db == NULL)
                return err_oom(err);
        db->way = conf->way;
        db->streams = conf->streams == 0 ? STREAMS : conf->streams;
        if (db->streams > MARIADB_STREAMS_MAX)
                db->streams = MARIADB_STREAMS_MAX;
        if (mariadb_files_open(conf->files_fd, conf->way, &db->files, err) < 0 ||
            mariadb_login_make(conf, &db->login, err) < 0 ||
            copy_text(conf->app_user, &db->app_user, err) < 0 ||
            copy_text(conf->table_prefix, &db->prefix, err) < 0 || control(db, &conn, err) < 0)
                return -1;
        *ret_db = STEAL(db);
        return 0;
}

static int mariadb_driver_features(struct db *db, const char *schema, unsigned *ret_features,
                                   struct err *err)
{
        struct mariadb_tables tables;
        struct mariadb_conn *conn;

        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, schema, err) < 0 ||
            mariadb_tables_list(conn, schema, db->prefix, &tables, err) < 0)
                return -1;
        *ret_features = mariadb_tables_in_hold(&tables) ? DB_COPY_IN_HOLD : DB_COPY_CONSISTENT;
        mariadb_tables_done(&tables);
        return 0;
}

static int mariadb_driver_check(struct db *db, const char *schema, struct err *err)
{
        struct mariadb_tables tables;
        struct mariadb_conn *conn;

        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, schema, err) < 0 ||
            mariadb_grants_check(conn, schema, db->app_user, err) < 0 ||
            mariadb_tables_list(conn, schema, db->prefix, &tables, err) < 0)
                return -1;
        mariadb_tables_done(&tables);
        return 0;
}

static int mariadb_driver_hold(struct db *db, const char *schema, unsigned deadline_msec,
                               struct err *err)
{
        forget_hold(db);
        return mariadb_hold_begin_files(&db->login, schema, db->prefix, db->streams, deadline_msec,
                                        db->files, &db->hold, err);
}

static int mariadb_driver_release(struct db *db, struct err *err)
{
        if (db->hold == NULL)
                return err_fail(err, ERR_INVALID, 0, "nothing is held");
        if (mariadb_hold_release(db->hold, err) == 0)
                return 0;
        /* The instant is lost, and with it everything that could be said about it. */
        forget_hold(db);
        return -1;
}

/* Without a hold of the caller's there is one of our own: as short as it can be, or where some
 * tables have no view as long as the copy, which report() may stop.  ${files} NULL: of rows only.
 */
static int own_hold(struct db *db, const char *from, struct mariadb_files *files, struct err *err)
{
        struct mariadb_tables tables;
        struct mariadb_conn *conn;
        bool in_hold;

        forget_hold(db);
        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, from, err) < 0 ||
            mariadb_tables_list(conn, from, db->prefix, &tables, err) < 0)
                return -1;
        in_hold = mariadb_tables_in_hold(&tables);
        mariadb_tables_done(&tables);
        if (mariadb_hold_begin_files(&db->login, from, db->prefix, db->streams,
                                     in_hold ? 0 : HOLD_MSEC, files, &db->hold, err) < 0)
                return -1;
        return in_hold ? 0 : mariadb_hold_release(db->hold, err);
}

static int mariadb_driver_forecast(struct db *db, const char *schema,
                                   struct db_forecast *ret_forecast, struct err *err)
{
        CLEANUP(mariadb_tables_done) struct mariadb_tables tables = { 0 };
        struct mariadb_conn *conn;

        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, schema, err) < 0 ||
            mariadb_tables_list(conn, schema, db->prefix, &tables, err) < 0)
                return -1;
        return mariadb_forecast(&tables, db->way, ret_forecast, err) < 0
                       ? -1
                       : mariadb_files_choose(db->files, conn, schema, &tables, ret_forecast, err);
}

/* What is dumped is loaded as it comes: nothing of it is kept, in memory or on a disk. */
struct passing {
        struct mariadb_load *load;
        const struct mariadb_hold *hold;
        struct db_progress progress;
        db_report report;
        void *arg;
};

static int pass_on(const void *bytes, size_t n, void *arg, struct err *err)
{
        struct passing *passing = arg;

        if (mariadb_load_feed(passing->load, bytes, n, err) < 0)
                return -1;
        passing->progress.bytes_done += n;
        if (passing->progress.bytes_done > passing->progress.bytes_all)
                passing->progress.bytes_done = passing->progress.bytes_all;
        return passing->report == NULL ? 0 : passing->report(&passing->progress, passing->arg, err);
}

/* After a copy or a dump that ended with ${r}: what was held for it alone is let go. */
static int settle(struct db *db, bool own, int r, struct err *err)
{
        if (own && r == 0 && db->hold->held)
                r = mariadb_hold_release(db->hold, err);
        db->copied = r == 0 && !db->hold->held;
        if (r < 0 && own)
                forget_hold(db);
        return r;
}

static int copy_by_dump(struct db *db, const struct mariadb_copy *copy, struct err *err)
{
        CLEANUP(mariadb_load_donep) struct mariadb_load *load = NULL;
        struct passing passing = { .report = copy->report, .arg = copy->arg };
        struct mariadb_dump dump = { .control = copy->control,
                                     .hold = db->hold,
                                     .prefix = db->prefix,
                                     .sink = pass_on,
                                     .arg = &passing };

        passing.progress.tables_all = db->hold->tables.n;
        for (size_t i = 0; i < db->hold->tables.n; i++)
                passing.progress.bytes_all += db->hold->tables.all[i].bytes;
        if (mariadb_load_begin(&db->login, copy->to, db->app_user, &load, err) < 0)
                return -1;
        passing.load = load;
        return mariadb_dump_make(&dump, err) < 0 ? -1 : mariadb_load_end(load, err);
}

static int mariadb_driver_copy(struct db *db, const char *from, const char *to, db_report report,
                               void *arg, struct err *err)
{
        bool own = db->hold == NULL || db->copied || strcmp(db->hold->schema, from) != 0;
        struct mariadb_copy copy = {
                .login = &db->login,
                .to = to,
                .prefix = db->prefix,
                .app_user = db->app_user,
                .files = db->files,
                .report = report,
                .arg = arg,
        };
        struct db_forecast forecast;
        int r;

        if (db->way == DB_WAY_DUMP && mariadb_driver_forecast(db, from, &forecast, err) < 0)
                return -1;
        if ((own && own_hold(db, from, db->files, err) < 0) || control(db, &copy.control, err) < 0)
                return -1;
        copy.hold = db->hold;
        r = db->way == DB_WAY_DUMP ? copy_by_dump(db, &copy, err) : mariadb_copy_make(&copy, err);
        return settle(db, own, r, err);
}

static int mariadb_driver_exists(struct db *db, const char *schema, bool *ret_exists,
                                 struct err *err)
{
        struct mariadb_conn *conn;
        bool there;

        if (control(db, &conn, err) < 0)
                return -1;
        return mariadb_mark_schema(conn, schema, &there, ret_exists, err);
}

static int mariadb_driver_verify(struct db *db, const char *schema, const char *copy,
                                 struct err *err)
{
        if (db->hold == NULL || strcmp(db->hold->schema, schema) != 0)
                return err_fail(err, ERR_INVALID, 0, "no copy of '%s' was made here", schema);
        return mariadb_verify(&db->login, db->hold, copy, db->prefix, err);
}

static int mariadb_driver_set_writable(struct db *db, const char *schema, bool writable,
                                       struct err *err)
{
        struct mariadb_conn *conn;

        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, schema, err) < 0)
                return -1;
        /* An event writes as its DEFINER, whoever else may not. */
        if (!writable && mariadb_objects_wake(conn, schema, false, err) < 0)
                return -1;
        if (db->app_user != NULL &&
            mariadb_grants_set(conn, schema, db->app_user, writable, err) < 0)
                return -1;
        return writable ? mariadb_objects_wake(conn, schema, true, err) : 0;
}

static int mariadb_driver_size(struct db *db, const char *schema, uint64_t *ret_bytes,
                               struct err *err)
{
        struct mariadb_tables tables;
        struct mariadb_conn *conn;
        uint64_t bytes = 0;

        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, schema, err) < 0 ||
            mariadb_tables_list(conn, schema, db->prefix, &tables, err) < 0)
                return -1;
        for (size_t i = 0; i < tables.n; i++)
                bytes += tables.all[i].bytes;
        mariadb_tables_done(&tables);
        *ret_bytes = bytes;
        return 0;
}

/* From the mark on it is nobody's copy, however far the server gets. */
static int mariadb_driver_drop(struct db *db, const char *copy, struct err *err)
{
        struct mariadb_conn *conn;
        bool there, whole;

        if (control(db, &conn, err) < 0 || mariadb_mark_schema(conn, copy, &there, &whole, err) < 0)
                return -1;
        if (there && (mariadb_mark_set(conn, copy, err) < 0))
                return -1;
        if (db->app_user != NULL && mariadb_grants_forget(conn, copy, db->app_user, err) < 0)
                return -1;
        return there ? mariadb_mark_remove(conn, copy, err) : mariadb_mark_clear(conn, copy, err);
}

static int mariadb_driver_fingerprint(struct db *db, const char *schema, char **ret_text,
                                      struct err *err)
{
        struct mariadb_conn *conn;

        if (control(db, &conn, err) < 0 || mariadb_mark_need(conn, schema, err) < 0)
                return -1;
        return mariadb_fingerprint(conn, schema, db->prefix, ret_text, err);
}

/* On a connection of its own, which has the view of both. */
static int mariadb_driver_diff(struct db *db, const char *from, const char *to,
                               db_row_report report, void *arg, struct err *err)
{
        CLEANUP(mariadb_disconnectp) struct mariadb_conn *conn = NULL;

        if (mariadb_conn_open(&db->login, &conn, err) < 0 ||
            mariadb_mark_need(conn, from, err) < 0 || mariadb_mark_need(conn, to, err) < 0)
                return -1;
        return mariadb_diff(conn, from, to, db->prefix, report, arg, err);
}

/* The caller's view if there is one, else an own. */
static int dump_to(struct db *db, const char *schema, db_sink sink, void *arg, struct err *err)
{
        bool own = db->hold == NULL || db->copied || strcmp(db->hold->schema, schema) != 0;
        struct mariadb_dump dump = { .prefix = db->prefix, .sink = sink, .arg = arg };
        int r;

        if ((own && own_hold(db, schema, NULL, err) < 0) || control(db, &dump.control, err) < 0)
                return -1;
        dump.hold = db->hold;
        r = mariadb_dump_make(&dump, err);
        return settle(db, own, r, err);
}

static int mariadb_driver_dump(struct db *db, const char *schema, db_sink sink, void *arg,
                               struct err *err)
{
        return dump_to(db, schema, sink, arg, err) < 0 ? err_wrap(err, "dumping '%s'", schema) : 0;
}

static int mariadb_driver_load(struct db *db, const char *to, db_source source, void *arg,
                               struct err *err)
{
        CLEANUP(mariadb_load_donep) struct mariadb_load *load = NULL;
        CLEANUP(freep) char *bytes = malloc(LOAD_BYTES);
        ssize_t n;

        if (bytes == NULL)
                return err_oom(err);
        if (mariadb_load_begin(&db->login, to, db->app_user, &load, err) < 0)
                return err_wrap(err, "loading '%s'", to);
        while ((n = source(bytes, LOAD_BYTES, arg, err)) > 0)
                if (mariadb_load_feed(load, bytes, (size_t)n, err) < 0)
                        return err_wrap(err, "loading '%s'", to);
        return n < 0 || mariadb_load_end(load, err) < 0 ? err_wrap(err, "loading '%s'", to) : 0;
}

struct visiting {
        db_visit visit;
        void *arg;
};

static int visit_copy(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        const struct visiting *visiting = arg;

        (void)sizes;
        return db_is_copy_name(values[0]) ? visiting->visit(values[0], visiting->arg, err) : 0;
}

static int mariadb_driver_list(struct db *db, db_visit visit, void *arg, struct err *err)
{
        struct visiting visiting = { visit, arg };
        struct mariadb_conn *conn;

        if (control(db, &conn, err) < 0)
                return -1;
        return mariadb_each(conn, visit_copy, &visiting, err,
                            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"
                            " WHERE SCHEMA_NAME LIKE 'snap%%' AND SCHEMA_NAME NOT IN"
                            " (SELECT TABLE_NAME FROM information_schema.TABLES"
                            " WHERE TABLE_SCHEMA = %L)",
                            MARIADB_MARKS);
}

const struct db_driver db_driver_mariadb = {
        .name = "mariadb",
        .open = mariadb_driver_open,
        .close = mariadb_driver_close,
        .features = mariadb_driver_features,
        .check = mariadb_driver_check,
        .hold = mariadb_driver_hold,
        .release = mariadb_driver_release,
        .copy = mariadb_driver_copy,
        .exists = mariadb_driver_exists,
        .verify = mariadb_driver_verify,
        .set_writable = mariadb_driver_set_writable,
        .size = mariadb_driver_size,
        .drop = mariadb_driver_drop,
        .fingerprint = mariadb_driver_fingerprint,
        .list = mariadb_driver_list,
        .forecast = mariadb_driver_forecast,
        .diff = mariadb_driver_diff,
        .dump = mariadb_driver_dump,
        .load = mariadb_driver_load,
};
