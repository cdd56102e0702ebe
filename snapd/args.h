/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_ARGS_H
#define SNAPD_ARGS_H

/*
 * The arguments of a step: written by the planner, read back by the step, possibly by the process
 * after a crash.  A missing number is 0, a missing text "".
 */

#include "common/json.h"

static inline const char *arg_text(const json_t *args, const char *key)
{
        const char *text = json_get_string(args, key);

        return text == NULL ? "" : text;
}

#endif
