/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/steps.h"

/* db.hold {database}: from here to db.release nobody writes; the deadline is the site's. */
static int hold_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct db *db;

        return env_database(env, &db, err) < 0
                       ? -1
                       : env->database_driver->hold(db, arg_text(args, "database"),
                                                    env->site->hold_msec, err);
}

static int hold_undo(struct step_env *env, const json_t *args, struct err *err)
{
        (void)args;
        (void)err;
        /* The hold is this process's connection; after a crash there is none. */
        env_database_forget(env);
        return 0;
}

static void hold_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "hold the writers of database '%s' for one instant",
                       arg_text(args, "database"));
}

const struct step_kind step_db_hold = {
        .name = "db.hold",
        .run = hold_run,
        .undo = hold_undo,
        .describe = hold_describe,
};

/* db.release {} */
static int release_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct db *db;

        (void)args;
        return env_database(env, &db, err) < 0 ? -1 : env->database_driver->release(db, err);
}

static void release_describe(const json_t *args, char *buf, size_t size)
{
        (void)args;
        (void)snprintf(buf, size, "let the writers go on");
}

const struct step_kind step_db_release = {
        .name = "db.release",
        .run = release_run,
        .describe = release_describe,
};

static int copy_progress(const struct db_progress *progress, void *arg, struct err *err)
{
        struct step_env *env = arg;

        journal_progress(env->catalog, env->operation, env->part, env->step, progress->bytes_done,
                         progress->bytes_all);
        if (journal_abort_asked(env->catalog, env->operation))
                return err_fail(err, ERR_REFUSED, 0, "stopped as asked");
        return 0;
}

/* db.copy {from, to} */
static int copy_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct db *db;

        return env_database(env, &db, err) < 0
                       ? -1
                       : env->database_driver->copy(db, arg_text(args, "from"),
                                                    arg_text(args, "to"), copy_progress, env, err);
}

static int drop(struct step_env *env, const char *name, struct err *err)
{
        struct db *db;

        return env_database(env, &db, err) < 0 ? -1 : db_drop(env->database_driver, db, name, err);
}

static int copy_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return drop(env, arg_text(args, "to"), err);
}

static void copy_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "copy database '%s' to '%s'", arg_text(args, "from"),
                       arg_text(args, "to"));
}

const struct step_kind step_db_copy = {
        .name = "db.copy",
        .run = copy_run,
        .undo = copy_undo,
        .describe = copy_describe,
};

/* db.verify {from, to} */
static int verify_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct db *db;

        return env_database(env, &db, err) < 0
                       ? -1
                       : env->database_driver->verify(db, arg_text(args, "from"),
                                                      arg_text(args, "to"), err);
}

static void verify_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "compare '%s' with what was copied", arg_text(args, "to"));
}

const struct step_kind step_db_verify = {
        .name = "db.verify",
        .run = verify_run,
        .describe = verify_describe,
};

static int set_writable_once(struct step_env *env, const json_t *args, bool writable,
                             struct err *err)
{
        struct db *db;

        return env_database(env, &db, err) < 0
                       ? -1
                       : env->database_driver->set_writable(db, arg_text(args, "database"),
                                                            writable, err);
}

/* A server that was restarted meanwhile is no reason to leave it: not every caller tries again. */
static int set_writable(struct step_env *env, const json_t *args, bool writable, struct err *err)
{
        if (set_writable_once(env, args, writable, err) == 0)
                return 0;
        if (!env->must || err->code != ERR_IO)
                return -1;
        env_database_forget(env);
        return set_writable_once(env, args, writable, err);
}

/* db.writable {database, writable, lenient}: lenient leaves a database as it is that somebody
 * still uses, or that a failed upgrade or the tenant has put something into which cannot be kept:
 * the site is served from another one by then, and must not be held for this, nor for want of
 * room.  settle_tidy() tries again. */
static int writable_run(struct step_env *env, const json_t *args, struct err *err)
{
        bool writable = json_get_bool(args, "writable");

        if (set_writable(env, args, writable, err) == 0)
                return 0;
        if (!json_get_bool(args, "lenient"))
                return -1;
        if (err->code == ERR_NO_SPACE && env_make_room(env) &&
            set_writable(env, args, writable, err) == 0)
                return 0;
        env_note(env, "database '%s' can still be written: %s", arg_text(args, "database"),
                 err->msg);
        return 0;
}

static int writable_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return set_writable(env, args, !json_get_bool(args, "writable"), err);
}

static void writable_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make database '%s' %s", arg_text(args, "database"),
                       json_get_bool(args, "writable") ? "writable" : "read-only");
}

const struct step_kind step_db_writable = {
        .name = "db.writable",
        .run = writable_run,
        .undo = writable_undo,
        .describe = writable_describe,
};

/* db.drop {database} */
static int drop_run(struct step_env *env, const json_t *args, struct err *err)
{
        return drop(env, arg_text(args, "database"), err);
}

static void drop_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "drop the database copy '%s'", arg_text(args, "database"));
}

const struct step_kind step_db_drop = {
        .name = "db.drop",
        .run = drop_run,
        .describe = drop_describe,
};

/* db.leave {database}: it was the site's own before the site was added, so nobody drops it for him;
 * it can be written again, as before. */
static int leave_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct err why;

        (void)err;
        if (set_writable(env, args, true, &why) < 0)
                env_note(env, "database '%s' could not be made writable again: %s",
                         arg_text(args, "database"), why.msg);
        env_note(env,
                 "database '%s' was there before sitesnap and is left as it is: drop it by hand "
                 "when nobody needs it",
                 arg_text(args, "database"));
        return 0;
}

static void leave_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "leave the database '%s', which is not a copy of ours",
                       arg_text(args, "database"));
}

const struct step_kind step_db_leave = {
        .name = "db.leave",
        .run = leave_run,
        .describe = leave_describe,
};
