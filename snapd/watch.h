/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WATCH_H
#define SNAPD_WATCH_H

/*
 * Watching: what probes measure goes to the guard, and what the guard decides is done.
 *
 * The watch belongs to the daemon.  It knows which version each site serves, keeps what was
 * measured before an upgrade, puts an upgraded version on probation (snapd/probation.h) and, when
 * the guard says so, files a rollback like anybody else's request, with its cause and evidence.
 * The rollback is verified by the same probes.  A version is taken back once: if the one before
 * it is bad too, that is said and nothing more is done.
 *
 * All of it that matters is in the catalog: after a restart, a crash or a reboot a probation goes
 * on with the time that is left, and a rollback that was filed is looked after.  The boot clock
 * decides; the wall clock is for people.
 */

#include <jansson.h>
#include <systemd/sd-event.h>

#include "snapd/catalog.h"
#include "snapd/dirs.h"
#include "snapd/guard.h"
#include "snapd/outbox.h"
#include "snapd/probation.h"
#include "snapd/sitecache.h"
#include "snapd/spawner.h"

struct watch;

/* Who measures: told what it has to know.  Members may be NULL. */
struct watch_prober {
        void (*served)(void *arg, const char *site, uint64_t version); /* 0: it changes */
        void (*hold)(void *arg, const char *site, bool on); /* a maintenance of ours */
        void (*pace)(void *arg, const char *site, unsigned msec); /* 0: as configured */
        void *arg;
};

struct watch_needs { /* all of it outlives the watch */
        sd_event *event;
        const struct dirs *dirs;
        struct catalog *catalog;
        struct sitecache *sites;
        struct spawner *spawner;
        struct outbox *outbox; /* NULL: nobody is told */
        struct watch_prober prober;
};

/* watch_open(needs, ret_watch, err): Nothing is watched yet. */
int watch_open(const struct watch_needs *needs, struct watch **ret_watch,
               struct err *err) MUST_CHECK;
void watch_close(struct watch *watch);

/* watch_set(watch, site, probes, n, err): Watch the site by these probes; names are copied.  What
 * the catalog says of its probation is taken up.  With probes that it has already, nothing
 * changes; with none it is watched no more. */
int watch_set(struct watch *watch, const char *site, const struct guard_probe *probes, size_t n,
              struct err *err) MUST_CHECK;

/* watch_sample(watch, site, probe, sample): It was measured. */
void watch_sample(struct watch *watch, const char *site, const char *probe,
                  const struct sample *sample);

/* watch_look(watch): Operations may have begun or ended. */
void watch_look(struct watch *watch);

/* watch_tick(watch, now_usec): A second has passed: what was measured is judged, and what is normal
 * is written down from time to time, so that a daemon that is killed knows it afterwards.  The
 * watch does that by itself. */
void watch_tick(struct watch *watch, int64_t now_usec);

/* watch_marked(watch, site, version, mark): A person said what a version is. */
void watch_marked(struct watch *watch, const char *site, uint64_t version, enum version_mark mark);

/* watch_view(watch, site): What is known of the site, GUARD of docs/api.md; null when it is not
 * watched, or when ${watch} is NULL.  NULL when memory is short. */
json_t *watch_view(struct watch *watch, const char *site);

/* watch_state(watch, site, ret_version): The state's name, and the version it is about; NULL when
 * the site is not watched. */
const char *watch_state(struct watch *watch, const char *site, uint64_t *ret_version);

/* watch_count(watch, visit, arg): Visit every probe with what it has measured since snapd was
 * started; nothing for NULL. */
struct watch_counts {
        uint64_t good, bad, unknown;
};
typedef void (*watch_count_visit)(const char *site, const char *probe,
                                  const struct watch_counts *counts, void *arg);
void watch_count(struct watch *watch, watch_count_visit visit, void *arg);

#endif
