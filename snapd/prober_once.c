/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/prober.h"
#include "snapd/prober_child.h"
#include "snapd/prober_tally.h"
#include "snapd/prober_unit.h"

#define GRACE_USEC (2 * USEC_PER_SEC)

struct once {
        sd_event *event;
        struct prober_answers answers;
        size_t n_open; /* answers that are waited for */
        struct err broken;
};

/* Measured from here, and by no process without rights. */
static bool is_local(const struct site_probe *probe)
{
        return probe->kind == PROBE_COMMAND || probe->kind == PROBE_DATABASE;
}

static bool is_open(const struct prober_answer *answer)
{
        return answer->sample.to_usec == 0;
}

static void on_message(const json_t *message, int fd, void *arg)
{
        struct once *once = arg;
        const json_t *id = json_object_get(message, "sample");
        struct prober_answer *answer;
        struct sample sample;
        struct err err;

        closep(&fd); /* none is expected */
        if (id == NULL || json_integer_value(id) < 0 ||
            (size_t)json_integer_value(id) >= once->answers.n ||
            prober_wire_sample_read(message, &sample, &err) < 0)
                return;
        answer = &once->answers.items[json_integer_value(id)];
        if (!is_open(answer) || sample.to_usec == 0) {
                tally_done(&sample);
                return;
        }
        answer->sample = sample;
        if (--once->n_open == 0)
                (void)sd_event_exit(once->event, 0);
}

static void on_broken(const struct err *err, void *arg)
{
        struct once *once = arg;

        once->broken = *err;
        (void)sd_event_exit(once->event, 0);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
        (void)usec;
        (void)arg;
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void answer_close(struct prober_answer *answer, const char *why)
{
        struct tally_answer nothing = { .verdict = PROBE_UNKNOWN, .usec = -1 };

        if (is_open(answer)) {
                (void)snprintf(nothing.what, sizeof(nothing.what), "%s", why);
                tally_begin(&answer->sample);
                tally_add(&answer->sample, &nothing);
                tally_end(&answer->sample);
        }
        answer->verdict = tally_verdict(&answer->sample);
        answer->msec = (unsigned)((answer->sample.to_usec - answer->sample.from_usec) / 1000);
}

static int once_ask(struct once *once, const struct dirs *dirs, const struct site *site,
                    struct prober_child *child, struct err *err)
{
        uint64_t wait_usec = 0;
        char agent[PROBER_AGENT_MAX];

        if (prober_agent(dirs, site->name, agent, err) < 0 ||
            child_start(once->event, dirs, on_message, on_broken, once, child, err) < 0)
                return -1;
        for (size_t i = 0; i < once->answers.n; i++) {
                const struct site_probe *probe = once->answers.items[i].probe;
                uint64_t asks = probe->login_url == NULL ? 1 : 2;

                if (is_local(probe))
                        continue;

                if (child_set(child, (unsigned)i, site->name, agent, probe,
                              json_pack("{s:b}", "once", 1), err) < 0)
                        return err_wrap(err, "probe '%s'", probe->name);
                asks += probe->redirects;
                if (asks * probe->timeout_msec * 1000 > wait_usec)
                        wait_usec = asks * probe->timeout_msec * 1000;
                once->n_open++;
        }
        if (sd_event_add_time_relative(once->event, NULL, CLOCK_BOOTTIME, wait_usec + GRACE_USEC,
                                       1000, on_deadline, NULL) < 0)
                return err_oom(err);
        return 0;
}

static bool once_asked(const struct once *once)
{
        for (size_t i = 0; i < once->answers.n; i++)
                if (!is_local(once->answers.items[i].probe))
                        return true;
        return false;
}

static int once_run(struct once *once, const struct dirs *dirs, const struct site *site, int cwd_fd,
                    prober_database_ask *database, struct err *err)
{
        struct prober_child child = { 0 };
        int r = 0;

        if (once_asked(once)) {
                r = once_ask(once, dirs, site, &child, err);
                if (r == 0 && once->n_open > 0 && sd_event_loop(once->event) < 0)
                        r = err_fail(err, ERR_IO, 0, "cannot wait for the probes");
                child_end(&child);
        }
        for (size_t i = 0; r == 0 && i < once->answers.n; i++) {
                struct prober_answer *answer = &once->answers.items[i];

                if (answer->probe->kind == PROBE_COMMAND)
                        prober_command_ask(site, answer->probe, cwd_fd, &answer->sample);
                else if (answer->probe->kind == PROBE_DATABASE && database != NULL)
                        database(dirs, site, &answer->sample);
        }
        for (size_t i = 0; i < once->answers.n; i++)
                answer_close(&once->answers.items[i], once->broken.code != 0
                                                              ? "the process that probes had ended"
                                                              : "no answer in time");
        return r;
}

int prober_once(const struct dirs *dirs, const struct site *site, const struct probe_list *probes,
                enum prober_which which, int cwd_fd, prober_database_ask *database,
                struct prober_answers *ret_answers, struct err *err)
{
        CLEANUP(sd_event_unrefp) sd_event *event = NULL;
        struct once once = { 0 };

        if (sd_event_new(&event) < 0)
                return err_oom(err);
        once.event = event;
        once.answers.items = calloc(probes->n + 1, sizeof(struct prober_answer));
        if (once.answers.items == NULL)
                return err_oom(err);
        for (size_t i = 0; i < probes->n; i++)
                if (((unsigned)which & 1u << probes->items[i].when) != 0 &&
                    probes->items[i].kind != PROBE_ACCESSLOG)
                        once.answers.items[once.answers.n++].probe = &probes->items[i];
        if (once_run(&once, dirs, site, cwd_fd, database, err) < 0) {
                prober_answers_done(&once.answers);
                return -1;
        }
        *ret_answers = once.answers;
        return 0;
}
