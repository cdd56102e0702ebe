/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_mode.h"

void postgres_mode_keeper(const char *app_user, char name[static 64])
{
        (void)snprintf(name, 64, "%.58s_kept", app_user);
}

/* What an access list says, without its grantors: [["role or '' for everybody", "SELECT", false]].
 * A list of which nothing was ever said is the default of its kind. */
/* clang-format off */
#define ACL(acl) \
        "(SELECT jsonb_agg(jsonb_build_array(CASE WHEN x.grantee = 0 THEN '' ELSE " \
        "pg_get_userbyid(x.grantee) END, x.privilege_type, x.is_grantable)) FROM aclexplode(" acl \
        ") x)"
#define GRANTEES(acl, owner) \
        "coalesce((SELECT string_agg(DISTINCT ', ' || quote_ident(pg_get_userbyid(x.grantee)), " \
        "'') FROM aclexplode(" acl ") x WHERE x.grantee NOT IN (0, " owner ")), '')"
/* clang-format on */

/* $1: schema, $2: keeper, $3: the schema quoted.  "key" is what a thing is called within its
 * schema, the same in every copy; as a statement has to call it, or it would mean a function of the
 * server's that has that name, it is "called". */
/* clang-format off */
#define APART(class, oid) \
        " NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" class "'::regclass AND " \
        "e.objid = " oid " AND e.deptype = 'e') "
#define THINGS \
        "WITH path AS MATERIALIZED (SELECT set_config('search_path', $3::text, true) AS p), " \
        "space AS (SELECT n.* FROM pg_namespace n, path WHERE n.nspname = $1 AND p IS NOT " \
        "NULL), parts AS (SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS " \
        "k, quote_ident(c.relname) AS key, c.relowner AS owner, coalesce(c.relacl, " \
        "acldefault(CASE c.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r'::\"char\" END, " \
        "c.relowner)) AS acl, EXISTS (SELECT FROM pg_depend d WHERE d.classid = " \
        "'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND c.relkind = " \
        "'S') AS stays, (SELECT jsonb_agg(jsonb_build_array(quote_ident(a.attname), " \
        ACL("a.attacl") ")) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT " \
        "NULL) AS columns FROM pg_class c, space WHERE c.relnamespace = space.oid AND c.relkind " \
        "IN ('r', 'p', 'v', 'm', 'S') AND" APART("pg_class", "c.oid") "UNION ALL SELECT " \
        "'ROUTINE', format('%I(%s)', f.proname, pg_get_function_identity_arguments(f.oid)), " \
        "f.proowner, coalesce(f.proacl, acldefault('f', f.proowner)), f.prosecdef, NULL FROM " \
        "pg_proc f, space WHERE f.pronamespace = space.oid AND f.prokind <> 'a' AND NOT EXISTS " \
        "(SELECT FROM pg_depend b WHERE b.classid = 'pg_proc'::regclass AND b.objid = f.oid AND " \
        "b.deptype IN ('e', 'i')) UNION ALL SELECT 'TYPE', quote_ident(t.typname), t.typowner, " \
        "coalesce(t.typacl, acldefault('T', t.typowner)), false, NULL FROM pg_type t LEFT JOIN " \
        "pg_class c ON c.oid = t.typrelid, space WHERE t.typnamespace = space.oid AND " \
        "(t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND" APART("pg_type", "t.oid") \
        "UNION ALL SELECT 'STATISTICS', quote_ident(s.stxname), s.stxowner, NULL, false, NULL " \
        "FROM pg_statistic_ext s, space WHERE s.stxnamespace = space.oid), things AS (SELECT " \
        "parts.*, $3 || '.' || key AS called FROM parts) "

static const char note_sql[] =
        THINGS "SELECT jsonb_build_object('sitesnap', jsonb_build_object('comment', "
        "obj_description(space.oid, 'pg_namespace'), 'owner', pg_get_userbyid(space.nspowner), "
        "'acl', " ACL("coalesce(space.nspacl, acldefault('n', space.nspowner))") ", 'things', "
        "(SELECT coalesce(jsonb_agg(jsonb_build_object('k', k, 'key', key, 'owner', "
        "pg_get_userbyid(owner), 'acl', " ACL("acl") ", 'columns', columns)), '[]') FROM "
        "things)))::text FROM space WHERE pg_get_userbyid(space.nspowner) <> $2";
/* clang-format on */

#define KEEPER "quote_ident($2::text)"
/* clang-format off */
static const char freeze_sql[] =
        THINGS "SELECT format('REVOKE CREATE ON SCHEMA %s FROM PUBLIC%s CASCADE; ALTER SCHEMA %s "
        "OWNER TO %s; GRANT USAGE ON SCHEMA %s TO %I', $3, "
        GRANTEES("space.nspacl", "space.nspowner") ", $3, " KEEPER ", $3, (SELECT r.rolname FROM "
        "pg_roles r WHERE r.oid = CASE pg_get_userbyid(space.nspowner) WHEN 'pg_database_owner' "
        "THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE "
        "space.nspowner END)) || coalesce((SELECT string_agg(CASE k WHEN 'TABLE' THEN format('; "
        "REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %1$s FROM PUBLIC%2$s "
        "CASCADE; ALTER TABLE %1$s OWNER TO %3$s; GRANT SELECT ON %1$s TO %4$I', called, "
        GRANTEES("acl", "owner") " || coalesce((SELECT string_agg(', ' || quote_ident(e ->> 0), "
        "'') FROM jsonb_array_elements(columns) c, jsonb_array_elements(c -> 1) e WHERE e ->> 0 <> "
        "''), ''), " KEEPER ", pg_get_userbyid(owner)) WHEN 'SEQUENCE' THEN format('; REVOKE "
        "USAGE, UPDATE ON SEQUENCE %1$s FROM PUBLIC%2$s CASCADE; %3$s GRANT SELECT ON SEQUENCE "
        "%1$s TO %4$I', called, " GRANTEES("acl", "owner") ", CASE WHEN stays THEN '' ELSE "
        "format('ALTER SEQUENCE %s OWNER TO %s;', called, " KEEPER ") END, pg_get_userbyid(owner)) "
        "WHEN 'ROUTINE' THEN CASE WHEN stays THEN '' ELSE format('; ALTER ROUTINE %1$s OWNER TO "
        "%2$s; GRANT EXECUTE ON ROUTINE %1$s TO %3$I', called, " KEEPER ", pg_get_userbyid(owner)) "
        "END WHEN 'TYPE' THEN format('; ALTER TYPE %1$s OWNER TO %2$s; GRANT USAGE ON TYPE %1$s TO "
        "%3$I', called, " KEEPER ", pg_get_userbyid(owner)) ELSE format('; ALTER STATISTICS "
        "%s OWNER TO %s', called, " KEEPER ") END, '' ORDER BY k DESC, key) FROM things), '') "
        "FROM space";
/* clang-format on */

/* Back: each thing that the note knows.  Roles that are gone by now get nothing.  It is a note only
 * where the keeper is the owner: any other owner could have written it, with any role in it. */
/* clang-format off */
#define GRANTEE(e) \
        "CASE " e " ->> 0 WHEN '' THEN 'PUBLIC' ELSE quote_ident(" e " ->> 0) END || CASE WHEN " \
        "(" e " ->> 2)::boolean THEN ' WITH GRANT OPTION' ELSE '' END"
#define KNOWN(e) \
        "(" e " ->> 0 = '' OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = " e " ->> 0))"
#define GIVE(what, key, acl) \
        "coalesce((SELECT string_agg(format('; GRANT %s ON " what " %s TO %s', e ->> 1, " key \
        ", " GRANTEE("e") "), '') FROM jsonb_array_elements(" acl ") e WHERE " KNOWN("e") "), " \
        "'')"
static const char thaw_sql[] =
        THINGS ", note AS (SELECT obj_description(space.oid, 'pg_namespace')::jsonb -> 'sitesnap' "
        "AS note FROM space WHERE starts_with(obj_description(space.oid, 'pg_namespace'), "
        "'{\"sitesnap\": {') AND pg_get_userbyid(space.nspowner) = $2), told AS (SELECT "
        "things.*, t, t ->> 'owner' AS before FROM note, things JOIN LATERAL "
        "jsonb_array_elements(note -> "
        "'things') t ON t ->> "
        "'k' = k AND t ->> 'key' = key) SELECT coalesce((SELECT format('GRANT CREATE ON SCHEMA %s "
        "TO %s', $3, string_agg(DISTINCT quote_ident(before), ', ')) FROM told HAVING count(*) > "
        "0), 'RESET DateStyle') || coalesce((SELECT string_agg(CASE WHEN k IN ('ROUTINE', "
        "'SEQUENCE') AND stays THEN '' ELSE format('; ALTER %s %s OWNER TO %I', k, called, before) "
        "END || CASE WHEN k = 'STATISTICS' THEN '' ELSE format('; REVOKE ALL ON %s %s FROM PUBLIC, "
        "%I%s', k, called, before, " GRANTEES("acl", "owner") ") || coalesce((SELECT "
        "string_agg(format('; GRANT %s ON %s %s TO %s', e ->> 1, k, called, " GRANTEE("e") "), '') "
        "FROM jsonb_array_elements(t -> 'acl') e WHERE " KNOWN("e") "), '') || coalesce((SELECT "
        "string_agg(format('; GRANT %s (%s) ON %s TO %s', e ->> 1, c ->> 0, called, " GRANTEE("e")
        "), '') FROM jsonb_array_elements(nullif(t -> 'columns', 'null')) c, "
        "jsonb_array_elements(c -> 1) e WHERE " KNOWN("e") "), '') END, '' ORDER BY k DESC, key) "
        "FROM told), '') || format('; ALTER SCHEMA %1$s OWNER TO %2$I; REVOKE ALL ON SCHEMA %1$s "
        "FROM PUBLIC, %2$I%3$s%4$s', $3, note ->> 'owner', "
        GRANTEES("space.nspacl", "space.nspowner") ", (SELECT string_agg(DISTINCT ', ' || "
        "quote_ident(before), '') FROM told)) || " GIVE("SCHEMA", "$3", "note -> 'acl'") " || "
        "format('; COMMENT ON SCHEMA %s IS %L', $3, note ->> 'comment') FROM space, note";

static const char note_database_sql[] =
        "SELECT jsonb_build_object('sitesnap', jsonb_build_object('comment', "
        "shobj_description(d.oid, 'pg_database'), 'owner', pg_get_userbyid(d.datdba), 'acl', "
        ACL("coalesce(d.datacl, acldefault('d', d.datdba))") "))::text FROM pg_database d WHERE "
        "d.datname = $1 AND pg_get_userbyid(d.datdba) <> $2 AND $3::text IS NOT NULL";
static const char freeze_database_sql[] =
        "SELECT format('REVOKE CREATE ON DATABASE %1$s FROM PUBLIC%2$s CASCADE; ALTER DATABASE "
        "%1$s OWNER TO %3$s; GRANT CONNECT, TEMPORARY ON DATABASE %1$s TO %4$I', $3::text, "
        GRANTEES("d.datacl", "d.datdba") ", " KEEPER ", pg_get_userbyid(d.datdba)) FROM "
        "pg_database d WHERE d.datname = $1";
static const char thaw_database_sql[] =
        "WITH note AS (SELECT d.*, shobj_description(d.oid, 'pg_database')::jsonb -> 'sitesnap' AS "
        "note FROM pg_database d WHERE d.datname = $1 AND starts_with(shobj_description(d.oid, "
        "'pg_database'), '{\"sitesnap\": {') AND pg_get_userbyid(d.datdba) = $2) SELECT "
        "format('ALTER DATABASE %1$s OWNER TO %2$I; REVOKE ALL ON DATABASE %1$s FROM PUBLIC, "
        "%2$I%3$s', $3::text, note "
        "->> 'owner', " GRANTEES("datacl", "datdba") ") || "
        GIVE("DATABASE", "$3::text", "note -> 'acl'") " || format('; COMMENT ON DATABASE %s IS "
        "%L', $3::text, note ->> 'comment') FROM note";
/* clang-format on */

static int ask3(struct postgres_link *link, const char *sql, const char *name, const char *keeper,
                const char *quoted, PGresult **ret_result, struct err *err)
{
        const char *const params[] = { name, keeper, quoted };

        return postgres_ask(link, sql, params, 3, ret_result, err);
}

/* Only statements that change owners and rights: what is searched can name nothing else. */
static int run_within(struct postgres_link *link, const char *quoted, const char *sql,
                      struct err *err)
{
        return postgres_runf(link, err, "SET LOCAL search_path = %s; %s", quoted, sql) < 0 ||
                               postgres_run(link, "SET LOCAL search_path = pg_catalog, pg_temp",
                                            err) < 0
                       ? -1
                       : 0;
}

static int freeze(struct postgres_link *link, bool database, const char *name, const char *keeper,
                  struct err *err)
{
        CLEANUP(PQclearp) PGresult *note = NULL;
        CLEANUP(PQclearp) PGresult *change = NULL;
        CLEANUP(postgres_freememp) char *literal = NULL;
        char quoted[POSTGRES_NAME_MAX];

        if (postgres_quote(name, quoted, err) < 0 ||
            ask3(link, database ? note_database_sql : note_sql, name, keeper, quoted, &note, err) <
                    0 ||
            postgres_run(link, "SET LOCAL search_path = pg_catalog, pg_temp", err) < 0)
                return -1;
        if (PQntuples(note) == 0)
                return 0; /* it is so */
        literal = postgres_literal(link, PQgetvalue(note, 0, 0), err);
        if (literal == NULL ||
            ask3(link, database ? freeze_database_sql : freeze_sql, name, keeper, quoted, &change,
                 err) < 0 ||
            run_within(link, quoted, PQgetvalue(change, 0, 0), err) < 0)
                return -1;
        return postgres_runf(link, err, "COMMENT ON %s %s IS %s", database ? "DATABASE" : "SCHEMA",
                             quoted, literal);
}

static int thaw(struct postgres_link *link, bool database, const char *name, const char *keeper,
                struct err *err)
{
        CLEANUP(PQclearp) PGresult *change = NULL;
        char quoted[POSTGRES_NAME_MAX];

        if (postgres_quote(name, quoted, err) < 0 ||
            ask3(link, database ? thaw_database_sql : thaw_sql, name, keeper, quoted, &change,
                 err) < 0 ||
            postgres_run(link, "SET LOCAL search_path = pg_catalog, pg_temp", err) < 0)
                return -1;
        return PQntuples(change) == 0 ? 0 : run_within(link, quoted, PQgetvalue(change, 0, 0), err);
}

/* The schemas of a database, or the one. */
static int each(struct postgres_link *link, const char *schema, const char *keeper, bool writable,
                struct err *err)
{
        CLEANUP(PQclearp) PGresult *list = NULL;
        int r = 0;

        if (postgres_ask(link,
                         "SELECT n.nspname FROM pg_namespace n WHERE CASE WHEN $1::text IS NULL "
                         "THEN n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT "
                         "EXISTS (SELECT FROM pg_depend e WHERE e.classid = "
                         "'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e') ELSE "
                         "n.nspname = $1 END",
                         &schema, 1, &list, err) < 0)
                return -1;
        for (int i = 0; r == 0 && i < PQntuples(list); i++) {
                const char *name = PQgetvalue(list, i, 0);

                r = (writable ? thaw : freeze)(link, false, name, keeper, err);
                if (r < 0)
                        (void)err_wrap(err, "the rights of the schema '%s'", name);
        }
        return r;
}

int postgres_mode_thaw(struct postgres_link *link, const char *schema, const char *database,
                       const char *app_user, struct err *err)
{
        char keeper[64];

        if (app_user == NULL)
                return 0;
        postgres_mode_keeper(app_user, keeper);
        return database != NULL ? thaw(link, true, database, keeper, err)
                                : each(link, schema, keeper, true, err);
}

/* The role is made if we may; else it is said how. */
static int need_keeper(struct postgres_link *link, const char *keeper, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;
        char quoted[POSTGRES_NAME_MAX];
        struct err why;

        if (postgres_quote(keeper, quoted, err) < 0 ||
            postgres_ask(link,
                         "SELECT 1 FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'USAGE')",
                         &keeper, 1, &result, err) < 0)
                return -1;
        if (PQntuples(result) > 0 ||
            postgres_runf(link, &why, "CREATE ROLE %s NOLOGIN; GRANT %s TO session_user", quoted,
                          quoted) == 0)
                return 0;
        return err_fail(err, ERR_DENIED, 0,
                        "what is kept belongs to a role that cannot log in; as an administrator of "
                        "the server: CREATE ROLE %s NOLOGIN; GRANT %s TO \"%s\"",
                        quoted, quoted, PQuser(link->conn));
}

int postgres_mode_set(struct postgres_link *link, const char *schema, const char *database,
                      const char *app_user, bool writable, struct err *err)
{
        char keeper[64];
        int r;

        postgres_mode_keeper(app_user, keeper);
        if ((!writable && need_keeper(link, keeper, err) < 0) ||
            postgres_run(link, "BEGIN", err) < 0)
                return -1;
        r = 0;
        /* Who owns a database has a part in its schema "public". */
        if (schema == NULL && writable)
                r = thaw(link, true, database, keeper, err);
        if (r == 0)
                r = each(link, schema, keeper, writable, err);
        if (r == 0 && schema == NULL && !writable)
                r = freeze(link, true, database, keeper, err);
        if (r == 0)
                r = postgres_run(link, "COMMIT", err);
        if (r < 0)
                postgres_try(link, "ROLLBACK");
        return r;
}
