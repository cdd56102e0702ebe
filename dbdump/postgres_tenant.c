/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_tenant.h"

/* What may be only a matter of order: a name that is not there yet, a view's key, a materialized
 * view that has no rows yet. */
static const char body_head[] =
        "DECLARE done boolean[]; progress boolean; failed text[]; total bigint := 0; "
        "written bigint; i int; why text; its_column text; its_rule text; its_type "
        "text; statements text[] := ARRAY[";
static const char body_names[] = "]::text[]; names text[] := ARRAY[";
static const char body_tail[] =
        "]::text[]; BEGIN done := array_fill(false, ARRAY[cardinality(statements)]); LOOP "
        "progress := false; failed := '{}'; FOR i IN 1 .. cardinality(statements) LOOP "
        "CONTINUE WHEN done[i]; BEGIN EXECUTE statements[i]; "
        "GET DIAGNOSTICS written = ROW_COUNT; total := total + written; "
        "done[i] := true; progress := true; EXCEPTION "
        "WHEN undefined_table OR undefined_function OR undefined_object OR undefined_column OR "
        "grouping_error OR object_not_in_prerequisite_state OR invalid_schema_name OR "
        "invalid_foreign_key THEN failed := failed || i::text || (names[i] || ': ' || SQLERRM); "
        "WHEN OTHERS THEN GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL, its_column = "
        "COLUMN_NAME, its_rule = CONSTRAINT_NAME, its_type = PG_DATATYPE_NAME; "
        "RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = names[i] || ': ' || SQLERRM, "
        "DETAIL = why, TABLE = names[i], COLUMN = its_column, CONSTRAINT = its_rule, DATATYPE = "
        "its_type; END; END LOOP; "
        "EXIT WHEN NOT progress OR cardinality(failed) = 0; END LOOP; "
        "INSERT INTO ";
static const char body_end[] = " SELECT u.number, u.said FROM unnest(total::text || failed) WITH "
                               "ORDINALITY AS u(said, number); RETURN true; END";

static int put_list(FILE *out, struct postgres_link *link, const char *const *texts, size_t n,
                    struct err *err)
{
        for (size_t i = 0; i < n; i++) {
                CLEANUP(postgres_freememp) char *literal = postgres_literal(link, texts[i], err);

                if (literal == NULL)
                        return -1;
                (void)fprintf(out, "%s%s", i > 0 ? ", " : "", literal);
        }
        return 0;
}

static int put_body(struct postgres_link *link, const char *const *names,
                    const char *const *statements, size_t n, const char *answers, char **ret_body,
                    struct err *err)
{
        CLEANUP(freep) char *body = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&body, &bytes);
        int r;

        if (out == NULL)
                return err_oom(err);
        (void)fputs(body_head, out);
        r = put_list(out, link, statements, n, err);
        (void)fputs(body_names, out);
        r = r < 0 ? r : put_list(out, link, names, n, err);
        (void)fprintf(out, "%s%s%s", body_tail, answers, body_end);
        if (fclose(out) != 0 && r == 0)
                r = err_oom(err);
        if (r == 0)
                *ret_body = STEAL(body);
        return r;
}

int postgres_tenant_sql(struct postgres_link *link, const struct postgres_tenant *tenant,
                        const char *const *names, const char *const *statements, size_t n,
                        char **ret_sql, struct err *err)
{
        CLEANUP(freep) char *body = NULL;
        CLEANUP(postgres_freememp) char *literal = NULL;
        char owner[POSTGRES_NAME_MAX], run[48], snapshot[160] = "";
        char answers[POSTGRES_NAME_MAX + 48];

        (void)snprintf(run, sizeof(run), "\"sitesnap.run%u\"", tenant->worker);
        (void)snprintf(answers, sizeof(answers), "%s.\"sitesnap.said%u\"", tenant->work,
                       tenant->worker);
        if (postgres_quote(tenant->owner, owner, err) < 0 ||
            put_body(link, names, statements, n, answers, &body, err) < 0)
                return -1;
        literal = postgres_literal(link, body, err);
        if (literal == NULL)
                return -1;
        if (tenant->snapshot != NULL)
                (void)snprintf(snapshot, sizeof(snapshot),
                               " ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '%s'",
                               tenant->snapshot);
        if (asprintf(ret_sql,
                     "BEGIN%1$s; CREATE TABLE %7$s (number bigint, said text); GRANT INSERT ON "
                     "%7$s TO "
                     "%6$s; CREATE FUNCTION %2$s.%3$s() RETURNS boolean LANGUAGE plpgsql "
                     "SET search_path = %4$s AS %5$s; "
                     "ALTER FUNCTION %2$s.%3$s() OWNER TO %6$s; "
                     "CREATE MATERIALIZED VIEW %2$s.%3$s AS SELECT %2$s.%3$s() "
                     "WITH NO DATA; ALTER MATERIALIZED VIEW %2$s.%3$s OWNER TO %6$s; "
                     "REFRESH MATERIALIZED VIEW %2$s.%3$s; SELECT said FROM %7$s ORDER BY number; "
                     "DROP MATERIALIZED VIEW %2$s.%3$s; DROP FUNCTION %2$s.%3$s(); "
                     "DROP TABLE %7$s; COMMIT",
                     snapshot, tenant->work, run, tenant->path[0] == '\0' ? "''" : tenant->path,
                     literal, owner, answers) < 0) {
                *ret_sql = NULL;
                return err_oom(err);
        }
        return 0;
}
