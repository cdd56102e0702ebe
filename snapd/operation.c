/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/adopt.h"
#include "snapd/lock.h"
#include "snapd/notice_op.h"
#include "snapd/operation.h"
#include "snapd/plan.h"
#include "snapd/served.h"
#include "snapd/settle.h"
#include "snapd/txn.h"

#define STATUS_BUSY     3
#define TURN_PAUSE_NSEC 20000000

/* The tidying after another operation looks up between trees; one tree may be large.  So long may
 * also take what an operation that is served has still to do. */
#define LOCK_WAIT_MSEC (10 * 60 * 1000)

bool operation_alive(const struct dirs *dirs, op_id id)
{
        CLEANUP(closep) int fd = -1;
        char name[64];

        (void)snprintf(name, sizeof(name), "op-%" PRIu64 ".lock", id);
        fd = openat(dirs->run_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* An operation that ends without its plan; what cannot be written is at least in the log. */
static void end_early(struct catalog *catalog, const struct op *op, enum op_state state,
                      const struct err *why)
{
        struct err err;

        if (journal_state(catalog, op->id, state, why, &err) < 0)
                log_error("operation %" PRIu64 ": %s", op->id, err.msg);
}

/* Held before it had a plan, because its process ended each time: nothing was begun. */
static bool has_no_plan(const struct op *op)
{
        return op->state == OP_QUEUED || (op->state == OP_HELD && op->held_state == OP_QUEUED);
}

static int plan_and_journal(struct step_env *env, const struct op *op, struct err *err)
{
        struct plan_facts facts = { 0 };
        struct plan plan = { 0 };
        uint64_t version = 0;
        int ret;

        if (plan_prepare(env, op->verb, op->request, op->by, &facts, err) < 0) {
                plan_facts_done(&facts);
                return -1;
        }
        ret = catalog_begin(env->catalog, err);
        if (ret == 0) {
                ret = plan_make(env, &facts, &plan, &version, err);
                if (ret == 0)
                        ret = journal_plan(env->catalog, op->id, &plan, version, err);
                if (ret == 0)
                        ret = catalog_commit(env->catalog, err);
                if (ret < 0)
                        catalog_rollback(env->catalog);
        }
        plan_done(&plan);
        plan_facts_done(&facts);
        return ret;
}

static int run(struct step_env *env, const struct op *op, struct err *err)
{
        bool recover = !has_no_plan(op);
        struct err ignored;
        int ret;

        /* Its plan is written over the state it had. */
        if (!recover && op->state == OP_HELD &&
            journal_state(env->catalog, op->id, OP_QUEUED, NULL, err) < 0)
                return -1;
        if (!recover && plan_and_journal(env, op, err) < 0) {
                end_early(env->catalog, op, OP_FAILED, err);
                return -1;
        }
        ret = txn_run(env, op->id, recover, err);
        if (recover && settle_site(env, &ignored) < 0)
                log_warning("site '%s': %s", op->site, ignored.msg);
        return ret;
}

/* Was the last thing that a removal does done, but for the mark? */
static bool is_forgotten(struct catalog *catalog, const struct op *op)
{
        struct catalog_site row;
        struct err err;

        if (strcmp(op->verb, "remove") != 0 || has_no_plan(op))
                return false;
        if (catalog_site(catalog, op->site, &row, &err) < 0)
                return err.code == ERR_NOT_FOUND;
        catalog_site_done(&row);
        return false;
}

/* The site as the operation needs it: one that is being added may have no file yet, one that is
 * being removed may have none any more. */
static int load_site(const struct dirs *dirs, struct catalog *catalog, const struct op *op,
                     struct site **ret_site, struct err *err)
{
        if (strcmp(op->verb, "add") == 0)
                return adopt_site(dirs, op->request, ret_site, err);
        if (site_load(dirs->conf_fd, op->site, NULL, ret_site, err) == 0)
                return 0;
        if (err->code == ERR_NOT_FOUND && is_forgotten(catalog, op))
                end_early(catalog, op, OP_DONE, NULL);
        else
                end_early(catalog, op, has_no_plan(op) ? OP_FAILED : OP_HELD, err);
        return -1;
}

/* A notice that cannot be put is told later by the daemon (snapd/courier.h). */
static void tell(const struct dirs *dirs, struct catalog *catalog, op_id id,
                 int (*say)(const struct dirs *, struct catalog *, op_id, struct err *))
{
        struct err err;

        if (say(dirs, catalog, id, &err) < 0)
                log_warning("operation %" PRIu64 ": no notice: %s", id, err.msg);
}

/* For the person who waits with us, once it is long enough to be noticed. */
static void tell_waiting(const struct dirs *dirs, struct catalog *catalog, const struct op *op,
                         op_id before)
{
        struct step_env env;

        env_init(&env, dirs, catalog, NULL);
        env.operation = op->id;
        env_note(&env,
                 "waits for operation %" PRIu64 ", which is served and still keeps the version "
                 "that was left",
                 before);
        env_done(&env);
}

/* Is it this one's turn?  The one before may be served and still be at keeping what it left; when
 * its process died, snapd starts another one for it, which needs the site's lock. */
static int take_turn(const struct dirs *dirs, struct catalog *catalog, const struct op *op,
                     int *ret_lock, struct err *err)
{
        int64_t deadline = clock_boot_usec() + LOCK_WAIT_MSEC * (int64_t)1000;
        int64_t tell = clock_boot_usec() + USEC_PER_SEC;
        struct timespec pause = { .tv_nsec = TURN_PAUSE_NSEC };
        op_id before = 0;

        for (;;) {
                CLEANUP(closep) int lock_fd = -1;

                if (lock_site(dirs, op->site, LOCK_WAIT_MSEC, &lock_fd, err) < 0 ||
                    journal_before(catalog, op->site, op->id, &before, err) < 0)
                        return -1;
                if (before == 0) {
                        *ret_lock = steal_fd(&lock_fd);
                        return 0;
                }
                if (clock_boot_usec() >= deadline)
                        return err_fail(err, ERR_BUSY, 0,
                                        "site '%s' is busy: operation %" PRIu64 " has not ended",
                                        op->site, before);
                closep(&lock_fd);
                if (tell != 0 && clock_boot_usec() >= tell) {
                        tell_waiting(dirs, catalog, op, before);
                        tell = 0;
                }
                (void)nanosleep(&pause, NULL);
        }
}

static int run_loaded(const struct dirs *dirs, struct catalog *catalog, const struct op *op,
                      struct err *err)
{
        CLEANUP(closep) int site_lock = -1;
        struct step_env env;
        struct site *site;
        int ret;

        if (take_turn(dirs, catalog, op, &site_lock, err) < 0) {
                if (err->code == ERR_BUSY && has_no_plan(op))
                        end_early(catalog, op, OP_FAILED, err);
                return -1;
        }
        if (load_site(dirs, catalog, op, &site, err) < 0)
                return -1;
        env_init(&env, dirs, catalog, site);
        env.operation = op->id;
        tell(dirs, catalog, op->id, notice_op_started);
        ret = run(&env, op, err);
        tell(dirs, catalog, op->id, notice_op_ended);
        served_tidy(&env);
        if (ret == 0 ? strcmp(op->verb, "remove") != 0 : err->code == ERR_ROLLED_BACK)
                settle_tidy(&env);
        else if (ret < 0 && err->code != ERR_HELD)
                settle_sweep(&env);
        env_done(&env);
        return ret;
}

/* Closes the catalog. */
static int operate(const struct dirs *dirs, struct catalog *catalog, op_id id)
{
        CLEANUP(closep) int lock_fd = -1;
        struct op op = { 0 };
        char name[64];
        struct err err;
        bool open;

        (void)snprintf(name, sizeof(name), "op-%" PRIu64 ".lock", id);
        if (lock_take(dirs, name, 0, &lock_fd, &err) < 0 ||
            journal_get(catalog, id, false, &op, &err) < 0) {
                log_error("%s", err.msg);
                catalog_close(catalog);
                return err.code == ERR_BUSY ? STATUS_BUSY : 1;
        }
        if (op_is_open(op.state) && run_loaded(dirs, catalog, &op, &err) < 0)
                log_warning("operation %" PRIu64 ", %s of '%s': %s", id, op.verb, op.site, err.msg);
        op_done(&op);
        open = journal_get(catalog, id, false, &op, &err) < 0 || op_is_open(op.state);
        op_done(&op);
        catalog_close(catalog);
        return open ? 1 : 0;
}

int operation_main(const struct dirs *dirs, op_id id)
{
        struct catalog *catalog;
        struct err err;

        if (catalog_open(dirs->state_fd, &catalog, &err) < 0) {
                log_error("operation %" PRIu64 ": %s", id, err.msg);
                return 1;
        }
        return operate(dirs, catalog, id);
}

/* True when there is one to run. */
static bool be_told(op_id *ret_id)
{
        ssize_t n;
        int null_fd;

        do
                n = read(STDIN_FILENO, ret_id, sizeof(*ret_id));
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof(*ret_id))
                return false;
        /* From here on as if it had been started for it. */
        null_fd = openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd >= 0) {
                (void)dup2(null_fd, STDIN_FILENO);
                (void)close(null_fd);
        }
        return true;
}

int operation_main_later(const struct dirs *dirs, char *name)
{
        size_t room = strlen(name);
        struct catalog *catalog;
        struct err err;
        op_id id;

        if (catalog_open(dirs->state_fd, &catalog, &err) < 0) {
                log_error("a process for a later operation: %s", err.msg);
                return 1;
        }
        if (catalog_ready(catalog, &err) < 0) {
                log_error("a process for a later operation: %s", err.msg);
                catalog_close(catalog);
                return 1;
        }
        if (!be_told(&id)) {
                catalog_close(catalog);
                return 0;
        }
        /* It is looked for by its number. */
        memset(name, 0, room);
        (void)snprintf(name, room + 1, "%" PRIu64, id);
        return operate(dirs, catalog, id);
}
