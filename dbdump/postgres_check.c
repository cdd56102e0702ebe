/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/postgres_check.h"
#include "dbdump/postgres_kinds.h"
#include "dbdump/postgres_mode.h"
#include "dbdump/postgres_owners.h"

#define OLDEST 130000

int postgres_check_server(struct postgres_link *link, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (PQserverVersion(link->conn) < OLDEST)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the server is PostgreSQL %d; 13 or later is needed",
                                PQserverVersion(link->conn) / 10000);
        if (postgres_ask(link,
                         "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_language WHERE "
                         "lanname = 'plpgsql')",
                         NULL, 0, &result, err) < 0)
                return -1;
        if (PQgetvalue(result, 0, 0)[0] == 't')
                return err_fail(err, ERR_REFUSED, 0,
                                "the server is a standby, which takes no copies: name its primary");
        if (PQgetvalue(result, 0, 1)[0] != 't')
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the database has no PL/pgSQL: CREATE EXTENSION plpgsql");
        return 0;
}

/* clang-format off */
static const char grants_sql[] =
        "WITH owners AS (SELECT relowner AS o FROM pg_class c WHERE relnamespace = ANY ($1::oid[]) "
        "UNION SELECT proowner FROM pg_proc f WHERE pronamespace = ANY ($1::oid[]) AND NOT EXISTS "
        "(SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = f.oid AND "
        "e.deptype IN ('e', 'i')) UNION SELECT nspowner FROM pg_namespace WHERE oid = ANY "
        "($1::oid[]) UNION SELECT datdba FROM pg_database WHERE datname = current_database() AND "
        "$2::text IS NULL), us AS (SELECT * FROM pg_roles WHERE rolname = session_user) SELECT "
        "string_agg(line, '; ') FROM (SELECT format('GRANT %I TO %I', r.rolname, us.rolname) AS "
        "line FROM us, owners JOIN pg_roles r ON r.oid = owners.o WHERE NOT pg_has_role(us.oid, "
        "r.oid, 'USAGE') AND r.rolname <> 'pg_database_owner' UNION ALL SELECT format('GRANT "
        "CREATE ON DATABASE %I TO %I', current_database(), rolname) FROM us WHERE $2::text IS NOT "
        "NULL AND NOT has_database_privilege(us.oid, current_database(), 'CREATE') UNION ALL "
        "SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), rolname) FROM "
        "us WHERE NOT has_database_privilege(us.oid, current_database(), 'TEMPORARY') UNION ALL "
        "SELECT format('ALTER ROLE %I CREATEDB', rolname) FROM us WHERE $2::text IS NULL AND NOT "
        "rolcreatedb AND NOT rolsuper UNION ALL SELECT format('ALTER ROLE %I BYPASSRLS', rolname) "
        "FROM us WHERE $2::text IS NULL AND NOT rolbypassrls AND NOT rolsuper AND EXISTS (SELECT "
        "FROM pg_class WHERE relnamespace = ANY ($1::oid[]) AND relrowsecurity AND "
        "relforcerowsecurity) UNION ALL SELECT format('CREATE ROLE %1$I NOLOGIN; GRANT %1$I TO "
        "%2$I', $3::text, us.rolname) FROM us WHERE $3::text IS NOT NULL AND NOT rolsuper AND NOT "
        "rolcreaterole AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $3) UNION ALL SELECT "
        "format('GRANT %I TO %I', k.rolname, us.rolname) FROM us, pg_roles k WHERE k.rolname = $3 "
        "AND NOT pg_has_role(us.oid, k.oid, 'USAGE') UNION ALL SELECT format('ALTER ROLE %I "
        "SUPERUSER /* for the extension %I, or leave it out */', us.rolname, x.extname) FROM us, "
        "pg_extension x JOIN pg_available_extension_versions v ON v.name = x.extname AND v.version "
        "= x.extversion WHERE $2::text IS NULL AND v.superuser AND NOT v.trusted AND NOT "
        "us.rolsuper) missing";
/* clang-format on */

/* Of a whole database, what lies in no schema. */
/* clang-format off */
static const char loose_sql[] =
        "SELECT pg_describe_object('pg_cast'::regclass, oid, 0) FROM pg_cast x WHERE x.oid >= "
        "16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = x.oid AND e.classid = "
        "'pg_cast'::regclass AND e.deptype IN ('e', 'i')) AND NOT EXISTS (SELECT FROM pg_type y "
        "WHERE y.oid IN (x.castsource, x.casttarget) AND y.typnamespace <> "
        "'pg_catalog'::regnamespace) AND NOT EXISTS (SELECT FROM pg_proc f WHERE f.oid = "
        "x.castfunc AND f.pronamespace <> 'pg_catalog'::regnamespace) UNION ALL SELECT 'the event "
        "trigger ' || evtname FROM pg_event_trigger UNION ALL SELECT 'the foreign server ' || "
        "srvname FROM pg_foreign_server UNION ALL SELECT 'data of the extension ' || x.extname "
        "FROM pg_extension x WHERE x.extconfig IS NOT NULL LIMIT 1";
/* clang-format on */

/* Of a whole database, what a copy has and a dump has not. */
/* clang-format off */
static const char undumped_sql[] =
        "SELECT 'the large object ' || oid FROM pg_largeobject_metadata UNION ALL SELECT 'the "
        "setting of the database: ' || array_to_string(setconfig, ', ') FROM pg_db_role_setting "
        "WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "LIMIT 1";
/* clang-format on */

/* Large objects are the whole database's: two schemas would have the same ones. */
/* clang-format off */
static const char shared_sql[] =
        "SELECT format('large objects of %I.%I, as they are one with those of the live schema', "
        "c.relname, a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN "
        "pg_type t ON t.oid = a.atttypid WHERE c.relnamespace = ANY ($1::oid[]) AND c.relkind = "
        "'r' AND a.attnum > 0 AND t.typname IN ('oid', 'lo') AND EXISTS (SELECT FROM "
        "pg_largeobject_metadata) UNION ALL SELECT format('rows of %I, as its policies are forced "
        "on its owner', c.relname) FROM pg_class c WHERE c.relnamespace = ANY ($1::oid[]) AND "
        "c.relrowsecurity AND c.relforcerowsecurity LIMIT 1";
/* clang-format on */

int postgres_check_grants(struct postgres_link *link, const struct postgres_scope *scope,
                          const char *app_user, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        char keeper[64];
        const char *const params[] = { scope->oids, scope->schema,
                                       app_user == NULL ? NULL : keeper };

        if (app_user != NULL)
                postgres_mode_keeper(app_user, keeper);
        if (postgres_ask(link, grants_sql, params, 3, &result, err) < 0)
                return -1;
        return PQgetisnull(result, 0, 0)
                       ? 0
                       : err_fail(err, ERR_DENIED, 0,
                                  "the role '%s' may not do what a copy needs; as an "
                                  "administrator of the server: %s",
                                  PQuser(link->conn), PQgetvalue(result, 0, 0));
}

static int refuse_first(struct postgres_link *link, const char *sql,
                        const struct postgres_scope *scope, int n, struct err *err)
{
        const char *const params[] = { scope->oids };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link, sql, params, n, &result, err) < 0)
                return -1;
        return PQntuples(result) == 0 ? 0
                                      : err_fail(err, ERR_UNSUPPORTED, 0,
                                                 "a copy would be without %s: sitesnap cannot "
                                                 "make it anew",
                                                 PQgetvalue(result, 0, 0));
}

int postgres_check_objects(struct postgres_link *link, const struct postgres_scope *scope,
                           struct err *err)
{
        if (refuse_first(link, postgres_kinds_unsupported, scope, 1, err) < 0)
                return -1;
        return scope->schema == NULL ? refuse_first(link, loose_sql, scope, 0, err)
                                     : refuse_first(link, shared_sql, scope, 1, err);
}

int postgres_check_copy(struct postgres_link *link, const struct postgres_scope *scope,
                        const char *app_user, struct err *err)
{
        return postgres_check_objects(link, scope, err) < 0
                       ? -1
                       : postgres_owners_check(link, scope, app_user, err);
}

int postgres_check_dump(struct postgres_link *link, const struct postgres_scope *scope,
                        struct err *err)
{
        if (postgres_check_objects(link, scope, err) < 0)
                return -1;
        return scope->schema == NULL ? refuse_first(link, undumped_sql, scope, 0, err) : 0;
}
