/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "common/cleanup.h"
#include "snapd/outline.h"

/* The first line of a text, ended; NULL at its end.  ${at} moves behind it. */
static char *next_line(char **at)
{
        char *line = *at, *end;

        if (*line == '\0')
                return NULL;
        end = strchrnul(line, '\n');
        *at = *end == '\0' ? end : end + 1;
        *end = '\0';
        return line;
}

int outline_diff(const char *from, const char *to, outline_visit visit, void *arg, struct err *err)
{
        CLEANUP(freep) char *a_text = strdup(from);
        CLEANUP(freep) char *b_text = strdup(to);
        char *a_at = a_text, *b_at = b_text, *a, *b;

        if (a_text == NULL || b_text == NULL)
                return err_oom(err);
        a = next_line(&a_at);
        b = next_line(&b_at);
        while (a != NULL || b != NULL) {
                int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a, b);

                if (order < 0 && visit('-', a, arg, err) < 0)
                        return -1;
                if (order > 0 && visit('+', b, arg, err) < 0)
                        return -1;
                if (order <= 0)
                        a = next_line(&a_at);
                if (order >= 0)
                        b = next_line(&b_at);
        }
        return 0;
}

int outline_now(struct step_env *env, const char *database, char **ret_text, struct err *err)
{
        struct db *db;

        if (env_database(env, &db, err) < 0)
                return -1;
        if (env->database_driver->fingerprint == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the driver for %s cannot describe a schema",
                                env->database_driver->name);
        return env->database_driver->fingerprint(db, database, ret_text, err);
}

int outline_of(struct step_env *env, const struct version *version, char **ret_text,
               struct err *err)
{
        if (version->database[0] == '\0')
                return err_fail(err, ERR_NOTHING, 0, "'%s' has no database", env->site->name);
        if (version->state != VERSION_ACTIVE) {
                if (catalog_fingerprint(env->catalog, env->site->name, version->number, ret_text,
                                        err) == 0)
                        return 0;
                if (err->code != ERR_NOT_FOUND)
                        return -1;
        }
        return outline_now(env, version->database, ret_text, err);
}

int outline_drift(struct step_env *env, const struct version *active, outline_visit visit,
                  void *arg, struct err *err)
{
        CLEANUP(freep) char *known = NULL;
        CLEANUP(freep) char *now = NULL;

        if (active->database[0] == '\0')
                return 0;
        if (catalog_fingerprint(env->catalog, env->site->name, active->number, &known, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (outline_now(env, active->database, &now, err) < 0)
                return err->code == ERR_UNSUPPORTED ? 0 : -1;
        return outline_diff(known, now, visit, arg, err);
}
