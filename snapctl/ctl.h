/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_CTL_H
#define SNAPCTL_CTL_H

/*
 * What every command is given: what was typed, the daemon, and how to print.
 *
 * stdout is for results, stderr for what goes on; a result is a number alone with -p, and JSON or
 * CSV with --format.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "snapctl/args.h"
#include "snapctl/client.h"
#include "snapctl/table.h"
#include "snapctl/term.h"

#define EXIT_NO 10 /* of a question; 0 is yes */

struct ctl {
        const struct args *args;
        struct client *client; /* NULL for COMMAND_LOCAL */
        const char *socket_path;
        struct look look;   /* of stdout */
        struct term errors; /* stderr */
        bool quiet, dry_run, yes, no_wait, wait, plain;
};

/* ctl_machine(ctl): Is stdout for a program to read, so that sentences do not belong there? */
bool ctl_machine(const struct ctl *ctl);

/* ctl_say(ctl, fmt, ...): A sentence for people on stdout, with strangers' strings made harmless;
 * nothing when a program reads or with -q. */
void ctl_say(const struct ctl *ctl, const char *fmt, ...) PRINTF(2, 3);

/* ctl_note(ctl, fmt, ...): The same on stderr, whoever reads stdout; nothing with -q. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) PRINTF(2, 3);

/* ctl_confirm(ctl, question, err): Ask before something is lost; the caller has said what.  With
 * -y there is no question.  ERR_REFUSED: the answer was no, or there is no terminal to ask on. */
int ctl_confirm(const struct ctl *ctl, const char *question, struct err *err) MUST_CHECK;

/* ctl_set(object, key, value, err): Give ${object} a member, taking ${value} over; ERR_INVALID
 * when it is NULL, which is what jansson makes of a string that is not UTF-8. */
int ctl_set(json_t *object, const char *key, json_t *value, struct err *err) MUST_CHECK;

/* ctl_set_option(ctl, object, option, key, err): ... from an option, when it was given. */
int ctl_set_option(const struct ctl *ctl, json_t *object, enum option_id option, const char *key,
                   struct err *err) MUST_CHECK;

/* ctl_set_words(object, key, words, err): ... a list of strings; nothing when ${words} is NULL. */
int ctl_set_words(json_t *object, const char *key, char *const *words, struct err *err) MUST_CHECK;

#endif
