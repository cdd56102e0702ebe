/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_NOTICE_WORDS_H
#define SNAPD_NOTICE_WORDS_H

/*
 * What is said in each phase; private to snapd/notice*.c and their tests.
 *
 * A sentence may name facts: {site} {verb} {operation} {from} {to} {label} {ctl}.  Of several
 * sentences the first whose facts are all known is taken, so the last one needs none; of the
 * commands all whose facts are known.
 */

#include "common/error.h"
#include "snapd/notice.h"

#define NOTICE_CHOICES  4
#define NOTICE_COMMANDS 4

struct notice_words {
        const char *name;
        const char *subject[NOTICE_CHOICES];
        const char *what[NOTICE_CHOICES];
        const char *safe[NOTICE_CHOICES];
        const char *next[NOTICE_COMMANDS];
};

extern const struct notice_words notice_words[NOTICE_PHASES];

/* Of a version that was served and that the guard took back. */
extern const struct notice_words notice_words_taken_back;

/* The facts as texts, cleaned; NULL: not known. */
struct notice_facts {
        const char *site, *verb, *operation, *from, *to, *label, *at;
};

/* notice_words_fill(sentence, facts, ret_text, err): The sentence with its facts; NULL when one of
 * them is not known.  The caller frees. */
int notice_words_fill(const char *sentence, const struct notice_facts *facts, char **ret_text,
                      struct err *err) MUST_CHECK;

#endif
