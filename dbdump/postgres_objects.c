/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_kinds.h"
#include "dbdump/postgres_repoint.h"

int postgres_scope_find(struct postgres_link *link, const char *schema, const char *prefix,
                        struct postgres_scope *ret_scope, struct err *err)
{
        static const char sql[] =
                "SELECT array_agg(n.oid)::text FROM pg_namespace n WHERE CASE WHEN $1::text IS "
                "NULL "
                "THEN n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS "
                "(SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = "
                "n.oid AND e.deptype = 'e') ELSE n.nspname = $1 END";
        CLEANUP(PQclearp) PGresult *result = NULL;
        char quoted[POSTGRES_NAME_MAX] = "";

        *ret_scope = (struct postgres_scope){ 0 };
        if (schema != NULL && postgres_quote(schema, quoted, err) < 0)
                return -1;
        if (postgres_ask(link, sql, &schema, 1, &result, err) < 0)
                return err_wrap(err, "looking for the schemas");
        if (PQgetisnull(result, 0, 0) && schema != NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no schema '%s'", schema);
        ret_scope->oids = strdup(PQgetisnull(result, 0, 0) ? "{}" : PQgetvalue(result, 0, 0));
        ret_scope->path = strdup(quoted);
        ret_scope->schema = schema == NULL ? NULL : strdup(schema);
        ret_scope->prefix = prefix;
        if (ret_scope->oids == NULL || ret_scope->path == NULL ||
            (schema != NULL && ret_scope->schema == NULL)) {
                postgres_scope_done(ret_scope);
                return err_oom(err);
        }
        return 0;
}

void postgres_scope_done(struct postgres_scope *scope)
{
        free(scope->oids);
        free(scope->path);
        free(scope->schema);
        *scope = (struct postgres_scope){ 0 };
}

void postgres_objects_done(struct postgres_objects *objects)
{
        for (size_t i = 0; i < objects->n; i++) {
                free(objects->list[i].name);
                free(objects->list[i].owner);
                free(objects->list[i].statement);
        }
        free(objects->list);
        *objects = (struct postgres_objects){ 0 };
}

static int take_row(struct postgres_object *object, const struct postgres_kind *kind,
                    const PGresult *result, int row, const struct postgres_scope *scope,
                    const char *last, struct err *err)
{
        const char *text = PQgetvalue(result, row, 3);
        char what[200];

        *object = (struct postgres_object){ .kind = kind->name, .phase = kind->phase };
        (void)snprintf(what, sizeof(what), "the %s '%s'", kind->name, PQgetvalue(result, row, 0));
        if (PQgetisnull(result, row, 3))
                return err_fail(err, ERR_UNSUPPORTED, 0, "%s has a definition of unknown form",
                                what);
        object->table = (uint32_t)strtoul(PQgetvalue(result, row, 2), NULL, 10);
        object->name = strdup(PQgetvalue(result, row, 0));
        object->owner = strdup(PQgetvalue(result, row, 1));
        if (object->name == NULL || object->owner == NULL)
                return err_oom(err);
        if (last != NULL && scope->schema != NULL && strcmp(kind->name, "function") == 0)
                return postgres_repoint(text, scope->schema, last, what, &object->statement, err);
        object->statement = strdup(text);
        return object->statement == NULL ? err_oom(err) : 0;
}

/* All questions as one: each is a round trip otherwise, and there are thirty. */
static int question(char **ret_sql, struct err *err)
{
        size_t bytes = 0;
        FILE *out = open_memstream(ret_sql, &bytes);

        if (out == NULL)
                return err_oom(err);
        for (const struct postgres_kind *kind = postgres_kinds; kind->name != NULL; kind++)
                (void)fprintf(out,
                              "%sSELECT a::text, b::text, c::oid, d, %td, row_number() OVER () "
                              "FROM (%s) AS q(a, b, c, d)",
                              kind == postgres_kinds ? "" : " UNION ALL ", kind - postgres_kinds,
                              kind->sql);
        (void)fputs(" ORDER BY 5, 6", out);
        return fclose(out) == 0 ? 0 : err_oom(err);
}

int postgres_objects_read(struct postgres_link *link, const struct postgres_scope *scope,
                          const char *target, const char *last,
                          struct postgres_objects *ret_objects, struct err *err)
{
        const char *const params[] = { scope->oids, target, scope->prefix, scope->path };
        CLEANUP(PQclearp) PGresult *result = NULL;
        CLEANUP(freep) char *sql = NULL;
        int r = 0;

        *ret_objects = (struct postgres_objects){ 0 };
        /* In a transaction the statement's path stays: nothing of ours may be looked up there. */
        if (question(&sql, err) < 0 || postgres_ask(link, sql, params, 4, &result, err) < 0 ||
            postgres_run(link, "SET search_path = pg_catalog, pg_temp", err) < 0)
                return err_wrap(err, "reading the definitions");
        ret_objects->list = calloc((size_t)PQntuples(result) + 1, sizeof(*ret_objects->list));
        if (ret_objects->list == NULL)
                return err_oom(err);
        for (int i = 0; r == 0 && i < PQntuples(result); i++) {
                const struct postgres_kind *kind =
                        &postgres_kinds[strtoul(PQgetvalue(result, i, 4), NULL, 10)];

                /* Counted before it is whole, so that what it has got is freed. */
                r = take_row(&ret_objects->list[ret_objects->n++], kind, result, i, scope, last,
                             err);
        }
        if (r < 0)
                postgres_objects_done(ret_objects);
        return r;
}

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "table orders" is said by its columns, the rest by its statement. */
static char *line_of(const struct postgres_object *object)
{
        char *line = NULL;
        int n;

        n = asprintf(&line, "%s %s: %s", object->kind, object->name, object->statement);
        if (n < 0)
                return NULL;
        for (char *c = line; *c != '\0'; c++)
                if (*c == '\n')
                        *c = ' ';
        return line;
}

int postgres_objects_text(const struct postgres_objects *objects, char **ret_text, struct err *err)
{
        char **lines = calloc(objects->n + 1, sizeof(*lines));
        size_t n = 0, bytes = 0;
        char *text = NULL;
        int r = 0;

        for (size_t i = 0; lines != NULL && i < objects->n; i++) {
                if (objects->list[i].phase == POSTGRES_GRANT)
                        continue;
                lines[n] = line_of(&objects->list[i]);
                if (lines[n++] == NULL)
                        r = -1;
        }
        if (lines != NULL && r == 0) {
                FILE *out = open_memstream(&text, &bytes);

                qsort(lines, n, sizeof(*lines), compare);
                for (size_t i = 0; out != NULL && i < n; i++)
                        (void)fprintf(out, "%s\n", lines[i]);
                if (out == NULL || fclose(out) != 0)
                        r = -1;
        }
        for (size_t i = 0; lines != NULL && i < n; i++)
                free(lines[i]);
        if (lines == NULL || r < 0) {
                free(lines);
                free(text);
                return err_oom(err);
        }
        free(lines);
        *ret_text = text;
        return 0;
}
