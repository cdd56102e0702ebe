/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBE_VALUES_H
#define SNAPD_PROBE_VALUES_H

/*
 * What the values of a probe's keys look like.  Private to snapd/probe*.c.
 */

#include "snapd/probe.h"

/* One word of key->words; texts; lists of texts, one a line; numbers. */
extern const struct probe_value_kind probe_value_word, probe_value_text, probe_value_path,
        probe_value_address, probe_value_status, probe_value_url_one, probe_value_texts,
        probe_value_url, probe_value_header, probe_value_regex, probe_value_argv,
        probe_value_duration, probe_value_count, probe_value_size;

/* The member a row is about, of type ${type}. */
#define PROBE_FIELD(probe, key, type) ((type *)(void *)((char *)(probe) + (key)->offset))
#define PROBE_VALUE(probe, key, type)                                                              \
        (*(type const *)(const void *)((const char *)(probe) + (key)->offset))

#endif
