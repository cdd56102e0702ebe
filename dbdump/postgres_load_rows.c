/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_load_rows.h"
#include "dbdump/postgres_tenant.h"

#define SIDE "\"sitesnap.rows\""

/* The statements that make the side table, and that empties it into the table: the server writes
 * them, with every type by its full name. */
/* clang-format off */
static const char plan_sql[] =
        "SELECT count(a.attnum), coalesce(string_agg('c' || a.attnum || ' text', ', ' ORDER BY "
        "a.attnum), ''), format('INSERT INTO %I.%I %s SELECT %s FROM ', n.nspname, c.relname, "
        "coalesce('(' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ') "
        "OVERRIDING SYSTEM VALUE', ''), string_agg(format('c%s::%s', a.attnum, "
        "format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) FILTER (WHERE a.attnum IS "
        "NOT NULL)) FROM pg_class c JOIN "
        "pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid "
        "AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' WHERE n.nspname = $1 AND "
        "c.relname = $2 AND c.relkind = 'r' GROUP BY n.nspname, c.relname";
/* clang-format on */

/* The connection's own encoding is none, and COPY would take bytes that are no text at all. */
static int begin_copy(struct postgres_load_rows *rows, struct err *err)
{
        const char *encoding = PQparameterStatus(rows->place->link->conn, "server_encoding");
        CLEANUP(freep) char *sql = NULL;

        if (asprintf(&sql, "COPY %s." SIDE " FROM STDIN (ENCODING '%s')", rows->place->work,
                     encoding == NULL ? "SQL_ASCII" : encoding) < 0) {
                sql = NULL;
                return err_oom(err);
        }
        return postgres_begin_copy(rows->place->link, sql, PGRES_COPY_IN, err);
}

int postgres_load_rows_begin(struct postgres_load_rows *rows, uint32_t table, const char *schema,
                             const char *name, uint64_t columns, struct err *err)
{
        const char *const params[] = { schema, name };
        struct postgres_link *link = rows->place->link;
        CLEANUP(PQclearp) PGresult *result = NULL;
        char role[POSTGRES_NAME_MAX];

        if (postgres_ask(link, plan_sql, params, 2, &result, err) < 0)
                return -1;
        if (PQntuples(result) != 1 || strtoull(PQgetvalue(result, 0, 0), NULL, 10) != columns)
                return err_fail(err, ERR_CORRUPT, 0,
                                "the dump has rows of '%s', and no such table with %" PRIu64
                                " columns",
                                name, columns);
        rows->table = table;
        (void)snprintf(rows->name, sizeof(rows->name), "%s", name);
        free(STEAL(rows->insert));
        if (asprintf(&rows->insert, "%s%s." SIDE, PQgetvalue(result, 0, 2), rows->place->work) <
            0) {
                rows->insert = NULL;
                return err_oom(err);
        }
        if (postgres_quote(rows->role, role, err) < 0 ||
            postgres_runf(
                    link, err,
                    "CREATE UNLOGGED TABLE %s." SIDE " (%s); GRANT SELECT ON %s." SIDE " TO %s",
                    rows->place->work, PQgetvalue(result, 0, 1), rows->place->work, role) < 0 ||
            begin_copy(rows, err) < 0)
                return err_wrap(err, "the table '%s'", name);
        rows->open = true;
        return 0;
}

int postgres_load_rows_put(struct postgres_load_rows *rows, const char *bytes, size_t n,
                           struct err *err)
{
        return PQputCopyData(rows->place->link->conn, bytes, (int)n) == 1
                       ? 0
                       : postgres_fail(err, rows->place->link, NULL);
}

int postgres_load_run(struct postgres_link *link, const char *sql, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (!PQsendQuery(link->conn, sql))
                return postgres_fail(err, link, NULL);
        if (postgres_answer(link, &result, err) < 0) {
                postgres_try(link, "ROLLBACK");
                return -1;
        }
        return PQntuples(result) <= 2
                       ? 0
                       : err_fail(err, ERR_UNSUPPORTED, 0, "%s", PQgetvalue(result, 2, 0));
}

/* With the rights of the role, whose types and triggers these are. */
static int move(struct postgres_load_rows *rows, struct err *err)
{
        const struct postgres_tenant tenant = { rows->place->work, rows->role, rows->place->path, 1,
                                                NULL };
        const char *const name = "the rows", *const statement = rows->insert;
        struct postgres_link *link = rows->place->link;
        CLEANUP(PQclearp) PGresult *result = NULL;
        CLEANUP(freep) char *sql = NULL;

        if (postgres_tenant_sql(link, &tenant, &name, &statement, 1, &sql, err) < 0)
                return -1;
        if (!PQsendQuery(link->conn, sql))
                return postgres_fail(err, link, NULL);
        if (postgres_answer(link, &result, err) < 0) {
                postgres_try(link, "ROLLBACK");
                return -1;
        }
        if (PQntuples(result) > 2)
                return err_fail(err, ERR_UNSUPPORTED, 0, "%s", PQgetvalue(result, 2, 0));
        rows->rows = PQntuples(result) > 0 ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : 0;
        return 0;
}

int postgres_load_rows_end(struct postgres_load_rows *rows, struct err *err)
{
        struct postgres_link *link = rows->place->link;

        rows->open = false;
        if (PQputCopyEnd(link->conn, NULL) != 1)
                return postgres_fail(err, link, NULL);
        if (postgres_answer(link, NULL, err) < 0) {
                if (err->code != ERR_IO && err->code != ERR_INVALID)
                        return -1;
                err->code = ERR_CORRUPT;
                return err_wrap(err, "rows of the dump are damaged");
        }
        return move(rows, err) < 0
                       ? -1
                       : postgres_runf(link, err, "DROP TABLE %s." SIDE, rows->place->work);
}

void postgres_load_rows_done(struct postgres_load_rows *rows)
{
        free(rows->insert);
        *rows = (struct postgres_load_rows){ 0 };
}
