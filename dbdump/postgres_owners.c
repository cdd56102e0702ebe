/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/postgres_owners.h"

/* clang-format off */
#define OURS(class, oid, also) \
        " NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" class "'::regclass AND " \
        "e.objid = " oid " AND e.deptype IN ('e'" also ")) "
#define WANTED(namespace, name) \
        namespace " = ANY ($1::oid[]) AND ($2::text IS NULL OR starts_with(" name "::text, $2)) AND"
#define GIVEN "' OWNER TO ' || coalesce(quote_ident($3::text), '<the user of the site>')"

/* An object, its owner, and what is to be done; a column's sequence goes with its table. */
#define OBJECTS \
        "SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) AS what, c.relowner AS owner, " \
        "'ALTER TABLE ' || c.oid::regclass || " GIVEN " AS mend FROM pg_class c WHERE " \
        WANTED("c.relnamespace", "c.relname") " c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND " \
        "c.relpersistence <> 't' AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d " \
        "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a')) AND" \
        OURS("pg_class", "c.oid", ", 'i'") "UNION ALL SELECT " \
        "pg_describe_object('pg_proc'::regclass, f.oid, 0), f.proowner, 'ALTER ROUTINE ' || " \
        "f.oid::regprocedure || " GIVEN " FROM pg_proc f WHERE " \
        WANTED("f.pronamespace", "f.proname") OURS("pg_proc", "f.oid", ", 'i'") "UNION ALL " \
        "SELECT " \
        "pg_describe_object('pg_type'::regclass, t.oid, 0), t.typowner, 'ALTER TYPE ' || " \
        "t.oid::regtype || " GIVEN " FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid " \
        "WHERE " WANTED("t.typnamespace", "t.typname") " (t.typtype IN ('e', 'd', 'r', 'b') AND " \
        "t.typelem = 0 OR c.relkind = 'c') AND" OURS("pg_type", "t.oid", "") "UNION ALL SELECT " \
        "pg_describe_object('pg_statistic_ext'::regclass, x.oid, 0), x.stxowner, format('ALTER " \
        "STATISTICS %I.%I', n.nspname, x.stxname) || " GIVEN " FROM pg_statistic_ext x JOIN " \
        "pg_namespace n ON n.oid = x.stxnamespace WHERE " \
        WANTED("x.stxnamespace", "x.stxname") OURS("pg_statistic_ext", "x.oid", "") "UNION ALL " \
        "SELECT pg_describe_object('pg_default_acl'::regclass, da.oid, 0), da.defaclrole, " \
        "(SELECT string_agg(format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I REVOKE %s " \
        "ON %s FROM %s', pg_get_userbyid(da.defaclrole), n.nspname, x.privilege_type, CASE " \
        "da.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN " \
        "'FUNCTIONS' ELSE 'TYPES' END, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE " \
        "quote_ident(pg_get_userbyid(x.grantee)) END), '; ') FROM aclexplode(da.defaclacl) " \
        "x) FROM pg_default_acl da JOIN pg_namespace n ON n.oid = da.defaclnamespace " \
        "WHERE n.oid = ANY ($1::oid[]) AND $2::text IS NULL"

/* Whoever is in one of these can become it. */
#define MIGHTY \
        "SELECT r.oid, r.rolname FROM pg_roles r WHERE (r.rolsuper OR r.rolcreaterole OR " \
        "r.rolbypassrls OR r.rolreplication OR r.oid < 16384 AND r.rolname ~ '^pg_' AND " \
        "r.rolname <> 'pg_database_owner' OR r.rolname = session_user AND $3::text IS NOT " \
        "NULL) AND NOT " \
        "EXISTS (SELECT FROM pg_roles u WHERE u.rolname = $3 AND pg_has_role(u.oid, r.oid, " \
        "'MEMBER'))"

static const char mightier_sql[] =
        "WITH objects AS (" OBJECTS "), mighty AS (" MIGHTY "), owners AS (SELECT o.owner, (SELECT "
        "min(m.rolname) FILTER (WHERE m.oid = o.owner OR NOT s.rolsuper) FROM mighty m WHERE "
        "pg_has_role(o.owner, m.oid, 'MEMBER')) AS via, s.rolname, s.rolsuper FROM (SELECT "
        "DISTINCT owner FROM objects) o JOIN pg_roles s ON s.oid = o.owner) SELECT objects.what, "
        "owners.rolname, CASE WHEN owners.rolsuper THEN ' (an administrator of the server)' WHEN "
        "owners.via <> owners.rolname THEN format(' (who is in the role %L)', owners.via) ELSE '' "
        "END, objects.mend, count(*) OVER () FROM objects JOIN owners ON owners.owner = "
        "objects.owner AND owners.via IS NOT NULL ORDER BY owners.rolname, objects.what LIMIT 1";
/* clang-format on */

int postgres_owners_check(struct postgres_link *link, const struct postgres_scope *scope,
                          const char *app_user, struct err *err)
{
        const char *const params[] = { scope->oids, scope->prefix, app_user };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link, mightier_sql, params, 3, &result, err) < 0)
                return err_wrap(err, "looking for the owners");
        if (PQntuples(result) == 0)
                return 0;
        return err_fail(err, ERR_REFUSED, 0,
                        "the %s belongs to '%s'%s, who may do more on the server than the site's "
                        "user, and a copy would be made with those rights; as an administrator of "
                        "the server: %s (objects of such owners: %s)",
                        PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1),
                        PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 3),
                        PQgetvalue(result, 0, 4));
}
