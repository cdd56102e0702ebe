/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "snapd/dbprobe.h"
#include "snapd/prober_tally.h"

/* What is wrong with us says nothing about the site. */
static bool is_ours(const struct err *err)
{
        return err->code == ERR_UNSUPPORTED || err->code == ERR_INVALID || err->code == ERR_REFUSED;
}

/* A question that reads something: a server is asked for its schemas, SQLite for its tables. */
static int ask(struct step_env *env, const char *database, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        struct db *db = NULL;
        bool there = false;

        if (env_database(env, &db, err) < 0 ||
            env->database_driver->exists(db, database, &there, err) < 0)
                return -1;
        if (!there)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no database '%s'", database);
        if (strcmp(env->site->database.engine, "sqlite") != 0)
                return 0;
        if (env->database_driver->fingerprint(db, database, &text, err) < 0)
                return -1;
        /* A file without SQLite's header is no database of it, and not looked at. */
        return text[0] != '\0'
                       ? 0
                       : err_fail(err, ERR_CORRUPT, 0,
                                  "no file of '%s' is a database of SQLite with tables", database);
}

static int ask_active(struct step_env *env, struct err *err)
{
        struct version version = { 0 };
        struct catalog_site row;
        uint64_t active;
        int r;

        if (catalog_site(env->catalog, env->site->name, &row, err) < 0)
                return -1;
        active = row.active;
        catalog_site_done(&row);
        if (catalog_version(env->catalog, env->site->name, active, &version, err) < 0)
                return -1;
        r = ask(env, version.database, err);
        version_done(&version);
        return r;
}

void dbprobe_ask(const struct dirs *dirs, const struct site *site, struct sample *sample)
{
        struct tally_answer answer = { .usec = clock_boot_usec() };
        struct catalog *catalog = NULL;
        struct site *own = NULL;
        struct step_env env;
        struct err err = { 0 };
        int r;

        tally_begin(sample);
        r = site_load(dirs->conf_fd, site->name, NULL, &own, &err);
        if (r == 0 && (r = catalog_open(dirs->state_fd, &catalog, &err)) < 0)
                site_free(own);
        if (r == 0) {
                env_init(&env, dirs, catalog, own);
                r = ask_active(&env, &err);
                env_done(&env);
        }
        catalog_close(catalog);
        if (r < 0) {
                answer.verdict = is_ours(&err) ? PROBE_UNKNOWN : PROBE_BAD;
                (void)snprintf(answer.what, sizeof(answer.what), "%.*s", TALLY_WHAT_MAX - 1,
                               err.msg);
        }
        answer.usec = clock_boot_usec() - answer.usec;
        tally_add(sample, &answer);
        tally_end(sample);
}
