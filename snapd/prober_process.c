/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/prober_process.h"
#include "snapd/prober_sibling.h"
#include "snapd/prober_wire.h"
#include "snapd/role.h"

#define USER      "sitesnap-probe"
#define ALTERNATE "nobody"

struct tasks {
        sd_event *event;
        struct prober_wire *wire;
        struct fetcher *fetcher;
        struct task **items; /* by id */
        size_t n;            /* room */
        int canary_fd;
        sd_event_source *canary;
        struct sockaddr_in canary_address;
};

static const struct task_kind *const kinds[PROBE_KINDS] = {
        [PROBE_HTTP] = &task_kind_http,
        [PROBE_PHPFPM] = &task_kind_phpfpm,
        [PROBE_ACCESSLOG] = &task_kind_accesslog,
};

sd_event *tasks_event(const struct tasks *tasks)
{
        return tasks->event;
}

struct fetcher *tasks_fetcher(const struct tasks *tasks)
{
        return tasks->fetcher;
}

void tasks_visit(const struct tasks *tasks, task_visit visit, void *arg)
{
        for (size_t i = 0; i < tasks->n; i++)
                if (tasks->items[i] != NULL && !visit(tasks->items[i], arg))
                        return;
}

int tasks_siblings(struct tasks *tasks, const struct task *task, sibling_end end, void *arg,
                   struct sibling_ask **ret_ask, struct err *err)
{
        return sibling_look(tasks->event, &tasks->canary_address, tasks, task, end, arg, ret_ask,
                            err);
}

static void task_close(struct task *task)
{
        if (task == NULL)
                return;
        if (task->kind != NULL)
                task->kind->close(task);
        (void)sd_event_source_disable_unref(task->timer);
        tally_done(&task->sample);
        probe_done(&task->probe);
        free(task->site);
        free(task->agent);
        free(task->secret);
        free(task);
}

static uint64_t interval_usec(const struct task *task)
{
        unsigned msec = task->probe.interval_msec;

        if (task->pace_msec != 0 && task->pace_msec < msec)
                msec = task->pace_msec;
        return (uint64_t)msec * 1000;
}

static void timer_set(struct task *task, uint64_t usec)
{
        if (sd_event_source_set_time_relative(task->timer, usec) < 0 ||
            sd_event_source_set_enabled(task->timer, SD_EVENT_ONESHOT) < 0)
                log_error("probe '%s' of '%s' is not measured any more", task->probe.name,
                          task->site);
}

void task_end(struct task *task)
{
        struct tasks *tasks = task->tasks;
        struct err err = { 0 };

        tally_end(&task->sample);
        task->running = false;
        if (prober_wire_send(tasks->wire, prober_wire_sample(task->id, &task->sample), -1, &err) <
            0) {
                log_error("%s", err.msg);
                (void)sd_event_exit(tasks->event, 1);
        }
        tally_done(&task->sample);
}

static void task_start(struct task *task)
{
        task->running = true;
        tally_begin(&task->sample);
        task->sample.version = task->served.version;
        task->kind->measure(task);
}

/* A site that takes longer than its interval is asked again when it has answered. */
static int on_interval(sd_event_source *source, uint64_t usec, void *arg)
{
        struct task *task = arg;

        (void)source;
        (void)usec;
        if (!task->once)
                timer_set(task, interval_usec(task));
        if (!task->running)
                task_start(task);
        return 0;
}

/* Intervals begin spread: neighbours in number are far apart in time (the golden ratio). */
static uint64_t first_usec(const struct task *task)
{
        uint32_t turn = task->id * UINT32_C(2654435769);

        return task->once ? 0 : interval_usec(task) * (turn >> 8) >> 24;
}

static int task_timer(struct task *task, struct err *err)
{
        uint64_t accuracy = interval_usec(task) / 50;

        if (accuracy > 100000)
                accuracy = 100000;
        if (sd_event_add_time_relative(task->tasks->event, &task->timer, CLOCK_BOOTTIME,
                                       first_usec(task), task->once ? 1 : accuracy, on_interval,
                                       task) < 0)
                return err_oom(err);
        return 0;
}

static int text_take(const json_t *message, const char *member, bool needed, char **ret_text,
                     struct err *err)
{
        const char *text = json_get_string(message, member);

        if (text == NULL)
                return needed ? err_fail(err, ERR_INVALID, 0, "no '%s'", member) : 0;
        *ret_text = strdup(text);
        return *ret_text == NULL ? err_oom(err) : 0;
}

static struct task_served served_read(const json_t *message)
{
        return (struct task_served){
                .version = json_get_u64(message, "version"),
                .since_usec = (int64_t)json_get_u64(message, "since"),
                .settle_usec = (int64_t)json_get_u64(message, "settle"),
        };
}

static int task_fill(struct task *task, const json_t *message, struct err *err)
{
        if (text_take(message, "site", true, &task->site, err) < 0 ||
            text_take(message, "agent", true, &task->agent, err) < 0 ||
            text_take(message, "secret", false, &task->secret, err) < 0 ||
            probe_from_json(json_object_get(message, "probe"), &task->probe, err) < 0)
                return -1;
        if (kinds[task->probe.kind] == NULL)
                return err_fail(err, ERR_INVALID, 0, "a probe that is not measured here");
        task->once = json_get_bool(message, "once");
        task->held = json_get_bool(message, "held");
        task->pace_msec = (unsigned)json_get_u64(message, "pace");
        task->served = served_read(message);
        if (kinds[task->probe.kind]->open(task, err) < 0)
                return -1;
        task->kind = kinds[task->probe.kind];
        return task_timer(task, err);
}

static int place_make(struct tasks *tasks, json_int_t id, struct err *err)
{
        struct task **more;
        size_t n = tasks->n == 0 ? 64 : tasks->n;

        if (id < 0 || id >= PROBER_IDS)
                return err_fail(err, ERR_INVALID, 0, "no number of a probe");
        while (n <= (size_t)id)
                n *= 2;
        if (n == tasks->n)
                return 0;
        more = reallocarray(tasks->items, n, sizeof(struct task *));
        if (more == NULL)
                return err_oom(err);
        memset(more + tasks->n, 0, (n - tasks->n) * sizeof(struct task *));
        tasks->items = more;
        tasks->n = n;
        return 0;
}

static void on_set(struct tasks *tasks, const json_t *message, json_int_t id)
{
        struct task *task = calloc(1, sizeof(*task));
        struct err err = { 0 };

        if (task == NULL || place_make(tasks, id, &err) < 0) {
                free(task);
                return;
        }
        task_close(STEAL(tasks->items[id]));
        task->tasks = tasks;
        task->id = (unsigned)id;
        if (task_fill(task, message, &err) < 0) {
                log_error("a probe that cannot be measured: %s", err.msg);
                task_close(task);
                return;
        }
        tasks->items[id] = task;
}

static struct task *task_by_id(const struct tasks *tasks, json_int_t id)
{
        return id < 0 || (size_t)id >= tasks->n ? NULL : tasks->items[id];
}

static void on_hold(struct tasks *tasks, const char *site, bool on)
{
        for (size_t i = 0; i < tasks->n; i++)
                if (tasks->items[i] != NULL && strcmp(tasks->items[i]->site, site) == 0)
                        tasks->items[i]->held = on;
}

/* What is in a log by now is told as what it is of, so that the next interval is all of this one.
 */
static void on_served(struct tasks *tasks, const char *site, const json_t *message)
{
        for (size_t i = 0; i < tasks->n; i++) {
                struct task *task = tasks->items[i];

                if (task == NULL || strcmp(task->site, site) != 0)
                        continue;
                task->served = served_read(message);
                if (task->kind->log != NULL && !task->once)
                        timer_set(task, 0);
        }
}

static void on_pace(struct task *task, unsigned msec)
{
        uint64_t before = interval_usec(task);

        task->pace_msec = msec;
        if (interval_usec(task) < before)
                timer_set(task, interval_usec(task) * (task->id & 7) / 8);
}

static void on_message(const json_t *message, int fd, void *arg)
{
        struct tasks *tasks = arg;
        CLEANUP(closep) int passed_fd = fd;
        const json_t *id = json_object_get(message, "set");
        struct err err = { 0 };
        struct task *task;

        if (id != NULL) {
                on_set(tasks, message, json_integer_value(id));
        } else if ((id = json_object_get(message, "drop")) != NULL) {
                task = task_by_id(tasks, json_integer_value(id));
                if (task != NULL)
                        tasks->items[task->id] = NULL;
                task_close(task);
        } else if ((id = json_object_get(message, "pace")) != NULL) {
                task = task_by_id(tasks, json_integer_value(id));
                if (task != NULL)
                        on_pace(task, (unsigned)json_get_u64(message, "msec"));
        } else if ((id = json_object_get(message, "log")) != NULL) {
                task = task_by_id(tasks, json_integer_value(id));
                if (task != NULL && task->kind->log != NULL)
                        task->kind->log(task, steal_fd(&passed_fd));
        } else if (json_get_string(message, "hold") != NULL) {
                on_hold(tasks, json_get_string(message, "hold"), json_get_bool(message, "on"));
        } else if (json_get_string(message, "served") != NULL) {
                on_served(tasks, json_get_string(message, "served"), message);
        } else if ((id = json_object_get(message, "ping")) != NULL) {
                if (prober_wire_send(tasks->wire,
                                     json_pack("{s:I}", "pong", json_integer_value(id)), -1,
                                     &err) < 0)
                        (void)sd_event_exit(tasks->event, 1);
        }
}

static void on_broken(const struct err *err, void *arg)
{
        const struct tasks *tasks = arg;

        (void)err;
        (void)sd_event_exit(tasks->event, 0);
}

static int on_canary(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        int peer_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        closep(&peer_fd);
        (void)source;
        (void)revents;
        (void)arg;
        return 0;
}

/* A listener of our own: when not even that can be reached, it is us. */
static int canary_open(struct tasks *tasks, struct err *err)
{
        socklen_t n = sizeof(tasks->canary_address);

        tasks->canary_address = (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr = { htonl(INADDR_LOOPBACK) },
        };
        tasks->canary_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (tasks->canary_fd < 0 ||
            bind(tasks->canary_fd, (const struct sockaddr *)(const void *)&tasks->canary_address,
                 n) < 0 ||
            listen(tasks->canary_fd, 64) < 0 ||
            getsockname(tasks->canary_fd, (struct sockaddr *)(void *)&tasks->canary_address, &n) <
                    0 ||
            sd_event_add_io(tasks->event, &tasks->canary, tasks->canary_fd, EPOLLIN, on_canary,
                            NULL) < 0)
                return err_fail(err, ERR_IO, errno, "cannot listen on the loopback");
        return 0;
}

/* Everything that comes from files has been read by now. */
static int rights_give_up(struct err *err)
{
        struct sandbox sandbox = roles[WORKER_PROBE].sandbox;
        const struct passwd *user = getpwnam(USER);

        if (user == NULL)
                user = getpwnam(ALTERNATE);
        if (geteuid() != 0) {
                /* Started by nobody's root, as tests may be: it has no rights to give up. */
                sandbox.as_user = false;
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot give up new privileges");
        } else if (user == NULL || user->pw_uid == 0) {
                return err_fail(err, ERR_REFUSED, 0, "there is no user '%s'", USER);
        }
        return sandbox_enter(&sandbox, user == NULL ? 0 : user->pw_uid,
                             user == NULL ? 0 : user->pw_gid, err);
}

static int tasks_open(struct tasks *tasks, struct err *err)
{
        int fd, one = 1;

        if (sd_event_new(&tasks->event) < 0)
                return err_oom(err);
        if (fetcher_open(tasks->event, &tasks->fetcher, err) < 0 || canary_open(tasks, err) < 0)
                return -1;
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        if (fd < 0 || ioctl(fd, FIONBIO, &one) < 0)
                return err_fail(err, ERR_IO, errno, "cannot use what was passed");
        if (prober_wire_open(tasks->event, fd, on_message, on_broken, tasks, &tasks->wire, err) <
            0) {
                (void)close(fd);
                return -1;
        }
        tzset(); /* reads a file */
        return rights_give_up(err);
}

static void tasks_close(struct tasks *tasks)
{
        for (size_t i = 0; i < tasks->n; i++)
                task_close(tasks->items[i]);
        free(tasks->items);
        prober_wire_close(tasks->wire);
        fetcher_close(tasks->fetcher);
        (void)sd_event_source_disable_unref(tasks->canary);
        closep(&tasks->canary_fd);
        (void)sd_event_unref(tasks->event);
}

int prober_main(void)
{
        struct tasks tasks = { .canary_fd = -1 };
        struct err err = { 0 };
        int status = 1;

        /* Bodies come and go: what is free goes back to the system. */
        (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
        (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
        if (tasks_open(&tasks, &err) < 0)
                log_error("probing: %s", err.msg);
        else {
                /* A log that is a file is beyond our limit of files: a line is lost, not us. */
                (void)signal(SIGXFSZ, SIG_IGN);
                status = sd_event_loop(tasks.event);
        }
        tasks_close(&tasks);
        return status < 0 ? 1 : status;
}
