/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/args.h"
#include "snapd/exchange.h"
#include "snapd/render.h"
#include "snapd/served.h"
#include "snapd/steps.h"
#include "snapd/switcher.h"

#define QUIET_USEC 300000 /* nobody was in a version for so long: nobody comes any more */

#define PAUSE_MIN_USEC 20000 /* between two looks */
#define PAUSE_MAX_USEC 60000

/* When the site's next operation waits for this one, requests have so long before those that have
 * no file open for writing are not waited for. */
#define HURRY_USEC 1000000

static struct view view_from(const json_t *args)
{
        return (struct view){
                .version = json_get_u64(args, "version"),
                .tree = json_get_u64(args, "tree"),
                .read_only = json_get_bool(args, "read_only"),
                .live = json_get_bool(args, "live"),
                .database = arg_text(args, "database"),
                .plain_fd = -1,
        };
}

/* fs.mount {version, tree, read_only, database, plain?, live?, before?}: plain is an absolute
 * directory that is being adopted and is shown as it is; before is what undo shows again. */
static int mount_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int parent_fd = -1, plain_fd = -1;
        const char *plain = json_get_string(args, "plain"), *name;
        struct view view = view_from(args);
        int ret;

        if (plain == NULL)
                return served_show(env, &view, err);
        if (exchange_open(plain, &parent_fd, &name, err) < 0)
                return -1;
        plain_fd = openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (plain_fd < 0 && errno != ELOOP && errno != ENOTDIR)
                return err_fail(err, ERR_IO, errno, "cannot open '%s'", plain);
        /* A link or an empty place there: it was taken before the mounts were lost, and its tree is
         * in the pool. */
        if (plain_fd >= 0 && exchange_is_stub((struct place){ parent_fd, name })) {
                (void)close(plain_fd);
                plain_fd = -1;
        }
        if (plain_fd < 0)
                return 0; /* the step that shows the tree follows */
        view.plain_fd = steal_fd(&plain_fd);
        ret = served_show(env, &view, err);
        closep(&view.plain_fd);
        return ret;
}

static int mount_undo(struct step_env *env, const json_t *args, struct err *err)
{
        const json_t *before = json_object_get(args, "before");
        struct view view = view_from(args);

        if (view.live)
                return served_unlay(env, &view, err);
        if (before != NULL) {
                view = view_from(before);
                if (served_show(env, &view, err) == 0) {
                        /* The database that is named no more goes with the next step. */
                        if (strcmp(view.database, arg_text(args, "database")) != 0)
                                render_await(env, view.version);
                        return 0;
                }
        } else if (served_hide(env, json_get_u64(args, "version"), err) == 0) {
                return 0;
        }
        /* Somebody looks at it; it is not what is served, so that it may wait for a later sweep. */
        if (err->code != ERR_BUSY)
                return -1;
        env_note(env, "version %" PRIu64 " stays mounted for now: %s",
                 json_get_u64(args, "version"), err->msg);
        return 0;
}

static void mount_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "show tree %" PRIu64 " at versions/%" PRIu64 "%s%s%s",
                       json_get_u64(args, "tree"), json_get_u64(args, "version"),
                       json_get_bool(args, "read_only") ? ", read-only" : "",
                       arg_text(args, "database")[0] == '\0' ? "" : ", with database ",
                       arg_text(args, "database"));
}

const struct step_kind step_fs_mount = {
        .name = "fs.mount",
        .run = mount_run,
        .undo = mount_undo,
        .fades = true,
        .describe = mount_describe,
};

/* fs.unmount {version, lenient, before?}: lenient leaves a version that is in use where it is. */
static int unmount_run(struct step_env *env, const json_t *args, struct err *err)
{
        uint64_t version = json_get_u64(args, "version");

        if (served_hide(env, version, err) == 0)
                return 0;
        if (err->code != ERR_BUSY || !json_get_bool(args, "lenient"))
                return -1;
        env_note(env, "version %" PRIu64 " stays mounted for now: %s", version, err->msg);
        return 0;
}

static int unmount_undo(struct step_env *env, const json_t *args, struct err *err)
{
        const json_t *before = json_object_get(args, "before");
        struct view view;

        if (before == NULL)
                return 0;
        view = view_from(before);
        return served_show(env, &view, err);
}

static void unmount_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "take versions/%" PRIu64 " away", json_get_u64(args, "version"));
}

const struct step_kind step_fs_unmount = {
        .name = "fs.unmount",
        .run = unmount_run,
        .undo = unmount_undo,
        .describe = unmount_describe,
};

/* fs.cover {version, by, tree, database}: requests still running in the old version see and write
 * the new one. */
static int cover_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct view view = view_from(args);

        return served_cover(env, &view, json_get_u64(args, "by"), err);
}

static void cover_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size,
                       "show versions/%" PRIu64 " at versions/%" PRIu64 " too and seal the tree",
                       json_get_u64(args, "by"), json_get_u64(args, "version"));
}

const struct step_kind step_fs_cover = {
        .name = "fs.cover",
        .run = cover_run,
        .describe = cover_describe,
};

/* fs.seal {version}: nobody writes to the tree any more, or the step fails. */
static int seal(struct step_env *env, const json_t *args, bool sealed, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1;
        char name[24];
        bool mounted;

        (void)snprintf(name, sizeof(name), "%" PRIu64, json_get_u64(args, "version"));
        if (served_versions_fd(env, &versions_fd, err) < 0 ||
            mount_is_at(versions_fd, name, &mounted, err) < 0)
                return -1;
        /* After a crash with a reboot nothing is mounted, and nobody writes. */
        if (!mounted)
                return 0;
        return sealed ? mount_seal(versions_fd, name, 1000, err)
                      : mount_unseal(versions_fd, name, err);
}

static int seal_run(struct step_env *env, const json_t *args, struct err *err)
{
        return seal(env, args, true, err);
}

static int seal_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return seal(env, args, false, err);
}

static void seal_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "make version %" PRIu64 " read-only",
                       json_get_u64(args, "version"));
}

const struct step_kind step_fs_seal = {
        .name = "fs.seal",
        .run = seal_run,
        .undo = seal_undo,
        .describe = seal_describe,
};

/* Once it is read-only nothing is lost that was written to it, whoever is still in it. */
static bool may_be_hurried(struct step_env *env, uint64_t version)
{
        CLEANUP(closep) int versions_fd = -1;
        struct err ignored;
        char name[24];

        (void)snprintf(name, sizeof(name), "%" PRIu64, version);
        return journal_somebody_waits(env->catalog, env->site->name, env->operation) &&
               served_versions_fd(env, &versions_fd, &ignored) == 0 &&
               mount_seal(versions_fd, name, 0, &ignored) == 0;
}

/* A look goes over every process of the machine, so where that takes long there is more time
 * between two: a fifth of a processor while a look takes up to 15 ms, but always several looks
 * in the time that counts as quiet. */
static void pause_after(int64_t look_usec)
{
        int64_t usec = look_usec * 4;
        struct timespec pause = { 0 };

        if (usec < PAUSE_MIN_USEC)
                usec = PAUSE_MIN_USEC;
        if (usec > PAUSE_MAX_USEC)
                usec = PAUSE_MAX_USEC;
        pause.tv_nsec = usec * 1000;
        (void)nanosleep(&pause, NULL);
}

/* Wait until nobody has been in the version for a while: a request may wait for its turn with
 * nothing open yet.  Somebody who stays longer than the site's drain time is not waited for.  The
 * looks on the way are quick ones; that nobody is in it is said by a whole one. */
static int drain(struct step_env *env, uint64_t version, bool *ret_used, struct err *err)
{
        int64_t begun = clock_boot_usec(), quiet_since = begun;
        int64_t deadline = begun + (int64_t)env->site->drain_sec * USEC_PER_SEC;

        for (;;) {
                int64_t now, looked = clock_boot_usec();
                bool over;

                if (served_used(env, version, MOUNT_LOOK_QUICK, ret_used, err) < 0)
                        return -1;
                now = clock_boot_usec();
                if (*ret_used)
                        quiet_since = now;
                over = now >= deadline ||
                       (now - begun >= HURRY_USEC && may_be_hurried(env, version));
                if (over || now - quiet_since >= QUIET_USEC) {
                        if (served_used(env, version, MOUNT_LOOK_WHOLE, ret_used, err) < 0)
                                return -1;
                        if (over || !*ret_used)
                                return 0;
                        quiet_since = now;
                }
                pause_after(now - looked);
        }
}

static void note_stayer(struct step_env *env, uint64_t version, const struct err *who)
{
        env_note(env, "version %" PRIu64 " is still in use and is not waited for: %s", version,
                 who->msg);
}

/* fs.drain {version}: after it the version is whole: nobody writes to it any more. */
static int drain_run(struct step_env *env, const json_t *args, struct err *err)
{
        uint64_t version = json_get_u64(args, "version");
        struct err who;
        bool used;

        if (drain(env, version, &used, &who) < 0) {
                *err = who;
                return -1;
        }
        if (used)
                note_stayer(env, version, &who);
        if (seal(env, args, true, &who) < 0)
                env_note(env, "version %" PRIu64 " is still written to: %s", version, who.msg);
        return 0;
}

static void drain_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "wait for the last request in version %" PRIu64,
                       json_get_u64(args, "version"));
}

const struct step_kind step_fs_drain = {
        .name = "fs.drain",
        .run = drain_run,
        .describe = drain_describe,
};

/* fs.retire {version, show, wait, tree, database}: show the frozen tree of a version there, or
 * nothing; with wait when its last request has ended.  Who stays keeps what he has, aside. */
static int retire_run(struct step_env *env, const json_t *args, struct err *err)
{
        struct view view = view_from(args);
        bool used = false;
        struct err who;

        if (json_get_bool(args, "wait") && drain(env, view.version, &used, &who) < 0) {
                *err = who;
                return -1;
        }
        if (json_get_bool(args, "show")) {
                if (used)
                        note_stayer(env, view.version, &who);
                view.read_only = true;
                if (served_show(env, &view, err) == 0)
                        return 0;
                if (err->code == ERR_NO_SPACE)
                        return -1;
                /* The tenant wrote to it until now and may have left a FIFO for a configuration
                 * file; the switch has happened and is not held for a sight nobody needs. */
                env_note(env, "version %" PRIu64 " is kept but cannot be shown: %s", view.version,
                         err->msg);
        }
        if (served_hide(env, view.version, err) == 0)
                return 0;
        if (err->code != ERR_BUSY)
                return -1;
        note_stayer(env, view.version, err);
        return 0;
}

static void retire_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size,
                       json_get_bool(args, "show")
                               ? "when its last request has ended, show kept version %" PRIu64
                               : "when its last request has ended, take versions/%" PRIu64 " away",
                       json_get_u64(args, "version"));
}

const struct step_kind step_fs_retire = {
        .name = "fs.retire",
        .run = retire_run,
        .describe = retire_describe,
};

/* fs.switch {from, to}: from is 0 when nothing was served before. */
static int switch_run(struct step_env *env, const json_t *args, struct err *err)
{
        render_await(env, json_get_u64(args, "to"));
        return switcher_flip(env, json_get_u64(args, "to"), err);
}

static int switch_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return switcher_flip(env, json_get_u64(args, "from"), err);
}

static void switch_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "serve version %" PRIu64, json_get_u64(args, "to"));
}

const struct step_kind step_fs_switch = {
        .name = "fs.switch",
        .run = switch_run,
        .undo = switch_undo,
        .describe = switch_describe,
};
