/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_OUTLINE_H
#define SNAPD_OUTLINE_H

/*
 * Schemas as text (fingerprint() of the drivers): what a version's database is made of, a line an
 * object, sorted.  The catalog remembers it for each version.
 */

#include "snapd/env.h"

/* Called with '+' for a line that only ${to} has, '-' for one that only ${from} has. */
typedef int (*outline_visit)(char sign, const char *line, void *arg, struct err *err);

/* outline_diff(from, to, visit, arg, err): Visit the lines in which two texts differ, in order. */
int outline_diff(const char *from, const char *to, outline_visit visit, void *arg,
                 struct err *err) MUST_CHECK;

/* outline_now(env, database, ret_text, err): What ${database} is made of now.  ERR_UNSUPPORTED: its
 * driver cannot tell. */
int outline_now(struct step_env *env, const char *database, char **ret_text,
                struct err *err) MUST_CHECK;

/* outline_of(env, version, ret_text, err): What a version's database is made of: of the active one,
 * which others change, as it is now; of a kept one as it is remembered, else as it is now. */
int outline_of(struct step_env *env, const struct version *version, char **ret_text,
               struct err *err) MUST_CHECK;

/* outline_drift(env, active, visit, arg, err): What has become of the active version's schema since
 * it was written down.  Nothing when it was not, or the driver cannot tell. */
int outline_drift(struct step_env *env, const struct version *active, outline_visit visit,
                  void *arg, struct err *err) MUST_CHECK;

#endif
