/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sample as a message, without the loop that messages need: an operation has none. */
#include "common/json.h"
#include "snapd/prober_wire.h"

json_t *prober_wire_sample(unsigned id, const struct sample *sample)
{
        json_t *latency = json_array();

        for (unsigned i = 0; i < SAMPLE_BUCKETS; i++)
                if (sample->latency[i] != 0)
                        (void)json_array_append_new(
                                latency,
                                json_pack("[I, I]", (json_int_t)i, (json_int_t)sample->latency[i]));
        return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:O?}", "sample",
                         (json_int_t)id, "version", (json_int_t)sample->version, "from",
                         (json_int_t)sample->from_usec, "to", (json_int_t)sample->to_usec, "wall",
                         (json_int_t)sample->wall_usec, "good", (json_int_t)sample->good, "bad",
                         (json_int_t)sample->bad, "unknown", (json_int_t)sample->unknown, "lone",
                         (json_int_t)sample->lone, "latency", latency, "examples",
                         sample->examples);
}

static bool count_read(const json_t *json, uint32_t *ret_count)
{
        json_int_t n = json_integer_value(json);

        if (!json_is_integer(json) || n < 0 || n > UINT32_MAX)
                return false;
        *ret_count = (uint32_t)n;
        return true;
}

static bool examples_fit(const json_t *examples)
{
        static const char *const members[] = { "verdict", "what", "url", "excerpt" };
        json_t *example;
        size_t i;

        if (json_array_size(examples) > SAMPLE_EXAMPLES_MAX)
                return false;
        json_array_foreach ((json_t *)examples, i, example) {
                if (!json_is_object(example) || json_object_size(example) > 5)
                        return false;
                for (size_t k = 0; k < 4; k++) {
                        const json_t *text = json_object_get(example, members[k]);

                        if (text != NULL &&
                            (!json_is_string(text) || json_string_length(text) > 1024))
                                return false;
                }
        }
        return true;
}

int prober_wire_sample_read(const json_t *message, struct sample *ret_sample, struct err *err)
{
        struct sample sample = {
                .from_usec = json_integer_value(json_object_get(message, "from")),
                .to_usec = json_integer_value(json_object_get(message, "to")),
                .wall_usec = json_integer_value(json_object_get(message, "wall")),
                .version = json_get_u64(message, "version"),
        };
        json_t *examples = json_object_get(message, "examples"), *pair;
        const json_t *lone = json_object_get(message, "lone"); /* of logs alone */
        uint32_t bucket;
        size_t i;
        bool fits = count_read(json_object_get(message, "good"), &sample.good) &&
                    count_read(json_object_get(message, "bad"), &sample.bad) &&
                    count_read(json_object_get(message, "unknown"), &sample.unknown) &&
                    (lone == NULL || count_read(lone, &sample.lone)) && sample.lone <= sample.bad &&
                    sample.from_usec >= 0 && sample.from_usec <= sample.to_usec &&
                    (examples == NULL || json_is_null(examples) || examples_fit(examples));

        json_array_foreach (json_object_get(message, "latency"), i, pair)
                fits = fits && count_read(json_array_get(pair, 0), &bucket) &&
                       bucket < SAMPLE_BUCKETS &&
                       count_read(json_array_get(pair, 1), &sample.latency[bucket]);
        if (!fits)
                return err_fail(err, ERR_INVALID, 0, "a sample that makes no sense");
        sample.examples = json_is_array(examples) ? json_incref(examples) : NULL;
        *ret_sample = sample;
        return 0;
}
