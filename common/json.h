/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

/*
 * JSON with limits, on jansson: depth 16, no duplicate keys, no NUL in strings, one value.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"

/* json_parse(text, n, ret_json, err): Parse one value.  ERR_INVALID says where it goes wrong.
 * The caller owns the result. */
int json_parse(const char *text, size_t n, json_t **ret_json, struct err *err) MUST_CHECK;

/* json_get_string(object, key): The member's text, or NULL when there is none or it is something
 * else.  Lives as long as ${object}. */
const char *json_get_string(const json_t *object, const char *key);

/* json_get_u64(object, key): The member's value, or 0 when there is none, it is something else or
 * negative: numbers of ours begin at 1. */
uint64_t json_get_u64(const json_t *object, const char *key);

/* json_get_bool(object, key): true only when the member is true. */
bool json_get_bool(const json_t *object, const char *key);

#endif
