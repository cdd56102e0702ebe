/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/front.h"
#include "snapd/steps.h"

/*
 * catalog.commit {set: [PATCH], forget: [number]}
 *
 * PATCH: {number, and any of state, tree, database, mark, mounted, leaving, and for a new version
 * parent, label, reason, verb, created_usec, by}.  All of it in one commit, with absolute values,
 * so that it can be done again.  "why": true takes the mark's reason from what the operation failed
 * with.
 */

static int set_text(char **field, const json_t *patch, const char *key, struct err *err)
{
        const char *text = json_get_string(patch, key);
        char *copy;

        if (text == NULL && *field != NULL)
                return 0;
        copy = strdup(text == NULL ? "" : text);
        if (copy == NULL)
                return err_oom(err);
        free(*field);
        *field = copy;
        return 0;
}

static void set_state(struct version *version, const json_t *patch)
{
        const char *state = json_get_string(patch, "state");
        const char *mark = json_get_string(patch, "mark");

        for (int i = VERSION_ACTIVE; state != NULL && i <= VERSION_PRUNING; i++)
                if (strcmp(state, version_state_name(i)) == 0)
                        version->state = i;
        for (int i = MARK_NONE; mark != NULL && i <= MARK_BAD; i++)
                if (strcmp(mark, version_mark_name(i)) == 0)
                        version->mark = i;
}

static int set_reason(struct step_env *env, struct version *version, const json_t *patch,
                      struct err *err)
{
        struct op op = { 0 };
        char text[700];

        if (!json_get_bool(patch, "why"))
                return 0;
        if (journal_get(env->catalog, env->operation, false, &op, err) < 0)
                return -1;
        (void)snprintf(text, sizeof(text), "%s (see 'snapctl ops show %" PRIu64 "')", op.error.msg,
                       env->operation);
        op_done(&op);
        free(version->mark_reason);
        version->mark_reason = strdup(text);
        return version->mark_reason == NULL ? err_oom(err) : 0;
}

static int apply(struct step_env *env, const json_t *patch, struct version *version,
                 struct err *err)
{
        set_state(version, patch);
        if (json_object_get(patch, "tree") != NULL)
                version->tree = json_get_u64(patch, "tree");
        if (json_object_get(patch, "mounted") != NULL)
                version->mounted = json_get_bool(patch, "mounted");
        if (json_object_get(patch, "leaving") != NULL)
                version->leaving = json_get_bool(patch, "leaving");
        if (json_object_get(patch, "parent") != NULL)
                version->parent = json_get_u64(patch, "parent");
        if (json_object_get(patch, "active_usec") != NULL)
                version->active_usec = (int64_t)json_get_u64(patch, "active_usec");
        if (json_object_get(patch, "created_usec") != NULL) {
                version->created_usec = (int64_t)json_get_u64(patch, "created_usec");
                version->by = (uid_t)json_get_u64(patch, "by");
                version->operation = env->operation;
                version->files_bytes = version->freed_bytes = version->database_bytes = -1;
        }
        if (set_text(&version->database, patch, "database", err) < 0 ||
            set_text(&version->label, patch, "label", err) < 0 ||
            set_text(&version->reason, patch, "reason", err) < 0 ||
            set_text(&version->mark_reason, patch, "mark_reason", err) < 0 ||
            set_text(&version->verb, patch, "verb", err) < 0)
                return -1;
        return set_reason(env, version, patch, err);
}

static int put(struct step_env *env, const json_t *patch, struct err *err)
{
        uint64_t number = json_get_u64(patch, "number");
        struct version version = { 0 };
        int ret;

        if (catalog_version(env->catalog, env->site->name, number, &version, err) < 0) {
                if (err->code != ERR_NOT_FOUND || json_object_get(patch, "created_usec") == NULL)
                        return -1;
                version = (struct version){ .number = number };
        }
        ret = apply(env, patch, &version, err);
        if (ret == 0)
                ret = catalog_put_version(env->catalog, env->site->name, &version, err);
        version_done(&version);
        return ret;
}

/* Another version is active: where a session may stay follows, also when no session may any more
 * and the site's file said otherwise before.  A session that moves on because this could not be
 * written loses nothing; what is wanted is written again by the next start. */
static void stays_follow(struct step_env *env, const json_t *args)
{
        bool flipped = false;
        json_t *item;
        struct err err;
        int home_fd;
        size_t i;

        json_array_foreach (json_object_get(args, "set"), i, item)
                flipped |= strcmp(arg_text(item, "state"), "active") == 0;
        if (!flipped)
                return;
        if (env_home(env, &home_fd, &err) < 0 ||
            ((env->site->front.sticky_sec > 0 || front_has_stays(home_fd)) &&
             front_render(env->catalog, env->site, home_fd, &err) < 0))
                log_warning("site '%s': %s", env->site->name, err.msg);
}

static int write_all(struct step_env *env, const json_t *args, struct err *err)
{
        json_t *item;
        size_t i;

        json_array_foreach (json_object_get(args, "set"), i, item)
                if (put(env, item, err) < 0)
                        return -1;
        json_array_foreach (json_object_get(args, "forget"), i, item)
                if (catalog_delete_version(env->catalog, env->site->name,
                                           (uint64_t)json_integer_value(item), err) < 0 &&
                    err->code != ERR_NOT_FOUND)
                        return -1;
        return 0;
}

static int commit_run(struct step_env *env, const json_t *args, struct err *err)
{
        bool own;

        if (catalog_enter(env->catalog, &own, err) < 0 ||
            catalog_leave(env->catalog, own, write_all(env, args, err), err) < 0)
                return -1;
        stays_follow(env, args);
        return 0;
}

/* Appends to what is in buf already; what does not fit is cut. */
PRINTF(3, 4)
static void append(char *buf, size_t size, const char *fmt, ...)
{
        size_t n = strlen(buf);
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(buf + n, size - n, fmt, ap);
        va_end(ap);
}

static void commit_describe(const json_t *args, char *buf, size_t size)
{
        json_t *item;
        size_t i;

        (void)snprintf(buf, size, "write down:");
        json_array_foreach (json_object_get(args, "set"), i, item) {
                const char *state = arg_text(item, "state"), *mark = arg_text(item, "mark");

                append(buf, size, "%s version %" PRIu64, i == 0 ? "" : ",",
                       json_get_u64(item, "number"));
                if (state[0] != '\0')
                        append(buf, size, " is %s", state);
                if (mark[0] != '\0')
                        append(buf, size, " and %s", mark);
                if (state[0] == '\0' && json_get_u64(item, "tree") != 0)
                        append(buf, size, " has tree %" PRIu64, json_get_u64(item, "tree"));
                if (state[0] == '\0' && json_object_get(item, "mounted") != NULL)
                        append(buf, size,
                               json_get_bool(item, "mounted") ? " stays mounted"
                                                              : " need not be mounted");
        }
        json_array_foreach (json_object_get(args, "forget"), i, item)
                append(buf, size, "%s version %" JSON_INTEGER_FORMAT " is gone", i == 0 ? "" : ",",
                       json_integer_value(item));
}

const struct step_kind step_catalog_commit = {
        .name = "catalog.commit",
        .run = commit_run,
        .records = true,
        .describe = commit_describe,
};
