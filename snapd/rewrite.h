/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_REWRITE_H
#define SNAPD_REWRITE_H

/*
 * One value in an application's configuration file.
 *
 * A rule says how the file is written (its kind), which setting is meant (its key) and what it
 * shall be.  Each rule matches exactly one place; that place changes and not a byte around it.
 * What was written is read again and must give the value, else there is no result: a setting at
 * the wrong place would point a version at another version's database.
 *
 *   php-define   define( 'DB_NAME', 'x' ) or const DB_NAME = 'x'; key: DB_NAME
 *   php-assign   $wgDBname = 'x'; key: wgDBname, CFG->dbname, databases.default.default.database
 *                (written as $databases['default']..., as nested arrays, or both), return.db.host
 *   ini          [section] and key = value; key: section.key
 *   env          KEY=value, with or without export; key: KEY
 *   json         key: a.b.c, a number for the place in an array
 *   regex        a PCRE2 pattern with one group, ^ and $ at lines; the group is the value, as it is
 *
 * Everything here works on bytes in memory, opens nothing and can run anywhere; the bytes are a
 * tenant's.
 */

#include <stddef.h>

#include "common/error.h"

#define REWRITE_FILE_MAX  (1 << 20)
#define REWRITE_VALUE_MAX 4096

struct rewrite_rule {
        const char *kind, *key, *value;
};

/* rewrite_apply(file, in, n, rules, n_rules, ret_out, ret_n, err): ${in} with every rule's value
 * in its place; the caller frees.  ${file} is for messages, which name the line and the rule.
 * ERR_NOT_FOUND: no such setting; ERR_INVALID: it is set twice, or is nothing that can be
 * replaced safely, or the rule makes no sense. */
int rewrite_apply(const char *file, const char *in, size_t n, const struct rewrite_rule *rules,
                  size_t n_rules, char **ret_out, size_t *ret_n, struct err *err) MUST_CHECK;

/* rewrite_read(file, in, n, kind, key, ret_value, err): What the setting is now; the caller frees.
 * ERR_UNSUPPORTED: it is an expression, which is quoted, and not a plain value. */
int rewrite_read(const char *file, const char *in, size_t n, const char *kind, const char *key,
                 char **ret_value, struct err *err) MUST_CHECK;

/* rewrite_check_rule(kind, key, err): Could such a rule match anything?  ERR_INVALID says what is
 * wrong with the kind or the key. */
int rewrite_check_rule(const char *kind, const char *key, struct err *err) MUST_CHECK;

#endif
