/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_H
#define SNAPD_PROBER_H

/*
 * Measuring sites: the side of whoever wants to know.
 *
 * The measuring is done by a process of its own (`snapd --probe`, role `probe`): no privileges, no
 * files, only sockets and what is passed to it.  It says what it saw; what that means is the
 * guard's.  A process that died or hangs is started again; the probes' intervals in which that
 * happened are unknown.
 */

#include <systemd/sd-event.h>

#include "snapd/dirs.h"
#include "snapd/probe.h"
#include "snapd/sample.h"
#include "snapd/site.h"

struct prober;

/* prober_news: ${probe} of ${site} was measured.  Both and the sample live until it returns; it
 * must not call prober_*() of the same site. */
typedef void (*prober_news)(const char *site, const struct site_probe *probe,
                            const struct sample *sample, void *arg);

/* prober_open(event, dirs, news, arg, ret_prober, err): The arguments outlive it.  The process is
 * started when there is something to measure. */
int prober_open(sd_event *event, const struct dirs *dirs, prober_news news, void *arg,
                struct prober **ret_prober, struct err *err) MUST_CHECK;
void prober_close(struct prober *prober);

/* prober_set(prober, site, probes, err): Measure these probes of the site from now on, those of
 * PROBE_ALWAYS, instead of what was said before; one that has not changed goes on as it is.  Both
 * are copied.  site_probes() makes ${probes}. */
int prober_set(struct prober *prober, const struct site *site, const struct probe_list *probes,
               struct err *err) MUST_CHECK;

/* prober_drop(prober, site): Measure nothing of it any more. */
void prober_drop(struct prober *prober, const char *site);

/* prober_served(prober, site, version): From now on this version is served, 0 for none or one that
 * changes.  A sample whose interval began before has version 0, and what a log says of a request
 * that began before is unknown. */
void prober_served(struct prober *prober, const char *site, uint64_t version);

/* prober_hold(prober, site, on): While it is on, a maintenance of ours is: an answer 503 with
 * Retry-After is unknown. */
void prober_hold(struct prober *prober, const char *site, bool on);

/* prober_pace(prober, site, msec): Its intervals are at most so long from now on; 0: as they are
 * configured. */
void prober_pace(struct prober *prober, const char *site, unsigned msec);

/* What one probe of prober_once() saw. */
struct prober_answer {
        const struct site_probe *probe; /* in the caller's list */
        enum probe_verdict verdict;     /* bad if anything was, else unknown if anything was */
        unsigned msec;
        struct sample sample; /* version 0 */
};
struct prober_answers {
        struct prober_answer *items;
        size_t n;
};

enum prober_which {
        PROBER_BEFORE = 1 << PROBE_ALWAYS | 1 << PROBE_BEFORE,
        PROBER_AFTER = 1 << PROBE_ALWAYS | 1 << PROBE_AFTER,
        PROBER_ALL = PROBER_BEFORE | PROBER_AFTER,
};

/* How probes of kind database are asked; the databases' drivers are not known here. */
typedef void prober_database_ask(const struct dirs *dirs, const struct site *site,
                                 struct sample *sample);

/* prober_once(dirs, site, probes, which, cwd_fd, database, ret_answers, err): Ask each of these
 * probes once, all pages at the same time, in a process of their own, and wait for the answers;
 * access logs are left out, they have none.  Commands run in ${cwd_fd}, -1 for /.  What does not
 * answer in its time is unknown, so it takes at most the longest timeout and 2 s; commands follow,
 * one by one, and databases by ${database}: without it they say nothing.  Give ${ret_answers} to
 * prober_answers_done(). */
typedef int prober_once_function(const struct dirs *dirs, const struct site *site,
                                 const struct probe_list *probes, enum prober_which which,
                                 int cwd_fd, prober_database_ask *database,
                                 struct prober_answers *ret_answers, struct err *err);
prober_once_function prober_once MUST_CHECK;

/* prober_ask(...): prober_once(), which waits with sd-event, from its module: libsystemd brings
 * seven libraries, a millisecond of each process, and few operations ask a probe. */
int prober_ask(const struct dirs *dirs, const struct site *site, const struct probe_list *probes,
               enum prober_which which, int cwd_fd, prober_database_ask *database,
               struct prober_answers *ret_answers, struct err *err) MUST_CHECK;
void prober_answers_done(struct prober_answers *answers);

/* prober_answers_json(answers): [{"probe", "kind", "weight", "when", "verdict", "msec", "what",
 * "examples"}]; NULL when memory is short. */
json_t *prober_answers_json(const struct prober_answers *answers);

#endif
