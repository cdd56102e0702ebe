/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_diff.h"
#include "dbdump/postgres_view.h"

#define SIDE   "pg_temp.\"sitesnap.diff\""
#define NO_KEY "99999" /* behind every position in a key */

/* A key with a generated column in it is none: COPY sends no such column. */
/* clang-format off */
static const char columns_sql[] =
        "SELECT CASE WHEN $2::text IS NULL THEN n.nspname::text ELSE '' END, c.relname, a.attname, "
        "coalesce(array_position(i.indkey::smallint[], a.attnum), 99999), n.nspname, t.typoutput = "
        "'pg_catalog.byteaout'::regproc FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = "
        "a.atttypid LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND NOT EXISTS "
        "(SELECT FROM pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated <> '' AND "
        "g.attnum = ANY (i.indkey)) WHERE n.oid = ANY ($1::oid[]) AND c.relkind = 'r' AND "
        "c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' "
        "AND ($3::text IS NULL OR starts_with(c.relname::text, $3)) AND NOT EXISTS (SELECT FROM "
        "pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = "
        "'e') ORDER BY 1, 2, 4, a.attnum";
/* clang-format on */

/* One of the two streams. */
struct stream {
        int side;
        struct postgres_link *link, *scratch;
        PGresult *row; /* NULL: at the end */
        struct db_value *values;
        unsigned char **freed; /* bytes of binary columns */
};

struct table {
        const char *schema[2], *name;
        const char **columns; /* the key's first */
        bool *binary[2];      /* bytes, on either side */
        size_t n, n_key;
        bool whole;
};

static void row_done(struct stream *stream, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (stream->freed[i] != NULL)
                        PQfreemem(stream->freed[i]);
                stream->freed[i] = NULL;
        }
        PQclear(STEAL(stream->row));
}

/* The next row, or none; column 0 is what it is sorted by. */
static int next_row(struct stream *stream, const struct table *table, struct err *err)
{
        row_done(stream, table->n);
        for (;;) {
                PGresult *result = PQgetResult(stream->scratch->conn);

                if (result == NULL)
                        return 0;
                if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
                        stream->row = result;
                        break;
                }
                if (PQresultStatus(result) != PGRES_TUPLES_OK) {
                        (void)postgres_fail(err, stream->scratch, result);
                        PQclear(result);
                        return -1;
                }
                PQclear(result);
        }
        for (size_t i = 0; i < table->n; i++) {
                int column = (int)i + 1;
                struct db_value *value = &stream->values[i];

                *value = (struct db_value){ PQgetvalue(stream->row, 0, column),
                                            (size_t)PQgetlength(stream->row, 0, column) };
                if (PQgetisnull(stream->row, 0, column))
                        *value = (struct db_value){ NULL, 0 };
                else if (table->binary[stream->side][i]) {
                        stream->freed[i] =
                                PQunescapeBytea((const unsigned char *)value->bytes, &value->size);
                        if (stream->freed[i] == NULL)
                                return err_oom(err);
                        value->bytes = (const char *)stream->freed[i];
                }
        }
        return 0;
}

/* "c0, c1": a column for each of the table's, in the table of text. */
static void put_columns(FILE *out, size_t n, const char *behind)
{
        for (size_t i = 0; i < n; i++)
                (void)fprintf(out, "%sc%zu%s", i > 0 ? ", " : "", i, behind);
}

/* "a, b": as they are called. */
static int join(const struct table *table, char **ret_text, struct err *err)
{
        char name[POSTGRES_NAME_MAX];
        size_t bytes = 0;
        FILE *out = open_memstream(ret_text, &bytes);
        int r = 0;

        if (out == NULL)
                return err_oom(err);
        for (size_t i = 0; r == 0 && i < table->n; i++) {
                r = postgres_quote(table->columns[i], name, err);
                (void)fprintf(out, "%s%s", i > 0 ? ", " : "", name);
        }
        return fclose(out) == 0 ? r : err_oom(err);
}

/* Rows go into a temporary table as text, as they are written in a dump, and are sorted there: the
 * plan of a SELECT from the tenant's own table would call functions of his, as us. */
static int stage(struct stream *stream, const struct table *table, const char *schema,
                 struct err *err)
{
        CLEANUP(freep) char *columns = NULL;
        CLEANUP(freep) char *sql = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&sql, &bytes);
        int n, r = 0;

        if (out == NULL)
                return err_oom(err);
        (void)fputs("DROP TABLE IF EXISTS " SIDE "; CREATE TEMP TABLE " SIDE " (", out);
        put_columns(out, table->n, " text");
        (void)fputs(")", out);
        if (fclose(out) != 0)
                return err_oom(err);
        if (join(table, &columns, err) < 0)
                return -1;
        if (postgres_run(stream->scratch, sql, err) < 0 ||
            postgres_begin_copy(stream->scratch, "COPY " SIDE " FROM STDIN", PGRES_COPY_IN, err) <
                    0 ||
            postgres_view_send(stream->link, schema, table->name, columns, err) < 0)
                return -1;
        for (char *row = NULL; r == 0 && (n = PQgetCopyData(stream->link->conn, &row, 0)) > 0;
             PQfreemem(row))
                if (PQputCopyData(stream->scratch->conn, row, n) != 1)
                        r = postgres_fail(err, stream->scratch, NULL);
        if (r < 0 || postgres_answer(stream->link, NULL, err) < 0)
                return -1;
        return PQputCopyEnd(stream->scratch->conn, NULL) == 1
                       ? postgres_answer(stream->scratch, NULL, err)
                       : postgres_fail(err, stream->scratch, NULL);
}

static int start(struct stream *stream, const struct table *table, const char *schema,
                 struct err *err)
{
        CLEANUP(freep) char *sql = NULL;
        size_t bytes = 0;
        FILE *out;

        if (stage(stream, table, schema, err) < 0)
                return -1;
        out = open_memstream(&sql, &bytes);
        if (out == NULL)
                return err_oom(err);
        (void)fputs("SELECT format('", out);
        for (size_t i = 0; i < table->n_key; i++)
                (void)fputs("%L,", out);
        (void)fputs("', ", out);
        put_columns(out, table->n_key, "");
        (void)fputs(") COLLATE \"C\", ", out);
        put_columns(out, table->n, "");
        (void)fputs(" FROM " SIDE " ORDER BY 1", out);
        if (fclose(out) != 0)
                return err_oom(err);
        if (!PQsendQuery(stream->scratch->conn, sql) || !PQsetSingleRowMode(stream->scratch->conn))
                return postgres_fail(err, stream->scratch, NULL);
        return next_row(stream, table, err);
}

static bool alike(const struct stream *a, const struct stream *b, size_t from, size_t n)
{
        for (size_t i = from; i < n; i++)
                if ((a->values[i].bytes == NULL) != (b->values[i].bytes == NULL) ||
                    a->values[i].size != b->values[i].size ||
                    (a->values[i].size > 0 &&
                     memcmp(a->values[i].bytes, b->values[i].bytes, a->values[i].size) != 0))
                        return false;
        return true;
}

static int tell(const struct table *table, enum db_change change, const struct stream *from,
                const struct stream *to, db_row_report report, void *arg, struct err *err)
{
        const struct db_row_change row = {
                .table = table->name,
                .change = change,
                .whole = table->whole,
                .n_columns = table->n,
                .columns = table->columns,
                .n_key = table->n_key,
                .from = from == NULL ? NULL : from->values,
                .to = to == NULL ? NULL : to->values,
        };

        return report(&row, arg, err);
}

static int merge(const struct table *table, struct stream *from, struct stream *to,
                 db_row_report report, void *arg, struct err *err)
{
        int r = 0;

        if (start(from, table, table->schema[0], err) < 0 ||
            start(to, table, table->schema[1], err) < 0)
                return -1;
        while (r == 0 && (from->row != NULL || to->row != NULL)) {
                int order = from->row == NULL ? 1
                            : to->row == NULL ? -1
                                              : strcmp(PQgetvalue(from->row, 0, 0),
                                                       PQgetvalue(to->row, 0, 0));

                if (order < 0)
                        r = tell(table, DB_ROW_DELETED, from, NULL, report, arg, err);
                else if (order > 0)
                        r = tell(table, DB_ROW_INSERTED, NULL, to, report, arg, err);
                else if (!alike(from, to, table->n_key, table->n))
                        r = tell(table, DB_ROW_CHANGED, from, to, report, arg, err);
                if (r == 0 && order <= 0)
                        r = next_row(from, table, err);
                if (r == 0 && order >= 0)
                        r = next_row(to, table, err);
        }
        return r;
}

static int compare_table(const struct table *table, struct stream streams[2], db_row_report report,
                         void *arg, struct err *err)
{
        int r = 0;

        for (int side = 0; r == 0 && side < 2; side++) {
                streams[side].values = calloc(table->n, sizeof(struct db_value));
                streams[side].freed = calloc(table->n, sizeof(unsigned char *));
                if (streams[side].values == NULL || streams[side].freed == NULL)
                        r = err_oom(err);
        }
        if (r == 0)
                r = merge(table, &streams[0], &streams[1], report, arg, err);
        for (int side = 0; side < 2; side++) {
                if (streams[side].freed != NULL)
                        row_done(&streams[side], table->n);
                free(STEAL(streams[side].values));
                free(STEAL(streams[side].freed));
        }
        return r < 0 ? err_wrap(err, "comparing the table '%s'", table->name) : 0;
}

/* The rows of both lists that are about one table and column. */
static int find(const PGresult *list, const char *schema, const char *table, const char *column)
{
        for (int i = 0; i < PQntuples(list); i++)
                if (strcmp(PQgetvalue(list, i, 0), schema) == 0 &&
                    strcmp(PQgetvalue(list, i, 1), table) == 0 &&
                    (column == NULL || strcmp(PQgetvalue(list, i, 2), column) == 0))
                        return i;
        return -1;
}

/* From row ${at} on: one table; what both have of it. */
static int take_table(const PGresult *from, const PGresult *to, int *at, struct table *table,
                      struct err *err)
{
        const char *schema = PQgetvalue(from, *at, 0), *name = PQgetvalue(from, *at, 1);
        int other = find(to, schema, name, NULL);
        bool keyed = false, broken = false;

        *table = (struct table){ .name = name };
        table->schema[0] = PQgetvalue(from, *at, 4);
        table->columns = calloc((size_t)PQntuples(from) + 1, sizeof(*table->columns));
        for (int side = 0; side < 2; side++)
                table->binary[side] = calloc((size_t)PQntuples(from) + 1, sizeof(bool));
        if (table->columns == NULL || table->binary[0] == NULL || table->binary[1] == NULL)
                return err_oom(err);
        if (other >= 0)
                table->schema[1] = PQgetvalue(to, other, 4);
        for (; *at < PQntuples(from) && strcmp(PQgetvalue(from, *at, 0), schema) == 0 &&
               strcmp(PQgetvalue(from, *at, 1), name) == 0;
             (*at)++) {
                const char *column = PQgetvalue(from, *at, 2);
                bool key = strcmp(PQgetvalue(from, *at, 3), NO_KEY) != 0;
                int there = find(to, schema, name, column);
                bool both = there >= 0;

                keyed |= key;
                broken |= key && !both;
                table->n_key += key && both;
                if (!both)
                        continue;
                table->binary[0][table->n] = PQgetvalue(from, *at, 5)[0] == 't';
                table->binary[1][table->n] = PQgetvalue(to, there, 5)[0] == 't';
                table->columns[table->n++] = column;
        }
        table->whole = !keyed || broken;
        if (table->whole)
                table->n_key = table->n;
        return 0;
}

int postgres_diff(const struct postgres_side *from, const struct postgres_side *to,
                  db_row_report report, void *arg, struct err *err)
{
        const struct postgres_side *const sides[] = { from, to };
        struct stream streams[2] = { { 0, .link = from->link, .scratch = from->scratch },
                                     { 1, .link = to->link, .scratch = to->scratch } };
        CLEANUP(PQclearp) PGresult *ours = NULL;
        CLEANUP(PQclearp) PGresult *theirs = NULL;
        PGresult **const lists[] = { &ours, &theirs };
        int r = 0;

        for (int i = 0; i < 2; i++) {
                const char *const params[] = { sides[i]->scope->oids, sides[i]->scope->schema,
                                               sides[i]->scope->prefix };

                if (postgres_run(sides[i]->link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                                 err) < 0 ||
                    postgres_ask(sides[i]->link, columns_sql, params, 3, lists[i], err) < 0)
                        return -1;
        }
        for (int at = 0; r == 0 && at < PQntuples(ours);) {
                struct table table;

                r = take_table(ours, theirs, &at, &table, err);
                if (r == 0 && table.n > 0)
                        r = compare_table(&table, streams, report, arg, err);
                free(table.columns);
                free(table.binary[0]);
                free(table.binary[1]);
        }
        return r;
}
