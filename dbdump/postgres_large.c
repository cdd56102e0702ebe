/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_large.h"

#define PIECE 1000000 /* bytes; twice as many as text */

/* Names, and who may what: of $1 large objects behind number $2, in order. */
/* clang-format off */
static const char list_sql[] =
        "SELECT l.oid, format('ALTER LARGE OBJECT %s OWNER TO %I; ', l.oid, "
        "pg_get_userbyid(l.lomowner)) || CASE WHEN l.lomacl IS NULL THEN '' ELSE format('REVOKE "
        "ALL ON LARGE OBJECT %s FROM %I; ', l.oid, pg_get_userbyid(l.lomowner)) || "
        "coalesce((SELECT string_agg(format('GRANT %s ON LARGE OBJECT %s TO %s%s; ', "
        "x.privilege_type, l.oid, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE "
        "quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT "
        "OPTION' ELSE '' END), '') FROM aclexplode(l.lomacl) x), '') END || coalesce(format("
        "'COMMENT ON LARGE OBJECT %s IS %L', l.oid, obj_description(l.oid, 'pg_largeobject')), '') "
        "FROM pg_largeobject_metadata l WHERE l.oid > $2::oid ORDER BY l.oid LIMIT $1::integer";
/* clang-format on */

static int copy_bytes(struct postgres_link *from, struct postgres_link *to, const char *oid,
                      struct err *err)
{
        for (int64_t offset = 0;; offset += PIECE) {
                CLEANUP(PQclearp) PGresult *piece = NULL;
                char at[24], most[16];
                const char *const what[] = { oid, at, most };
                const char *put[] = { oid, at, NULL };

                (void)snprintf(at, sizeof(at), "%" PRId64, offset);
                (void)snprintf(most, sizeof(most), "%d", PIECE);
                if (postgres_ask(from,
                                 "SELECT p, length(p) FROM lo_get($1::oid, $2::bigint, "
                                 "$3::integer) p",
                                 what, 3, &piece, err) < 0)
                        return -1;
                put[2] = PQgetvalue(piece, 0, 0);
                if (PQgetvalue(piece, 0, 1)[0] != '0' &&
                    postgres_ask(to, "SELECT lo_put($1::oid, $2::bigint, $3::bytea)", put, 3, NULL,
                                 err) < 0)
                        return -1;
                if (strtol(PQgetvalue(piece, 0, 1), NULL, 10) < PIECE)
                        return 0;
        }
}

static int copy_one(struct postgres_link *from, struct postgres_link *to, const char *oid,
                    const char *rights, struct err *err)
{
        return postgres_ask(to, "SELECT lo_create($1::oid)", &oid, 1, NULL, err) < 0 ||
                               copy_bytes(from, to, oid, err) < 0 ||
                               postgres_run(to, rights, err) < 0
                       ? err_wrap(err, "the large object %s", oid)
                       : 0;
}

int postgres_large_copy(struct postgres_view *view, struct postgres_link *to, struct err *err)
{
        char last[16] = "0";
        int n;

        view->large = 0;
        if (postgres_run(to, "BEGIN", err) < 0)
                return -1;
        do {
                const char *const params[] = { "1000", last };
                CLEANUP(PQclearp) PGresult *list = NULL;

                if (postgres_ask(view->look, list_sql, params, 2, &list, err) < 0)
                        return err_wrap(err, "the large objects");
                n = PQntuples(list);
                for (int i = 0; i < n; i++, view->large++)
                        if (copy_one(view->look, to, PQgetvalue(list, i, 0), PQgetvalue(list, i, 1),
                                     err) < 0)
                                return -1;
                if (n > 0)
                        (void)snprintf(last, sizeof(last), "%s", PQgetvalue(list, n - 1, 0));
        } while (n > 0);
        return postgres_run(to, "COMMIT", err);
}

int postgres_large_verify(const struct postgres_view *view, struct postgres_link *link,
                          struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        uint64_t n;

        if (postgres_ask(link, "SELECT count(*) FROM pg_largeobject_metadata", NULL, 0, &result,
                         err) < 0)
                return -1;
        n = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        return n == view->large ? 0
                                : err_fail(err, ERR_CORRUPT, 0,
                                           "the copy differs: it has %" PRIu64
                                           " large objects, the original had %" PRIu64,
                                           n, view->large);
}
