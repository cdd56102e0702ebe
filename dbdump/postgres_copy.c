/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dbdump/postgres_check.h"
#include "dbdump/postgres_copy.h"
#include "dbdump/postgres_home.h"
#include "dbdump/postgres_large.h"
#include "dbdump/postgres_rows.h"

/* What happens to be made. */
struct making {
        struct postgres_copy *copy;
        struct postgres_server server; /* with the copy's purpose */
        struct postgres_home home;     /* the partial one */
        struct postgres_place place;
        struct postgres_objects objects;
};

int postgres_copy_exists(struct postgres_link *link, bool in_database, const char *name,
                         bool *ret_exists, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link,
                         in_database ? "SELECT 1 FROM pg_namespace WHERE nspname = $1"
                                     : "SELECT 1 FROM pg_database WHERE datname = $1",
                         &name, 1, &result, err) < 0)
                return -1;
        *ret_exists = PQntuples(result) > 0;
        return 0;
}

int postgres_copy_drop(const struct postgres_server *server, const char *database, const char *name,
                       bool whole, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        char partial[DB_NAME_MAX];

        postgres_home_partial(name, partial);
        if (postgres_connect(server, database == NULL ? POSTGRES_MAINTENANCE : database, &link,
                             err) < 0 ||
            postgres_patience(link, 0, err) < 0 || postgres_home_orphans(link, name, err) < 0 ||
            postgres_home_remove(link, database != NULL, partial, err) < 0)
                return -1;
        return whole ? postgres_home_remove(link, database != NULL, name, err) : 0;
}

static int set_sequences(const struct making *making, struct err *err)
{
        const struct postgres_view *view = making->copy->view;

        for (size_t i = 0; i < view->n_sequences; i++) {
                const struct postgres_sequence *one = &view->sequences[i];
                const char *const params[] = { making->copy->database == NULL ? one->schema
                                                                              : making->home.name,
                                               one->name, one->value, one->called ? "t" : "f" };

                if (postgres_ask(making->place.link,
                                 "SELECT setval(format('%I.%I', $1::text, $2::text)::regclass, "
                                 "$3::bigint, $4::boolean)",
                                 params, 4, NULL, err) < 0)
                        return err_wrap(err, "the sequence '%s'", one->name);
        }
        return 0;
}

/* What was made so far must not be able to do anything when rows come in as from us. */
static int check_harmless(struct postgres_link *link, const struct postgres_view *view,
                          struct err *err)
{
        static const char sql[] =
                "SELECT pg_describe_object('pg_trigger'::regclass, oid, 0) FROM pg_trigger WHERE "
                "tgrelid >= 16384 UNION ALL SELECT pg_describe_object('pg_rewrite'::regclass, oid, "
                "0) FROM pg_rewrite WHERE ev_class >= 16384 AND rulename <> '_RETURN' UNION ALL "
                "SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0) FROM pg_constraint "
                "k WHERE k.oid >= 16384 AND k.contype = 'c' AND NOT EXISTS (SELECT FROM pg_depend "
                "e WHERE e.deptype = 'e' AND (e.classid = 'pg_class'::regclass AND e.objid = "
                "k.conrelid OR e.classid = 'pg_type'::regclass AND e.objid = k.contypid)) UNION "
                "ALL "
                "SELECT pg_describe_object('pg_class'::regclass, i.indexrelid, 0) FROM pg_index i "
                "JOIN pg_class c ON c.oid = i.indrelid WHERE i.indrelid >= 16384 AND c.relkind = "
                "'r' AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL AND NOT EXISTS (SELECT "
                "FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = i.indrelid "
                "AND e.deptype = 'e')) LIMIT 1";
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link, sql, NULL, 0, &result, err) < 0)
                return -1;
        return PQntuples(result) == 0
                       ? postgres_view_alike(link, view, err)
                       : err_fail(
                                 err, ERR_REFUSED, 0,
                                 "the %s came into the copy by itself, before its rows: somebody's "
                                 "function does what it should not",
                                 PQgetvalue(result, 0, 0));
}

static int copy_rows(struct making *making, struct err *err)
{
        struct postgres_copy *copy = making->copy;
        struct postgres_rows rows = {
                .server = &making->server,
                .from_database = copy->database == NULL ? copy->from : copy->database,
                .to_database = copy->database == NULL ? making->home.name : copy->database,
                .to_schema = copy->database == NULL ? NULL : making->home.name,
                .place = &making->place,
                .objects = &making->objects,
                .view = copy->view,
                .streams = copy->streams,
                .report = copy->report,
                .arg = copy->arg,
                .progress = { .tables_all = copy->view->n_tables },
        };

        for (size_t i = 0; i < copy->view->n_tables; i++)
                rows.progress.bytes_all += copy->view->tables[i].bytes;
        if (copy->database == NULL && check_harmless(making->place.link, copy->view, err) < 0)
                return -1;
        return postgres_rows_copy(&rows, err);
}

int postgres_copy_tell(struct postgres_view *view, const char *target, struct err *err)
{
        struct postgres_objects told;
        int r;

        free(STEAL(view->told));
        if (postgres_objects_read(view->look, &view->scope, target, "_", &told, err) < 0)
                return -1;
        r = postgres_objects_text(&told, &view->told, err);
        postgres_objects_done(&told);
        return r;
}

static int read_objects(struct making *making, struct err *err)
{
        struct postgres_copy *copy = making->copy;
        struct postgres_view *view = copy->view;
        const char *target = copy->database == NULL ? NULL : making->home.name;

        return postgres_view_tables(view, err) < 0 ||
                               postgres_check_copy(view->look, &view->scope, copy->app_user,
                                                   err) < 0 ||
                               postgres_objects_read(view->look, &view->scope, target,
                                                     making->home.name, &making->objects,
                                                     err) < 0 ||
                               postgres_copy_tell(view, target == NULL ? NULL : "_", err) < 0
                       ? -1
                       : 0;
}

/* A function that is called while the copy is made, by an index or a materialized view, has to find
 * what it names where that lies now; then it is made again with the name that the copy gets. */
static int rename_functions(struct making *making, struct err *err)
{
        struct postgres_copy *copy = making->copy;
        struct postgres_objects named;
        int r;

        if (copy->database == NULL)
                return 0;
        if (postgres_objects_read(copy->view->look, &copy->view->scope, making->home.name, copy->to,
                                  &named, err) < 0)
                return -1;
        /* Both lists are of one view: they have the same order. */
        for (size_t i = 0; i < named.n; i++)
                named.list[i].done =
                        i < making->objects.n &&
                        strcmp(named.list[i].statement, making->objects.list[i].statement) == 0;
        r = postgres_build_phase(&making->place, &named, POSTGRES_BEFORE, true, err);
        postgres_objects_done(&named);
        return r;
}

static int fill(struct making *making, struct err *err)
{
        struct postgres_copy *copy = making->copy;

        if (postgres_home_make(&making->home, copy->view, &making->place, err) < 0 ||
            postgres_build_phase(&making->place, &making->objects, POSTGRES_BEFORE, false, err) <
                    0 ||
            copy_rows(making, err) < 0 ||
            postgres_build_phase(&making->place, &making->objects, POSTGRES_AFTER, true, err) < 0 ||
            postgres_build_phase(&making->place, &making->objects, POSTGRES_GRANT, true, err) < 0 ||
            rename_functions(making, err) < 0)
                return -1;
        if (set_sequences(making, err) < 0 ||
            (copy->database == NULL &&
             postgres_large_copy(copy->view, making->place.link, err) < 0))
                return -1;
        return postgres_home_finish(&making->home, copy->view, &making->place, copy->to, err);
}

static int make(struct making *making, struct err *err)
{
        struct postgres_copy *copy = making->copy;
        bool there;

        if (postgres_copy_exists(making->home.admin, copy->database != NULL, copy->to, &there,
                                 err) < 0)
                return -1;
        if (there && !db_is_copy_name(copy->to))
                return err_fail(err, ERR_EXISTS, 0,
                                "'%s' is there, and no copy of ours: it is not replaced", copy->to);
        if (postgres_home_orphans(making->home.admin, copy->to, err) < 0 ||
            postgres_home_remove(making->home.admin, copy->database != NULL, making->home.name,
                                 err) < 0 ||
            read_objects(making, err) < 0)
                return -1;
        return fill(making, err);
}

int postgres_copy_make(struct postgres_copy *copy, struct err *err)
{
        struct making making = { .copy = copy, .server = *copy->server };
        struct err ignored;
        int r;

        postgres_home_purpose(copy->to, making.server.purpose);
        postgres_home_partial(copy->to, making.home.name);
        making.home.server = &making.server;
        making.home.database = copy->database;
        making.home.app_user = copy->app_user;
        if (postgres_connect(&making.server,
                             copy->database == NULL ? POSTGRES_MAINTENANCE : copy->database,
                             &making.home.admin, err) < 0)
                return -1;
        r = postgres_patience(making.home.admin, 0, err) < 0 ? -1 : make(&making, err);
        if (making.place.link != making.home.admin)
                postgres_close(making.place.link);
        postgres_close(making.home.admin);
        postgres_objects_done(&making.objects);
        /* The failure counts, not that it could not be cleared up. */
        if (r < 0 && err->code != ERR_EXISTS &&
            postgres_copy_drop(copy->server, copy->database, copy->to, false, &ignored) < 0)
                return -1;
        return r;
}
