/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "common/json.h"
#include "snapd/watch_ward.h"

static json_t *iso(int64_t usec)
{
        char text[CLOCK_ISO_MAX];

        clock_iso(usec, 1, text);
        return json_string(text);
}

static json_t *latency_json(const struct guard_baseline *baseline)
{
        json_t *latency = json_array();

        for (size_t i = 0; i < SAMPLE_BUCKETS; i++)
                (void)json_array_append_new(latency,
                                            json_integer((json_int_t)baseline->latency[i]));
        return latency;
}

json_t *ward_baselines_json(const struct ward *ward)
{
        json_t *all = json_object();

        for (size_t i = 0; i < ward->n; i++) {
                struct guard_baseline sum = ward->probes[i].rolls[0];
                const struct guard_baseline *old = &ward->probes[i].rolls[1];

                sum.good += old->good;
                sum.bad += old->bad;
                for (size_t k = 0; k < SAMPLE_BUCKETS; k++)
                        sum.latency[k] += old->latency[k];
                (void)json_object_set_new(all, ward->probes[i].name,
                                          json_pack("{s:I, s:I, s:o}", "good", (json_int_t)sum.good,
                                                    "bad", (json_int_t)sum.bad, "latency",
                                                    latency_json(&sum)));
        }
        return all;
}

void ward_baselines_read(const struct ward *ward, const json_t *json,
                         struct guard_baseline *baselines)
{
        memset(baselines, 0, ward->n * sizeof(*baselines));
        for (size_t i = 0; i < ward->n; i++) {
                const json_t *one = json_object_get(json, ward->probes[i].name);
                const json_t *latency = json_object_get(one, "latency");

                baselines[i].good = json_get_u64(one, "good");
                baselines[i].bad = json_get_u64(one, "bad");
                for (size_t k = 0; k < SAMPLE_BUCKETS; k++) {
                        json_int_t n = json_integer_value(json_array_get(latency, k));

                        baselines[i].latency[k] = n > 0 ? (uint64_t)n : 0;
                }
        }
}

void ward_remember(struct ward_probe *probe, const struct sample *sample)
{
        json_t *example;
        size_t i;

        probe->recent[probe->n_recent++ % WARD_RECENT] = (struct ward_recent){
                .wall_usec = sample->wall_usec,
                .version = sample->version,
                .good = sample->good,
                .bad = sample->bad,
                .unknown = sample->unknown,
        };
        probe->counts.good += sample->good;
        probe->counts.bad += sample->bad;
        probe->counts.unknown += sample->unknown;
        if (sample->bad == 0)
                return;
        if (probe->examples == NULL)
                probe->examples = json_array();
        json_array_foreach (sample->examples, i, example) {
                const char *verdict = json_get_string(example, "verdict");

                if (verdict == NULL || strcmp(verdict, "bad") != 0)
                        continue;
                if (json_array_size(probe->examples) >= WARD_EXAMPLES)
                        (void)json_array_remove(probe->examples, 0);
                (void)json_array_append(probe->examples, example);
        }
}

static json_t *samples_json(const struct ward_probe *probe, uint64_t version)
{
        uint64_t first = probe->n_recent < WARD_RECENT ? 0 : probe->n_recent - WARD_RECENT;
        json_t *samples = json_array();

        for (uint64_t i = first; i < probe->n_recent; i++) {
                const struct ward_recent *one = &probe->recent[i % WARD_RECENT];

                if (one->version == version)
                        (void)json_array_append_new(samples,
                                                    json_pack("{s:o, s:I, s:I, s:I}", "time",
                                                              iso(one->wall_usec), "good",
                                                              (json_int_t)one->good, "bad",
                                                              (json_int_t)one->bad, "unknown",
                                                              (json_int_t)one->unknown));
        }
        return samples;
}

/* Times of the boot clock as the wall clock shows them now. */
static json_t *wall(int64_t boot_usec)
{
        return iso(clock_wall_usec() - clock_boot_usec() + boot_usec);
}

json_t *ward_cause(const struct ward *ward, const struct guard_decision *decision)
{
        const struct ward_probe *probe = &ward->probes[decision->probe];
        char text[GUARD_TEXT_MAX];
        json_t *cause;

        guard_explain(ward->guard, decision, text);
        cause = json_pack("{s:s, s:s, s:I}", "by", "guard", "text", text, "version",
                          (json_int_t)ward->active);
        if (cause == NULL || decision->answers == 0)
                return cause;
        (void)json_object_update_new(
                cause,
                json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:i, s:f, s:f, s:i, s:i}", "probe",
                          probe->name, "rule", guard_rule_name(decision->rule), "from",
                          wall(decision->from_usec), "to", wall(decision->to_usec), "intervals",
                          (int)decision->intervals, "answers", (int)decision->answers, "bad",
                          (int)decision->bad, "allowed", decision->allowed, "before",
                          decision->before, "limit_msec", (int)decision->limit_msec, "before_msec",
                          (int)decision->before_msec));
        (void)json_object_set_new(cause, "samples", samples_json(probe, ward->active));
        if (probe->examples != NULL)
                (void)json_object_set(cause, "examples", probe->examples);
        return cause;
}
