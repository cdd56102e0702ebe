/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/prober.h"
#include "snapd/prober_unit.h"

#define PING_USEC      (2 * USEC_PER_SEC)
#define HUNG_USEC      (6 * USEC_PER_SEC)
#define START_USEC     USEC_PER_SEC
#define START_MAX_USEC (30 * USEC_PER_SEC)

/* For so long a line without a duration may be of a request that began before the version was
 * served: servers give up on an application after 60 s, and a version that was left by going back
 * is one that may hang. */
#define SETTLE_USEC      (2 * USEC_PER_SEC)
#define SETTLE_BACK_USEC (60 * USEC_PER_SEC)

struct prober {
        sd_event *event;
        const struct dirs *dirs;
        prober_news news;
        void *arg;
        struct prober_child child;
        sd_event_source *ping, *again;
        int64_t pong_usec;
        uint64_t pause_usec; /* before the next start */
        int64_t stamp;       /* of what the process has read at its start */
        struct place *places;
        struct unit **units; /* by id */
        size_t n_units;
};

/* What the process reads once, and has to be started anew for. */
static int64_t files_stamp(void)
{
        static const char *const paths[] = { "/etc/resolv.conf", "/etc/hosts",
                                             "/etc/ssl/certs/ca-certificates.crt" };
        int64_t stamp = 0;
        struct stat st;

        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                if (fstatat(AT_FDCWD, paths[i], &st, 0) == 0)
                        stamp = stamp * 31 + st.st_mtim.tv_sec + (int64_t)st.st_ino;
        return stamp;
}

void unit_tell(struct unit *unit, struct sample *sample)
{
        const struct place *place = unit->place;
        int64_t now = clock_boot_usec();

        if (sample->to_usec > now)
                sample->to_usec = now;
        if (sample->from_usec > sample->to_usec)
                sample->from_usec = sample->to_usec;
        if (!unit_is_remote(unit) || sample->version == place->version)
                sample->version = place->since_usec <= sample->from_usec ? place->version : 0;
        else
                sample->version = 0;
        unit->from_usec = sample->to_usec;
        place->prober->news(place->name, &unit->probe, sample, place->prober->arg);
}

void unit_unknown(struct unit *unit, const char *what)
{
        struct tally_answer answer = { .verdict = PROBE_UNKNOWN, .usec = -1 };
        struct sample sample = { 0 };

        tally_begin(&sample);
        sample.from_usec = unit->from_usec;
        sample.version = unit->place->version;
        (void)snprintf(answer.what, sizeof(answer.what), "%s", what);
        tally_add(&sample, &answer);
        tally_end(&sample);
        unit_tell(unit, &sample);
        tally_done(&sample);
}

sd_event *unit_event(const struct unit *unit)
{
        return unit->place->prober->event;
}

const struct dirs *unit_dirs(const struct unit *unit)
{
        return unit->place->prober->dirs;
}

const struct prober_child *unit_child(const struct unit *unit)
{
        return &unit->place->prober->child;
}

static void prober_again(struct prober *prober)
{
        (void)sd_event_source_set_time_relative(prober->again, prober->pause_usec);
        (void)sd_event_source_set_enabled(prober->again, SD_EVENT_ONESHOT);
        prober->pause_usec *= 2;
        if (prober->pause_usec > START_MAX_USEC)
                prober->pause_usec = START_MAX_USEC;
}

/* What was measured is not known, and never will be. */
static void prober_lost(struct prober *prober, const char *why)
{
        log_error("the process that probes is started again: %s", why);
        child_end(&prober->child);
        (void)sd_event_source_set_enabled(prober->ping, SD_EVENT_OFF);
        for (size_t i = 0; i < prober->n_units; i++)
                if (prober->units[i] != NULL && unit_is_remote(prober->units[i]))
                        unit_unknown(prober->units[i], "the process that probes had ended");
        prober_again(prober);
}

static void on_broken(const struct err *err, void *arg)
{
        prober_lost(arg, err->msg);
}

static void on_message(const json_t *message, int fd, void *arg)
{
        struct prober *prober = arg;
        const json_t *id = json_object_get(message, "sample");
        struct sample sample;
        struct unit *unit;
        struct err err;

        closep(&fd); /* none is expected */
        prober->pong_usec = clock_boot_usec();
        if (id == NULL)
                return;
        prober->pause_usec = START_USEC;
        if (json_integer_value(id) < 0 || (size_t)json_integer_value(id) >= prober->n_units ||
            prober_wire_sample_read(message, &sample, &err) < 0)
                return;
        /* One that was dropped meanwhile. */
        unit = prober->units[json_integer_value(id)];
        if (unit != NULL && unit_is_remote(unit)) {
                unit_tell(unit, &sample);
                unit_log_look(unit);
        }
        tally_done(&sample);
}

static json_t *place_served(const struct place *place)
{
        return json_pack("{s:I, s:I, s:I}", "version", (json_int_t)place->version, "since",
                         (json_int_t)place->since_usec, "settle", (json_int_t)place->settle_usec);
}

static int unit_send(struct unit *unit, struct err *err)
{
        const struct place *place = unit->place;
        json_t *members =
                json_pack("{s:b, s:I}", "held", place->held, "pace", (json_int_t)place->pace_msec);

        (void)json_object_update_new(members, place_served(place));
        if (child_set(&place->prober->child, unit->id, place->name, place->agent, &unit->probe,
                      members, err) < 0)
                return -1;
        unit_log_pass(unit);
        return 0;
}

static bool prober_needed(const struct prober *prober)
{
        for (size_t i = 0; i < prober->n_units; i++)
                if (prober->units[i] != NULL && unit_is_remote(prober->units[i]))
                        return true;
        return false;
}

static void prober_start(struct prober *prober)
{
        struct err err = { 0 };

        (void)sd_event_source_set_enabled(prober->again, SD_EVENT_OFF);
        if (prober->child.pid != 0 || !prober_needed(prober))
                return;
        prober->stamp = files_stamp();
        prober->pong_usec = clock_boot_usec();
        if (child_start(prober->event, prober->dirs, on_message, on_broken, prober, &prober->child,
                        &err) < 0) {
                log_error("the process that probes cannot be started: %s", err.msg);
                prober_again(prober);
                return;
        }
        for (size_t i = 0; i < prober->n_units; i++)
                if (prober->units[i] != NULL && unit_is_remote(prober->units[i]) &&
                    unit_send(prober->units[i], &err) < 0)
                        log_error("probe '%s' of '%s': %s", prober->units[i]->probe.name,
                                  prober->units[i]->place->name, err.msg);
        (void)sd_event_source_set_time_relative(prober->ping, PING_USEC);
        (void)sd_event_source_set_enabled(prober->ping, SD_EVENT_ONESHOT);
}

static int on_ping(sd_event_source *source, uint64_t usec, void *arg)
{
        struct prober *prober = arg;
        struct err err = { 0 };

        (void)usec;
        if (clock_boot_usec() - prober->pong_usec > HUNG_USEC) {
                prober_lost(prober, "it does not answer");
                return 0;
        }
        if (prober->stamp != files_stamp()) {
                log_info("resolvers, hosts or certificates have changed: probing begins anew");
                child_end(&prober->child);
                prober_start(prober);
                return 0;
        }
        if (prober_wire_send(prober->child.wire, json_pack("{s:i}", "ping", 1), -1, &err) < 0) {
                prober_lost(prober, err.msg);
                return 0;
        }
        (void)sd_event_source_set_time_relative(source, PING_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
        (void)source;
        (void)usec;
        prober_start(arg);
        return 0;
}

int prober_open(sd_event *event, const struct dirs *dirs, prober_news news, void *arg,
                struct prober **ret_prober, struct err *err)
{
        struct prober *prober = calloc(1, sizeof(*prober));

        if (prober == NULL)
                return err_oom(err);
        *prober = (struct prober){
                .event = event, .dirs = dirs, .news = news, .arg = arg, .pause_usec = START_USEC
        };
        if (sd_event_add_time_relative(event, &prober->ping, CLOCK_BOOTTIME, 0, 100000, on_ping,
                                       prober) < 0 ||
            sd_event_add_time_relative(event, &prober->again, CLOCK_BOOTTIME, 0, 10000, on_again,
                                       prober) < 0) {
                prober_close(prober);
                return err_oom(err);
        }
        (void)sd_event_source_set_enabled(prober->ping, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(prober->again, SD_EVENT_OFF);
        *ret_prober = prober;
        return 0;
}

static struct place *place_find(const struct prober *prober, const char *site)
{
        struct place *place = prober->places;

        while (place != NULL && strcmp(place->name, site) != 0)
                place = place->next;
        return place;
}

static void unit_drop(struct unit *unit)
{
        struct prober *prober = unit->place->prober;
        struct err ignored; /* a process that takes no message is started again */

        if (prober->child.wire != NULL && unit_is_remote(unit))
                (void)!prober_wire_send(prober->child.wire,
                                        json_pack("{s:I}", "drop", (json_int_t)unit->id), -1,
                                        &ignored);
        prober->units[unit->id] = NULL;
        unit_local_stop(unit);
        probe_done(&unit->probe);
        free(unit);
}

void prober_drop(struct prober *prober, const char *site)
{
        struct place **at = &prober->places, *place;

        while (*at != NULL && strcmp((*at)->name, site) != 0)
                at = &(*at)->next;
        place = *at;
        if (place == NULL)
                return;
        *at = place->next;
        for (size_t i = 0; i < place->n; i++)
                unit_drop(place->units[i]);
        free(place);
}

void prober_close(struct prober *prober)
{
        if (prober == NULL)
                return;
        while (prober->places != NULL)
                prober_drop(prober, prober->places->name);
        child_end(&prober->child);
        (void)sd_event_source_disable_unref(prober->ping);
        (void)sd_event_source_disable_unref(prober->again);
        free(prober->units);
        free(prober);
}

static int unit_add(struct prober *prober, struct place *place, const struct site_probe *probe,
                    struct err *err)
{
        CLEANUP(json_decrefp) json_t *json = probe_json(probe);
        struct unit *unit = calloc(1, sizeof(*unit));
        size_t id = 0;

        if (unit == NULL || json == NULL) {
                free(unit);
                return err_oom(err);
        }
        if (probe_from_json(json, &unit->probe, err) < 0) {
                probe_done(&unit->probe);
                free(unit);
                return -1;
        }
        while (id < prober->n_units && prober->units[id] != NULL)
                id++;
        if (id == prober->n_units) {
                size_t n = id == 0 ? 64 : id * 2;
                struct unit **more = reallocarray(prober->units, n, sizeof(struct unit *));

                if (more == NULL || n > PROBER_IDS) {
                        probe_done(&unit->probe);
                        free(unit);
                        return err_oom(err);
                }
                memset(more + id, 0, (n - id) * sizeof(struct unit *));
                prober->units = more;
                prober->n_units = n;
        }
        unit->id = (unsigned)id;
        unit->place = place;
        unit->from_usec = clock_boot_usec();
        prober->units[id] = unit;
        place->units[place->n++] = unit;
        if (!unit_is_remote(unit))
                return unit_local_start(unit, err);
        return prober->child.wire == NULL ? 0 : unit_send(unit, err);
}

/* The one of the site that is the same in every key, or NULL. */
static struct unit *unit_same(const struct place *place, const struct site_probe *probe)
{
        CLEANUP(json_decrefp) json_t *wanted = probe_json(probe);

        for (size_t i = 0; i < place->n; i++) {
                CLEANUP(json_decrefp) json_t *has = probe_json(&place->units[i]->probe);

                if (wanted != NULL && json_equal(has, wanted))
                        return place->units[i];
        }
        return NULL;
}

static int place_get(struct prober *prober, const struct site *site, struct place **ret_place,
                     struct err *err)
{
        struct place *place = place_find(prober, site->name);

        if (place == NULL) {
                place = calloc(1, sizeof(*place));
                if (place == NULL)
                        return err_oom(err);
                place->prober = prober;
                (void)snprintf(place->name, sizeof(place->name), "%s", site->name);
                if (prober_agent(prober->dirs, site->name, place->agent, err) < 0) {
                        free(place);
                        return -1;
                }
                place->next = prober->places;
                prober->places = place;
        }
        *ret_place = place;
        return 0;
}

int prober_set(struct prober *prober, const struct site *site, const struct probe_list *probes,
               struct err *err)
{
        struct unit *before[PROBES_MAX];
        struct place *place = NULL;
        size_t n_before;
        int r = 0;

        if (place_get(prober, site, &place, err) < 0)
                return -1;
        n_before = place->n;
        memcpy(before, place->units, n_before * sizeof(before[0]));

        for (size_t i = 0; i < n_before; i++) {
                const struct site_probe *still = NULL;

                for (size_t k = 0; k < probes->n && still == NULL; k++)
                        if (probes->items[k].when == PROBE_ALWAYS &&
                            unit_same(place, &probes->items[k]) == before[i])
                                still = &probes->items[k];
                if (still != NULL)
                        continue;
                for (size_t k = 0; k < place->n; k++)
                        if (place->units[k] == before[i])
                                place->units[k] = place->units[--place->n];
                unit_drop(before[i]);
        }
        for (size_t k = 0; k < probes->n && r == 0; k++)
                if (probes->items[k].when == PROBE_ALWAYS && place->n < PROBES_MAX &&
                    unit_same(place, &probes->items[k]) == NULL)
                        r = unit_add(prober, place, &probes->items[k], err);
        if (sd_event_source_get_enabled(prober->again, NULL) == 0)
                prober_start(prober);
        return r;
}

void prober_served(struct prober *prober, const char *site, uint64_t version)
{
        struct place *place = place_find(prober, site);
        json_t *message;
        struct err ignored; /* a process that takes no message is started again */

        if (place == NULL || place->version == version)
                return;
        place->version = version;
        place->since_usec = clock_boot_usec();
        if (version != 0) {
                place->settle_usec = version < place->latest ? SETTLE_BACK_USEC : SETTLE_USEC;
                place->latest = version;
        }
        if (prober->child.wire == NULL)
                return;
        message = json_pack("{s:s}", "served", site);
        (void)json_object_update_new(message, place_served(place));
        (void)!prober_wire_send(prober->child.wire, message, -1, &ignored);
}

void prober_hold(struct prober *prober, const char *site, bool on)
{
        struct place *place = place_find(prober, site);
        struct err ignored; /* a process that takes no message is started again */

        if (place == NULL || place->held == on)
                return;
        place->held = on;
        if (prober->child.wire != NULL)
                (void)!prober_wire_send(prober->child.wire,
                                        json_pack("{s:s, s:b}", "hold", site, "on", on), -1,
                                        &ignored);
}

void prober_pace(struct prober *prober, const char *site, unsigned msec)
{
        struct place *place = place_find(prober, site);
        struct err ignored; /* the same */

        if (place == NULL || place->pace_msec == msec)
                return;
        place->pace_msec = msec;
        for (size_t i = 0; i < place->n; i++)
                if (prober->child.wire != NULL && unit_is_remote(place->units[i]))
                        (void)!prober_wire_send(prober->child.wire,
                                                json_pack("{s:I, s:I}", "pace",
                                                          (json_int_t)place->units[i]->id, "msec",
                                                          (json_int_t)msec),
                                                -1, &ignored);
}
