/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/operation.h"
#include "snapd/process.h"
#include "snapd/spawner.h"
#include "snapd/standby.h"

#define STARTS_MAX 4 /* the first and three more */

/* An operation that is watched. */
#define TOLD_MAX 8

struct unit {
        struct spawner *spawner;
        struct unit *next;
        op_id id;
        pid_t pid; /* 0: not ours, or none now */
        unsigned starts;
        bool settling;           /* spawner_settle() waits for it */
        bool asked;              /* start it even when it is held */
        sd_event_source *exited; /* while it is ours, as is the next */
        sd_event_source *notified;
        sd_event_source *timer; /* look again, or start again */
};

struct spawner {
        sd_event *event;
        const struct dirs *dirs;
        struct catalog *catalog;
        struct standby *standby;
        struct {
                spawner_news news; /* NULL: free */
                void *arg;
        } told[TOLD_MAX];
        uint64_t pause_usec;
        struct unit *units;
};

static void news_tell(const struct spawner *spawner)
{
        for (size_t i = 0; i < TOLD_MAX; i++)
                if (spawner->told[i].news != NULL)
                        spawner->told[i].news(spawner->told[i].arg);
}

static struct unit *unit_find(const struct spawner *spawner, op_id id)
{
        struct unit *unit = spawner->units;

        while (unit != NULL && unit->id != id)
                unit = unit->next;
        return unit;
}

static void unit_free(struct unit *unit)
{
        struct unit **at = &unit->spawner->units;

        while (*at != unit)
                at = &(*at)->next;
        *at = unit->next;
        (void)sd_event_source_disable_unref(unit->exited);
        (void)sd_event_source_disable_unref(unit->notified);
        (void)sd_event_source_disable_unref(unit->timer);
        free(unit);
}

/* Ended operations need no process, and held ones only when a person has asked.  What cannot be
 * read now may be read later: it counts as unfinished. */
static bool unit_finished(const struct unit *unit)
{
        struct err ignored = { 0 };
        struct op op = { 0 };
        bool finished;

        if (journal_get(unit->spawner->catalog, unit->id, false, &op, &ignored) < 0)
                return ignored.code == ERR_NOT_FOUND;
        finished = !op_is_open(op.state) || (op.state == OP_HELD && !unit->asked);
        op_done(&op);
        return finished;
}

/* 1, 4 and 16 seconds: what failed may need a moment.  After the last there is nothing to wait
 * for, nor when somebody has asked for it before its process was quite gone. */
static uint64_t unit_pause(const struct unit *unit)
{
        return unit->starts == 0 || unit->starts >= STARTS_MAX
                       ? 0
                       : unit->spawner->pause_usec << (2 * (unit->starts - 1));
}

/* Let on_timer() look at it after a while. */
static void unit_again(struct unit *unit, uint64_t usec)
{
        if (sd_event_source_set_time_relative(unit->timer, usec) < 0 ||
            sd_event_source_set_enabled(unit->timer, SD_EVENT_ONESHOT) < 0)
                log_error("operation %" PRIu64 " is not watched any more", unit->id);
}

/* A person has to look: something ends its process each time. */
static void unit_give_up(struct unit *unit)
{
        struct err why = { 0 }, err = { 0 };

        (void)err_fail(&why, ERR_HELD, 0,
                       "the process of the operation ended %u times before it was finished; see "
                       "the log of snapd, then resume it",
                       STARTS_MAX);
        log_error("operation %" PRIu64 ": %s", unit->id, why.msg);
        if (journal_state(unit->spawner->catalog, unit->id, OP_HELD, &why, &err) < 0)
                log_error("operation %" PRIu64 " cannot be held: %s", unit->id, err.msg);
}

static int on_notify(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct unit *unit = arg;
        char news[256];
        ssize_t n;

        (void)revents;
        do
                n = read(fd, news, sizeof(news));
        while (n == (ssize_t)sizeof(news));
        if (n == 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        news_tell(unit->spawner);
        return 0;
}

static int on_exit_of(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct unit *unit = arg;
        struct spawner *spawner = unit->spawner;
        int status = 0;

        (void)source;
        (void)fd;
        (void)revents;
        while (waitpid(unit->pid, &status, 0) < 0 && errno == EINTR)
                ;
        unit->pid = 0;
        unit->exited = sd_event_source_disable_unref(unit->exited);
        unit->notified = sd_event_source_disable_unref(unit->notified);

        if (unit_finished(unit)) {
                unit_free(unit);
        } else {
                log_warning("the process of operation %" PRIu64 " ended (%s %d) before it was "
                            "finished",
                            unit->id, WIFSIGNALED(status) ? "signal" : "status",
                            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
                unit_again(unit, unit_pause(unit));
        }
        news_tell(spawner);
        return 0;
}

static int process_begin(struct unit *unit, int *ret_pid_fd, int *ret_news_fd, struct err *err)
{
        CLEANUP(closep) int news_fd = -1;
        CLEANUP(closep) int notify_fd = -1;
        char id[32];
        int pipe_fds[2];
        struct process_start start = {
                .mode = "--operation", .argument = id, .input_fd = -1, .output_fd = -1
        };

        (void)snprintf(id, sizeof(id), "%" PRIu64, unit->id);
        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a pipe");
        news_fd = pipe_fds[0];
        notify_fd = start.notify_fd = pipe_fds[1];
        if (process_start(unit->spawner->dirs, &start, &unit->pid, ret_pid_fd, err) < 0)
                return -1;
        *ret_news_fd = steal_fd(&news_fd);
        return 0;
}

static int unit_start(struct unit *unit, struct err *err)
{
        struct spawner *spawner = unit->spawner;
        struct standby_process ready;
        CLEANUP(closep) int news_fd = -1;
        CLEANUP(closep) int pid_fd = -1;

        if (standby_take(spawner->standby, unit->id, &ready)) {
                unit->pid = ready.pid;
                pid_fd = ready.pid_fd;
                news_fd = ready.news_fd;
        } else if (process_begin(unit, &pid_fd, &news_fd, err) < 0) {
                return -1;
        }
        if (sd_event_add_io(spawner->event, &unit->exited, pid_fd, EPOLLIN, on_exit_of, unit) < 0 ||
            sd_event_source_set_io_fd_own(unit->exited, true) < 0)
                return err_fail(err, ERR_IO, 0, "cannot watch operation %" PRIu64, unit->id);
        (void)steal_fd(&pid_fd);

        /* Without the pipe, clients hear of news a little later. */
        if (sd_event_add_io(spawner->event, &unit->notified, news_fd, EPOLLIN, on_notify, unit) >=
                    0 &&
            sd_event_source_set_io_fd_own(unit->notified, true) >= 0)
                (void)steal_fd(&news_fd);
        return 0;
}

/* The one place that decides what an operation needs now. */
static void unit_look(struct unit *unit)
{
        struct spawner *spawner = unit->spawner;
        struct err err = { 0 };

        if (unit->pid != 0)
                return;
        if (operation_alive(spawner->dirs, unit->id)) {
                unit_again(unit, USEC_PER_SEC);
                return;
        }
        if (!unit_finished(unit) && unit->starts < STARTS_MAX) {
                unit->asked = false;
                unit->starts++;
                if (unit_start(unit, &err) < 0) {
                        log_error("operation %" PRIu64 ": %s", unit->id, err.msg);
                        unit_again(unit, unit_pause(unit));
                }
                return;
        }
        if (!unit_finished(unit))
                unit_give_up(unit);
        unit_free(unit);
        news_tell(spawner);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
        (void)source;
        (void)usec;
        unit_look(arg);
        return 0;
}

static struct unit *unit_new(struct spawner *spawner, op_id id)
{
        struct unit *unit = calloc(1, sizeof(*unit));

        if (unit == NULL)
                return NULL;
        unit->spawner = spawner;
        unit->id = id;
        if (sd_event_add_time_relative(spawner->event, &unit->timer, CLOCK_BOOTTIME, 0, 0, on_timer,
                                       unit) < 0 ||
            sd_event_source_set_enabled(unit->timer, SD_EVENT_OFF) < 0) {
                (void)sd_event_source_disable_unref(unit->timer);
                free(unit);
                return NULL;
        }
        unit->next = spawner->units;
        spawner->units = unit;
        return unit;
}

int spawner_open(sd_event *event, const struct dirs *dirs, struct catalog *catalog,
                 struct spawner **ret_spawner, struct err *err)
{
        struct spawner *spawner = calloc(1, sizeof(*spawner));

        if (spawner == NULL)
                return err_oom(err);
        spawner->event = event;
        spawner->dirs = dirs;
        spawner->catalog = catalog;
        spawner->pause_usec = USEC_PER_SEC;
        if (standby_open(dirs, &spawner->standby, err) < 0) {
                free(spawner);
                return -1;
        }
        *ret_spawner = spawner;
        return 0;
}

void spawner_close(struct spawner *spawner)
{
        if (spawner == NULL)
                return;
        while (spawner->units != NULL)
                unit_free(spawner->units);
        standby_close(spawner->standby);
        free(spawner);
}

void spawner_pause(struct spawner *spawner, uint64_t usec)
{
        spawner->pause_usec = usec;
}

void spawner_tell(struct spawner *spawner, spawner_news news, void *arg)
{
        for (size_t i = 0; i < TOLD_MAX; i++)
                if (spawner->told[i].news == NULL) {
                        spawner->told[i].news = news;
                        spawner->told[i].arg = arg;
                        return;
                }
        log_error("more than %d listen for news", TOLD_MAX);
}

void spawner_untell(struct spawner *spawner, const void *arg)
{
        for (size_t i = 0; i < TOLD_MAX; i++)
                if (spawner->told[i].arg == arg)
                        spawner->told[i].news = NULL;
}

void spawner_start(struct spawner *spawner, op_id id)
{
        struct unit *unit = unit_find(spawner, id);

        if (unit == NULL)
                unit = unit_new(spawner, id);
        if (unit == NULL) {
                log_error("out of memory: operation %" PRIu64 " is started when snapd is", id);
                return;
        }
        unit->starts = 0;
        unit->asked = true;
        unit_look(unit);
}

void spawner_prepare(struct spawner *spawner)
{
        standby_prepare(spawner->standby);
}

bool spawner_runs(const struct spawner *spawner, op_id id)
{
        return unit_find(spawner, id) != NULL;
}

static bool settling(const struct spawner *spawner)
{
        for (const struct unit *unit = spawner->units; unit != NULL; unit = unit->next)
                if (unit->settling)
                        return true;
        return false;
}

int spawner_settle(struct spawner *spawner, unsigned timeout_msec, struct err *err)
{
        int64_t until = clock_boot_usec() + (int64_t)timeout_msec * 1000;
        struct op_list list;

        if (journal_list(spawner->catalog, NULL, true, UINT32_MAX, &list, err) < 0)
                return -1;
        for (size_t i = 0; i < list.n; i++) {
                bool alive = operation_alive(spawner->dirs, list.items[i].id);
                struct unit *unit;

                if (list.items[i].state == OP_HELD)
                        continue;
                log_info("operation %" PRIu64 " of '%s' is %s", list.items[i].id,
                         list.items[i].site, alive ? "still running" : "settled");
                spawner_start(spawner, list.items[i].id);
                unit = unit_find(spawner, list.items[i].id);
                if (unit != NULL)
                        unit->settling = !alive;
        }
        op_list_done(&list);

        while (settling(spawner) && clock_boot_usec() < until) {
                int64_t left = until - clock_boot_usec();

                if (sd_event_run(spawner->event, left > 0 ? (uint64_t)left : 0) < 0)
                        return err_fail(err, ERR_IO, 0, "the event loop has failed");
        }
        if (settling(spawner))
                log_warning("some operations are still being settled");
        return 0;
}
