/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/safepath.h"
#include "fsdrivers/mount.h"
#include "snapd/args.h"
#include "snapd/bundle.h"
#include "snapd/bundle_file.h"
#include "snapd/env.h"
#include "snapd/module.h"
#include "snapd/steps.h"

/*
 * A version as a file: its tree as it was kept, its database's dump, and the record of how it came
 * to be.
 */

#define LOG_TAIL_BYTES 65536
#define LEFT_OUT_TOLD  50
#define ASK_USEC       200000

struct writing {
        struct step_env *env;
        const char *database;
        uint64_t all; /* bytes to come, as far as it is known */
        unsigned left_out;
        int64_t next_usec; /* when to ask whether to stop */
};

/* What a program printed may be anything; JSON has UTF-8 only. */
static json_t *text_of(const char *text)
{
        json_t *string = json_string(text == NULL ? "" : text);
        char *copy;

        if (string != NULL || text == NULL)
                return string;
        copy = strdup(text);
        for (char *c = copy; c != NULL && *c != '\0'; c++)
                if ((unsigned char)*c >= 0x80)
                        *c = '?';
        string = copy == NULL ? NULL : json_string(copy);
        free(copy);
        return string;
}

static json_t *time_of(int64_t usec)
{
        char iso[CLOCK_ISO_MAX];

        if (usec == 0)
                return json_null();
        clock_iso(usec, true, iso);
        return json_string(iso);
}

/* The last of what the command printed; forgotten output is none. */
static json_t *log_tail(const struct dirs *dirs, op_id id)
{
        CLEANUP(closep) int dir_fd = -1, fd = -1;
        CLEANUP(freep) char *text = calloc(1, LOG_TAIL_BYTES + 1);
        struct err ignored;
        off_t end;
        ssize_t n;

        if (text == NULL || dirs_op(dirs, id, &dir_fd, &ignored) < 0)
                return json_string("");
        fd = openat(dir_fd, "output", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
        n = fd < 0 ? 0
                   : pread(fd, text, LOG_TAIL_BYTES,
                           end > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : 0);
        for (ssize_t i = 0; i < n; i++)
                if (text[i] == '\0')
                        text[i] = '?';
        text[n < 0 ? 0 : n] = '\0';
        return text_of(text);
}

/* What ran when the version was made; null when it is not remembered any more. */
static json_t *operation_of(struct step_env *env, op_id id)
{
        struct op op = { 0 };
        struct err ignored;
        json_t *steps, *operation;

        if (id == 0 || journal_get(env->catalog, id, true, &op, &ignored) < 0)
                return json_null();
        steps = json_array();
        for (size_t i = 0; i < op.n_steps; i++) {
                const struct step_kind *kind = step_kind_by_name(op.steps[i].kind);
                char text[1024] = "";

                if (kind != NULL)
                        kind->describe(op.steps[i].args, text, sizeof(text));
                (void)json_array_append_new(
                        steps, json_pack("{s:s, s:o, s:O, s:s, s:o, s:o}", "kind", op.steps[i].kind,
                                         "text", text_of(text), "args", op.steps[i].args, "state",
                                         step_mark_name(op.steps[i].mark), "started",
                                         time_of(op.steps[i].started_usec), "ended",
                                         time_of(op.steps[i].ended_usec)));
        }
        operation = json_pack("{s:I, s:s, s:s, s:I, s:o, s:o, s:O, s:o, s:o}", "id", (json_int_t)id,
                              "verb", op.verb, "state", op_state_name(op.state), "by",
                              (json_int_t)op.by, "created", time_of(op.created_usec), "ended",
                              time_of(op.ended_usec), "request", op.request, "steps", steps, "log",
                              log_tail(env->dirs, id));
        op_done(&op);
        return operation;
}

static json_t *schema_of(struct step_env *env, uint64_t number)
{
        CLEANUP(freep) char *text = NULL;
        struct err ignored;
        json_t *lines;

        if (catalog_fingerprint(env->catalog, env->site->name, number, &text, &ignored) < 0)
                return json_null();
        lines = json_array();
        for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
                *end = '\0';
                (void)json_array_append_new(lines, text_of(at));
        }
        return lines;
}

static int record_of(struct step_env *env, const struct version *version, char **ret_text,
                     struct err *err)
{
        const char *engine = env->site->database.engine;
        CLEANUP(json_decrefp)
        json_t *record = json_pack(
                "{s:i, s:s, s:s, s:o, s:s, s:{s:I, s:o, s:o, s:o, s:o, s:I, s:s, s:o, s:I}, "
                "s:o, s:o}",
                "format", BUNDLE_FORMAT, "program", "sitesnap " SITESNAP_VERSION, "site",
                env->site->name, "made", time_of(clock_wall_usec()), "engine",
                version->database[0] == '\0' || engine == NULL ? "" : engine, "version", "number",
                (json_int_t)version->number, "label", text_of(version->label), "reason",
                text_of(version->reason), "verb", text_of(version->verb), "created",
                time_of(version->created_usec), "by", (json_int_t)version->by, "mark",
                version_mark_name(version->mark), "mark_reason", text_of(version->mark_reason),
                "parent", (json_int_t)version->parent, "schema", schema_of(env, version->number),
                "operation", operation_of(env, version->operation));

        *ret_text = record == NULL ? NULL : json_dumps(record, JSON_INDENT(1));
        return *ret_text == NULL ? err_oom(err) : 0;
}

static int on_progress(uint64_t bytes, void *arg, struct err *err)
{
        struct writing *w = arg;
        int64_t now = clock_boot_usec();

        if (now < w->next_usec)
                return 0;
        w->next_usec = now + ASK_USEC;
        journal_progress(w->env->catalog, w->env->operation, w->env->part, w->env->step, bytes,
                         w->all > bytes ? w->all : bytes);
        return journal_abort_asked(w->env->catalog, w->env->operation)
                       ? err_fail(err, ERR_REFUSED, 0, "stopped as asked")
                       : 0;
}

static void on_left_out(const char *path, const char *why, void *arg)
{
        struct writing *w = arg;

        if (w->left_out++ < LEFT_OUT_TOLD)
                env_note(w->env, "left out: '%s' %s", path, why);
}

static int on_dump(db_sink sink, void *sink_arg, void *arg, struct err *err)
{
        struct writing *w = arg;
        struct db *db;

        if (env_database(w->env, &db, err) < 0)
                return -1;
        if (w->env->database_driver->dump == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "databases of '%s' cannot be exported yet; nothing was written",
                                w->env->site->database.engine);
        return w->env->database_driver->dump(db, w->database, sink, sink_arg, err);
}

/* The tree as a mount that nobody else sees, whatever the driver keeps it as. */
static int open_tree_of(struct step_env *env, fs_id tree, int *ret_fd, struct err *err)
{
        struct mount_spec spec;
        struct fs_pool *pool;
        int r;

        if (env_pool(env, &pool, err) < 0 || env->fs->mounts(pool, tree, true, &spec, err) < 0)
                return -1;
        r = mount_build(env->pool_fd, &spec, ret_fd, err);
        mount_spec_done(&spec);
        return r;
}

static void close_trees(struct bundle_tree *trees, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free((char *)trees[i].prefix);
                (void)close(trees[i].dir_fd);
        }
        free(trees);
}

/* The tree first; ${ret_n} is right also on failure. */
static int open_trees(struct step_env *env, fs_id tree, bool shared, struct bundle_tree *trees,
                      size_t *ret_n, struct err *err)
{
        char path[1100];
        int home_fd;

        *ret_n = 0;
        if (open_tree_of(env, tree, &trees[0].dir_fd, err) < 0 || env_home(env, &home_fd, err) < 0)
                return -1;
        trees[(*ret_n)++].prefix = strdup(BUNDLE_TREE);
        for (size_t i = 0; shared && i < env->site->n_shared; i++) {
                struct bundle_tree *next = &trees[*ret_n];

                (void)snprintf(path, sizeof(path), BUNDLE_SHARED "/%s", env->site->shared[i]);
                if (safepath_open(home_fd, path, O_RDONLY | O_DIRECTORY, &next->dir_fd, err) < 0)
                        return err_wrap(err, "'%s/%s'", env->site->home, path);
                next->prefix = strdup(path);
                (*ret_n)++;
        }
        for (size_t i = 0; i < *ret_n; i++)
                if (trees[i].prefix == NULL)
                        return err_oom(err);
        return 0;
}

static int write_to(struct writing *w, int out_fd, const char *record,
                    const struct bundle_tree *trees, size_t n, struct err *err)
{
        struct bundle_pack pack = {
                .out_fd = out_fd,
                .record = record,
                .trees = trees,
                .n_trees = n,
                .dump = w->database[0] == '\0' ? NULL : on_dump,
                .progress = on_progress,
                .left_out = on_left_out,
                .arg = w,
        };
        bundle_pack_function function;
        void *found;

        if (module_find("archive", "bundle_pack", &found, err) < 0)
                return -1;
        function = __extension__(bundle_pack_function) found;
        return function(&pack, err);
}

/* bundle.write {version, tree, database, file, partial, by, shared} */
static int write_run(struct step_env *env, const json_t *args, struct err *err)
{
        const char *file = arg_text(args, "file"), *partial = arg_text(args, "partial");
        uid_t by = (uid_t)json_get_u64(args, "by");
        struct writing w = { .env = env, .database = arg_text(args, "database") };
        struct bundle_tree *trees = calloc(env->site->n_shared + 1, sizeof(*trees));
        CLEANUP(closep) int fd = -1;
        CLEANUP(freep) char *record = NULL;
        struct version version;
        size_t n = 0;
        int r;

        if (trees == NULL)
                return err_oom(err);
        r = catalog_version(env->catalog, env->site->name, json_get_u64(args, "version"), &version,
                            err);
        if (r == 0) {
                w.all = version.files_bytes > 0 ? (uint64_t)version.files_bytes : 0;
                r = record_of(env, &version, &record, err);
                version_done(&version);
        }
        if (r == 0)
                r = open_trees(env, json_get_u64(args, "tree"), json_get_bool(args, "shared"),
                               trees, &n, err);
        if (r == 0)
                r = bundle_file_create(file, partial, by, &fd, err);
        if (r == 0)
                r = write_to(&w, fd, record, trees, n, err);
        close_trees(trees, n);
        if (r < 0)
                return -1;
        if (w.left_out > LEFT_OUT_TOLD)
                env_note(env, "and %u more were left out", w.left_out - LEFT_OUT_TOLD);
        return bundle_file_publish(file, partial, by, fd, err);
}

/* A file that has its name is whole, and stays. */
static int write_undo(struct step_env *env, const json_t *args, struct err *err)
{
        (void)env;
        return bundle_file_discard(arg_text(args, "file"), arg_text(args, "partial"),
                                   (uid_t)json_get_u64(args, "by"), err);
}

static void write_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "write version %" PRIu64 " to '%s'",
                       json_get_u64(args, "version"), arg_text(args, "file"));
}

const struct step_kind step_bundle_write = {
        .name = "bundle.write",
        .run = write_run,
        .undo = write_undo,
        .describe = write_describe,
};
