/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/safepath.h"
#include "fsdrivers/tree.h"
#include "snapd/adopt.h"
#include "snapd/exchange.h"
#include "snapd/neighbours.h"

DEFINE_CLEANUP(struct site *, site_free);

static int set_text(char **field, const json_t *request, const char *key, struct err *err)
{
        const char *text = json_get_string(request, key);
        char *copy;

        if (text == NULL)
                return 0;
        copy = strdup(text);
        if (copy == NULL)
                return err_oom(err);
        free(*field);
        *field = copy;
        return 0;
}

/* A list of texts as a NULL-terminated array; none when there is no such member. */
static int set_texts(char ***field, size_t *ret_n, const json_t *list, struct err *err)
{
        size_t n = json_array_size(list), i;
        json_t *item;
        char **texts;

        if (n == 0)
                return 0;
        texts = calloc(n + 1, sizeof(*texts));
        if (texts == NULL)
                return err_oom(err);
        free(*field);
        *field = texts;
        json_array_foreach (list, i, item) {
                texts[i] = strdup(json_is_string(item) ? json_string_value(item) : "");
                if (texts[i] == NULL)
                        return err_oom(err);
        }
        if (ret_n != NULL)
                *ret_n = n;
        return 0;
}

static int set_rules(struct site *site, const json_t *list, struct err *err)
{
        size_t n = json_array_size(list), i;
        json_t *item;

        if (n == 0)
                return 0;
        site->rules = calloc(n, sizeof(*site->rules));
        if (site->rules == NULL)
                return err_oom(err);
        site->n_rules = n;
        json_array_foreach (list, i, item) {
                struct site_rule *rule = &site->rules[i];

                if (set_text(&rule->file, item, "file", err) < 0 ||
                    set_text(&rule->kind, item, "kind", err) < 0 ||
                    set_text(&rule->key, item, "key", err) < 0 ||
                    set_text(&rule->value, item, "value", err) < 0)
                        return -1;
                if (rule->file == NULL || rule->kind == NULL || rule->key == NULL ||
                    rule->value == NULL)
                        return err_fail(err, ERR_INVALID, 0,
                                        "a rule of 'config' has file, kind, key and value");
        }
        return 0;
}

/* Its members are the keys of the section, each a text as it would stand there. */
static int set_section(struct site *site, const char *section, json_t *members, struct err *err)
{
        const char *key;
        json_t *value;

        json_object_foreach (members, key, value)
                if (site_set(site, section, key, json_string_value(value), err) < 0)
                        return -1;
        return 0;
}

/* An address alone asks for nothing: without the probes of an application it is the front page that
 * is asked for. */
static int set_front(struct site *site, struct err *err)
{
        struct site_probe *probe;

        if (site->guard.url == NULL || site->guard.presets != NULL)
                return 0;
        if (probe_list_add(&site->probes, "front", &probe, err) < 0)
                return -1;
        probe->urls = calloc(2, sizeof(*probe->urls));
        if (probe->urls == NULL || (probe->urls[0] = strdup("/")) == NULL)
                return err_oom(err);
        return 0;
}

/* A preset that is not there is found now, not when the site is added. */
static int check_probes(const struct dirs *dirs, const struct site *site, struct err *err)
{
        struct probe_list list = { 0 };
        int ret;

        if (site->guard.presets == NULL)
                return 0;
        ret = site_probes(dirs->conf_fd, site, NULL, &list, err);
        probe_list_done(&list);
        return ret;
}

int adopt_site(const struct dirs *dirs, const json_t *request, struct site **ret_site,
               struct err *err)
{
        static const char *const texts[] = { "home",   "owner", "docroot",
                                             "driver", "pool",  "switcher" };
        CLEANUP(site_freep) struct site *site = NULL;
        const char *name = json_get_string(request, "name");

        if (name == NULL)
                return err_fail(err, ERR_INVALID, 0, "a site has a name");
        /* What the administrator wrote into sites.d by hand counts; then there is only a name. */
        if (json_object_get(request, "home") == NULL)
                return site_load(dirs->conf_fd, name, NULL, ret_site, err);
        if (site_new(name, &site, err) < 0)
                return -1;
        char **const fields[] = { &site->home,   &site->owner, &site->docroot,
                                  &site->driver, &site->pool,  &site->switcher };
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (set_text(fields[i], request, texts[i], err) < 0)
                        return -1;
        if (set_section(site, "database", json_object_get(request, "database"), err) < 0 ||
            set_section(site, "guard", json_object_get(request, "guard"), err) < 0 ||
            set_front(site, err) < 0 ||
            set_texts(&site->shared, &site->n_shared, json_object_get(request, "shared"), err) <
                    0 ||
            set_texts(&site->command, NULL, json_object_get(request, "command"), err) < 0 ||
            set_rules(site, json_object_get(request, "config"), err) < 0)
                return -1;
        return check_probes(dirs, site, err) < 0 ? -1 : site_resolve(site, ret_site, err);
}

/* The nearest directory of ${path} that is there: a home that is made later will lie on its file
 * system. */
static int open_nearest(const char *path, int *ret_fd, struct err *err)
{
        char prefix[1024];
        size_t n = strlen(path);

        for (;;) {
                (void)snprintf(prefix, sizeof(prefix), "%.*s", n == 0 ? 1 : (int)n,
                               n == 0 ? "/" : path);
                if (safepath_open_trusted(prefix, ret_fd, err) == 0)
                        return 0;
                if (err->code != ERR_NOT_FOUND || n == 0)
                        return -1;
                while (n > 0 && path[--n] != '/')
                        ;
        }
}

static int check_directory(const char *path, dev_t device, const char *what, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, fd = -1;
        const char *name;
        struct stat st;

        if (exchange_open(path, &parent_fd, &name, err) < 0 ||
            safepath_open(parent_fd, name, O_PATH | O_DIRECTORY, &fd, err) < 0)
                return err_wrap(err, "the %s '%s' cannot be taken over; nothing was changed", what,
                                path);
        /* The directory that holds it is asked: a btrfs subvolume has a device number of its own,
         * and can be renamed like a directory. */
        if (fstat(parent_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", path);
        if (st.st_dev != device)
                return err_fail(err, ERR_REFUSED, 0,
                                "the %s '%s' is not on the file system (or btrfs subvolume) of the "
                                "site's home: choose a home beside it; nothing was changed",
                                what, path);
        return 0;
}

static int check_origins(const struct site *site, dev_t device, struct err *err)
{
        char path[2100];

        if (check_directory(site->docroot, device, "docroot", err) < 0)
                return -1;
        for (size_t i = 0; i < site->n_shared; i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", site->docroot, site->shared[i]);
                if (check_directory(path, device, "shared directory", err) < 0)
                        return -1;
        }
        if (site->database.path == NULL)
                return 0;
        (void)snprintf(path, sizeof(path), "%s%s%s",
                       site->database.path[0] == '/' ? "" : site->docroot,
                       site->database.path[0] == '/' ? "" : "/", site->database.path);
        return check_directory(path, device, "database directory", err);
}

/* The server lets us in, has the database, and grants what an upgrade will need: said now, when
 * nothing has been done yet. */
static int check_server(struct step_env *env, struct err *err)
{
        struct db *db;

        if (!site_database_serves(env->site))
                return 0;
        if (env_database(env, &db, err) < 0 ||
            env->database_driver->check(db, env->site->database.name, err) < 0)
                return err_wrap(err, "'%s' cannot be added; nothing was changed", env->site->name);
        return 0;
}

static int find_entry(const char *name, void *arg, struct err *err)
{
        (void)name;
        (void)err;
        *(bool *)arg = true;
        return 0;
}

/* Trees that another catalog numbered would be taken for ours. */
static int check_pool_empty(const char *pool, struct err *err)
{
        CLEANUP(closep) int path_fd = -1, fd = -1;
        bool found = false;
        struct stat st;

        if (safepath_open_trusted(pool, &path_fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (fstat(path_fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", pool);
        if ((st.st_mode & 077) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "the pool '%s' can be entered by others than root: chmod 700",
                                pool);
        if (safepath_open(path_fd, "", O_RDONLY | O_DIRECTORY, &fd, err) < 0 ||
            tree_each(fd, find_entry, &found, err) < 0)
                return -1;
        if (found)
                return err_fail(
                        err, ERR_EXISTS, 0,
                        "the pool '%s' is not empty: a site that is gone left it; look what "
                        "it holds, remove it, or choose another place with --pool",
                        pool);
        return 0;
}

/* A layout of other deployment tools has the same name; it would be replaced, and then removed. */
static int check_home_free(const char *home, struct err *err)
{
        CLEANUP(closep) int fd = -1;

        if (safepath_open_trusted(home, &fd, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1;
        if (faccessat(fd, "current", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return err_fail(err, ERR_EXISTS, 0,
                                "there is a '%s/current' already, which would be replaced: choose "
                                "another home; nothing was changed",
                                home);
        return 0;
}

static int choose_driver(const struct site *site, int nearest_fd, const struct fs_driver **ret,
                         struct err *err)
{
        if (strcmp(site->driver, "auto") == 0)
                return fs_driver_choose(env_drivers, nearest_fd, ret, err);
        *ret = fs_driver_by_name(env_drivers, site->driver);
        if (*ret == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "this build has no driver '%s'",
                                site->driver);
        return (*ret)->probe(nearest_fd, err);
}

int adopt_prepare(struct step_env *env, struct plan_facts *facts, struct err *err)
{
        const struct site *site = env->site;
        CLEANUP(closep) int home_fd = -1, pool_fd = -1;
        struct stat home_st, pool_st;

        if (site->docroot == NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "which directory is '%s' now? Say it with --adopt", site->name);
        if (facts->versions.n > 0)
                return err_fail(err, ERR_EXISTS, 0, "there is a site '%s' already", site->name);
        if (env_pool_path(site, &facts->pool, err) < 0 ||
            open_nearest(site->home, &home_fd, err) < 0 ||
            open_nearest(facts->pool, &pool_fd, err) < 0)
                return err_wrap(err, "'%s' cannot be added; nothing was changed", site->name);
        if (fstat(home_fd, &home_st) < 0 || fstat(pool_fd, &pool_st) < 0)
                return err_fail(err, ERR_IO, errno, "cannot stat '%s'", site->home);
        if (home_st.st_dev != pool_st.st_dev)
                return err_fail(err, ERR_REFUSED, 0,
                                "the pool '%s' is not on the file system of '%s'; nothing was "
                                "changed",
                                facts->pool, site->home);
        if (neighbours_check(env, facts->pool, err) < 0 || check_pool_empty(facts->pool, err) < 0 ||
            check_home_free(site->home, err) < 0 || mount_shared_parent(home_fd, err) < 0 ||
            check_origins(site, home_st.st_dev, err) < 0 || check_server(env, err) < 0)
                return -1;
        if (choose_driver(site, home_fd, &facts->driver, err) < 0)
                return err_wrap(err, "no driver for '%s'; nothing was changed", site->home);
        facts->moves = (facts->driver->features & FS_IMPORT_MOVES) != 0;
        return 0;
}
