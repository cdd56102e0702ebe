/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBATION_H
#define SNAPD_PROBATION_H

/*
 * What is known of each site's newest version: is it on probation, was it well, was it taken back.
 *
 *   NONE ──▶ PROBATION ──▶ GOOD                         marked good by snapd
 *                └──▶ ROLLING ──▶ VERIFYING ──▶ BACK    taken back; the one before is well
 *                │        └──────────┴──▶ HELD          it is bad too, or cannot be had: a person
 *                ├──▶ FROZEN                            kept; no upgrade until a person decides
 *                └──▶ ALERTED                           kept, and a person was told
 *
 * One row a site in the catalog's file, so that a restart of snapd goes on where it was.  A row
 * also remembers up to which version was looked: an upgrade that ended while snapd was down is
 * put on probation when it is up again.
 *
 * Releases that were taken back are remembered by their label, for as long as nobody lifts that.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "snapd/catalog.h"
#include "snapd/journal.h"

enum probation_state {
        PROBATION_NONE,
        PROBATION_GOING,
        PROBATION_GOOD,
        PROBATION_ROLLING,
        PROBATION_VERIFYING,
        PROBATION_BACK,
        PROBATION_HELD,
        PROBATION_FROZEN,
        PROBATION_ALERTED,
        PROBATION_STATES
};

struct probation {
        enum probation_state state;
        uint64_t version;    /* that is or was on probation */
        uint64_t prior;      /* what was served before it; 0 when unknown */
        uint64_t seen;       /* the newest version that was looked at */
        op_id operation;     /* the rollback, 0: none */
        int64_t began_usec;  /* wall clock, for people */
        int64_t until_usec;  /* the same: when it is over if all goes well */
        int64_t spent_usec;  /* of the probation, when the row was written */
        int64_t boot_usec;   /* CLOCK_BOOTTIME then ... */
        char boot[40];       /* ... of this boot */
        json_t *baseline;    /* what was measured before the upgrade, by probe; or NULL */
        json_t *cause;       /* why it is as it is: docs/api.md, CAUSE; or NULL */
};

/* probation_get(catalog, site, probation, err): PROBATION_NONE with zeros when there is no row.
 * Give it to probation_done(). */
int probation_get(struct catalog *catalog, const char *site, struct probation *probation,
                  struct err *err) MUST_CHECK;
void probation_done(struct probation *probation);

/* probation_put(catalog, site, probation, err): Insert or replace, within a transaction or alone.
 * ERR_NOT_FOUND: there is no such site. */
int probation_put(struct catalog *catalog, const char *site, const struct probation *probation,
                  struct err *err) MUST_CHECK;

/* probation_release_bad(catalog, site, label, version, reason, err): Remember that this release
 * was taken back; an empty ${label} is no release. */
int probation_release_bad(struct catalog *catalog, const char *site, const char *label,
                          uint64_t version, const char *reason, struct err *err) MUST_CHECK;

/* probation_release_check(catalog, site, label, err): May it be installed?  ERR_REFUSED says which
 * version was taken back and why, and how to lift that. */
int probation_release_check(struct catalog *catalog, const char *site, const char *label,
                            struct err *err) MUST_CHECK;

/* probation_lift(catalog, site, version, reason, ret_lifted, err): A person said that ${version}
 * is good, or took the mark away: forget that its release was taken back.  ERR_INVALID: there is
 * something to forget and no reason was given. */
int probation_lift(struct catalog *catalog, const char *site, uint64_t version, const char *reason,
                   bool *ret_lifted, struct err *err) MUST_CHECK;

/* probation_is_open(state): Is the version still being watched or dealt with? */
bool probation_is_open(enum probation_state state);

/* The names of the schema and of the API; NULL for none. */
const char *probation_state_name(enum probation_state state);

#endif
