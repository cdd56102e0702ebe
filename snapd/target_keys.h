/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_TARGET_KEYS_H
#define SNAPD_TARGET_KEYS_H

/*
 * The keys of notices.d/NAME.conf: one table.  Private to snapd/target*.c and their tests.
 */

#include "snapd/target.h"

#define TARGET_KEYS_MAX 24 /* rows of the table */

struct target_key;

/* Set ${member} from one line's value, once.  ERR_INVALID. */
typedef int (*target_read)(struct notice_target *target, void *member, const struct target_key *key,
                           const char *text, struct err *err);

struct target_key {
        const char *section, *key;
        target_read read;
        size_t offset;            /* of the member in struct notice_target */
        bool required;            /* where its section is used */
        const char *const *words; /* of a word: the values in the order of their enum; of a URL: the
                                   * schemes */
        uint64_t max_sec;         /* of a duration, which is 0 at least */
        const char *preset;       /* its value where the line is left out; NULL: none */
        const char *help;
};

/* In the order of the manual page; ends with a row whose key is NULL. */
extern const struct target_key target_keys[];

/* target_key_find(section, key): The row, or NULL. */
const struct target_key *target_key_find(const char *section, const char *key);

/* target_section_used(target, section): Is this section one of its kind's? */
bool target_section_used(const struct notice_target *target, const char *section);

/* target_check(target, ret_key, problem): What is wrong between values that are each right: -1 with
 * the key at fault. */
int target_check(const struct notice_target *target, const struct target_key **ret_key,
                 struct err *problem) MUST_CHECK;

/* target_done(target): Free the members. */
void target_done(struct notice_target *target);

#endif
