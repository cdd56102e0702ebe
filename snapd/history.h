/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_HISTORY_H
#define SNAPD_HISTORY_H

/*
 * What probes measured, for people: rounds of counts, kept for a while.
 *
 *   level   a round is   kept for
 *   hour    10 s         an hour
 *   day     1 min        a day
 *   month   15 min       30 days
 *
 * `history.db` in the state directory.  Rounds lie in chunks, a row each, of which the newest are
 * kept by number and not by time: a clock that was wrong for a moment removes nothing.  A series,
 * one probe of one site, takes about 30 KiB, however long it is measured.
 *
 * WAL with synchronous=NORMAL, not FULL as the catalog: nobody decides by it, no sync is waited for
 * while a site is judged, and what a power cut takes are the last minutes of a picture.  For the
 * same reason open chunks are written every two minutes and when snapd ends.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "snapd/sample.h"

struct history;

enum history_level { HISTORY_HOUR, HISTORY_DAY, HISTORY_MONTH, HISTORY_LEVELS };

/* history_open(dir_fd, ret_history, err), history_close(history): Open history.db in the state
 * directory; one that is broken is put aside as history.db.broken and begun anew.  Closing writes
 * what is not written. */
int history_open(int dir_fd, struct history **ret_history, struct err *err) MUST_CHECK;
void history_close(struct history *history);

/* history_add(history, site, probe, sample): Count it; examples of bad answers are kept, at most
 * one sample's in ten seconds.  What cannot be written is missed by nobody but people. */
void history_add(struct history *history, const char *site, const char *probe,
                 const struct sample *sample);

/* history_flush(history, now_usec, all): Write what was not written for two minutes, a part of it
 * at a time; call it every few seconds.  ${now_usec} is CLOCK_BOOTTIME. */
void history_flush(struct history *history, int64_t now_usec, bool all);

/* history_forget(history, site): The site is gone. */
void history_forget(struct history *history, const char *site);

/* history_view(history, site, level, ret_json, err): {"span", "round_sec", "probes": [{"probe",
 * "rounds": [{"time", "good", "bad", "unknown", "p50_msec", "p95_msec"}], "examples"}]}, oldest
 * first, without rounds in which nothing was measured. */
int history_view(struct history *history, const char *site, enum history_level level,
                 json_t **ret_json, struct err *err) MUST_CHECK;

/* history_level_by_name(name): "hour", "day", "month"; HISTORY_LEVELS for none. */
enum history_level history_level_by_name(const char *name);

#endif
