/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/json.h"

#define DEPTH_MAX 16

static bool too_deep(const json_t *value, unsigned depth)
{
        const char *key;
        json_t *child;
        size_t i;

        if (depth > DEPTH_MAX)
                return true;
        /* Most are neither, and what the loops would ask of them takes time. */
        if (json_is_object(value))
                json_object_foreach ((json_t *)value, key, child)
                        if (too_deep(child, depth + 1))
                                return true;
        if (json_is_array(value))
                json_array_foreach (value, i, child)
                        if (too_deep(child, depth + 1))
                                return true;
        return false;
}

int json_parse(const char *text, size_t n, json_t **ret_json, struct err *err)
{
        CLEANUP(json_decrefp) json_t *json = NULL;
        json_error_t why;

        json = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
        if (json == NULL)
                return err_fail(err, ERR_INVALID, 0, "not valid JSON: %s (line %d)", why.text,
                                why.line);
        if (too_deep(json, 1))
                return err_fail(err, ERR_INVALID, 0, "JSON nested deeper than %d", DEPTH_MAX);
        *ret_json = STEAL(json);
        return 0;
}

const char *json_get_string(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

uint64_t json_get_u64(const json_t *object, const char *key)
{
        json_int_t value = json_integer_value(json_object_get(object, key));

        return value > 0 ? (uint64_t)value : 0;
}

bool json_get_bool(const json_t *object, const char *key)
{
        return json_is_true(json_object_get(object, key));
}
