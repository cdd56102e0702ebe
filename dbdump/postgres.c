/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_check.h"
#include "dbdump/postgres_copy.h"
#include "dbdump/postgres_diff.h"
#include "dbdump/postgres_dump.h"
#include "dbdump/postgres_files.h"
#include "dbdump/postgres_large.h"
#include "dbdump/postgres_load.h"
#include "dbdump/postgres_mode.h"

/*
 * The PostgreSQL driver.
 *
 * With conf.database a schema of ours is a schema of that database; without, it is a database.
 * postgres_view.h is the view and the hold, postgres_copy.h the copy, postgres_objects.h what a
 * schema holds.  Nothing that a tenant wrote is run with our rights (postgres_tenant.h).
 */

struct db {
        struct postgres_server server;
        char *database; /* NULL: a schema is a database */
        char *prefix, *app_user;
        unsigned streams;
        enum db_way way;
        struct postgres_link *link;   /* to the schemas' database, or the one for maintenance */
        struct postgres_view *view;   /* the last one; stays for verify() */
        char *viewed;                 /* whose */
        struct postgres_files *files; /* keeps sessions out behind a copy of files, or NULL */
        bool made;                    /* a copy was made of it */
        bool copied;                  /* and it was released: the next copy() is another's */
};

static void postgres_close_db(struct db *db)
{
        if (db == NULL)
                return;
        postgres_files_close(db->files);
        postgres_view_close(db->view);
        postgres_close(db->link);
        postgres_server_done(&db->server);
        free(db->database);
        free(db->prefix);
        free(db->app_user);
        free(db->viewed);
        free(db);
}

/* NULL stays NULL. */
static int keep(const char *text, char **ret_copy, struct err *err)
{
        *ret_copy = text == NULL ? NULL : strdup(text);
        return text != NULL && *ret_copy == NULL ? err_oom(err) : 0;
}

static int postgres_open(const struct db_conf *conf, struct db **ret_db, struct err *err)
{
        struct db *db = calloc(1, sizeof(*db));

        if (db == NULL)
                return err_oom(err);
        db->streams = conf->streams;
        db->way = conf->way;
        if (postgres_server_init(&db->server, conf, err) < 0 ||
            keep(conf->database, &db->database, err) < 0 ||
            keep(conf->table_prefix, &db->prefix, err) < 0 ||
            keep(conf->app_user, &db->app_user, err) < 0 ||
            postgres_connect(&db->server,
                             db->database == NULL ? POSTGRES_MAINTENANCE : db->database, &db->link,
                             err) < 0) {
                postgres_close_db(db);
                return -1;
        }
        *ret_db = db;
        return 0;
}

static int postgres_exists(struct db *db, const char *schema, bool *ret_exists, struct err *err)
{
        return postgres_copy_exists(db->link, db->database != NULL, schema, ret_exists, err);
}

static int need(struct db *db, const char *schema, struct err *err)
{
        bool there;

        if (postgres_exists(db, schema, &there, err) < 0)
                return -1;
        return there ? 0
                     : err_fail(err, ERR_NOT_FOUND, 0, "there is no %s '%s'",
                                db->database != NULL ? "schema" : "database", schema);
}

static int postgres_features(struct db *db, const char *schema, unsigned *ret_features,
                             struct err *err)
{
        if (need(db, schema, err) < 0)
                return -1;
        *ret_features = db->way == DB_WAY_FILES ? DB_COPY_IN_HOLD : DB_COPY_CONSISTENT;
        return 0;
}

static void forget(struct db *db)
{
        postgres_files_close(STEAL(db->files));
        postgres_view_close(STEAL(db->view));
        free(STEAL(db->viewed));
        db->made = db->copied = false;
}

static int look(struct db *db, const char *schema, unsigned deadline_msec, struct err *err)
{
        const struct postgres_source source = {
                .server = &db->server,
                .database = db->database == NULL ? schema : db->database,
                .schema = db->database == NULL ? NULL : schema,
                .name = schema,
                .prefix = db->prefix,
        };

        forget(db);
        if (need(db, schema, err) < 0 || keep(schema, &db->viewed, err) < 0)
                return -1;
        return postgres_view_open(&source, deadline_msec, &db->view, err);
}

static int postgres_hold(struct db *db, const char *schema, unsigned deadline_msec, struct err *err)
{
        return look(db, schema, deadline_msec == 0 ? 1 : deadline_msec, err);
}

#define OWN_HOLD_MSEC 600000

/* Nothing is going to be read any more: whoever alters the tables now, the site's own upgrade, does
 * not wait for us. */
static void end_view(struct db *db)
{
        postgres_close(STEAL(db->view->look));
        db->copied = true;
}

static int release_files(struct db *db, struct err *err)
{
        int r = postgres_files_release(db->files, err);

        postgres_files_close(STEAL(db->files));
        if (r < 0)
                forget(db);
        return r;
}

static int postgres_release(struct db *db, struct err *err)
{
        if (db->files != NULL)
                return release_files(db, err);
        if (db->view == NULL || db->view->lock == NULL)
                return err_fail(err, ERR_INVALID, 0, "nothing is held");
        if (postgres_view_release(db->view, err) == 0) {
                if (db->made)
                        end_view(db);
                return 0;
        }
        /* The instant is lost, and with it everything that could be said about it. */
        forget(db);
        return -1;
}

/* Another way that is asked for is not taken to be this one. */
static int check_way(const struct db *db, struct err *err)
{
        if (db->way == DB_WAY_FILES && (db->database != NULL || db->prefix != NULL))
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "only a whole database has files of its own, and '%s' is a part of "
                                "one: leave out way in [database], or let the site have a database",
                                db->database != NULL ? db->database : db->prefix);
        return 0;
}

/* Without a hold of the caller's it is held for as long as that takes. */
static int copy_files(struct db *db, struct postgres_copy *copy, struct err *err)
{
        bool own =
                db->view == NULL || db->view->lock == NULL || strcmp(db->viewed, copy->from) != 0;

        if (own && look(db, copy->from, OWN_HOLD_MSEC, err) < 0)
                return -1;
        copy->view = db->view;
        if (postgres_files_copy(copy, &db->files, err) < 0) {
                if (own)
                        forget(db);
                return -1;
        }
        db->made = db->copied = true;
        return own ? release_files(db, err) : 0;
}

/* After a copy that ended with ${r}: a view that nobody else has is done with. */
static int settle(struct db *db, bool own, int r)
{
        db->made = r == 0;
        if (r == 0 && db->view->lock == NULL)
                end_view(db);
        if (r < 0 && own)
                forget(db);
        return r;
}

static int copy_rows(struct db *db, struct postgres_copy *copy, struct err *err)
{
        bool own = db->view == NULL || db->copied || strcmp(db->viewed, copy->from) != 0;

        if (own && look(db, copy->from, 0, err) < 0)
                return -1;
        copy->view = db->view;
        return settle(db, own, postgres_copy_make(copy, err));
}

/* What is dumped is loaded as it comes: nothing of it is kept, in memory or on a disk. */
struct passing {
        struct postgres_load *load;
        const struct postgres_copy *copy;
        struct db_progress progress;
};

static int pass_on(const void *bytes, size_t n, void *arg, struct err *err)
{
        struct passing *passing = arg;
        struct db_progress *progress = &passing->progress;

        if (postgres_load_feed(passing->load, bytes, n, err) < 0)
                return -1;
        progress->bytes_done += n;
        if (progress->bytes_done > progress->bytes_all)
                progress->bytes_all = progress->bytes_done;
        return passing->copy->report == NULL
                       ? 0
                       : passing->copy->report(progress, passing->copy->arg, err);
}

static int copy_dump(struct db *db, struct postgres_copy *copy, struct err *err)
{
        bool own = db->view == NULL || db->copied || strcmp(db->viewed, copy->from) != 0;
        CLEANUP(postgres_load_donep) struct postgres_load *load = NULL;
        struct passing passing = { .copy = copy };
        int r;

        if (postgres_load_begin(&db->server, db->database, copy->to, db->app_user, &load, err) <
                    0 ||
            (own && look(db, copy->from, 0, err) < 0))
                return -1;
        passing.load = load;
        r = postgres_dump_make(&db->server, db->database, db->view, pass_on, &passing, err);
        if (r == 0)
                r = postgres_load_end(load, err);
        return settle(db, own, r);
}

static int postgres_copy(struct db *db, const char *from, const char *to, db_report report,
                         void *arg, struct err *err)
{
        struct postgres_copy copy = {
                .server = &db->server,
                .database = db->database,
                .from = from,
                .to = to,
                .app_user = db->app_user,
                .streams = db->streams,
                .report = report,
                .arg = arg,
        };

        if (check_way(db, err) < 0 || (db->way == DB_WAY_FILES  ? copy_files(db, &copy, err)
                                       : db->way == DB_WAY_DUMP ? copy_dump(db, &copy, err)
                                                                : copy_rows(db, &copy, err)) < 0)
                return err_wrap(err, "copying '%s' to '%s'", from, to);
        return 0;
}

#define LOAD_BYTES (1 << 20)

/* The caller's view if there is one, else an own. */
static int postgres_dump(struct db *db, const char *schema, db_sink sink, void *arg,
                         struct err *err)
{
        bool own = db->view == NULL || db->copied || strcmp(db->viewed, schema) != 0;
        int r;

        if (own && look(db, schema, 0, err) < 0)
                return -1;
        r = postgres_dump_make(&db->server, db->database, db->view, sink, arg, err);
        if (own)
                forget(db);
        return r < 0 ? err_wrap(err, "dumping '%s'", schema) : 0;
}

static int postgres_load(struct db *db, const char *to, db_source source, void *arg,
                         struct err *err)
{
        CLEANUP(postgres_load_donep) struct postgres_load *load = NULL;
        CLEANUP(freep) char *bytes = malloc(LOAD_BYTES);
        ssize_t n;

        if (bytes == NULL)
                return err_oom(err);
        if (postgres_load_begin(&db->server, db->database, to, db->app_user, &load, err) < 0)
                return err_wrap(err, "loading '%s'", to);
        while ((n = source(bytes, LOAD_BYTES, arg, err)) > 0)
                if (postgres_load_feed(load, bytes, (size_t)n, err) < 0)
                        return err_wrap(err, "loading '%s'", to);
        return n < 0 || postgres_load_end(load, err) < 0 ? err_wrap(err, "loading '%s'", to) : 0;
}

/* A connection to look at a schema, and what it is there. */
static int reach(struct db *db, const char *schema, struct postgres_link **ret_link,
                 struct postgres_scope *ret_scope, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;

        if (need(db, schema, err) < 0 ||
            postgres_connect(&db->server, db->database == NULL ? schema : db->database, &link,
                             err) < 0 ||
            postgres_patience(link, 0, err) < 0 || postgres_restrict(link, err) < 0 ||
            postgres_scope_find(link, db->database == NULL ? NULL : schema, db->prefix, ret_scope,
                                err) < 0)
                return -1;
        *ret_link = STEAL(link);
        return 0;
}

static int postgres_check(struct db *db, const char *schema, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        struct postgres_scope scope = { 0 };
        int r = postgres_check_server(db->link, err);

        if (r == 0)
                r = reach(db, schema, &link, &scope, err);
        if (r == 0)
                r = postgres_check_grants(link, &scope, db->app_user, err);
        /* Files hold everything, whatever it is. */
        if (r == 0)
                r = db->way == DB_WAY_FILES ? postgres_files_check(link, schema, err)
                                            : postgres_check_copy(link, &scope, db->app_user, err);
        postgres_scope_done(&scope);
        return r < 0 ? err_wrap(err, "'%s'", schema) : 0;
}

static int fingerprint(struct db *db, struct postgres_link *link,
                       const struct postgres_scope *scope, char **ret_text, struct err *err)
{
        struct postgres_objects objects;
        int r;

        if (postgres_objects_read(link, scope, db->database == NULL ? NULL : "_", "_", &objects,
                                  err) < 0)
                return -1;
        r = postgres_objects_text(&objects, ret_text, err);
        postgres_objects_done(&objects);
        return r;
}

/* The first line that is in one and not in the other; both are sorted. */
static int compare_texts(const char *a, const char *b, const char *copy, struct err *err)
{
        while (*a != '\0' || *b != '\0') {
                size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n");
                int order = strncmp(a, b, na < nb ? na : nb);

                if (order == 0)
                        order = na < nb ? -1 : na > nb;
                if (order != 0) {
                        bool missing = *b == '\0' || (*a != '\0' && order < 0);
                        const char *line = missing ? a : b;

                        return err_fail(err, ERR_CORRUPT, 0, "'%s' differs: it has %s%.*s", copy,
                                        missing ? "no " : "", (int)(missing ? na : nb), line);
                }
                a += na + (a[na] == '\n');
                b += nb + (b[nb] == '\n');
        }
        return 0;
}

static int postgres_verify(struct db *db, const char *schema, const char *copy, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        CLEANUP(freep) char *text = NULL;
        struct postgres_scope scope = { 0 };
        int r;

        if (db->view == NULL || db->view->told == NULL || strcmp(db->viewed, schema) != 0)
                return err_fail(err, ERR_INVALID, 0, "no copy of '%s' was made here", schema);
        r = reach(db, copy, &link, &scope, err);
        if (r == 0)
                r = fingerprint(db, link, &scope, &text, err);
        if (r == 0)
                r = compare_texts(db->view->told, text, copy, err);
        if (r == 0)
                r = postgres_view_count(link, db->view, db->database == NULL ? NULL : copy, err);
        if (r == 0 && db->database == NULL && db->way != DB_WAY_FILES)
                r = postgres_large_verify(db->view, link, err);
        postgres_scope_done(&scope);
        return r < 0 && err->code != ERR_CORRUPT ? err_wrap(err, "verifying '%s'", copy) : r;
}

static int postgres_fingerprint(struct db *db, const char *schema, char **ret_text, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        struct postgres_scope scope = { 0 };
        int r = reach(db, schema, &link, &scope, err);

        if (r == 0)
                r = fingerprint(db, link, &scope, ret_text, err);
        postgres_scope_done(&scope);
        return r;
}

static int postgres_diff_rows(struct db *db, const char *from, const char *to, db_row_report report,
                              void *arg, struct err *err)
{
        const char *const names[] = { from, to };
        struct postgres_link *links[2] = { NULL }, *scratch[2] = { NULL };
        struct postgres_scope scopes[2] = { 0 };
        int r = 0;

        for (int i = 0; r == 0 && i < 2; i++) {
                r = reach(db, names[i], &links[i], &scopes[i], err);
                if (r == 0)
                        r = postgres_connect(&db->server,
                                             db->database == NULL ? names[i] : db->database,
                                             &scratch[i], err);
                if (r == 0)
                        r = postgres_patience(scratch[i], 0, err);
        }
        if (r == 0) {
                const struct postgres_side sides[] = { { links[0], scratch[0], &scopes[0] },
                                                       { links[1], scratch[1], &scopes[1] } };

                r = postgres_diff(&sides[0], &sides[1], report, arg, err);
        }
        for (int i = 0; i < 2; i++) {
                postgres_scope_done(&scopes[i]);
                postgres_close(scratch[i]);
                postgres_close(links[i]);
        }
        return r;
}

static int postgres_set_writable(struct db *db, const char *schema, bool writable, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;

        if (need(db, schema, err) < 0)
                return -1;
        if (db->app_user == NULL)
                return 0; /* nobody is held to anything */
        /* A view that nobody waits for must not be what is in the way. */
        if (db->view != NULL && db->view->lock == NULL && strcmp(db->viewed, schema) == 0)
                forget(db);
        if (postgres_connect(&db->server, db->database == NULL ? schema : db->database, &link,
                             err) < 0)
                return -1;
        return postgres_mode_set(link, db->database == NULL ? NULL : schema, schema, db->app_user,
                                 writable, err) < 0
                       ? err_wrap(err, "making '%s' %s", schema,
                                  writable ? "writable" : "read-only")
                       : 0;
}

static int postgres_size(struct db *db, const char *schema, uint64_t *ret_bytes, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        const char *const params[] = { schema, db->prefix };

        if (need(db, schema, err) < 0 ||
            postgres_ask(
                    db->link,
                    db->database == NULL
                            ? "SELECT pg_database_size($1::name) WHERE $2::text IS NULL OR true"
                            : "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM "
                              "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
                              "n.nspname = $1 AND c.relkind IN ('r', 'm', 'S') AND ($2::text "
                              "IS NULL OR starts_with(c.relname::text, $2))",
                    params, 2, &result, err) < 0)
                return -1;
        *ret_bytes = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        return 0;
}

/* Measured with 0.9 GB on two busy cores (PostgreSQL 15): 7.1 s within a database, 13.2 s into
 * another; writers waited for 0.07 s at most, however large the tables are. */
#define WITHIN_BYTES_PER_MSEC  126000
#define THROUGH_BYTES_PER_MSEC 68000
#define STALL_MSEC             70

/* The same by files: 0.7 s with the disk to itself and 12 s on a machine with thirty other things
 * to do; sessions are out for all of it, so the time that is told is rather too long. */
#define FILES_BYTES_PER_MSEC 100000
#define FILES_MSEC           1000

static int forecast_files(struct db *db, struct db_forecast *forecast, struct err *err)
{
        bool clones;

        if (postgres_files_clones(db->link, &clones, err) < 0)
                return -1;
        forecast->way = DB_WAY_FILES;
        forecast->stall_msec = FILES_MSEC;
        if (!clones)
                forecast->stall_msec += forecast->disk_bytes / FILES_BYTES_PER_MSEC;
        forecast->copy_msec = forecast->stall_msec;
        (void)snprintf(forecast->why, sizeof(forecast->why),
                       "asked for: the server %s the files, and the site's sessions are ended and "
                       "kept out meanwhile",
                       clones ? "clones" : "copies");
        return 0;
}

static int postgres_forecast(struct db *db, const char *schema, struct db_forecast *ret_forecast,
                             struct err *err)
{
        struct db_forecast forecast = { .way = DB_WAY_SNAPSHOT, .stall_msec = STALL_MSEC };

        if (check_way(db, err) < 0 || postgres_size(db, schema, &forecast.disk_bytes, err) < 0)
                return -1;
        if (db->way == DB_WAY_FILES) {
                if (forecast_files(db, &forecast, err) < 0)
                        return -1;
                *ret_forecast = forecast;
                return 0;
        }
        forecast.copy_msec =
                STALL_MSEC + forecast.disk_bytes / (db->database != NULL ? WITHIN_BYTES_PER_MSEC
                                                                         : THROUGH_BYTES_PER_MSEC);
        /* Twice, as rows go through a table of text; what is free on the disk is the server's to
         * say. */
        if (db->way == DB_WAY_DUMP) {
                forecast.way = DB_WAY_DUMP;
                forecast.copy_msec =
                        STALL_MSEC + forecast.disk_bytes / (THROUGH_BYTES_PER_MSEC / 2);
        }
        (void)snprintf(forecast.why, sizeof(forecast.why), "%s",
                       db->way == DB_WAY_DUMP ? "as the configuration says; 'snapshot' is quicker"
                       : db->database != NULL
                               ? "the server moves the rows itself; its files would need the "
                                 "site's sessions to be ended"
                               : "rows go through sitesnap into a database of their own; a copy of "
                                 "files would need the site's sessions to be ended");
        *ret_forecast = forecast;
        return 0;
}

static int postgres_drop(struct db *db, const char *copy, struct err *err)
{
        /* A view of it would stand in the way. */
        if (db->viewed != NULL && strcmp(db->viewed, copy) == 0)
                forget(db);
        return postgres_copy_drop(&db->server, db->database, copy, true, err);
}

static int postgres_list(struct db *db, db_visit visit, void *arg, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(db->link,
                         db->database != NULL ? "SELECT nspname FROM pg_namespace ORDER BY 1"
                                              : "SELECT datname FROM pg_database ORDER BY 1",
                         NULL, 0, &result, err) < 0)
                return -1;
        for (int i = 0; i < PQntuples(result); i++)
                if (db_is_copy_name(PQgetvalue(result, i, 0)) &&
                    visit(PQgetvalue(result, i, 0), arg, err) < 0)
                        return -1;
        return 0;
}

const struct db_driver db_driver_postgres = {
        .name = "postgres",
        .open = postgres_open,
        .close = postgres_close_db,
        .features = postgres_features,
        .check = postgres_check,
        .hold = postgres_hold,
        .release = postgres_release,
        .copy = postgres_copy,
        .exists = postgres_exists,
        .verify = postgres_verify,
        .set_writable = postgres_set_writable,
        .size = postgres_size,
        .drop = postgres_drop,
        .forecast = postgres_forecast,
        .dump = postgres_dump,
        .load = postgres_load,
        .fingerprint = postgres_fingerprint,
        .diff = postgres_diff_rows,
        .list = postgres_list,
};
