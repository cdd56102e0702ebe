/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_NOTICE_H
#define SNAPD_NOTICE_H

/*
 * A notice: what happened to a site, in words for the person who was asleep.
 *
 * Phases are rows of a table (notice.c): each has its subject, what it says happened, what is
 * still safe and the commands to run next.  A sentence that needs something nobody knows (a
 * version, an operation) is left out or another one is taken.
 *
 * What comes in is not believed: labels, reasons and excerpts are a tenant's or the network's.
 * Everything is cut, is UTF-8 and has no control character, no line break and no character that
 * turns the direction of a line; a command to run is made of the site's name and of numbers only.
 *
 * A notice is put as JSON (docs/api.md, NOTICE), its words already in it.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "snapd/outbox.h"

/* The names are in configuration files and in the outbox; they are never changed. */
enum notice_phase {
        NOTICE_AVAILABLE, /* there is an update */
        NOTICE_SCHEDULED, /* an upgrade is going to begin by itself */
        NOTICE_STARTED,
        NOTICE_FINISHED,
        NOTICE_FAILED,      /* nothing was changed, or all was undone */
        NOTICE_ROLLED_BACK, /* the version before it is served again */
        NOTICE_HELD,        /* a person has to decide */
        NOTICE_SPACE_LOW,
        NOTICE_ALERT,  /* probes are bad; nothing was done about it */
        NOTICE_FREEZE, /* probes are bad; nothing is done any more until a person decides */
        NOTICE_TEST,
        NOTICE_PHASES
};

enum notice_automatic { AUTOMATIC_UNKNOWN, AUTOMATIC_OFF, AUTOMATIC_ON };

/* Everything but the phase may be left out. */
struct notice {
        enum notice_phase phase;
        const char *site;   /* NULL: the host */
        const char *verb;   /* of the operation */
        uint64_t operation; /* 0: none */
        uint64_t from;      /* what was served before and is what is safe; 0 unknown */
        uint64_t to;        /* what it goes or went to, or what is unhealthy; 0 unknown */
        const char *label;  /* of ${to}: the release */
        const char *track;  /* stable, beta, ... */
        enum notice_automatic automatic; /* does this site update by itself? */
        bool taken_back;                 /* of ROLLED_BACK: by the guard, after it was served */
        int64_t at_usec;                 /* when it is going to begin, wall clock; 0 unknown */
        const char *what;                /* a sentence in place of the phase's own */
        const char *why;                 /* the cause */
        /* An object: each member a string, a number or an array of strings, shown under its name;
         * other values reach only who reads JSON.  At most 8 members; borrowed. */
        const json_t *evidence;
        const char *key; /* NULL, or what makes putting it twice put it once (snapd/outbox.h) */
};

/* notice_put(outbox, notice, err): Write it down; it is durable and on its way when this returns.
 * Takes one fsync and never waits for the network: call it after what has to be quick. */
int notice_put(struct outbox *outbox, const struct notice *notice, struct err *err) MUST_CHECK;

/* notice_put_to(outbox, notice, target, ret_id, err): For one target, whatever it wants; ${ret_id}
 * is the notice's number in the outbox. */
int notice_put_to(struct outbox *outbox, const struct notice *notice, const char *target,
                  uint64_t *ret_id, struct err *err) MUST_CHECK;

/* notice_json(notice, ret_json, err): The notice with its words, as it is put; the caller's. */
int notice_json(const struct notice *notice, json_t **ret_json, struct err *err) MUST_CHECK;

/* notice_text(json, ret_text, err): The body of a mail, lines of text ended by "\n"; from what
 * notice_json() made.  The caller frees. */
int notice_text(const json_t *json, char **ret_text, struct err *err) MUST_CHECK;

/* notice_clean(text, max, ret_text, err): ${text} as it may stand in a line: UTF-8 (what is not
 * becomes '?'), no control or format characters (they become blanks), at most ${max} bytes.  The
 * caller frees. */
int notice_clean(const char *text, size_t max, char **ret_text, struct err *err) MUST_CHECK;

/* notice_phase_name(phase), notice_phase_by_name(name): "rolled-back" and back; NOTICE_PHASES for
 * no such name. */
const char *notice_phase_name(enum notice_phase phase);
enum notice_phase notice_phase_by_name(const char *name);

#endif
