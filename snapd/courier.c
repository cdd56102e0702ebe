/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/courier.h"
#include "snapd/deliver.h"
#include "snapd/notice_op.h"
#include "snapd/process.h"
#include "snapd/target.h"

#define RUNS_MAX      16
#define TARGETS_MAX   100
#define SOON_USEC     (uint64_t)(USEC_PER_SEC / 20) /* several commits are one look */
#define AGAIN_USEC    (uint64_t) USEC_PER_SEC
#define LOOK_USEC     (30 * (uint64_t)USEC_PER_SEC)
#define PAUSE_USEC    (10 * (int64_t)USEC_PER_SEC) /* after a process that failed by itself */
#define TIDY_USEC     (3600 * (int64_t)USEC_PER_SEC)
#define OVERTIME_USEC (4 * (uint64_t)DELIVER_LIMIT_MSEC * 1000)

/* A process that delivers. */
struct run {
        struct courier *courier;
        struct run *next;
        char target[SITE_NAME_MAX];
        pid_t pid;
        int64_t pause_until; /* it has ended; on the boot clock */
        sd_event_source *exited, *overtime;
};

struct courier {
        sd_event *event;
        const struct dirs *dirs;
        struct catalog *catalog;
        struct outbox *outbox;
        struct run *runs;
        int64_t tidied_usec;
        uint64_t catalog_seen;
        sd_event_source *written, *timer, *look;
};

static void run_free(struct run *run)
{
        struct run **at = &run->courier->runs;

        while (*at != run)
                at = &(*at)->next;
        *at = run->next;
        (void)sd_event_source_disable_unref(run->exited);
        (void)sd_event_source_disable_unref(run->overtime);
        free(run);
}

static void look_in(struct courier *courier, uint64_t usec)
{
        if (sd_event_source_set_time_relative(courier->timer, usec) < 0 ||
            sd_event_source_set_enabled(courier->timer, SD_EVENT_ONESHOT) < 0)
                log_error("notices are not looked at until the next change");
}

static int on_exit_of(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct run *run = arg;
        struct courier *courier = run->courier;
        int status = 0;

        (void)source;
        (void)fd;
        (void)revents;
        while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                run_free(run);
        } else {
                /* Another one is at it, or it could not even say why. */
                run->pid = 0;
                run->exited = sd_event_source_disable_unref(run->exited);
                run->overtime = sd_event_source_disable_unref(run->overtime);
                run->pause_until = clock_boot_usec() +
                                   (WIFEXITED(status) && WEXITSTATUS(status) == DELIVER_BUSY
                                            ? (int64_t)AGAIN_USEC
                                            : PAUSE_USEC);
        }
        look_in(courier, SOON_USEC);
        return 0;
}

static int on_overtime(sd_event_source *source, uint64_t usec, void *arg)
{
        const struct run *run = arg;

        (void)source;
        (void)usec;
        log_warning("the process that delivers to '%s' does not end and is killed", run->target);
        (void)kill(run->pid, SIGKILL);
        return 0;
}

static int run_start(struct run *run, struct err *err)
{
        struct courier *courier = run->courier;
        struct process_start start = { .mode = "--deliver",
                                       .argument = run->target,
                                       .input_fd = -1,
                                       .output_fd = -1,
                                       .notify_fd = -1 };
        CLEANUP(closep) int pid_fd = -1;

        if (process_start(courier->dirs, &start, &run->pid, &pid_fd, err) < 0)
                return -1;
        if (sd_event_add_io(courier->event, &run->exited, pid_fd, EPOLLIN, on_exit_of, run) < 0 ||
            sd_event_source_set_io_fd_own(run->exited, true) < 0)
                return err_fail(err, ERR_IO, 0, "cannot watch a process");
        (void)steal_fd(&pid_fd);
        if (sd_event_add_time_relative(courier->event, &run->overtime, CLOCK_BOOTTIME,
                                       OVERTIME_USEC, 0, on_overtime, run) < 0)
                return err_fail(err, ERR_IO, 0, "cannot set a deadline");
        return 0;
}

/* The run of a target, unless its pause is over. */
static struct run *run_find(struct courier *courier, const char *target)
{
        struct run *run = courier->runs;

        while (run != NULL && strcmp(run->target, target) != 0)
                run = run->next;
        if (run != NULL && run->pid == 0 && run->pause_until <= clock_boot_usec()) {
                run_free(run);
                return NULL;
        }
        return run;
}

static int target_serve(const char *target, void *arg, struct err *err)
{
        struct courier *courier = arg;
        unsigned n = 0;
        struct run *run;

        if (run_find(courier, target) != NULL)
                return 0;
        for (run = courier->runs; run != NULL; run = run->next)
                n += run->pid != 0;
        if (n >= RUNS_MAX)
                return 0;
        run = calloc(1, sizeof(*run));
        if (run == NULL)
                return err_oom(err);
        run->courier = courier;
        run->next = courier->runs;
        (void)snprintf(run->target, sizeof(run->target), "%s", target);
        courier->runs = run;
        if (run_start(run, err) < 0) {
                run->pid = 0;
                run->pause_until = clock_boot_usec() + PAUSE_USEC;
                return -1;
        }
        return 0;
}

/* All targets, as the files say now.  One that cannot be read wants everything, so that nothing is
 * lost by a typing mistake; it is asked again when it is delivered. */
struct routing {
        struct courier *courier;
        struct notice_target *targets[TARGETS_MAX];
        char names[TARGETS_MAX][SITE_NAME_MAX];
        size_t n;
};

static int routing_add(const char *name, void *arg, struct err *err)
{
        struct routing *routing = arg;
        struct notice_target *target = NULL;

        (void)err;
        if (routing->n == TARGETS_MAX || site_name_valid(name, err) < 0)
                return 0;
        if (target_load(routing->courier->dirs->conf_fd, name, NULL, &target, err) < 0)
                log_warning("notices.d/%s.conf: %s", name, err->msg);
        (void)snprintf(routing->names[routing->n], SITE_NAME_MAX, "%.*s", SITE_NAME_MAX - 1, name);
        routing->targets[routing->n++] = target;
        return 0;
}

static int notice_route(const struct outbox_notice *notice, void *arg, struct err *err)
{
        struct routing *routing = arg;
        struct outbox_wish wishes[TARGETS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < routing->n; i++) {
                const struct notice_target *target = routing->targets[i];

                if (target != NULL &&
                    !target_wants(target, notice_phase_by_name(notice->phase), notice->site))
                        continue;
                wishes[n++] = (struct outbox_wish){
                        .target = routing->names[i],
                        .delay_usec =
                                target == NULL ? 0 : (int64_t)target->digest_sec * USEC_PER_SEC,
                };
        }
        return outbox_route(routing->courier->outbox, notice->id, wishes, n, clock_wall_usec(),
                            err);
}

/* Read only when there is something to route. */
static int first_route(const struct outbox_notice *notice, void *arg, struct err *err)
{
        struct routing *routing = arg;

        if (routing->n == 0 &&
            target_names(routing->courier->dirs->conf_fd, routing_add, routing, err) < 0)
                return -1;
        return notice_route(notice, routing, err);
}

static int route_all(struct courier *courier, struct err *err)
{
        struct routing *routing = calloc(1, sizeof(*routing));
        int ret;

        if (routing == NULL)
                return err_oom(err);
        routing->courier = courier;
        ret = outbox_unrouted(courier->outbox, first_route, routing, err);
        for (size_t i = 0; i < routing->n; i++)
                target_free(routing->targets[i]);
        free(routing);
        return ret;
}

static int look(struct courier *courier, struct err *err)
{
        int64_t now = clock_wall_usec(), next = 0;

        if (route_all(courier, err) < 0 ||
            outbox_targets(courier->outbox, now, target_serve, courier, err) < 0)
                return -1;
        if (now - courier->tidied_usec > TIDY_USEC || now < courier->tidied_usec) {
                courier->tidied_usec = now;
                if (outbox_tidy(courier->outbox, now, err) < 0)
                        return -1;
        }
        if (outbox_next(courier->outbox, now, &next, err) < 0)
                return -1;
        if (next != 0)
                look_in(courier,
                        next > now + (int64_t)AGAIN_USEC ? (uint64_t)(next - now) : AGAIN_USEC);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
        struct courier *courier = arg;
        struct err err;

        (void)source;
        (void)usec;
        if (look(courier, &err) < 0) {
                log_warning("notices: %s", err.msg);
                look_in(courier, LOOK_USEC);
        }
        return 0;
}

static int on_written(sd_event_source *source, const struct inotify_event *event, void *arg)
{
        struct courier *courier = arg;
        int on = SD_EVENT_OFF;

        (void)source;
        (void)event;
        /* A look that is due sooner stays as it is. */
        if (sd_event_source_get_enabled(courier->timer, &on) >= 0 && on != SD_EVENT_OFF) {
                uint64_t at = 0, now = 0;

                if (sd_event_source_get_time(courier->timer, &at) >= 0 &&
                    sd_event_now(courier->event, CLOCK_BOOTTIME, &now) >= 0 &&
                    at <= now + SOON_USEC)
                        return 0;
        }
        look_in(courier, SOON_USEC);
        return 0;
}

/* What an operation's process could not put, because it died or the daemon held it, is put here;
 * the clock is looked at as well, which a suspended machine's timers do not follow. */
static int on_look(sd_event_source *source, uint64_t usec, void *arg)
{
        struct courier *courier = arg;
        uint64_t change = catalog_change(courier->catalog);
        struct err err;

        (void)usec;
        if (change != courier->catalog_seen || change == 0) {
                courier->catalog_seen = change;
                if (notice_op_catch_up(courier->outbox, courier->catalog, courier->dirs, &err) < 0)
                        log_warning("notices: %s", err.msg);
        }
        look_in(courier, SOON_USEC);
        (void)sd_event_source_set_time_relative(source, LOOK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* The connection that is open keeps the log's file where it is. */
static int watch(struct courier *courier, struct err *err)
{
        char path[64];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" OUTBOX_FILE "-wal",
                       courier->dirs->state_fd);
        r = sd_event_add_inotify(courier->event, &courier->written, path, IN_MODIFY, on_written,
                                 courier);
        if (r >= 0)
                r = sd_event_add_time_relative(courier->event, &courier->timer, CLOCK_BOOTTIME, 0,
                                               0, on_timer, courier);
        if (r >= 0)
                r = sd_event_add_time_relative(courier->event, &courier->look, CLOCK_BOOTTIME, 0, 0,
                                               on_look, courier);
        return r >= 0 ? 0 : err_fail(err, ERR_IO, -r, "cannot watch the outbox");
}

int courier_open(sd_event *event, const struct dirs *dirs, struct catalog *catalog,
                 struct outbox *outbox, struct courier **ret_courier, struct err *err)
{
        struct courier *courier = calloc(1, sizeof(*courier));

        if (courier == NULL)
                return err_oom(err);
        courier->event = event;
        courier->dirs = dirs;
        courier->catalog = catalog;
        courier->outbox = outbox;
        if (watch(courier, err) < 0) {
                courier_close(courier);
                return -1;
        }
        *ret_courier = courier;
        return 0;
}

void courier_close(struct courier *courier)
{
        if (courier == NULL)
                return;
        while (courier->runs != NULL)
                run_free(courier->runs);
        (void)sd_event_source_disable_unref(courier->written);
        (void)sd_event_source_disable_unref(courier->timer);
        (void)sd_event_source_disable_unref(courier->look);
        free(courier);
}
