/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_copy.h"
#include "dbdump/postgres_settings.h"

struct postgres_settings {
        PGresult *rows; /* role or NULL, name, value, the name as a statement takes it or NULL */
};

int postgres_settings_read(struct postgres_link *link, struct postgres_settings **ret_settings,
                           struct err *err)
{
        /* A name that would need quotes is none that a statement can be sure of. */
        static const char sql[] =
                "SELECT pg_get_userbyid(nullif(s.setrole, 0)), split_part(c, '=', 1), substr(c, "
                "strpos(c, '=') + 1), CASE WHEN split_part(c, '=', 1) ~ "
                "'^[A-Za-z_][A-Za-z0-9_$]*(\\.[A-Za-z_][A-Za-z0-9_$]*)*$' THEN split_part(c, '=', "
                "1) END FROM pg_db_role_setting s, unnest(s.setconfig) WITH ORDINALITY AS u(c, n) "
                "WHERE s.setdatabase = "
                "(SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY "
                "s.setrole, n";
        struct postgres_settings *settings = calloc(1, sizeof(*settings));

        if (settings == NULL)
                return err_oom(err);
        if (postgres_ask(link, sql, NULL, 0, &settings->rows, err) < 0) {
                postgres_settings_free(settings);
                return -1;
        }
        *ret_settings = settings;
        return 0;
}

void postgres_settings_free(struct postgres_settings *settings)
{
        if (settings == NULL)
                return;
        PQclear(settings->rows);
        free(settings);
}

/* A role may say what it wants for itself; for another one takes the right to make roles. */
static int apply_one(struct postgres_link *link, const PGresult *rows, int i, const char *database,
                     struct err *err)
{
        const char *const params[] = { PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 2) };
        char role[POSTGRES_NAME_MAX] = "";

        if (PQgetisnull(rows, i, 3))
                return err_fail(err, ERR_UNSUPPORTED, 0, "not a plain name");
        if (postgres_run(link, "BEGIN", err) < 0 ||
            postgres_ask(link, "SELECT pg_catalog.set_config($1, $2, true)", params, 2, NULL, err) <
                    0)
                return -1;
        if (PQgetisnull(rows, i, 0))
                return postgres_runf(link, err, "ALTER DATABASE %s SET %s FROM CURRENT; COMMIT",
                                     database, PQgetvalue(rows, i, 3));
        return postgres_quote(PQgetvalue(rows, i, 0), role, err) < 0 ||
                               postgres_runf(link, err,
                                             "SET LOCAL ROLE %s; ALTER ROLE %s IN DATABASE %s SET "
                                             "%s FROM CURRENT; COMMIT",
                                             role, role, database, PQgetvalue(rows, i, 3)) < 0
                       ? -1
                       : 0;
}

int postgres_settings_apply(const struct postgres_settings *settings,
                            const struct postgres_server *server, const char *name, struct err *err)
{
        CLEANUP(postgres_closep) struct postgres_link *link = NULL;
        char quoted[POSTGRES_NAME_MAX];

        if (PQntuples(settings->rows) == 0)
                return 0;
        if (postgres_quote(name, quoted, err) < 0 ||
            postgres_connect(server, POSTGRES_MAINTENANCE, &link, err) < 0)
                return -1;
        for (int i = 0; i < PQntuples(settings->rows); i++)
                if (apply_one(link, settings->rows, i, quoted, err) < 0)
                        return err_wrap(err, "the setting '%s' of the database%s%s",
                                        PQgetvalue(settings->rows, i, 1),
                                        PQgetisnull(settings->rows, i, 0) ? "" : " for ",
                                        PQgetvalue(settings->rows, i, 0));
        return 0;
}
