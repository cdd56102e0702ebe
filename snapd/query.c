/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapd/adopt.h"
#include "snapd/lock.h"
#include "snapd/plan_verb.h"
#include "snapd/request.h"
#include "snapd/webconf.h"

#define LOCK_WAIT_MSEC 5000

/* Each question gets an env of its own, so that whatever it opened is closed again. */
typedef int (*query_function)(struct step_env *env, const json_t *query, json_t **ret_answer,
                              struct err *err);

static json_t *describe(const struct plan *plan)
{
        json_t *list = json_array();
        char text[1024];

        for (int part = PLAN_MAIN; part < PLAN_PARTS; part++)
                for (size_t i = 0; i < plan->parts[part].n; i++) {
                        const struct step *step = &plan->parts[part].steps[i];

                        step->kind->describe(step->args, text, sizeof(text));
                        (void)json_array_append_new(
                                list, json_pack("{s:s, s:s, s:s}", "part",
                                                part == PLAN_MAIN ? "main" : "rescue", "kind",
                                                step->kind->name, "text", text));
                }
        return list;
}

/* The dry run is the plan itself, made and not written down: its numbers are given back. */
static int query_plan(struct step_env *env, const json_t *query, json_t **ret_answer,
                      struct err *err)
{
        const json_t *request = json_object_get(query, "request");
        const char *verb = json_get_string(request, "verb");
        struct plan_facts facts = { 0 };
        struct plan plan = { 0 };
        json_t *space = NULL;
        uint64_t version = 0;
        int ret;

        if (request_check(env->dirs, env->catalog, env->site->name, request, err) < 0 ||
            plan_prepare(env, verb, request, (uid_t)json_get_u64(query, "by"), &facts, err) < 0 ||
            catalog_begin(env->catalog, err) < 0) {
                plan_facts_done(&facts);
                return -1;
        }
        ret = plan_make(env, &facts, &plan, &version, err);
        catalog_rollback(env->catalog);
        if (facts.needed_bytes != 0)
                space = json_pack("{s:I, s:I}", "needed_bytes", (json_int_t)facts.needed_bytes,
                                  "free_bytes", (json_int_t)facts.free_bytes);
        if (ret == 0)
                *ret_answer = json_pack("{s:s, s:o, s:o?}", "verb", verb, "steps", describe(&plan),
                                        "space", space);
        plan_done(&plan);
        plan_facts_done(&facts);
        return ret;
}

static int add_change(const struct fs_change *change, void *arg, struct err *err)
{
        json_t *path = json_string(change->path);

        (void)err;
        /* Not every name is UTF-8; JSON has only that. */
        if (path == NULL) {
                char shown[PATH_MAX];

                (void)snprintf(shown, sizeof(shown), "%s", change->path);
                for (char *c = shown; *c != '\0'; c++)
                        if ((unsigned char)*c >= 0x80)
                                *c = '?';
                path = json_string(shown);
        }
        (void)json_array_append_new(
                arg, json_pack("{s:o, s:s}", "path", path, "status", change->status));
        return 0;
}

static int query_diff(struct step_env *env, const json_t *query, json_t **ret_answer,
                      struct err *err)
{
        uint64_t numbers[2] = { json_get_u64(query, "from"), json_get_u64(query, "to") };
        struct fs_pool *pool;
        json_t *changes;
        fs_id trees[2];

        for (int i = 0; i < 2; i++) {
                struct version version;

                if (catalog_version(env->catalog, env->site->name, numbers[i], &version, err) < 0)
                        return -1;
                trees[i] = version.tree;
                version_done(&version);
        }
        changes = json_array();
        if (env_pool(env, &pool, err) < 0 ||
            env->fs->diff(pool, trees[0], trees[1], add_change, changes, err) < 0) {
                json_decref(changes);
                return -1;
        }
        *ret_answer = json_pack("{s:I, s:I, s:o}", "from", (json_int_t)numbers[0], "to",
                                (json_int_t)numbers[1], "changes", changes);
        return 0;
}

static int query_web_config(struct step_env *env, const json_t *query, json_t **ret_answer,
                            struct err *err)
{
        const char *server = json_get_string(query, "server");
        char *text;

        if (webconf_print(env->site, server == NULL ? "nginx" : server, &text, err) < 0)
                return -1;
        *ret_answer = json_pack("{s:s}", "text", text);
        free(text);
        return 0;
}

/* The file's mistakes; no mistake of the question. */
static int query_check(const struct dirs *dirs, const char *name, json_t **ret_answer,
                       struct err *err)
{
        struct site_problems problems = { 0 };
        struct probe_list probes = { 0 };
        struct site *site = NULL;
        json_t *list = json_array();

        if (site_load(dirs->conf_fd, name, &problems, &site, err) < 0 && problems.n == 0) {
                json_decref(list);
                return -1;
        }
        /* What is wrong with its presets is in ${problems} then. */
        if (site != NULL && site_probes(dirs->conf_fd, site, &problems, &probes, err) == 0)
                probe_list_done(&probes);
        site_free(site);
        for (size_t i = 0; i < problems.n; i++)
                (void)json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:s}", "file",
                                                            problems.items[i].file, "line",
                                                            problems.items[i].line, "key",
                                                            problems.items[i].key, "message",
                                                            problems.items[i].message));
        *ret_answer = json_pack("{s:b, s:o}", "ok", problems.n == 0, "problems", list);
        site_problems_done(&problems);
        return 0;
}

static int with_env(const struct dirs *dirs, const char *name, const json_t *query,
                    query_function function, json_t **ret_answer, struct err *err)
{
        const json_t *request = json_object_get(query, "request");
        const char *verb = json_get_string(request, "verb");
        CLEANUP(closep) int lock_fd = -1;
        struct catalog *catalog;
        struct step_env env;
        struct site *site;
        int ret;

        if (lock_site(dirs, name, LOCK_WAIT_MSEC, &lock_fd, err) < 0 ||
            catalog_open(dirs->state_fd, &catalog, err) < 0)
                return -1;
        ret = verb != NULL && strcmp(verb, "add") == 0
                      ? adopt_site(dirs, request, &site, err)
                      : site_load(dirs->conf_fd, name, NULL, &site, err);
        if (ret == 0) {
                env_init(&env, dirs, catalog, site);
                ret = function(&env, query, ret_answer, err);
                env_done(&env);
        }
        catalog_close(catalog);
        return ret;
}

int request_query(const struct dirs *dirs, const json_t *query, json_t **ret_answer,
                  struct err *err)
{
        static const struct {
                const char *name;
                query_function function;
        } table[] = {
                { "plan", query_plan },
                { "diff", query_diff },
                { "web-config", query_web_config },
        };
        const char *name = json_get_string(query, "query"), *site = json_get_string(query, "site");

        if (name == NULL || site == NULL)
                return err_fail(err, ERR_INVALID, 0, "a question has a name and a site");
        if (strcmp(name, "check") == 0)
                return query_check(dirs, site, ret_answer, err);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (strcmp(table[i].name, name) == 0)
                        return with_env(dirs, site, query, table[i].function, ret_answer, err);
        return err_fail(err, ERR_INVALID, 0, "there is no question '%s'", name);
}
