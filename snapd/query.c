/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/safepath.h"
#include "snapd/adopt.h"
#include "snapd/dbprobe.h"
#include "snapd/lock.h"
#include "snapd/lost.h"
#include "snapd/outline.h"
#include "snapd/plan_verb.h"
#include "snapd/prober.h"
#include "snapd/prober_wire.h"
#include "snapd/request.h"
#include "snapd/served.h"
#include "snapd/strays.h"
#include "snapd/view.h"
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

/* What the database's copy will cost; NULL when nobody could say. */
static json_t *describe_forecast(const struct plan_facts *facts)
{
        static const char *const ways[] = {
                [DB_WAY_SNAPSHOT] = "snapshot",
                [DB_WAY_FILES] = "files",
                [DB_WAY_DUMP] = "dump",
        };
        const struct db_forecast *forecast = &facts->forecast;

        if (!facts->has_forecast)
                return NULL;
        return json_pack("{s:s, s:I, s:I, s:I, s:o}", "way",
                         forecast->way == DB_WAY_AUTO ? "auto" : ways[forecast->way], "copy_msec",
                         (json_int_t)forecast->copy_msec, "stall_msec",
                         (json_int_t)forecast->stall_msec, "disk_bytes",
                         (json_int_t)forecast->disk_bytes, "why",
                         view_text(forecast->why, strlen(forecast->why), NULL));
}

/* What a prune would remove, and what each would free. */
static json_t *losses(struct step_env *env, const struct plan_facts *facts)
{
        const unsigned members =
                1u << VIEW_NUMBER | 1u << VIEW_LABEL | 1u << VIEW_CREATED | 1u << VIEW_FREED_BYTES;
        CLEANUP(freep) uint64_t *numbers = NULL;
        json_t *list = json_array();
        struct err ignored; /* the plan was made of the same list */
        size_t n = 0;

        if (plan_prune_list(env, facts, &numbers, &n, &ignored) < 0)
                n = 0;
        for (size_t i = 0; i < facts->versions.n; i++)
                for (size_t k = 0; k < n; k++)
                        if (numbers[k] == facts->versions.items[i].number)
                                (void)json_array_append_new(
                                        list,
                                        view_version(&facts->versions.items[i], NULL, 0, members));
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
                *ret_answer = json_pack("{s:s, s:o, s:o?, s:o?, s:O?, s:o*}", "verb", verb, "steps",
                                        describe(&plan), "space", space, "database",
                                        describe_forecast(&facts), "drift", facts.drift, "versions",
                                        strcmp(verb, "prune") == 0 ? losses(env, &facts) : NULL);
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

/* One that has become active or was pruned since is the catalog's to tell. */
static int outline_of_number(struct step_env *env, uint64_t number, char **ret_text,
                             struct err *err)
{
        struct version version;
        int ret;

        if (catalog_version(env->catalog, env->site->name, number, &version, err) < 0)
                return -1;
        ret = outline_of(env, &version, ret_text, err);
        version_done(&version);
        return ret;
}

static int add_line(char sign, const char *line, void *arg, struct err *err)
{
        json_t *text = view_text(line, strlen(line), NULL);

        if (sign != ' ')
                text = json_pack("{s:s%, s:o}", "sign", &sign, (size_t)1, "line", text);
        return json_array_append_new(arg, text) < 0 ? err_oom(err) : 0;
}

static int query_schema(struct step_env *env, const json_t *query, json_t **ret_answer,
                        struct err *err)
{
        uint64_t number = json_get_u64(query, "version");
        CLEANUP(json_decrefp) json_t *lines = json_array();
        CLEANUP(freep) char *text = NULL;

        if (outline_of_number(env, number, &text, err) < 0)
                return -1;
        for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
                *end = '\0';
                if (add_line(' ', at, lines, err) < 0)
                        return -1;
        }
        *ret_answer = json_pack("{s:s, s:I, s:O}", "site", env->site->name, "version",
                                (json_int_t)number, "lines", lines);
        return 0;
}

static int query_schema_diff(struct step_env *env, const json_t *query, json_t **ret_answer,
                             struct err *err)
{
        uint64_t from = json_get_u64(query, "from"), to = json_get_u64(query, "to");
        CLEANUP(json_decrefp) json_t *changes = json_array();
        CLEANUP(freep) char *a = NULL;
        CLEANUP(freep) char *b = NULL;

        if (outline_of_number(env, from, &a, err) < 0 || outline_of_number(env, to, &b, err) < 0 ||
            outline_diff(a, b, add_line, changes, err) < 0)
                return -1;
        *ret_answer = json_pack("{s:I, s:I, s:O}", "from", (json_int_t)from, "to", (json_int_t)to,
                                "changes", changes);
        return 0;
}

static int query_lost_writes(struct step_env *env, const json_t *query, json_t **ret_answer,
                             struct err *err)
{
        enum lost_format format = lost_format_by_name(json_get_string(query, "format"));

        if (format == LOST_FORMATS)
                return err_fail(err, ERR_INVALID, 0, "'format' is sql or csv");
        return lost_writes(env, json_get_u64(query, "from"), json_get_u64(query, "to"),
                           json_get_string(query, "table"), format, ret_answer, err);
}

/* What the file says and nothing else, so that it is told also while the site is busy. */
static int query_web_config(const struct dirs *dirs, const char *name, const char *server,
                            json_t **ret_answer, struct err *err)
{
        CLEANUP(freep) char *text = NULL;
        struct site *site;
        int ret;

        if (site_load(dirs->conf_fd, name, NULL, &site, err) < 0)
                return -1;
        ret = webconf_print(site, server == NULL ? "nginx" : server, &text, err);
        if (ret == 0)
                *ret_answer = json_pack("{s:s}", "text", text);
        site_free(site);
        return ret;
}

static json_t *problem_object(const char *file, int line, const char *key, const char *message)
{
        return json_pack("{s:s, s:i, s:s, s:o}", "file", file, "line", line, "key", key, "message",
                         view_text(message, strlen(message), NULL));
}

static int note_stray(const char *name, void *arg, struct err *err)
{
        (void)err;
        (void)json_array_append_new(
                arg, json_sprintf("database '%s' on the server has a name of ours and belongs to "
                                  "no version; nothing is done to it",
                                  name));
        return 0;
}

/* Is what the file says of a database server so?  A grant that is missing is better known now than
 * when an upgrade is to begin. */
static void check_server(struct step_env *env, json_t *problems, json_t *notes)
{
        const char *name = env->site->database.name;
        struct plan_facts facts = { 0 };
        struct op_list open = { 0 };
        struct err err;
        struct db *db;

        if (plan_facts_load(env->catalog, env->site->name, "check", NULL, 0, &facts, &err) == 0 &&
            facts.active != NULL)
                name = facts.active->database;
        if (env_database(env, &db, &err) < 0 || env->database_driver->check(db, name, &err) < 0)
                (void)json_array_append_new(problems, problem_object("", 0, "database", err.msg));
        else if (journal_list(env->catalog, env->site->name, true, 1, &open, &err) < 0 ||
                 (open.n == 0 && facts.active != NULL &&
                  strays_visit(env, note_stray, notes, &err) < 0))
                (void)json_array_append_new(notes, view_text(err.msg, strlen(err.msg), NULL));
        op_list_done(&open);
        plan_facts_done(&facts);
}

/* The file's mistakes; no mistake of the question. */
static int query_check(const struct dirs *dirs, const char *name, json_t **ret_answer,
                       struct err *err)
{
        struct site_problems problems = { 0 };
        CLEANUP(json_decrefp) json_t *list = json_array();
        CLEANUP(json_decrefp) json_t *notes = json_array();
        struct catalog *catalog;
        struct site *site = NULL;
        struct step_env env;

        if (site_load(dirs->conf_fd, name, &problems, &site, err) < 0 && problems.n == 0)
                return -1;
        for (size_t i = 0; i < problems.n; i++)
                (void)json_array_append_new(
                        list, problem_object(problems.items[i].file, problems.items[i].line,
                                             problems.items[i].key, problems.items[i].message));
        site_problems_done(&problems);
        if (site != NULL && site_database_serves(site)) {
                if (catalog_open(dirs->state_fd, &catalog, err) < 0) {
                        site_free(site);
                        return -1;
                }
                env_init(&env, dirs, catalog, site);
                check_server(&env, list, notes);
                env_done(&env);
                catalog_close(catalog);
        } else {
                site_free(site);
        }
        *ret_answer = json_pack("{s:b, s:O, s:O}", "ok", json_array_size(list) == 0, "problems",
                                list, "notes", notes);
        return 0;
}

/* Where commands run: the active version's directory, or nowhere of the site's. */
static int current_open(const struct dirs *dirs, struct site *site, int *ret_fd, struct err *err)
{
        struct step_env env;
        uint64_t version;
        char number[24];
        int versions_fd, r;

        env_init(&env, dirs, NULL, site);
        r = served_current(&env, &version, err);
        if (r == 0 && version != 0) {
                (void)snprintf(number, sizeof(number), "%" PRIu64, version);
                r = served_versions_fd(&env, &versions_fd, err);
                if (r == 0) {
                        r = safepath_open_mounted(versions_fd, number, O_PATH | O_DIRECTORY, ret_fd,
                                                  err);
                        (void)close(versions_fd);
                }
        }
        env.site = NULL; /* the caller's */
        env_done(&env);
        return r;
}

/* Ask the site's probes now: all of them, or the one that "probe" names, of which the sample is the
 * answer.  An operation may run meanwhile: nothing is changed. */
static int query_probes(const struct dirs *dirs, const char *name, const char *only,
                        json_t **ret_answer, struct err *err)
{
        CLEANUP(closep) int cwd_fd = -1;
        struct prober_answers answers = { 0 };
        struct probe_list probes = { 0 };
        const struct site_probe *probe;
        struct site *site = NULL;
        int r;

        if (site_load(dirs->conf_fd, name, NULL, &site, err) < 0)
                return -1;
        r = site_probes(dirs->conf_fd, site, NULL, &probes, err);
        probe = r < 0 || only == NULL ? NULL : probe_list_find(&probes, only);
        if (r == 0 && only != NULL && probe == NULL)
                r = err_fail(err, ERR_NOT_FOUND, 0, "'%s' has no probe '%.40s'", name, only);
        if (r == 0)
                r = current_open(dirs, site, &cwd_fd, err);
        if (r == 0) {
                const struct probe_list one = {
                        .items = probe == NULL ? NULL : &probes.items[probe - probes.items], .n = 1
                };

                r = prober_ask(dirs, site, probe == NULL ? &probes : &one, PROBER_ALL, cwd_fd,
                               dbprobe_ask, &answers, err);
        }
        if (r == 0)
                *ret_answer = probe != NULL && answers.n == 1
                                      ? prober_wire_sample(0, &answers.items[0].sample)
                                      : json_pack("{s:s, s:o}", "site", name, "probes",
                                                  prober_answers_json(&answers));
        prober_answers_done(&answers);
        probe_list_done(&probes);
        site_free(site);
        return r;
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
                { "schema", query_schema },
                { "lost-writes", query_lost_writes },
                { "schema-diff", query_schema_diff },
        };
        const char *name = json_get_string(query, "query"), *site = json_get_string(query, "site");

        if (name == NULL || site == NULL)
                return err_fail(err, ERR_INVALID, 0, "a question has a name and a site");
        if (strcmp(name, "check") == 0)
                return query_check(dirs, site, ret_answer, err);
        if (strcmp(name, "probe") == 0)
                return query_probes(dirs, site, json_get_string(query, "probe"), ret_answer, err);
        if (strcmp(name, "web-config") == 0)
                return query_web_config(dirs, site, json_get_string(query, "server"), ret_answer,
                                        err);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (strcmp(table[i].name, name) == 0)
                        return with_env(dirs, site, query, table[i].function, ret_answer, err);
        return err_fail(err, ERR_INVALID, 0, "there is no question '%s'", name);
}
