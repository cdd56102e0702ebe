/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dbdump/postgres_home.h"
#include "dbdump/postgres_mode.h"
#include "dbdump/postgres_settings.h"

#define WORK        "\"sitesnap.work\"" /* helpers in a database of its own */
#define ORPHAN_MSEC 20000

void postgres_home_partial(const char *copy, char name[static DB_NAME_MAX])
{
        /* The serial alone makes the name unique; with the rest it could be too long. */
        size_t n = db_is_copy_name(copy) ? strcspn(copy, "_") : strlen(copy);

        (void)snprintf(name, DB_NAME_MAX, "%.*s.partial", (int)(n < 50 ? n : 50), copy);
}

void postgres_home_purpose(const char *copy, char name[static 64])
{
        (void)snprintf(name, 64, "sitesnap %.*s", (int)strcspn(copy, "_"), copy);
}

int postgres_home_orphans(struct postgres_link *link, const char *copy, struct err *err)
{
        char purpose[64];
        const char *const params[] = { purpose };

        postgres_home_purpose(copy, purpose);
        for (unsigned msec = 0; msec < ORPHAN_MSEC; msec += 20) {
                CLEANUP(PQclearp) PGresult *result = NULL;

                if (postgres_ask(link,
                                 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                 "usename = session_user AND application_name = $1 AND pid <> "
                                 "pg_backend_pid()",
                                 params, 1, &result, err) < 0)
                        return -1;
                if (PQntuples(result) == 0)
                        return 0;
                (void)usleep(20000);
        }
        return err_fail(err, ERR_TIMEOUT, 0,
                        "a session of an earlier attempt at '%s' does not end on the server", copy);
}

/* Who lives elsewhere and needs what is in the schema: CASCADE would take it along. */
static int check_dependents(struct postgres_link *link, const char *name, struct err *err)
{
        static const char sql[] =
                "WITH inside AS (SELECT 'pg_class'::regclass AS class, oid FROM pg_class WHERE "
                "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) UNION ALL SELECT "
                "'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = (SELECT oid FROM "
                "pg_namespace WHERE nspname = $1) UNION ALL SELECT 'pg_type'::regclass, oid FROM "
                "pg_type WHERE typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)) "
                "SELECT i.identity FROM pg_depend d JOIN inside ON inside.class = d.refclassid AND "
                "inside.oid = d.refobjid CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, "
                "d.objsubid) i WHERE strpos(i.identity, quote_ident($1) || '.') = 0 AND "
                "i.schema IS DISTINCT FROM $1 AND i.schema IS DISTINCT FROM 'pg_toast' LIMIT 1";
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link, sql, &name, 1, &result, err) < 0)
                return -1;
        return PQntuples(result) == 0
                       ? 0
                       : err_fail(err, ERR_REFUSED, 0,
                                  "'%s' is not dropped: '%s', which is not in it, depends on it",
                                  name, PQgetvalue(result, 0, 0));
}

int postgres_home_remove(struct postgres_link *link, bool in_database, const char *name,
                         struct err *err)
{
        char quoted[POSTGRES_NAME_MAX];

        if (postgres_quote(name, quoted, err) < 0)
                return -1;
        if (in_database)
                return check_dependents(link, name, err) < 0 ||
                                       postgres_runf(link, err, "DROP SCHEMA IF EXISTS %s CASCADE",
                                                     quoted) < 0
                               ? -1
                               : 0;
        return postgres_runf(link, err, "DROP DATABASE IF EXISTS %s WITH (FORCE)", quoted) < 0
                       ? err_wrap(err, "dropping the database '%s'", name)
                       : 0;
}

static int ask_of(const struct postgres_view *view, const char *sql, const char *name,
                  PGresult **ret_result, struct err *err)
{
        const char *const params[] = { view->scope.oids, name };

        return postgres_ask(view->look, sql, params, 2, ret_result, err);
}

/* clang-format off */
#define APART(class, oid) \
        " NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" class "'::regclass AND " \
        "e.objid = " oid " AND e.deptype IN ('e', 'i')) "
#define OWNERS \
        "(SELECT relowner AS o FROM pg_class c WHERE relnamespace = ANY ($1::oid[]) AND" \
        APART("pg_class", "c.oid") "UNION SELECT proowner FROM pg_proc f WHERE pronamespace = " \
        "ANY ($1::oid[]) AND" APART("pg_proc", "f.oid") "UNION SELECT typowner FROM pg_type t " \
        "WHERE typnamespace = ANY ($1::oid[]) AND" APART("pg_type", "t.oid") "UNION SELECT " \
        "stxowner FROM pg_statistic_ext WHERE stxnamespace = ANY ($1::oid[]) UNION SELECT " \
        "defaclrole FROM pg_default_acl WHERE defaclnamespace = ANY ($1::oid[])) owners"
/* clang-format on */

/* The statement that the view answers with, run elsewhere. */
static int relay(const struct postgres_view *view, struct postgres_link *link, const char *sql,
                 const char *name, struct err *err)
{
        const char *const params[] = { view->scope.oids, name };

        return postgres_relay(view->look, link, sql, params, 2, err);
}

/* Everybody whose statements are going to be run may make things in it. */
static int let_owners(const struct postgres_view *view, struct postgres_link *link,
                      const char *schema, struct err *err)
{
        return relay(view, link,
                     "SELECT format('GRANT CREATE, USAGE ON SCHEMA %I TO %s', $2::text, "
                     "string_agg(quote_ident(pg_get_userbyid(o)), ', ')) FROM " OWNERS,
                     schema, err);
}

static int make_schema(struct postgres_home *home, const struct postgres_view *view,
                       struct postgres_place *place, struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        place->link = home->admin;
        if (postgres_quote(home->name, place->work, err) < 0 ||
            postgres_runf(place->link, err, "CREATE SCHEMA %s", place->work) < 0 ||
            let_owners(view, place->link, home->name, err) < 0)
                return err_wrap(err, "making the schema '%s'", home->name);
        /* What belongs to an extension is there once, in the schema it was put into. */
        if (ask_of(view,
                   "SELECT 1 FROM pg_depend e LEFT JOIN pg_proc f ON e.classid = "
                   "'pg_proc'::regclass AND f.oid = e.objid LEFT JOIN pg_type t ON e.classid = "
                   "'pg_type'::regclass AND t.oid = e.objid WHERE e.deptype = 'e' AND "
                   "coalesce(f.pronamespace, t.typnamespace) = ANY ($1::oid[]) AND $2::text IS NOT "
                   "NULL LIMIT 1",
                   home->name, &result, err) < 0)
                return -1;
        (void)snprintf(place->path, sizeof(place->path), "%s%s%s", place->work,
                       PQntuples(result) > 0 ? ", " : "",
                       PQntuples(result) > 0 ? view->scope.path : "");
        return 0;
}

/* clang-format off */
static const char create_database[] =
        "SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE "
        "%L%s%s%s', $2::text, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, CASE "
        "to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN ' LOCALE_PROVIDER icu ICU_LOCALE ' || "
        "quote_literal(coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale')) WHEN "
        "'b' THEN ' LOCALE_PROVIDER builtin BUILTIN_LOCALE ' || quote_literal(to_jsonb(d) ->> "
        "'datlocale') ELSE '' END, ' ICU_RULES ' || quote_literal(to_jsonb(d) ->> 'daticurules'), "
        "' TABLESPACE ' || quote_ident(t.spcname)) FROM pg_database d LEFT JOIN pg_tablespace t ON "
        "t.spcname <> 'pg_default' AND t.oid = d.dattablespace WHERE d.datname = "
        "current_database() AND $1::oid[] IS NOT NULL";

static const char create_schemas[] =
        "SELECT format('CREATE SCHEMA IF NOT EXISTS %I; GRANT CREATE, USAGE ON SCHEMA %I TO %s', "
        "n.nspname, n.nspname, (SELECT string_agg(quote_ident(pg_get_userbyid(o)), ', ') FROM "
        OWNERS ")) FROM pg_namespace n WHERE n.oid = ANY ($1::oid[]) AND EXISTS (SELECT FROM "
        OWNERS ") AND $2::text IS NOT NULL UNION ALL SELECT format('CREATE SCHEMA IF NOT EXISTS "
        "%I', n.nspname) FROM pg_namespace n WHERE n.oid = ANY ($1::oid[]) UNION ALL SELECT 'DROP "
        "SCHEMA public' WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')";

static const char create_extensions[] =
        "SELECT format('CREATE EXTENSION IF NOT EXISTS %I%s VERSION %L', x.extname, CASE WHEN "
        "EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = "
        "n.oid AND e.deptype = 'e') OR n.nspname = 'pg_catalog' THEN '' ELSE format(' SCHEMA %I', "
        "n.nspname) END, x.extversion) FROM pg_extension x JOIN pg_namespace n ON n.oid = "
        "x.extnamespace WHERE x.extname <> 'plpgsql' AND $1::oid[] IS NOT NULL AND $2::text IS NOT "
        "NULL ORDER BY x.oid";
/* clang-format on */

static int make_database(struct postgres_home *home, const struct postgres_view *view,
                         struct postgres_place *place, struct err *err)
{
        char quoted[POSTGRES_NAME_MAX];

        if (postgres_quote(home->name, quoted, err) < 0 ||
            relay(view, home->admin, create_database, home->name, err) < 0 ||
            postgres_runf(home->admin, err, "REVOKE ALL ON DATABASE %s FROM PUBLIC", quoted) < 0)
                return err_wrap(err, "making the database '%s'", home->name);
        if (postgres_connect(home->server, home->name, &place->link, err) < 0 ||
            postgres_patience(place->link, 0, err) < 0)
                return -1;
        (void)snprintf(place->work, sizeof(place->work), WORK);
        place->path[0] = '\0';
        if (postgres_run(place->link, "CREATE SCHEMA " WORK, err) < 0 ||
            let_owners(view, place->link, "sitesnap.work", err) < 0 ||
            relay(view, place->link, create_schemas, home->name, err) < 0)
                return err_wrap(err, "making the schemas of '%s'", home->name);
        if (relay(view, place->link, create_extensions, home->name, err) < 0)
                return err_wrap(err, "the extensions of '%s'", view->name);
        return 0;
}

int postgres_home_make(struct postgres_home *home, const struct postgres_view *view,
                       struct postgres_place *ret_place, struct err *err)
{
        return home->database == NULL ? make_database(home, view, ret_place, err)
                                      : make_schema(home, view, ret_place, err);
}

/* clang-format off */
#define ROLE \
        "CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END"
/* clang-format on */
#define OPTION "CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"

/* Nobody has what the making needed; the owner and his grants are those of the original. */
/* clang-format off */
#define SCHEMA_RIGHTS(name) \
        "SELECT coalesce((SELECT format('REVOKE ALL ON SCHEMA %I FROM %s; ', " name ", " \
        "string_agg(quote_ident(pg_get_userbyid(o)), ', ')) FROM " OWNERS " HAVING count(*) > " \
        "0), '') || format('ALTER SCHEMA %1$I OWNER TO %2$I; REVOKE ALL ON SCHEMA %1$I FROM " \
        "PUBLIC', " name ", pg_get_userbyid(n.nspowner)) || CASE WHEN n.nspacl IS NULL THEN '' " \
        "ELSE format('; REVOKE ALL ON SCHEMA %1$I FROM %2$I', " name ", " \
        "pg_get_userbyid(n.nspowner)) || coalesce((SELECT string_agg(format('; GRANT %s ON " \
        "SCHEMA %I TO %s%s', x.privilege_type, " name ", " ROLE ", " OPTION "), '') FROM " \
        "aclexplode(n.nspacl) x), '') END || coalesce(format('; COMMENT ON SCHEMA %I IS %L', " \
        name ", obj_description(n.oid, 'pg_namespace')), '') FROM pg_namespace n WHERE n.oid = " \
        "ANY ($1::oid[]) AND $2::text IS NOT NULL"

static const char database_rights[] =
        "SELECT format('ALTER DATABASE %1$I OWNER TO %2$I; REVOKE ALL ON DATABASE %1$I FROM "
        "PUBLIC;ALTER DATABASE %1$I CONNECTION LIMIT %3$s', $2::text, pg_get_userbyid(d.datdba), "
        "d.datconnlimit) || CASE WHEN d.datacl IS NULL THEN format('; GRANT CONNECT, TEMPORARY ON "
        "DATABASE %I TO PUBLIC', $2::text) ELSE format('; REVOKE ALL ON DATABASE %I FROM %I', "
        "$2::text, pg_get_userbyid(d.datdba)) || coalesce((SELECT string_agg(format('; GRANT %s ON "
        "DATABASE %I TO %s%s', x.privilege_type, $2::text, " ROLE ", " OPTION "), '') FROM "
        "aclexplode(d.datacl) x), '') END || coalesce(format('; COMMENT ON DATABASE %I IS %L', "
        "$2::text, shobj_description(d.oid, 'pg_database')), '') FROM pg_database d WHERE "
        "d.datname = current_database() AND $1::oid[] IS NOT NULL";
/* clang-format on */

/* Objects of the copy that need objects of the live schema: what the deparsed names could not
 * re-point. */
static int check_pointers(const struct postgres_view *view, struct postgres_link *link,
                          const char *name, struct err *err)
{
        static const char sql[] =
                "WITH live AS (SELECT 'pg_class'::regclass AS class, oid FROM pg_class WHERE "
                "relnamespace = ANY ($1::oid[]) UNION ALL SELECT 'pg_proc'::regclass, oid FROM "
                "pg_proc WHERE pronamespace = ANY ($1::oid[]) UNION ALL SELECT "
                "'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = ANY ($1::oid[])) "
                "SELECT i.identity, r.identity FROM pg_depend d JOIN live ON live.class = "
                "d.refclassid AND live.oid = d.refobjid CROSS JOIN LATERAL pg_identify_object("
                "d.classid, d.objid, d.objsubid) i CROSS JOIN LATERAL pg_identify_object("
                "d.refclassid, d.refobjid, d.refobjsubid) r WHERE strpos(i.identity, "
                "quote_ident($2) || '.') > 0 AND NOT EXISTS (SELECT FROM pg_depend e WHERE "
                "e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e') LIMIT 1";
        const char *const params[] = { view->scope.oids, name };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(link, sql, params, 2, &result, err) < 0)
                return -1;
        return PQntuples(result) == 0
                       ? 0
                       : err_fail(err, ERR_UNSUPPORTED, 0,
                                  "'%s' would point at '%s' of the live schema and cannot be "
                                  "re-pointed",
                                  PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
}

static int finish_schema(struct postgres_home *home, const struct postgres_view *view,
                         const char *name, struct err *err)
{
        char from[POSTGRES_NAME_MAX], to[POSTGRES_NAME_MAX];
        struct postgres_link *link = home->admin;
        int r;

        if (postgres_quote(home->name, from, err) < 0 || postgres_quote(name, to, err) < 0 ||
            check_pointers(view, link, home->name, err) < 0 || postgres_run(link, "BEGIN", err) < 0)
                return -1;
        r = relay(view, link, SCHEMA_RIGHTS("$2::text"), home->name, err) < 0 ||
                            postgres_mode_thaw(link, home->name, NULL, home->app_user, err) < 0 ||
                            postgres_home_remove(link, true, name, err) < 0 ||
                            postgres_runf(link, err, "ALTER SCHEMA %s RENAME TO %s; COMMIT", from,
                                          to) < 0
                    ? -1
                    : 0;
        if (r < 0)
                postgres_try(link, "ROLLBACK");
        return r;
}

int postgres_home_rights(const struct postgres_view *view, const char *name, char **ret_sql,
                         struct err *err)
{
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (ask_of(view, database_rights, name, &result, err) < 0)
                return -1;
        *ret_sql = strdup(PQgetvalue(result, 0, 0));
        return *ret_sql == NULL ? err_oom(err) : 0;
}

int postgres_home_publish(struct postgres_link *admin, const char *rights, const char *partial,
                          const char *name, const char *app_user, struct err *err)
{
        char from[POSTGRES_NAME_MAX], to[POSTGRES_NAME_MAX];
        int r;

        if (postgres_quote(partial, from, err) < 0 || postgres_quote(name, to, err) < 0 ||
            postgres_home_remove(admin, false, name, err) < 0 ||
            postgres_run(admin, "BEGIN", err) < 0)
                return -1;
        r = postgres_run(admin, rights, err) < 0 ||
                            postgres_mode_thaw(admin, NULL, partial, app_user, err) < 0 ||
                            postgres_runf(admin, err, "ALTER DATABASE %s RENAME TO %s; COMMIT",
                                          from, to) < 0
                    ? -1
                    : 0;
        if (r < 0)
                postgres_try(admin, "ROLLBACK");
        return r;
}

static int finish_database(struct postgres_home *home, const struct postgres_view *view,
                           struct postgres_place *place, const char *name, struct err *err)
{
        CLEANUP(freep) char *rights = NULL;
        struct postgres_settings *settings = NULL;
        int r;

        if (postgres_run(place->link, "DROP SCHEMA " WORK " CASCADE; BEGIN", err) < 0 ||
            relay(view, place->link, SCHEMA_RIGHTS("n.nspname"), name, err) < 0 ||
            postgres_mode_thaw(place->link, NULL, NULL, home->app_user, err) < 0 ||
            postgres_run(place->link, "COMMIT", err) < 0 ||
            postgres_home_rights(view, home->name, &rights, err) < 0 ||
            postgres_settings_read(view->look, &settings, err) < 0)
                return -1;
        r = postgres_settings_apply(settings, home->server, home->name, err);
        postgres_settings_free(settings);
        if (r < 0)
                return -1;
        /* Nobody may be in a database that is renamed. */
        postgres_close(STEAL(place->link));
        return postgres_home_publish(home->admin, rights, home->name, name, home->app_user, err);
}

int postgres_home_finish(struct postgres_home *home, const struct postgres_view *view,
                         struct postgres_place *place, const char *name, struct err *err)
{
        return home->database == NULL ? finish_database(home, view, place, name, err)
                                      : finish_schema(home, view, name, err);
}
