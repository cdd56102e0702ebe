/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/process.h"
#include "snapd/prober_unit.h"
#include "snapd/worker.h"

#define OUTPUT_MAX 16384
#define ANSWER_MAX 65536
#define TAIL_MAX   390                 /* all of which is kept of an answer */
#define GRACE_USEC (10 * USEC_PER_SEC) /* for the end of a program that does not want to */

/* What it printed last, as an example. */
static void tail_read(int fd, char *buf, size_t size, size_t *ret_n)
{
        off_t end = lseek(fd, 0, SEEK_END);
        off_t from = end > (off_t)size ? end - (off_t)size : 0;
        ssize_t n = pread(fd, buf, size, from);

        *ret_n = n < 0 ? 0 : (size_t)n;
}

void prober_command_ask(const struct site *site, const struct site_probe *probe, int cwd_fd,
                        struct sample *sample)
{
        CLEANUP(closep) int output_fd = memfd_create("output", MFD_CLOEXEC);
        CLEANUP(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const struct passwd *pw = getpwuid(site->uid);
        char name[64], home[1100], tail[TAIL_MAX];
        const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", name,
                                    home, NULL };
        struct tally_answer answer = { .usec = clock_boot_usec() };
        struct err err = { 0 };
        int status = 0;
        struct worker_command command = {
                .uid = site->uid,
                .gid = site->gid,
                .cwd_fd = cwd_fd < 0 ? root_fd : cwd_fd,
                .argv = (const char *const *)probe->command,
                .env = env,
                .output_fd = output_fd,
                .output_max = OUTPUT_MAX,
                .output_newest = true,
                .timeout_msec = probe->timeout_msec,
                .status = &status,
        };

        (void)snprintf(name, sizeof(name), "SITESNAP_SITE=%s", site->name);
        (void)snprintf(home, sizeof(home), "HOME=%s", pw == NULL ? "/" : pw->pw_dir);
        tally_begin(sample);
        if (worker_run(WORKER_HOOK, &command, &err) < 0) {
                answer.verdict = err.code == ERR_IO && WIFEXITED(status) && WEXITSTATUS(status) == 1
                                         ? PROBE_BAD
                                         : PROBE_UNKNOWN;
                (void)snprintf(answer.what, sizeof(answer.what), "%.*s", TALLY_WHAT_MAX - 1,
                               err.msg);
                tail_read(output_fd, tail, sizeof(tail), &answer.n_excerpt);
                answer.excerpt = tail;
        }
        answer.usec = clock_boot_usec() - answer.usec;
        tally_add(sample, &answer);
        tally_end(sample);
}

/* Again and again, from the daemon: a process is asked, `snapd --query`, which has the rights that
 * starting somebody's program takes and waits for it. */
struct local {
        struct unit *unit;
        sd_event_source *timer, *exited;
        int64_t asked_usec;
        pid_t pid; /* 0: none runs */
        int answer_fd;
};

bool unit_is_remote(const struct unit *unit)
{
        return unit->probe.kind != PROBE_COMMAND && unit->probe.kind != PROBE_DATABASE;
}

static void local_end(struct local *local)
{
        if (local->pid > 0) {
                (void)kill(local->pid, SIGKILL);
                while (waitpid(local->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        local->pid = 0;
        local->exited = sd_event_source_disable_unref(local->exited);
        closep(&local->answer_fd);
        local->answer_fd = -1;
}

static void local_answer(struct local *local)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        CLEANUP(freep) char *text = NULL;
        struct sample sample = { 0 };
        struct err err;
        size_t n;

        if (lseek(local->answer_fd, 0, SEEK_SET) == 0 &&
            file_read_fd(local->answer_fd, ANSWER_MAX, &text, &n, &err) == 0 &&
            json_parse(text, n, &answer, &err) == 0 && json_object_get(answer, "sample") != NULL &&
            prober_wire_sample_read(answer, &sample, &err) == 0)
                unit_tell(local->unit, &sample);
        else
                unit_unknown(local->unit, "the command could not be run");
        tally_done(&sample);
}

static int on_exited(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct local *local = arg;

        (void)source;
        (void)fd;
        (void)revents;
        local_answer(local);
        local_end(local);
        return 0;
}

static int local_ask(struct local *local, struct err *err)
{
        const struct unit *unit = local->unit;
        CLEANUP(closep) int question_fd = memfd_create("question", MFD_CLOEXEC);
        CLEANUP(closep) int pid_fd = -1;
        CLEANUP(json_decrefp)
        json_t *question = json_pack("{s:s, s:s, s:s}", "query", "probe", "site", unit->place->name,
                                     "probe", unit->probe.name);
        CLEANUP(freep) char *text = question == NULL ? NULL : json_dumps(question, JSON_COMPACT);
        struct process_start start = { .mode = "--query", .notify_fd = -1 };

        if (text == NULL)
                return err_oom(err);
        local->answer_fd = memfd_create("answer", MFD_CLOEXEC);
        if (question_fd < 0 || local->answer_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot ask a process");
        if (file_write_all(question_fd, text, strlen(text), err) < 0)
                return -1;
        (void)lseek(question_fd, 0, SEEK_SET);
        start.input_fd = question_fd;
        start.output_fd = local->answer_fd;
        if (process_start(unit_dirs(unit), &start, &local->pid, &pid_fd, err) < 0)
                return -1;
        if (sd_event_add_io(unit_event(unit), &local->exited, pid_fd, EPOLLIN, on_exited, local) <
                    0 ||
            sd_event_source_set_io_fd_own(local->exited, true) < 0)
                return err_oom(err);
        (void)steal_fd(&pid_fd);
        local->asked_usec = clock_boot_usec();
        return 0;
}

static int on_interval(sd_event_source *source, uint64_t usec, void *arg)
{
        struct local *local = arg;
        const struct unit *unit = local->unit;
        unsigned msec = unit->probe.interval_msec;
        struct err err;

        (void)usec;
        if (unit->place->pace_msec != 0 && unit->place->pace_msec < msec)
                msec = unit->place->pace_msec;
        (void)sd_event_source_set_time_relative(source, (uint64_t)msec * 1000);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (local->pid != 0) {
                if (clock_boot_usec() - local->asked_usec <
                    (int64_t)unit->probe.timeout_msec * 1000 + GRACE_USEC)
                        return 0;
                local_end(local); /* it was to end long ago */
                unit_unknown(local->unit, "the command does not end");
        }
        if (local_ask(local, &err) < 0) {
                local_end(local);
                unit_unknown(local->unit, err.msg);
        }
        return 0;
}

int unit_local_start(struct unit *unit, struct err *err)
{
        struct local *local = calloc(1, sizeof(*local));

        if (local == NULL)
                return err_oom(err);
        local->unit = unit;
        local->answer_fd = -1;
        unit->local = local;
        if (sd_event_add_time_relative(unit_event(unit), &local->timer, CLOCK_BOOTTIME,
                                       (uint64_t)unit->probe.interval_msec * (unit->id % 16) *
                                               1000 / 16,
                                       100000, on_interval, local) < 0)
                return err_oom(err);
        return 0;
}

void unit_local_stop(struct unit *unit)
{
        struct local *local = unit->local;

        if (local == NULL)
                return;
        local_end(local);
        (void)sd_event_source_disable_unref(local->timer);
        free(local);
        unit->local = NULL;
}
