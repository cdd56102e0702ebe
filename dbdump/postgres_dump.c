/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_check.h"
#include "dbdump/postgres_dump.h"

#define PIECE_BYTES (256 << 10)

const char postgres_dump_head[] = "A database of PostgreSQL, dumped by sitesnap, form 1.\n";

struct dumping {
        struct postgres_view *view;
        const char *database;
        struct postgres_link *rows; /* what the view sees, on a connection of its own */
        db_sink sink;
        void *arg;
        char *piece;
        size_t used;
        uint64_t all_rows;
};

static int put(struct dumping *dumping, const char *word, const char *const texts[3], size_t first,
               uint64_t a, uint64_t b, struct err *err)
{
        size_t n[3] = { first, strlen(texts[1]), strlen(texts[2]) };
        char line[160];
        int size = snprintf(line, sizeof(line), "%s %zu %zu %zu %" PRIu64 " %" PRIu64 "\n", word,
                            n[0], n[1], n[2], a, b);

        if (dumping->sink(line, (size_t)size, dumping->arg, err) < 0)
                return -1;
        for (int i = 0; i < 3; i++)
                if (n[i] > 0 && dumping->sink(texts[i], n[i], dumping->arg, err) < 0)
                        return -1;
        return dumping->sink("\n", 1, dumping->arg, err);
}

static int put_texts(struct dumping *dumping, const char *word, const char *one, const char *two,
                     const char *three, uint64_t a, uint64_t b, struct err *err)
{
        const char *const texts[] = { one, two, three };

        return put(dumping, word, texts, strlen(one), a, b, err);
}

/* Each row of an answer as a record of three texts. */
static int put_answer(struct dumping *dumping, const char *word, const char *sql, struct err *err)
{
        const char *const params[] = { dumping->view->scope.oids };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(dumping->view->look, sql, params, 1, &result, err) < 0)
                return -1;
        for (int i = 0; i < PQntuples(result); i++)
                if (put_texts(dumping, word, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
                              PQgetvalue(result, i, 2), 0, 0, err) < 0)
                        return -1;
        return 0;
}

/* clang-format off */
static const struct {
        const char *word, *sql;
} home[] = {
        { "database",
          "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE "
          "datname = current_database() AND $1::oid[] IS NOT NULL" },
        { "locale",
          "SELECT to_jsonb(d) ->> 'datlocprovider', coalesce(to_jsonb(d) ->> 'daticulocale', "
          "to_jsonb(d) ->> 'datlocale', ''), coalesce(to_jsonb(d) ->> 'daticurules', '') FROM "
          "pg_database d WHERE datname = current_database() AND $1::oid[] IS NOT NULL AND "
          "to_jsonb(d) ->> 'datlocprovider' IN ('i', 'b')" },
        { "schema", "SELECT nspname, '', '' FROM pg_namespace WHERE oid = ANY ($1::oid[])" },
        { "extension",
          "SELECT x.extname, CASE WHEN n.nspname = 'pg_catalog' OR EXISTS (SELECT FROM pg_depend e "
          "WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e') "
          "THEN '' ELSE n.nspname END, x.extversion FROM pg_extension x JOIN pg_namespace n ON "
          "n.oid = x.extnamespace WHERE x.extname <> 'plpgsql' AND $1::oid[] IS NOT NULL ORDER BY "
          "x.oid" },
};
/* clang-format on */

static int put_home(struct dumping *dumping, struct err *err)
{
        if (dumping->database != NULL)
                return 0;
        for (size_t i = 0; i < sizeof(home) / sizeof(home[0]); i++)
                if (put_answer(dumping, home[i].word, home[i].sql, err) < 0)
                        return -1;
        return 0;
}

static int read_objects(struct dumping *dumping, bool tell, struct postgres_objects *ret_objects,
                        struct err *err)
{
        struct postgres_view *view = dumping->view;
        bool schema = dumping->database != NULL;

        return postgres_objects_read(view->look, &view->scope,
                                     !schema ? NULL
                                     : tell  ? "_"
                                             : POSTGRES_DUMP_HERE,
                                     tell ? "_" : POSTGRES_DUMP_THERE, ret_objects, err);
}

static int put_objects(struct dumping *dumping, struct err *err)
{
        struct postgres_view *view = dumping->view;
        struct postgres_objects objects;
        int r = 0;

        if (postgres_view_tables(view, err) < 0 ||
            postgres_check_dump(view->look, &view->scope, err) < 0 ||
            read_objects(dumping, true, &objects, err) < 0)
                return -1;
        free(STEAL(view->told));
        r = postgres_objects_text(&objects, &view->told, err);
        postgres_objects_done(&objects);
        if (r < 0 || read_objects(dumping, false, &objects, err) < 0)
                return -1;
        for (size_t i = 0; r == 0 && i < objects.n; i++)
                if (objects.list[i].phase < POSTGRES_GRANT)
                        r = put_texts(dumping, "object", objects.list[i].kind, objects.list[i].name,
                                      objects.list[i].statement, objects.list[i].phase,
                                      objects.list[i].table, err);
        postgres_objects_done(&objects);
        return r;
}

static int put_piece(struct dumping *dumping, const char *bytes, size_t n, struct err *err)
{
        const char *const texts[] = { bytes, "", "" };

        return n == 0 ? 0 : put(dumping, "rows", texts, n, 0, 0, err);
}

static int add_row(struct dumping *dumping, const char *row, size_t n, struct err *err)
{
        while (n > 0) {
                size_t room = PIECE_BYTES - dumping->used, some = n < room ? n : room;

                memcpy(dumping->piece + dumping->used, row, some);
                dumping->used += some;
                row += some;
                n -= some;
                if (dumping->used < PIECE_BYTES)
                        continue;
                if (put_piece(dumping, dumping->piece, dumping->used, err) < 0)
                        return -1;
                dumping->used = 0;
        }
        return 0;
}

static int put_rows(struct dumping *dumping, struct postgres_table *table, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        PGconn *conn = dumping->rows->conn;
        int n, r = 0;

        dumping->used = 0;
        for (table->rows = 0; r == 0; table->rows++) {
                CLEANUP(postgres_freememp) char *row = NULL;

                n = PQgetCopyData(conn, &row, 0);
                if (n < 0)
                        break;
                r = add_row(dumping, row, (size_t)n, err);
        }
        if (r < 0)
                return -1;
        /* The end of COPY TO says whether it was one. */
        if (postgres_answer(dumping->rows, &result, err) < 0)
                return -1;
        dumping->all_rows += table->rows;
        return put_piece(dumping, dumping->piece, dumping->used, err);
}

static unsigned count_columns(const char *columns)
{
        unsigned n = columns[0] != '\0';
        bool quoted = false;

        for (; *columns != '\0'; columns++) {
                quoted ^= *columns == '"';
                n += *columns == ',' && !quoted;
        }
        return n;
}

static int put_table(struct dumping *dumping, struct postgres_table *table, struct err *err)
{
        return put_texts(dumping, "table", dumping->database == NULL ? table->schema : "",
                         table->name, "", table->oid, count_columns(table->columns), err) < 0 ||
                               postgres_view_send(dumping->rows, table->schema, table->name,
                                                  table->columns, err) < 0
                       ? -1
                       : put_rows(dumping, table, err);
}

static int put_all(struct dumping *dumping, struct err *err)
{
        struct postgres_view *view = dumping->view;

        if (dumping->sink(postgres_dump_head, strlen(postgres_dump_head), dumping->arg, err) < 0 ||
            put_home(dumping, err) < 0 || put_objects(dumping, err) < 0)
                return -1;
        for (size_t i = 0; i < view->n_tables; i++)
                if (put_table(dumping, &view->tables[i], err) < 0)
                        return err_wrap(err, "the table '%s'", view->tables[i].name);
        for (size_t i = 0; i < view->n_sequences; i++)
                if (put_texts(dumping, "sequence",
                              dumping->database == NULL ? view->sequences[i].schema : "",
                              view->sequences[i].name, view->sequences[i].value,
                              view->sequences[i].called, 0, err) < 0)
                        return -1;
        return put_texts(dumping, "end", "", "", "", view->n_tables, dumping->all_rows, err);
}

int postgres_dump_make(const struct postgres_server *server, const char *database,
                       struct postgres_view *view, db_sink sink, void *arg, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *rows = NULL;
        CLEANUP(freep) char *piece = malloc(PIECE_BYTES);
        struct dumping dumping = {
                .view = view,
                .database = database,
                .sink = sink,
                .arg = arg,
                .piece = piece,
        };

        if (piece == NULL)
                return err_oom(err);
        if (postgres_connect(server, database == NULL ? view->name : database, &rows, err) < 0 ||
            postgres_patience(rows, 0, err) < 0 || postgres_restrict(rows, err) < 0 ||
            postgres_runf(rows, err,
                          "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                          "SET TRANSACTION SNAPSHOT '%s'",
                          view->snapshot) < 0)
                return -1;
        dumping.rows = rows;
        return put_all(&dumping, err);
}
