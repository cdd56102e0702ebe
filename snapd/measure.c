/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/front.h"
#include "snapd/history.h"
#include "snapd/measure.h"
#include "snapd/prober.h"

#define TICK_USEC  (250 * 1000)
#define FLUSH_USEC (10 * (int64_t)USEC_PER_SEC)
#define ROUND_USEC (10 * (int64_t)USEC_PER_SEC) /* in which every site is looked at */

/* What the prober is to be told; not from within its own news. */
struct telling {
        struct telling *next;
        char site[SITE_NAME_MAX];
        enum { TELL_SERVED, TELL_HOLD, TELL_PACE } what;
        uint64_t value;
};

/* A site that is measured. */
struct entry {
        char name[SITE_NAME_MAX];
        json_t *probes;  /* as they were set */
        char *complaint; /* the last one that was logged */
        bool seen;       /* in this round */

        /* What the watch said: */
        uint64_t active;
        bool upgraded; /* is going on */
};

struct measure {
        struct watch_needs needs;
        struct watch *watch;
        struct prober *prober;
        struct history *history; /* NULL: it cannot be kept */
        int64_t flushed_usec;
        sd_event_source *timer, *deferred;
        struct telling *tellings, **tellings_end;
        struct entry *entries; /* by name */
        size_t n, room;
        bool listed; /* the names of this round are known */
        char **names;
        size_t n_names, at;
};

static void tell(struct measure *m, const char *site, int what, uint64_t value)
{
        struct telling *telling = calloc(1, sizeof(*telling));

        if (telling == NULL)
                return;
        (void)snprintf(telling->site, sizeof(telling->site), "%s", site);
        telling->what = what;
        telling->value = value;
        *m->tellings_end = telling;
        m->tellings_end = &telling->next;
        (void)sd_event_source_set_enabled(m->deferred, SD_EVENT_ONESHOT);
}

static void on_served(void *arg, const char *site, uint64_t version)
{
        tell(arg, site, TELL_SERVED, version);
}

static void on_hold(void *arg, const char *site, bool on)
{
        tell(arg, site, TELL_HOLD, on);
}

static void on_pace(void *arg, const char *site, unsigned msec)
{
        tell(arg, site, TELL_PACE, msec);
}

static void on_sample(const char *site, const struct site_probe *probe, const struct sample *sample,
                      void *arg)
{
        struct measure *m = arg;

        watch_sample(m->watch, site, probe->name, sample);
        if (m->history != NULL)
                history_add(m->history, site, probe->name, sample);
}

static struct entry *entry_find(struct measure *m, const char *name)
{
        for (size_t i = 0; i < m->n; i++)
                if (strcmp(m->entries[i].name, name) == 0)
                        return &m->entries[i];
        return NULL;
}

/* While we keep visitors away from the version that is active, for a moment or for hours, an answer
 * is none of its, and a 503 is no failure.  A sample that began meanwhile is none of its either:
 * visitors of an upgrade that was taken back are not held against the version that is served on. */
static void front_look(struct measure *m, const struct entry *entry)
{
        struct front_temporary temporary = { .mode = FRONT_OPEN };
        bool shown = !entry->upgraded;
        struct err err;

        if (front_temporary(m->needs.catalog, entry->name, &temporary, &err) < 0) {
                log_error("whether '%s' is closed by us cannot be read: %s", entry->name, err.msg);
                return;
        }
        shown &= front_mode_flips(temporary.mode);
        prober_served(m->prober, entry->name, shown ? entry->active : 0);
        prober_hold(m->prober, entry->name,
                    entry->upgraded || temporary.mode == FRONT_CLOSED ||
                            temporary.mode == FRONT_READ_ONLY);
}

static int on_deferred(sd_event_source *source, void *arg)
{
        struct measure *m = arg;

        (void)source;
        while (m->tellings != NULL) {
                struct telling *telling = m->tellings;
                struct entry *entry = entry_find(m, telling->site);

                m->tellings = telling->next;
                if (m->tellings == NULL)
                        m->tellings_end = &m->tellings;
                if (telling->what == TELL_PACE)
                        prober_pace(m->prober, telling->site, (unsigned)telling->value);
                else if (entry != NULL && telling->what == TELL_SERVED)
                        entry->active = telling->value;
                else if (entry != NULL)
                        entry->upgraded = telling->value != 0;
                if (entry != NULL && telling->what != TELL_PACE)
                        front_look(m, entry);
                free(telling);
        }
        return 0;
}

static struct entry *entry_get(struct measure *m, const char *name, struct err *err)
{
        struct entry *entry = entry_find(m, name);

        if (entry != NULL)
                return entry;
        if (m->n == m->room) {
                size_t room = m->room == 0 ? 16 : m->room * 2;

                entry = reallocarray(m->entries, room, sizeof(*entry));
                if (entry == NULL) {
                        (void)err_oom(err);
                        return NULL;
                }
                m->entries = entry;
                m->room = room;
        }
        entry = &m->entries[m->n++];
        *entry = (struct entry){ 0 };
        (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
        return entry;
}

static void entry_drop(struct measure *m, size_t i)
{
        struct err err;

        prober_drop(m->prober, m->entries[i].name);
        if (m->history != NULL)
                history_forget(m->history, m->entries[i].name);
        (void)!watch_set(m->watch, m->entries[i].name, NULL, 0, &err);
        json_decref(m->entries[i].probes);
        free(m->entries[i].complaint);
        m->entries[i] = m->entries[--m->n];
}

static json_t *list_json(const struct probe_list *list)
{
        json_t *array = json_array();

        for (size_t i = 0; i < list->n; i++)
                (void)json_array_append_new(array, probe_json(&list->items[i]));
        return array;
}

/* The probes that are measured all the time, as the guard sees them. */
static size_t guard_probes(const struct probe_list *list, struct guard_probe *probes)
{
        size_t n = 0;

        for (size_t i = 0; i < list->n && n < GUARD_PROBES_MAX; i++) {
                const struct site_probe *probe = &list->items[i];

                if (probe->when != PROBE_ALWAYS)
                        continue;
                probes[n++] = (struct guard_probe){
                        .name = probe->name,
                        .kind = probe->kind == PROBE_ACCESSLOG ? GUARD_VISITORS : GUARD_ACTIVE,
                        .required = probe->weight == PROBE_REQUIRED,
                };
        }
        return n;
}

static int probes_set(struct measure *m, struct entry *entry, const struct site *site,
                      struct err *err)
{
        struct guard_probe probes[GUARD_PROBES_MAX];
        CLEANUP(json_decrefp) json_t *json = NULL;
        struct probe_list list = { 0 };
        int ret;

        ret = site_probes(m->needs.dirs->conf_fd, site, NULL, &list, err);
        if (ret == 0) {
                json = list_json(&list);
                if (entry->probes == NULL || !json_equal(json, entry->probes)) {
                        ret = prober_set(m->prober, site, &list, err);
                        if (ret == 0)
                                ret = watch_set(m->watch, entry->name, probes,
                                                guard_probes(&list, probes), err);
                        if (ret == 0) {
                                json_decref(entry->probes);
                                entry->probes = STEAL(json);
                        }
                }
        }
        probe_list_done(&list);
        return ret;
}

/* A file with a mistake in it changes nothing: what was measured goes on. */
static void entry_look(struct measure *m, const char *name)
{
        const struct site *site = sitecache_site(m->needs.sites, name, NULL);
        struct err err = { 0 };
        struct entry *entry = entry_get(m, name, &err);

        if (entry == NULL)
                return;
        entry->seen = true;
        if (site == NULL || probes_set(m, entry, site, &err) == 0) {
                front_look(m, entry);
                return;
        }
        if (entry->complaint == NULL || strcmp(entry->complaint, err.msg) != 0) {
                log_warning("site '%s' is not measured as its file says: %s", name, err.msg);
                free(entry->complaint);
                entry->complaint = strdup(err.msg);
        }
}

static void names_free(struct measure *m)
{
        for (size_t i = 0; i < m->n_names; i++)
                free(m->names[i]);
        free(m->names);
        m->names = NULL;
        m->n_names = m->at = 0;
}

static int name_add(const char *site, void *arg, struct err *err)
{
        struct measure *m = arg;
        char **names = reallocarray(m->names, m->n_names + 1, sizeof(*names));

        if (names == NULL)
                return err_oom(err);
        m->names = names;
        names[m->n_names] = strdup(site);
        if (names[m->n_names] == NULL)
                return err_oom(err);
        m->n_names++;
        return 0;
}

static void round_begin(struct measure *m)
{
        struct err err;

        names_free(m);
        for (size_t i = 0; i < m->n; i++)
                m->entries[i].seen = false;
        m->listed = catalog_sites(m->needs.catalog, name_add, m, &err) == 0;
        if (!m->listed) {
                log_error("the sites cannot be listed: %s", err.msg);
                names_free(m);
        }
}

static void round_end(struct measure *m)
{
        for (size_t i = m->n; m->listed && i-- > 0;)
                if (!m->entries[i].seen)
                        entry_drop(m, i);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *arg)
{
        struct measure *m = arg;
        size_t some = m->n_names * TICK_USEC / ROUND_USEC + 1;

        (void)usec;
        if (m->history != NULL && clock_boot_usec() - m->flushed_usec > FLUSH_USEC) {
                m->flushed_usec = clock_boot_usec();
                history_flush(m->history, m->flushed_usec, false);
        }
        if (m->at >= m->n_names) {
                round_end(m);
                round_begin(m);
                (void)sd_event_source_set_time_relative(source, USEC_PER_SEC);
                return 0;
        }
        while (some-- > 0 && m->at < m->n_names)
                entry_look(m, m->names[m->at++]);
        (void)sd_event_source_set_time_relative(source, TICK_USEC);
        return 0;
}

/* Sites on trial do not wait for their turn. */
static void trials_first(struct measure *m)
{
        struct probation trial;
        struct err err;

        for (size_t i = 0; i < m->n_names; i++) {
                if (probation_get(m->needs.catalog, m->names[i], &trial, &err) < 0)
                        continue;
                if (probation_is_open(trial.state))
                        entry_look(m, m->names[i]);
                probation_done(&trial);
        }
}

int measure_open(const struct watch_needs *needs, struct measure **ret_measure, struct err *err)
{
        struct measure *m = calloc(1, sizeof(*m));

        if (m == NULL)
                return err_oom(err);
        m->needs = *needs;
        m->needs.prober = (struct watch_prober){ on_served, on_hold, on_pace, m };
        m->tellings_end = &m->tellings;
        if (sd_event_add_defer(needs->event, &m->deferred, on_deferred, m) < 0 ||
            sd_event_source_set_enabled(m->deferred, SD_EVENT_OFF) < 0 ||
            sd_event_add_time_relative(needs->event, &m->timer, CLOCK_BOOTTIME, TICK_USEC, 0,
                                       on_tick, m) < 0 ||
            sd_event_source_set_enabled(m->timer, SD_EVENT_ON) < 0) {
                measure_close(m);
                return err_fail(err, ERR_IO, 0, "cannot make a timer");
        }
        if (watch_open(&m->needs, &m->watch, err) < 0 ||
            prober_open(needs->event, needs->dirs, on_sample, m, &m->prober, err) < 0) {
                measure_close(m);
                return -1;
        }
        /* A picture less is no reason not to watch. */
        if (history_open(needs->dirs->state_fd, &m->history, err) < 0)
                log_error("what is measured is not kept: %s", err->msg);
        round_begin(m);
        trials_first(m);
        *ret_measure = m;
        return 0;
}

void measure_close(struct measure *m)
{
        if (m == NULL)
                return;
        (void)sd_event_source_disable_unref(m->timer);
        watch_close(m->watch);
        prober_close(m->prober);
        history_close(m->history);
        (void)sd_event_source_disable_unref(m->deferred);
        while (m->tellings != NULL) {
                struct telling *telling = m->tellings;

                m->tellings = telling->next;
                free(telling);
        }
        for (size_t i = 0; i < m->n; i++) {
                json_decref(m->entries[i].probes);
                free(m->entries[i].complaint);
        }
        free(m->entries);
        names_free(m);
        free(m);
}

struct watch *measure_watch(struct measure *measure)
{
        return measure->watch;
}

struct history *measure_history(struct measure *measure)
{
        return measure->history;
}
