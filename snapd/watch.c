/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/watch_ward.h"

#define ROLL_USEC (30 * 60 * (int64_t)USEC_PER_SEC)
#define SAVE_USEC (60 * (int64_t)USEC_PER_SEC)

/* What is normal is written down, too, for when the daemon is killed: not all of it at once. */
#define NORMAL_USEC    (10 * 60 * (int64_t)USEC_PER_SEC)
#define NORMAL_AT_ONCE 50
#define FAILING        0.5 /* a sample with a larger share of bad answers is a site that fails */

static struct ward *ward_find(const struct watch *watch, const char *site)
{
        struct ward *ward = watch->wards;

        while (ward != NULL && strcmp(ward->name, site) != 0)
                ward = ward->next;
        return ward;
}

static void probes_free(struct ward *ward)
{
        for (size_t i = 0; i < ward->n; i++)
                json_decref(ward->probes[i].examples);
        free(ward->probes);
        ward->probes = NULL;
        ward->n = 0;
}

static void ward_free(struct ward *ward)
{
        struct ward **at = &ward->watch->wards;

        while (*at != ward)
                at = &(*at)->next;
        *at = ward->next;
        guard_close(ward->guard);
        probation_done(&ward->trial);
        probes_free(ward);
        free(ward);
}

static void tell_hold(const struct ward *ward, bool on)
{
        const struct watch_prober *prober = &ward->watch->needs.prober;

        if (prober->hold != NULL)
                prober->hold(prober->arg, ward->name, on);
}

/* What was measured until now is what the new version is compared with. */
static void op_began(struct ward *ward, const struct op *op)
{
        ward->op = op->id;
        if (strcmp(op->verb, "upgrade") != 0)
                return;
        tell_hold(ward, true);
        if (ward->trial.state == PROBATION_GOING && ward->trial.baseline != NULL)
                return;
        json_decref(ward->trial.baseline);
        ward->trial.baseline = ward_baselines_json(ward);
        ward_save(ward);
}

static void op_ended(struct ward *ward)
{
        struct op op = { 0 };
        struct err err;
        op_id id = ward->op;

        ward->op = 0;
        tell_hold(ward, false);
        ward_refresh(ward);
        if (ward->trial.state == PROBATION_ROLLING && ward->trial.operation == id &&
            journal_get(ward->watch->needs.catalog, id, false, &op, &err) == 0)
                ward_rolled_back(ward, &op);
        op_done(&op);
        ward_refresh(ward);
}

/* One that is served is over as far as visitors are concerned. */
static const struct op *open_of(const struct op_list *list, const char *site)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->items[i].site, site) == 0 &&
                    (list->items[i].served_usec == 0 || list->items[i].state == OP_HELD))
                        return &list->items[i];
        return NULL;
}

static void ward_look(struct ward *ward, const struct op_list *open)
{
        const struct op *op = open_of(open, ward->name);

        if (ward->op != 0 && (op == NULL || op->id != ward->op))
                op_ended(ward);
        if (op != NULL && op->id != ward->op)
                op_began(ward, op);
        else if (op != NULL && op->state == OP_HELD && ward->trial.state == PROBATION_ROLLING &&
                 op->id == ward->trial.operation)
                ward_rolled_back(ward, op);
}

void watch_look(struct watch *watch)
{
        struct op_list open;
        struct err err;

        if (watch->wards == NULL)
                return;
        if (journal_list(watch->needs.catalog, NULL, true, UINT32_MAX, &open, &err) < 0) {
                log_error("operations cannot be looked at: %s", err.msg);
                return;
        }
        for (struct ward *ward = watch->wards; ward != NULL; ward = ward->next)
                ward_look(ward, &open);
        op_list_done(&open);
}

/* Nothing is added to what is normal while a version is on trial, or failed and waits for a person:
 * the one that is served next is compared with what was before. */
static bool normal_rests(const struct ward *ward)
{
        return probation_is_open(ward->trial.state) || ward->trial.state == PROBATION_FROZEN;
}

static void on_news(void *arg)
{
        watch_look(arg);
}

/* What was normal then has to last until a trial is over, for the version that is there afterwards
 * may be the one that was there before. */
static void ward_roll(struct ward *ward, int64_t now)
{
        if (normal_rests(ward))
                ward->rolled_usec = now;
        if (now - ward->rolled_usec < ROLL_USEC)
                return;
        ward->rolled_usec = now;
        for (size_t i = 0; i < ward->n; i++) {
                ward->probes[i].rolls[1] = ward->probes[i].rolls[0];
                ward->probes[i].rolls[0] = (struct guard_baseline){ 0 };
        }
        ward_normal(ward);
}

/* A trial's own baseline is written with the trial. */
static void normal_save(struct ward *ward)
{
        struct probation *trial = &ward->trial;

        if (normal_rests(ward)) {
                ward_save(ward);
                return;
        }
        json_decref(trial->baseline);
        trial->baseline = ward_baselines_json(ward);
        ward_save(ward);
        json_decref(trial->baseline);
        trial->baseline = NULL;
}

/* normals_save(watch, older_usec, most): In one transaction, those written before ${older_usec}. */
static void normals_save(struct watch *watch, int64_t older_usec, size_t most)
{
        struct err err;
        bool own, begun = false;

        for (struct ward *ward = watch->wards; ward != NULL && most > 0; ward = ward->next) {
                if (ward->saved_usec > older_usec)
                        continue;
                if (!begun && catalog_enter(watch->needs.catalog, &own, &err) < 0)
                        return;
                begun = true;
                normal_save(ward);
                most--;
        }
        if (begun)
                (void)!catalog_leave(watch->needs.catalog, own, 0, &err);
}

void watch_tick(struct watch *watch, int64_t now_usec)
{
        for (struct ward *ward = watch->wards; ward != NULL; ward = ward->next) {
                ward_roll(ward, now_usec);
                if (!probation_is_open(ward->trial.state))
                        continue;
                ward_judge(ward);
                if (ward->trial.state == PROBATION_GOING && now_usec - ward->saved_usec > SAVE_USEC)
                        ward_save(ward);
        }
        normals_save(watch, now_usec - NORMAL_USEC, NORMAL_AT_ONCE);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
        (void)usec;
        watch_tick(arg, clock_boot_usec());
        (void)sd_event_source_set_time_relative(source, USEC_PER_SEC);
        return 0;
}

static void boot_read(char boot[static 40])
{
        CLEANUP(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, boot, 36);

        boot[n < 0 ? 0 : n] = '\0';
}

int watch_open(const struct watch_needs *needs, struct watch **ret_watch, struct err *err)
{
        struct watch *watch = calloc(1, sizeof(*watch));

        if (watch == NULL)
                return err_oom(err);
        watch->needs = *needs;
        boot_read(watch->boot);
        if (sd_event_add_time_relative(needs->event, &watch->timer, CLOCK_BOOTTIME, USEC_PER_SEC, 0,
                                       on_timer, watch) < 0 ||
            sd_event_source_set_enabled(watch->timer, SD_EVENT_ON) < 0) {
                (void)sd_event_source_disable_unref(watch->timer);
                free(watch);
                return err_fail(err, ERR_IO, 0, "cannot make a timer");
        }
        spawner_tell(needs->spawner, on_news, watch);
        *ret_watch = watch;
        return 0;
}

void watch_close(struct watch *watch)
{
        if (watch == NULL)
                return;
        spawner_untell(watch->needs.spawner, watch);

        /* What is left of a probation is known to the second, and what is normal need not be
         * measured anew. */
        normals_save(watch, INT64_MAX, SIZE_MAX);
        while (watch->wards != NULL)
                ward_free(watch->wards);
        (void)sd_event_source_disable_unref(watch->timer);
        free(watch);
}

static bool same_probes(const struct ward *ward, const struct guard_probe *probes, size_t n)
{
        bool same = ward->n == n;

        for (size_t i = 0; same && i < n; i++)
                same = strcmp(ward->probes[i].name, probes[i].name) == 0 &&
                       ward->probes[i].probe.kind == probes[i].kind &&
                       ward->probes[i].probe.required == probes[i].required;
        return same;
}

static struct ward_probe *probe_find(const struct ward *ward, const char *name)
{
        for (size_t i = 0; i < ward->n; i++)
                if (strcmp(ward->probes[i].name, name) == 0)
                        return &ward->probes[i];
        return NULL;
}

/* A probe that stays keeps what it has measured. */
static int probes_take(struct ward *ward, const struct guard_probe *probes, size_t n,
                       struct err *err)
{
        struct ward_probe *taken = calloc(n, sizeof(*taken));

        if (taken == NULL)
                return err_oom(err);
        for (size_t i = 0; i < n; i++) {
                struct ward_probe *old = probe_find(ward, probes[i].name);

                if (old != NULL) {
                        taken[i] = *old;
                        old->examples = NULL;
                }
                (void)snprintf(taken[i].name, sizeof(taken[i].name), "%s", probes[i].name);
                taken[i].probe = probes[i];
                taken[i].probe.name = taken[i].name;
        }
        probes_free(ward);
        ward->probes = taken;
        ward->n = n;
        return 0;
}

/* After a restart: what was normal a moment ago still is.  What a trial is compared with was normal
 * before it, and is again when the version is taken back. */
static void normal_take_up(struct ward *ward)
{
        struct guard_baseline baselines[GUARD_PROBES_MAX];
        struct probation *trial = &ward->trial;
        bool open = normal_rests(ward);

        if (trial->baseline == NULL ||
            (!open && (strcmp(trial->boot, ward->watch->boot) != 0 ||
                       clock_boot_usec() - trial->boot_usec > ROLL_USEC)))
                return;
        ward_baselines_read(ward, trial->baseline, baselines);
        for (size_t i = 0; i < ward->n; i++)
                ward->probes[i].rolls[1] = baselines[i];
        if (open)
                return;
        json_decref(trial->baseline);
        trial->baseline = NULL;
}

int watch_set(struct watch *watch, const char *site, const struct guard_probe *probes, size_t n,
              struct err *err)
{
        const struct site *conf = sitecache_site(watch->needs.sites, site, NULL);
        struct ward *ward = ward_find(watch, site);
        uid_t owner = conf == NULL ? (uid_t)-1 : conf->uid;
        bool fresh = ward == NULL;
        struct op_list open;

        if (n > GUARD_PROBES_MAX)
                return err_fail(err, ERR_INVALID, 0, "'%s' has %zu probes; at most %d are watched",
                                site, n, GUARD_PROBES_MAX);
        if (n == 0) {
                if (ward != NULL)
                        ward_free(ward);
                return 0;
        }
        if (ward == NULL) {
                ward = calloc(1, sizeof(*ward));
                if (ward == NULL)
                        return err_oom(err);
                ward->watch = watch;
                ward->next = watch->wards;
                watch->wards = ward;
                (void)snprintf(ward->name, sizeof(ward->name), "%s", site);
                ward->rolled_usec = ward->saved_usec = clock_boot_usec();
        } else if (same_probes(ward, probes, n)) {
                return 0;
        }
        ward->owner = owner;
        if (probes_take(ward, probes, n, err) < 0)
                return -1;
        probation_done(&ward->trial);
        if (probation_get(watch->needs.catalog, site, &ward->trial, err) < 0 ||
            journal_list(watch->needs.catalog, site, true, 4, &open, err) < 0)
                return -1;
        if (fresh)
                normal_take_up(ward);
        ward_take_up(ward);
        ward_refresh(ward);
        ward_look(ward, &open);
        op_list_done(&open);
        return 0;
}

/* Since when it fails, for its neighbours. */
static void ward_turn(struct ward *ward, const struct sample *sample)
{
        uint32_t bad = sample->bad - sample->lone, answers = sample->good + bad;

        if (answers == 0)
                return;
        ward->seen_usec = sample->to_usec;
        if (bad <= FAILING * answers)
                ward->turned_usec = 0;
        else if (ward->turned_usec == 0)
                ward->turned_usec = sample->from_usec;
}

void watch_sample(struct watch *watch, const char *site, const char *probe,
                  const struct sample *sample)
{
        struct ward *ward = ward_find(watch, site);
        struct ward_probe *one = ward == NULL ? NULL : probe_find(ward, probe);

        if (one == NULL)
                return;
        ward_remember(one, sample);
        if (sample->version == 0 || sample->version != ward->active || ward->op != 0)
                return;
        ward_turn(ward, sample);
        if (!normal_rests(ward))
                guard_baseline_add(&one->rolls[0], sample);
        if (ward->guard != NULL)
                guard_feed(ward->guard, (size_t)(one - ward->probes), sample);
        ward_judge(ward);
}

void watch_marked(struct watch *watch, const char *site, uint64_t version, enum version_mark mark)
{
        struct ward *ward = watch == NULL ? NULL : ward_find(watch, site);
        enum probation_state state;

        if (ward == NULL || version != ward->trial.version || mark == MARK_BAD)
                return;
        state = ward->trial.state;
        if (mark == MARK_GOOD && ward->active == version && state != PROBATION_NONE) {
                ward->trial.state = PROBATION_GOOD;
                ward_save(ward);
                ward_normal(ward);
        } else if (state == PROBATION_FROZEN || state == PROBATION_ALERTED ||
                   state == PROBATION_HELD || state == PROBATION_BACK) {
                ward_forget(ward);
        }
}

static json_t *iso_or_null(int64_t usec)
{
        char text[CLOCK_ISO_MAX];

        if (usec == 0)
                return json_null();
        clock_iso(usec, 1, text);
        return json_string(text);
}

json_t *watch_view(struct watch *watch, const char *site)
{
        const struct ward *ward = watch == NULL ? NULL : ward_find(watch, site);
        int64_t until = 0, left;
        struct guard_policy policy;
        char text[GUARD_TEXT_MAX] = "";

        if (ward == NULL)
                return json_null();
        if (ward->trial.state == PROBATION_GOING) {
                ward_policy(ward, &policy);
                left = policy.probation_usec - ward->trial.spent_usec -
                       (clock_boot_usec() - ward->trial.boot_usec);
                until = clock_wall_usec() + (left > 0 ? left : 0);
        }
        if (ward->guard != NULL)
                guard_explain(ward->guard, &ward->last, text);
        return json_pack(
                "{s:s, s:I, s:I, s:o, s:o, s:s, s:s, s:I, s:O?}", "state",
                probation_state_name(ward->trial.state), "version", (json_int_t)ward->trial.version,
                "prior", (json_int_t)ward->trial.prior, "since",
                iso_or_null(ward->trial.state == PROBATION_NONE ? 0 : ward->trial.began_usec),
                "until", iso_or_null(until), "verdict", guard_verdict_name(ward->last.verdict),
                "text", text, "operation", (json_int_t)ward->trial.operation, "cause",
                ward->trial.cause);
}

const char *watch_state(struct watch *watch, const char *site, uint64_t *ret_version)
{
        const struct ward *ward = watch == NULL ? NULL : ward_find(watch, site);

        if (ward == NULL)
                return NULL;
        *ret_version = ward->trial.version;
        return probation_state_name(ward->trial.state);
}

void watch_count(struct watch *watch, watch_count_visit visit, void *arg)
{
        for (const struct ward *ward = watch == NULL ? NULL : watch->wards; ward != NULL;
             ward = ward->next)
                for (size_t i = 0; i < ward->n; i++)
                        visit(ward->name, ward->probes[i].name, &ward->probes[i].counts, arg);
}
