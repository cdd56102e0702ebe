/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "common/safepath.h"
#include "snapd/site_keys.h"

/* What fits together in [database]. */

enum { FILES = 1, MARIADB = 2, POSTGRES = 4, SERVERS = MARIADB | POSTGRES };

/* Which keys go with which engine. */
static const struct {
        const char *key;
        unsigned engines;
        bool required;
} fits[] = {
        { "path", FILES, true },  { "name", SERVERS, true },   { "socket", SERVERS },
        { "host", SERVERS },      { "port", SERVERS },         { "user", SERVERS },
        { "run_as", SERVERS },    { "secret_file", SERVERS },  { "secret_credential", SERVERS },
        { "database", POSTGRES }, { "table_prefix", SERVERS }, { "app_user", SERVERS },
        { "way", SERVERS },       { "streams", SERVERS },
};

/* Two that say the same thing in two ways, or of which one needs the other. */
static const struct {
        const char *key, *other;
        bool needs; /* else: does not go with */
} pairs[] = {
        { "socket", "host", false },
        { "secret_credential", "secret_file", false },
        { "port", "host", true },
};

static unsigned engine_of(const struct site *site)
{
        const char *engine = site->database.engine;

        if (engine == NULL)
                return 0;
        return strcmp(engine, "sqlite") == 0    ? FILES
               : strcmp(engine, "mariadb") == 0 ? MARIADB
                                                : POSTGRES;
}

bool site_database_serves(const struct site *site)
{
        return (engine_of(site) & SERVERS) != 0;
}

static int count(const char *text, void *arg, struct err *err)
{
        (void)text;
        (void)err;
        ++*(unsigned *)arg;
        return 0;
}

static bool is_set(const struct site *site, const struct site_key *key)
{
        struct err ignored;
        unsigned n = 0;

        return key->kind->write(site, key, count, &n, &ignored) == 0 && n > 0;
}

static int check_fits(const struct site *site, const struct site_key **ret_key, struct err *err)
{
        unsigned engine = engine_of(site);

        for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++) {
                const struct site_key *key = site_key_find("database", fits[i].key);
                bool set = is_set(site, key);

                *ret_key = key;
                if (set && engine == 0)
                        return err_fail(err, ERR_INVALID, 0, "engine is missing: which is it?");
                if (set && (fits[i].engines & engine) == 0)
                        return err_fail(err, ERR_INVALID, 0, "does not go with engine %s",
                                        site->database.engine);
                if (set || !fits[i].required || (fits[i].engines & engine) == 0)
                        continue;
                *ret_key = site_key_find("database", "engine");
                return err_fail(err, ERR_INVALID, 0, "%s needs a %s, which is missing",
                                site->database.engine, key->key);
        }
        return 0;
}

static int check_pairs(const struct site *site, const struct site_key **ret_key, struct err *err)
{
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                bool other = is_set(site, site_key_find("database", pairs[i].other));

                *ret_key = site_key_find("database", pairs[i].key);
                if (is_set(site, *ret_key) && other != pairs[i].needs)
                        return err_fail(err, ERR_INVALID, 0,
                                        pairs[i].needs ? "is of no use without %s"
                                                       : "%s is given too; one of them is meant",
                                        pairs[i].other);
        }
        return 0;
}

static int check_path(const struct site *site, const struct site_key **ret_key, struct err *err)
{
        const char *path = site->database.path;

        *ret_key = site_key_find("database", "path");
        for (size_t i = 0; path[0] != '/' && i < site->n_shared; i++)
                if (safepath_within(path, site->shared[i]) ||
                    safepath_within(site->shared[i], path))
                        return err_fail(err, ERR_INVALID, 0,
                                        "'%s' and the shared '%s' lie in one another; a database "
                                        "belongs to its version and is not shared",
                                        path, site->shared[i]);
        if (path[0] == '/' && site->docroot != NULL && safepath_within(path, site->docroot))
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' lies in the docroot: say it relative to the docroot", path);
        return 0;
}

int site_check_database(const struct site *site, const struct site_key **ret_key, struct err *err)
{
        if (check_fits(site, ret_key, err) < 0 || check_pairs(site, ret_key, err) < 0)
                return -1;
        if (site->database.run_as != NULL && strcmp(site->database.run_as, "root") == 0) {
                *ret_key = site_key_find("database", "run_as");
                return err_fail(err, ERR_INVALID, 0,
                                "what a server sends is not read as root: name another user whom "
                                "the server lets in");
        }
        return engine_of(site) == FILES ? check_path(site, ret_key, err) : 0;
}
