/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_TASK_H
#define SNAPD_PROBER_TASK_H

/*
 * Inside of the process that measures: a task is one probe of one site, and a kind is how such a
 * probe is done, a row of a table.  Private to snapd/prober_*.c.
 */

#include <systemd/sd-event.h>

#include "snapd/probe.h"
#include "snapd/prober_fetch.h"
#include "snapd/prober_tally.h"
#include "snapd/sample.h"

struct tasks; /* all of them, with what they share */
struct task;

struct task_kind {
        /* Set task->state; ERR_INVALID. */
        int (*open)(struct task *task, struct err *err);
        void (*close)(struct task *task);
        /* An interval is over: measure into task->sample, then call task_end(), now or later. */
        void (*measure)(struct task *task);
        void (*log)(struct task *task, int fd); /* NULL: none is read; ${fd} is the callee's */
};

extern const struct task_kind task_kind_http, task_kind_phpfpm, task_kind_accesslog;

/* What is served, and since when.  How long a request may have taken that does not say so. */
struct task_served {
        uint64_t version; /* 0: none, or one that changes */
        int64_t since_usec, settle_usec;
};

struct task {
        struct tasks *tasks;
        const struct task_kind *kind;
        unsigned id;
        char *site, *agent, *secret; /* the last may be NULL */
        struct site_probe probe;
        bool once;          /* measured once, at once */
        bool held;          /* a maintenance of ours is on */
        bool running;       /* between measure() and task_end() */
        unsigned pace_msec; /* 0: the probe's own */
        struct task_served served;
        sd_event_source *timer;
        struct sample sample;
        char address[64]; /* where it was last connected to, "" when it was not */
        void *state;
};

/* task_end(task): The sample is whole. */
void task_end(struct task *task);

/* tasks_event(tasks), tasks_fetcher(tasks): The loop, and what asks for pages. */
sd_event *tasks_event(const struct tasks *tasks);
struct fetcher *tasks_fetcher(const struct tasks *tasks);

/* sibling_end: Can others be reached?  SIBLING_NONE: there are no others to try. */
enum sibling { SIBLING_NONE, SIBLING_REACHED, SIBLING_LOST };
typedef void (*sibling_end)(enum sibling sibling, void *arg);

struct sibling_ask;

/* tasks_siblings(tasks, task, end, arg, ret_ask): ${task}'s site cannot be connected to: look
 * whether it is the site or everything, by connecting to the loopback and to where other sites
 * were reached before.  ${end} is called from the loop, once, within a second or so, unless it is
 * forgotten. */
int tasks_siblings(struct tasks *tasks, const struct task *task, sibling_end end, void *arg,
                   struct sibling_ask **ret_ask, struct err *err) MUST_CHECK;
void sibling_forget(struct sibling_ask *ask);

/* task_visit: Of tasks_visit(); false ends the walk. */
typedef bool (*task_visit)(const struct task *task, void *arg);
void tasks_visit(const struct tasks *tasks, task_visit visit, void *arg);

/* Patterns that were compiled; NULL-terminated. */
struct pattern;
int patterns_open(char *const *texts, struct pattern ***ret_patterns, struct err *err) MUST_CHECK;
void patterns_close(struct pattern **patterns);

/* judge_page(probe, patterns, answer, held, ret): What an answer with a status means. */
struct judge_patterns {
        struct pattern **expect, **reject;
};
void judge_page(const struct site_probe *probe, const struct judge_patterns *patterns,
                const struct fetch_answer *answer, bool held, struct tally_answer *ret);

#endif
