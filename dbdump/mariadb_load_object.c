/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_charset.h"
#include "dbdump/mariadb_load_object.h"
#include "dbdump/mariadb_names.h"
#include "dbdump/mariadb_objects.h"

#define NAME_MAX_BYTES 260
#define VIEWS_BYTES    (64 << 20)

struct reaching {
        const char *text, *to;
        bool (*reaches)(const char *text, const char *schema);
        char schema[NAME_MAX_BYTES];
};

static int look_for(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct reaching *reaching = arg;

        (void)sizes;
        (void)err;
        if (strcasecmp(values[0], reaching->to) != 0 &&
            reaching->reaches(reaching->text, values[1]))
                (void)snprintf(reaching->schema, sizeof(reaching->schema), "%s", values[0]);
        return 0;
}

/* Every schema that we can see is asked for, as it is written in ${charset}; and the server's own,
 * as somebody with more rights may call what is loaded.  What else we cannot see nobody of ours can
 * be led to. */
static int refuse_reach(struct mariadb_load_objects *objects, const char *kind, const char *name,
                        const char *text, const char *charset,
                        bool (*reaches)(const char *text, const char *schema), struct err *err)
{
        struct reaching reaching = { .text = text, .to = objects->to, .reaches = reaches };

        if (mariadb_each(objects->conn, look_for, &reaching, err,
                         "SELECT name, CAST(CONVERT(name USING %s) AS BINARY) FROM (SELECT"
                         " SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME"
                         " <> 'information_schema' UNION SELECT 'mysql' UNION SELECT 'sys' UNION"
                         " SELECT 'performance_schema') AS every",
                         charset) < 0)
                return -1;
        return reaching.schema[0] == '\0'
                       ? 0
                       : err_fail(err, ERR_REFUSED, 0,
                                  "the %s '%s' of the dump names the database '%s' of this server "
                                  "('%s.'): nothing that is loaded may reach another database",
                                  kind, name, reaching.schema, reaching.schema);
}

static int make(struct mariadb_load_objects *objects, const char *kind, const char *name,
                struct mariadb_sql *sql, const struct mariadb_policy_context *context,
                struct err *err)
{
        const struct mariadb_object object = {
                .kind = kind,
                .name = name,
                .definer = objects->app_user,
                .sql_mode = context->sql_mode[0] == '\0' ? NULL : context->sql_mode,
                .charset = context->charset,
                .collation = context->collation,
                .zone = context->zone[0] == '\0' ? NULL : context->zone,
                .sql = sql,
        };

        return mariadb_object_make(objects->conn, &object, err);
}

static int keep(struct mariadb_load_objects *objects, const char *name, struct mariadb_sql *sql,
                const struct mariadb_policy_context *context, struct err *err)
{
        struct mariadb_load_view *views =
                reallocarray(objects->views, objects->n + 1, sizeof(*views));

        if (views == NULL)
                return err_oom(err);
        objects->views = views;
        if ((objects->bytes += sql->n) > VIEWS_BYTES)
                return err_fail(err, ERR_REFUSED, 0, "the dump has more than %d MiB of views",
                                VIEWS_BYTES >> 20);
        views[objects->n] = (struct mariadb_load_view){ strdup(name), *sql, *context };
        *sql = (struct mariadb_sql){ 0 };
        return views[objects->n++].name == NULL ? err_oom(err) : 0;
}

int mariadb_load_object(struct mariadb_load_objects *objects, const struct mariadb_sql *sql,
                        const struct mariadb_policy_context *context, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql ours = { 0 };
        CLEANUP(freep) char *name = NULL;
        char kind[16], written[NAME_MAX_BYTES];

        if (mariadb_policy_object(sql->text, sql->n, context->sql_mode,
                                  objects->app_user == NULL ? "nobody" : objects->app_user, &ours,
                                  kind, written, sizeof(written), err) < 0 ||
            mariadb_charset_decode(objects->conn, written, context->charset, &name, err) < 0)
                return -1;
        if (objects->app_user == NULL)
                return err_fail(err, ERR_DENIED, 0,
                                "the %s '%s' of the dump has to belong to the site's own user on "
                                "the server: name it with app_user in [database]",
                                kind, name);
        if (strcmp(kind, "view") == 0)
                return keep(objects, name, &ours, context, err);
        return refuse_reach(objects, kind, name, sql->text, context->charset, mariadb_names_reaches,
                            err) < 0
                       ? -1
                       : make(objects, kind, name, &ours, context, err);
}

static int make_view(struct mariadb_load_objects *objects, struct mariadb_load_view *view,
                     struct err *err)
{
        CLEANUP(freep) char *kept = NULL;

        if (make(objects, "view", view->name, &view->sql, &view->context, err) < 0)
                return -1;
        if (mariadb_text(objects->conn, &kept, err,
                         "SELECT VIEW_DEFINITION FROM information_schema.VIEWS"
                         " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L",
                         objects->to, view->name) < 0)
                return -1;
        return kept == NULL ? err_fail(err, ERR_CORRUPT, 0, "the view '%s' has gone", view->name)
                            : refuse_reach(objects, "view", view->name, kept, "utf8mb4",
                                           mariadb_names_qualifies, err);
}

int mariadb_load_views(struct mariadb_load_objects *objects, struct err *err)
{
        size_t left = objects->n, failed;

        for (; left > 0; left = failed) {
                struct err why = { 0 };

                failed = 0;
                for (size_t i = 0; i < left; i++) {
                        struct mariadb_load_view view = objects->views[i];

                        if (make_view(objects, &objects->views[i], &why) == 0)
                                continue;
                        if (why.code != ERR_NOT_FOUND &&
                            mysql_errno(objects->conn->mysql) != ER_VIEW_INVALID) {
                                *err = why;
                                return -1;
                        }
                        if (mariadb_object_reset(objects->conn, err) < 0)
                                return -1;
                        objects->views[i] = objects->views[failed];
                        objects->views[failed++] = view;
                }
                if (failed == left) {
                        *err = why;
                        return -1;
                }
        }
        return 0;
}

void mariadb_load_objects_done(struct mariadb_load_objects *objects)
{
        for (size_t i = 0; i < objects->n; i++) {
                free(objects->views[i].name);
                mariadb_sql_done(&objects->views[i].sql);
        }
        free(objects->views);
        *objects = (struct mariadb_load_objects){ 0 };
}
