/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "dbdump/postgres_view.h"

#define ROUNDS     20   /* tables may come and go while we lock them; not for ever */
#define FIRST_MSEC 40   /* of waiting in a queue */
#define MOST_MSEC  1200 /* enough for the server to end an autovacuum that is in our way (1 s) */
#define PAUSE_USEC 15000

/* clang-format off */
#define RELATIONS \
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.oid = ANY " \
        "($1::oid[]) AND ($2::text IS NULL OR starts_with(c.relname::text, $2)) AND " \
        "c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = " \
        "'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') "
/* For every row that is put in, with whose rights ever: generated columns, partition keys. */
#define EVALUATES \
        "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> " \
        "'') OR EXISTS (SELECT FROM unnest(ARRAY(SELECT pg_partition_ancestors(c.oid))) AS r(r) " \
        "JOIN " \
        "pg_partitioned_table pt ON pt.partrelid = r.r AND pt.partexprs IS NOT NULL)"
/* clang-format on */

static int ask(struct postgres_view *view, const char *sql, PGresult **ret_result, struct err *err)
{
        const char *const params[] = { view->scope.oids, view->scope.prefix };

        return postgres_ask(view->look, sql, params, 2, ret_result, err);
}

/* "ONLY a.b, ONLY c.d", or "" */
static int tables_of(struct postgres_view *view, char **ret_list, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (ask(view,
                "SELECT string_agg(format('ONLY %I.%I', n.nspname, c.relname), ', ' ORDER BY "
                "n.nspname, c.relname)" RELATIONS "AND c.relkind IN ('r', 'p')",
                &result, err) < 0)
                return -1;
        *ret_list = strdup(PQgetvalue(result, 0, 0));
        return *ret_list == NULL ? err_oom(err) : 0;
}

/* Let nobody write; ERR_BUSY when somebody still does. */
static int lock_once(struct postgres_view *view, const char *list, unsigned wait_msec,
                     unsigned left_msec, struct err *err)
{
        if (postgres_runf(view->lock, err,
                          "BEGIN; SET LOCAL lock_timeout = %u; "
                          "SET LOCAL idle_in_transaction_session_timeout = %u; %s%s%s",
                          wait_msec, left_msec, list[0] == '\0' ? "" : "LOCK TABLE ", list,
                          list[0] == '\0' ? "" : " IN SHARE MODE") == 0)
                return 0;
        postgres_try(view->lock, "ROLLBACK");
        return -1;
}

static unsigned left_msec(int64_t until_usec)
{
        int64_t left = (until_usec - clock_boot_usec()) / 1000;

        return left < 1 ? 1 : (unsigned)left;
}

static int lock(struct postgres_view *view, const char *list, int64_t until_usec, struct err *err)
{
        unsigned wait_msec = FIRST_MSEC;

        for (;;) {
                unsigned left = left_msec(until_usec);

                if (lock_once(view, list, wait_msec < left ? wait_msec : left, left, err) == 0)
                        break;
                if (err->code != ERR_BUSY && err->code != ERR_TIMEOUT)
                        return err_wrap(err, "holding the writers of '%s'", view->name);
                if (clock_boot_usec() >= until_usec)
                        return err_fail(err, ERR_BUSY, 0,
                                        "a writer of '%s' did not let us in before the deadline; "
                                        "end its transaction, or try again",
                                        view->name);
                (void)usleep(PAUSE_USEC);
                wait_msec = wait_msec * 2 < MOST_MSEC ? wait_msec * 2 : MOST_MSEC;
        }
        /* Waiting used up a part of the time. */
        return postgres_runf(view->lock, err, "SET LOCAL idle_in_transaction_session_timeout = %u",
                             left_msec(until_usec));
}

static int look(struct postgres_view *view, const char *list, bool *ret_same, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        CLEANUP(freep) char *again = NULL;

        /* The locks come before the first query, which opens the snapshot. */
        if (postgres_runf(view->look, err,
                          "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = 10000; "
                          "%s%s%s",
                          list[0] == '\0' ? "" : "LOCK TABLE ", list,
                          list[0] == '\0' ? "" : " IN ACCESS SHARE MODE") < 0)
                return -1;
        if (postgres_ask(view->look, "SELECT pg_export_snapshot()", NULL, 0, &result, err) < 0 ||
            tables_of(view, &again, err) < 0)
                return -1;
        (void)snprintf(view->snapshot, sizeof(view->snapshot), "%s", PQgetvalue(result, 0, 0));
        *ret_same = strcmp(list, again) == 0;
        return 0;
}

static int open_once(struct postgres_view *view, int64_t until_usec, bool *ret_same,
                     struct err *err)
{
        CLEANUP(freep) char *list = NULL;
        int r;

        if (tables_of(view, &list, err) < 0)
                return -1;
        if (until_usec != 0 && lock(view, list, until_usec, err) < 0)
                return -1;
        r = look(view, list, ret_same, err);
        if (r == 0 && *ret_same)
                return 0;
        if (until_usec != 0)
                postgres_try(view->lock, "ROLLBACK");
        postgres_try(view->look, "ROLLBACK");
        *ret_same = false;
        /* A table that is gone by now is only another list. */
        return r == 0 || err->code == ERR_NOT_FOUND ? 0 : -1;
}

static int read_sequences(struct postgres_view *view, struct err *err)
{
        CLEANUP(PQclearp) PGresult *list = NULL;
        CLEANUP(PQclearp) PGresult *values = NULL;
        size_t n;

        if (ask(view,
                "SELECT string_agg(format('SELECT %L, %L, last_value, is_called FROM %I.%I', "
                "n.nspname, c.relname, n.nspname, c.relname), ' UNION ALL '), 'SELECT "
                "has_sequence_privilege(name, ''SELECT'') FROM unnest(ARRAY[' || "
                "string_agg(quote_literal(format('%I.%I', n.nspname, c.relname)), ', ') || ']) AS "
                "names(name)'" RELATIONS "AND c.relkind = 'S'",
                &list, err) < 0)
                return -1;
        if (PQgetisnull(list, 0, 0))
                return 0;
        /* Nobody can lock a sequence.  A statement that is prepared has no plan yet, but what it
         * names stays what it is: look then whether that are sequences. */
        if (postgres_runf(view->look, err, "PREPARE sequences AS %s", PQgetvalue(list, 0, 0)) < 0 ||
            postgres_ask(view->look, PQgetvalue(list, 0, 1), NULL, 0, NULL, err) < 0 ||
            postgres_ask(view->look, "EXECUTE sequences", NULL, 0, &values, err) < 0)
                return err_wrap(err, "reading the sequences of '%s'", view->name);
        n = (size_t)PQntuples(values);
        view->sequences = calloc(n + 1, sizeof(*view->sequences));
        if (view->sequences == NULL)
                return err_oom(err);
        for (size_t i = 0; i < n; i++) {
                struct postgres_sequence *one = &view->sequences[view->n_sequences++];

                one->schema = strdup(PQgetvalue(values, (int)i, 0));
                one->name = strdup(PQgetvalue(values, (int)i, 1));
                one->value = strdup(PQgetvalue(values, (int)i, 2));
                one->called = PQgetvalue(values, (int)i, 3)[0] == 't';
                if (one->schema == NULL || one->name == NULL || one->value == NULL)
                        return err_oom(err);
        }
        return 0;
}

/* A value of a type that lies in the schema itself goes as text: the copy has a type of its own.
 * format() uses the type's output function, where a cast could be somebody's; num_nulls() tells
 * NULL from a row of NULLs. */
/* clang-format off */
static const char tables_sql[] =
        "WITH path AS MATERIALIZED (SELECT set_config('search_path', $3::text, true) AS p) SELECT "
        "c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner), pg_table_size(c.oid), "
        "c.relforcerowsecurity, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) "
        "FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND "
        "a.attgenerated = ''), (SELECT string_agg(CASE WHEN ty.typnamespace = ANY ($1::oid[]) AND "
        "(ty.typtype <> 'b' OR ty.typelem <> 0) AND NOT EXISTS (SELECT FROM pg_depend e WHERE "
        "e.classid = 'pg_type'::regclass AND e.deptype = 'e' AND e.objid = CASE WHEN ty.typtype = "
        "'b' THEN ty.typelem ELSE ty.oid END) THEN format('CASE WHEN num_nulls(%1$I) = 0 THEN "
        "CAST(format(''%%s'', %1$I) AS %2$s) END', a.attname, format_type(a.atttypid, "
        "a.atttypmod)) ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum) FROM pg_attribute "
        "a JOIN pg_type ty ON ty.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND "
        "NOT a.attisdropped AND a.attgenerated = ''), " EVALUATES
        " FROM path CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
        "path.p IS NOT NULL AND n.oid = ANY ($1::oid[]) AND ($2::text "
        "IS NULL OR starts_with(c.relname::text, $2)) AND c.relkind = 'r' AND c.relpersistence <> "
        "'t' AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND "
        "e.objid = c.oid AND e.deptype = 'e') ORDER BY 5 DESC, c.oid";
/* clang-format on */

int postgres_view_tables(struct postgres_view *view, struct err *err)
{
        const char *const params[] = { view->scope.oids, view->scope.prefix, view->scope.path };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (view->tables != NULL)
                return 0;
        if (postgres_ask(view->look, tables_sql, params, 3, &result, err) < 0 ||
            postgres_run(view->look, "SET search_path = pg_catalog, pg_temp", err) < 0)
                return err_wrap(err, "reading the tables of '%s'", view->name);
        view->tables = calloc((size_t)PQntuples(result) + 1, sizeof(*view->tables));
        if (view->tables == NULL)
                return err_oom(err);
        for (int i = 0; i < PQntuples(result); i++) {
                struct postgres_table *table = &view->tables[view->n_tables++];

                table->oid = (uint32_t)strtoul(PQgetvalue(result, i, 0), NULL, 10);
                table->schema = strdup(PQgetvalue(result, i, 1));
                table->name = strdup(PQgetvalue(result, i, 2));
                table->owner = strdup(PQgetvalue(result, i, 3));
                table->bytes = strtoull(PQgetvalue(result, i, 4), NULL, 10);
                table->forced = PQgetvalue(result, i, 5)[0] == 't';
                table->columns = strdup(PQgetvalue(result, i, 6));
                table->selected = strdup(PQgetvalue(result, i, 7));
                table->generated = PQgetvalue(result, i, 8)[0] == 't';
                if (table->schema == NULL || table->name == NULL || table->owner == NULL ||
                    table->columns == NULL || table->selected == NULL)
                        return err_oom(err);
        }
        return 0;
}

/* By names, as another database has other numbers; columns of a child may be in another order. */
static int shapes(struct postgres_link *link, const struct postgres_scope *scope,
                  PGresult **ret_result, struct err *err)
{
        const char *const params[] = { scope->oids, scope->prefix };

        return postgres_ask(
                link,
                "SELECT n.nspname, c.relname, ARRAY(SELECT a.attname FROM pg_attribute "
                "a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                "AND a.attgenerated = '' ORDER BY a.attname)::text, " EVALUATES RELATIONS
                "AND c.relkind = 'r' ORDER BY n.nspname, c.relname",
                params, 2, ret_result, err);
}

int postgres_view_alike(struct postgres_link *link, const struct postgres_view *view,
                        struct err *err)
{
        CLEANUP(PQclearp) PGresult *ours = NULL;
        CLEANUP(PQclearp) PGresult *theirs = NULL;
        struct postgres_scope scope;
        int r;

        if (postgres_scope_find(link, NULL, view->scope.prefix, &scope, err) < 0)
                return -1;
        r = shapes(link, &scope, &theirs, err);
        postgres_scope_done(&scope);
        if (r < 0 || shapes(view->look, &view->scope, &ours, err) < 0)
                return -1;
        for (int i = 0; i < PQntuples(ours) || i < PQntuples(theirs); i++) {
                bool same = i < PQntuples(ours) && i < PQntuples(theirs);

                for (int j = 0; same && j < PQnfields(ours); j++)
                        same = strcmp(PQgetvalue(ours, i, j), PQgetvalue(theirs, i, j)) == 0;
                if (!same)
                        return err_fail(err, ERR_REFUSED, 0,
                                        "the table '%s' came into the copy otherwise than it is, "
                                        "before its rows: somebody's function does what it should "
                                        "not",
                                        PQgetvalue(i < PQntuples(ours) ? ours : theirs, i, 1));
        }
        return 0;
}

static int begin(struct postgres_view *view, const struct postgres_source *source,
                 int64_t until_usec, struct err *err)
{
        bool same = false;

        view->name = strdup(source->name);
        if (view->name == NULL)
                return err_oom(err);
        if (postgres_connect(source->server, source->database, &view->look, err) < 0 ||
            (until_usec != 0 &&
             postgres_connect(source->server, source->database, &view->lock, err) < 0))
                return -1;
        if (postgres_scope_find(view->look, source->schema, source->prefix, &view->scope, err) <
                    0 ||
            postgres_restrict(view->look, err) < 0)
                return -1;
        for (int round = 0; !same; round++) {
                if (round == ROUNDS)
                        return err_fail(err, ERR_BUSY, 0,
                                        "tables of '%s' come and go all the time; try again when "
                                        "nobody alters them",
                                        view->name);
                if (open_once(view, until_usec, &same, err) < 0)
                        return -1;
        }
        return read_sequences(view, err);
}

int postgres_view_open(const struct postgres_source *source, unsigned deadline_msec,
                       struct postgres_view **ret_view, struct err *err)
{
        struct postgres_view *view = calloc(1, sizeof(*view));
        int64_t until_usec =
                deadline_msec == 0 ? 0 : clock_boot_usec() + (int64_t)deadline_msec * 1000;

        if (view == NULL)
                return err_oom(err);
        view->until_usec = until_usec;
        if (begin(view, source, until_usec, err) < 0) {
                postgres_view_close(view);
                return -1;
        }
        *ret_view = view;
        return 0;
}

int postgres_view_release(struct postgres_view *view, struct err *err)
{
        struct err why;
        int r = postgres_run(view->lock, "COMMIT", &why);

        postgres_close(STEAL(view->lock));
        if (r < 0)
                return err_fail(err, ERR_TIMEOUT, 0,
                                "the deadline had passed, and the writers of '%s' went on before "
                                "all was captured (%.200s)",
                                view->name, why.msg);
        return 0;
}

void postgres_view_close(struct postgres_view *view)
{
        if (view == NULL)
                return;
        postgres_close(view->lock);
        postgres_close(view->look);
        postgres_scope_done(&view->scope);
        for (size_t i = 0; i < view->n_tables; i++) {
                free(view->tables[i].schema);
                free(view->tables[i].name);
                free(view->tables[i].owner);
                free(view->tables[i].columns);
                free(view->tables[i].selected);
        }
        for (size_t i = 0; i < view->n_sequences; i++) {
                free(view->sequences[i].schema);
                free(view->sequences[i].name);
                free(view->sequences[i].value);
        }
        free(view->tables);
        free(view->sequences);
        free(view->name);
        free(view->told);
        free(view);
}

int postgres_view_send(struct postgres_link *link, const char *schema, const char *name,
                       const char *columns, struct err *err)
{
        CLEANUP(freep) char *sql = NULL;
        char place[POSTGRES_NAME_MAX], table[POSTGRES_NAME_MAX];
        bool none = columns[0] == '\0';

        if (postgres_quote(schema, place, err) < 0 || postgres_quote(name, table, err) < 0)
                return -1;
        if (asprintf(&sql, "COPY %s.%s %s%s%s TO STDOUT", place, table, none ? "" : "(", columns,
                     none ? "" : ")") < 0) {
                sql = NULL;
                return err_oom(err);
        }
        return postgres_begin_copy(link, sql, PGRES_COPY_OUT, err);
}

/* The rows are sent to be counted, by the column that is the least to send: a count(*) would have a
 * plan.  As they are stored: written as text, a large value could be too large. */
static const char narrow_sql[] =
        "SELECT format('COPY %I.%I %s TO STDOUT%s', n.nspname, c.relname, '(' || "
        "quote_ident(a.attname) || ')', ' (FORMAT binary)' || left(a.attname, 0)) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN (pg_attribute a JOIN pg_type t ON "
        "t.oid = a.atttypid AND t.typsend <> 0) ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "
        "a.attisdropped AND a.attgenerated = '' WHERE n.nspname = $1 AND c.relname = $2 AND "
        "c.relkind = 'r' ORDER BY a.attlen < 0, a.attlen, a.attnum LIMIT 1";

static int count(struct postgres_link *link, const struct postgres_table *table, const char *schema,
                 uint64_t *ret_rows, struct err *err)
{
        const char *const params[] = { schema == NULL ? table->schema : schema, table->name };
        CLEANUP(PQclearp) PGresult *statement = NULL;
        CLEANUP(PQclearp) PGresult *result = NULL;
        char *row = NULL;
        int r;

        if (postgres_ask(link, narrow_sql, params, 2, &statement, err) < 0)
                return -1;
        if (PQntuples(statement) == 0)
                return err_fail(err, ERR_NOT_FOUND, 0, "the table '%s' is gone", table->name);
        if (postgres_begin_copy(link, PQgetvalue(statement, 0, 0), PGRES_COPY_OUT, err) < 0)
                return err_wrap(err, "counting the table '%s'", table->name);
        while (PQgetCopyData(link->conn, &row, 0) > 0)
                PQfreemem(row);
        /* The end of COPY TO says whether it was one. */
        r = postgres_answer(link, &result, err);
        if (r < 0)
                return err_wrap(err, "counting the table '%s'", table->name);
        *ret_rows = strtoull(PQcmdTuples(result), NULL, 10);
        return 0;
}

int postgres_view_count(struct postgres_link *link, const struct postgres_view *view,
                        const char *schema, struct err *err)
{
        for (size_t i = 0; i < view->n_tables; i++) {
                const struct postgres_table *table = &view->tables[i];
                uint64_t rows;

                if (count(link, table, schema, &rows, err) < 0)
                        return -1;
                if (rows != table->rows)
                        return err_fail(err, ERR_CORRUPT, 0,
                                        "the copy differs: its table '%s' has %llu rows, the "
                                        "original had %llu",
                                        table->name, (unsigned long long)rows,
                                        (unsigned long long)table->rows);
        }
        return 0;
}

int postgres_view_recount(struct postgres_link *link, struct postgres_view *view, struct err *err)
{
        for (size_t i = 0; i < view->n_tables; i++)
                if (count(link, &view->tables[i], NULL, &view->tables[i].rows, err) < 0)
                        return -1;
        return 0;
}

int postgres_restrict(struct postgres_link *link, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link,
                         "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings "
                         "WHERE name = 'restrict_nonsystem_relation_kind'",
                         NULL, 0, &result, err) < 0)
                return -1;
        return PQntuples(result) == 1
                       ? 0
                       : err_fail(err, ERR_UNSUPPORTED, 0,
                                  "this server lets whoever owns a table run code as whoever reads "
                                  "it (CVE-2024-7348); update it to 13.16, 14.13, 15.8, 16.4 or "
                                  "later");
}
