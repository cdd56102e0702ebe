/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_copy.h"
#include "dbdump/postgres_home.h"
#include "dbdump/postgres_load_home.h"

#define WORK      "sitesnap.work" /* helpers in a database of its own */
#define FACTS_MAX 1000

static int need_role(struct postgres_load_home *home, struct err *err)
{
        const char *const params[] = { home->role };
        CLEANUP(PQclearp) PGresult *result = NULL;
        char quoted[POSTGRES_NAME_MAX];
        struct err why;

        if (postgres_quote(home->role, quoted, err) < 0 ||
            postgres_ask(home->admin,
                         "SELECT 1 FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'USAGE')",
                         params, 1, &result, err) < 0)
                return -1;
        if (PQntuples(result) > 0 ||
            postgres_runf(home->admin, &why, "CREATE ROLE %s NOLOGIN; GRANT %s TO session_user",
                          quoted, quoted) == 0)
                return 0;
        return err_fail(err, ERR_DENIED, 0,
                        "what is in a dump is run with the rights of a role that has nothing and "
                        "cannot log in; as an administrator of the server: CREATE ROLE %s NOLOGIN; "
                        "GRANT %s TO \"%s\"",
                        quoted, quoted, PQuser(home->admin->conn));
}

static int clear(struct postgres_load_home *home, struct err *err)
{
        bool there;

        if (postgres_copy_exists(home->admin, home->database != NULL, home->to, &there, err) < 0)
                return -1;
        if (!db_is_copy_name(home->to))
                return err_fail(err, there ? ERR_EXISTS : ERR_INVALID, 0,
                                "'%s' is not a copy of ours and is not made into one", home->to);
        return postgres_home_orphans(home->admin, home->to, err) < 0
                       ? -1
                       : postgres_home_remove(home->admin, home->database != NULL, home->name, err);
}

int postgres_load_home_open(struct postgres_load_home *home, const struct postgres_server *server,
                            const char *database, const char *to, const char *app_user,
                            struct err *err)
{
        if (app_user == NULL)
                return err_fail(err, ERR_DENIED, 0,
                                "what is in a dump has to belong to the site's own user on the "
                                "server: name it with app_user in [database]");
        home->server = *server;
        home->database = database;
        (void)snprintf(home->to, sizeof(home->to), "%s", to);
        (void)snprintf(home->role, sizeof(home->role), "%.58s_load", app_user);
        postgres_home_purpose(to, home->server.purpose);
        postgres_home_partial(to, home->name);
        home->app_user = strdup(app_user);
        if (home->app_user == NULL)
                return err_oom(err);
        if (postgres_connect(&home->server, database == NULL ? POSTGRES_MAINTENANCE : database,
                             &home->admin, err) < 0 ||
            postgres_patience(home->admin, 0, err) < 0 || need_role(home, err) < 0)
                return -1;
        return clear(home, err) < 0 ? -1 : postgres_quote(home->name, home->place.work, err);
}

int postgres_load_home_take(struct postgres_load_home *home, const char *word,
                            const char *const texts[3], struct err *err)
{
        struct postgres_load_text *facts =
                reallocarray(home->facts, home->n_facts + 1, sizeof(*facts));

        if (facts == NULL)
                return err_oom(err);
        home->facts = facts;
        if (home->database != NULL || home->n_facts >= FACTS_MAX || home->place.link != NULL)
                return err_fail(err, ERR_REFUSED, 0,
                                "this is a dump of a whole database, and the site has a schema in "
                                "one");
        facts[home->n_facts] = (struct postgres_load_text){ .word = "" };
        (void)snprintf(facts[home->n_facts].word, sizeof(facts->word), "%s", word);
        for (int i = 0; i < 3; i++) {
                facts[home->n_facts].texts[i] = strdup(texts[i]);
                if (facts[home->n_facts].texts[i] == NULL) {
                        home->n_facts++;
                        return err_oom(err);
                }
        }
        home->n_facts++;
        return 0;
}

static const struct postgres_load_text *fact(const struct postgres_load_home *home,
                                             const char *word)
{
        for (size_t i = 0; i < home->n_facts; i++)
                if (strcmp(home->facts[i].word, word) == 0)
                        return &home->facts[i];
        return NULL;
}

/* Statements that the server writes of what we tell it (postgres_relay()). */
static const char database_sql[] =
        "SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE "
        "%L%s%s', $1::text, $2::text, $3::text, $4::text, CASE $5::text WHEN 'i' THEN ' "
        "LOCALE_PROVIDER icu ICU_LOCALE ' || quote_literal($6::text) WHEN 'b' THEN ' "
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE ' || quote_literal($6::text) ELSE '' END, ' "
        "ICU_RULES ' || quote_literal($7::text))";
static const char extension_sql[] =
        "SELECT format('CREATE EXTENSION IF NOT EXISTS %I%s', $1::text, ' SCHEMA ' || "
        "quote_ident(nullif($2::text, '')))";
static const char schema_sql[] =
        "SELECT format('CREATE SCHEMA IF NOT EXISTS %1$I; GRANT CREATE, USAGE ON SCHEMA %1$I TO "
        "%2$I', $1::text, $2::text) WHERE $1 !~ '^pg_' AND $1 <> 'information_schema'";
static const char give_schemas_sql[] =
        "SELECT format('%sREVOKE ALL ON SCHEMA %I FROM %I', CASE WHEN n.nspname = 'public' THEN '' "
        "ELSE format('ALTER SCHEMA %I OWNER TO %I; ', n.nspname, $1::text) END, n.nspname, "
        "$2::text) FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> "
        "'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = "
        "'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e')";

static int make_database(struct postgres_load_home *home, struct err *err)
{
        const struct postgres_load_text *base = fact(home, "database"),
                                        *locale = fact(home, "locale");
        const char *const params[] = {
                home->name,
                base == NULL ? NULL : base->texts[0],
                base == NULL ? NULL : base->texts[1],
                base == NULL ? NULL : base->texts[2],
                locale == NULL ? NULL : locale->texts[0],
                locale == NULL ? NULL : locale->texts[1],
                locale == NULL || locale->texts[2][0] == '\0' ? NULL : locale->texts[2],
        };

        if (base == NULL)
                return err_fail(err, ERR_REFUSED, 0,
                                "this is a dump of a schema, and the site has a database of its "
                                "own");
        if (postgres_relay(home->admin, home->admin, database_sql, params, 7, err) < 0 ||
            postgres_runf(home->admin, err, "REVOKE ALL ON DATABASE %s FROM PUBLIC",
                          home->place.work) < 0)
                return err_wrap(err, "making the database '%s'", home->name);
        return postgres_connect(&home->server, home->name, &home->place.link, err) < 0
                       ? -1
                       : postgres_patience(home->place.link, 0, err);
}

/* Only what anybody may make who has a database, whatever we may. */
static int make_extension(struct postgres_load_home *home, const struct postgres_load_text *fact,
                          struct err *err)
{
        const char *const params[] = { fact->texts[0], fact->texts[1] };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(home->place.link,
                         "SELECT 1 FROM pg_available_extension_versions WHERE name = $1 AND "
                         "(trusted OR NOT superuser)",
                         params, 1, &result, err) < 0)
                return -1;
        if (PQntuples(result) == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the dump needs the extension '%s', which this server has not, or "
                                "lets only its administrator make: it is not made for a dump",
                                fact->texts[0]);
        return postgres_relay(home->place.link, home->place.link, extension_sql, params, 2, err) < 0
                       ? err_wrap(err, "the extension '%s'", fact->texts[0])
                       : 0;
}

static int make_schema(struct postgres_load_home *home, const char *name, struct err *err)
{
        const char *const params[] = { name, home->role };

        return postgres_relay(home->place.link, home->place.link, schema_sql, params, 2, err);
}

int postgres_load_home_make(struct postgres_load_home *home, struct err *err)
{
        struct postgres_place *place = &home->place;

        if (home->database != NULL) {
                place->link = home->admin;
                (void)snprintf(place->path, sizeof(place->path), "%s", place->work);
                return make_schema(home, home->name, err);
        }
        if (make_database(home, err) < 0 || postgres_quote(WORK, place->work, err) < 0 ||
            make_schema(home, WORK, err) < 0)
                return -1;
        place->path[0] = '\0';
        for (size_t i = 0; i < home->n_facts; i++)
                if (strcmp(home->facts[i].word, "schema") == 0 &&
                    make_schema(home, home->facts[i].texts[0], err) < 0)
                        return -1;
        for (size_t i = 0; i < home->n_facts; i++)
                if (strcmp(home->facts[i].word, "extension") == 0 &&
                    make_extension(home, &home->facts[i], err) < 0)
                        return -1;
        return 0;
}

/* A schema that everybody may make things in is not the copy. */
static int check_elsewhere(struct postgres_load_home *home, struct err *err)
{
        const char *const params[] = { home->role, home->database == NULL ? NULL : home->name };
        CLEANUP(PQclearp) PGresult *result = NULL;

        if (postgres_ask(home->place.link,
                         "SELECT i.type || ' ' || i.identity FROM pg_shdepend d CROSS JOIN LATERAL "
                         "pg_identify_object(d.classid, d.objid, 0) i WHERE d.refclassid = "
                         "'pg_authid'::regclass AND d.refobjid = (SELECT oid FROM pg_roles WHERE "
                         "rolname = $1) AND d.deptype = 'o' AND d.dbid = (SELECT oid FROM "
                         "pg_database WHERE datname = current_database()) AND $2::text IS NOT NULL "
                         "AND i.schema IS DISTINCT FROM quote_ident($2) AND i.schema IS DISTINCT "
                         "FROM $2 LIMIT 1",
                         params, 2, &result, err) < 0)
                return -1;
        return PQntuples(result) == 0
                       ? 0
                       : err_fail(err, ERR_REFUSED, 0,
                                  "the dump made something outside of the copy, which is taken "
                                  "away again: %s",
                                  PQgetvalue(result, 0, 0));
}

/* Owner and name in one transaction. */
static int finish_schema(struct postgres_load_home *home, const char *app, const char *role,
                         struct err *err)
{
        struct postgres_link *link = home->place.link;
        char to[POSTGRES_NAME_MAX];
        int r;

        if (postgres_quote(home->to, to, err) < 0 || postgres_run(link, "BEGIN", err) < 0)
                return -1;
        r = postgres_home_remove(link, true, home->to, err) < 0 ||
                            postgres_runf(link, err,
                                          "ALTER SCHEMA %1$s OWNER TO %2$s; GRANT CREATE, USAGE ON "
                                          "SCHEMA %1$s TO %2$s; REASSIGN OWNED BY %3$s TO %2$s; "
                                          "REVOKE ALL ON SCHEMA %1$s FROM %3$s; ALTER SCHEMA %1$s "
                                          "RENAME TO %4$s; COMMIT",
                                          home->place.work, app, role, to) < 0
                    ? -1
                    : 0;
        if (r < 0)
                postgres_try(link, "ROLLBACK");
        return r;
}

static int finish_database(struct postgres_load_home *home, const char *app, const char *role,
                           struct err *err)
{
        struct postgres_link *link = home->place.link;
        char from[POSTGRES_NAME_MAX], to[POSTGRES_NAME_MAX];
        const char *const params[] = { home->app_user, home->role };
        int r;

        if (postgres_quote(home->name, from, err) < 0 || postgres_quote(home->to, to, err) < 0 ||
            postgres_runf(link, err, "DROP SCHEMA %s CASCADE", home->place.work) < 0 ||
            postgres_relay(link, link, give_schemas_sql, params, 2, err) < 0 ||
            postgres_runf(link, err, "GRANT CREATE ON SCHEMA public TO %s", app) < 0 ||
            postgres_runf(link, err, "REASSIGN OWNED BY %s TO %s", role, app) < 0)
                return -1;
        /* Nobody may be in a database that is renamed. */
        postgres_close(STEAL(home->place.link));
        if (postgres_home_remove(home->admin, false, home->to, err) < 0 ||
            postgres_run(home->admin, "BEGIN", err) < 0)
                return -1;
        r = postgres_runf(home->admin, err,
                          "ALTER DATABASE %1$s OWNER TO %2$s; GRANT CONNECT, TEMPORARY ON DATABASE "
                          "%1$s TO PUBLIC; ALTER DATABASE %1$s RENAME TO %3$s; COMMIT",
                          from, app, to);
        if (r < 0)
                postgres_try(home->admin, "ROLLBACK");
        return r;
}

int postgres_load_home_finish(struct postgres_load_home *home, struct err *err)
{
        char app[POSTGRES_NAME_MAX], role[POSTGRES_NAME_MAX];

        if (postgres_quote(home->app_user, app, err) < 0 ||
            postgres_quote(home->role, role, err) < 0 || check_elsewhere(home, err) < 0)
                return -1;
        return (home->database != NULL ? finish_schema : finish_database)(home, app, role, err);
}

void postgres_load_home_close(struct postgres_load_home *home, bool failed)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        char role[POSTGRES_NAME_MAX];
        struct err ignored;

        if (home->place.link != home->admin)
                postgres_close(home->place.link);
        postgres_close(home->admin);
        /* In a database of its own it goes with that. */
        if (failed && home->database != NULL && postgres_quote(home->role, role, &ignored) == 0 &&
            postgres_connect(&home->server, home->database, &link, &ignored) == 0)
                (void)!postgres_runf(link, &ignored, "DROP OWNED BY %s CASCADE", role);
        for (size_t i = 0; i < home->n_facts; i++)
                for (int j = 0; j < 3; j++)
                        free(home->facts[i].texts[j]);
        free(home->facts);
        free(home->app_user);
}
