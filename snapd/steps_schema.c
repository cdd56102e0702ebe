/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/outline.h"
#include "snapd/steps.h"

static int count(char sign, const char *line, void *arg, struct err *err)
{
        (void)sign;
        (void)line;
        (void)err;
        ++*(size_t *)arg;
        return 0;
}

/* Has it become another one than that of the version before?  -1: nobody knows. */
static int compare(struct step_env *env, uint64_t before, const char *text, struct err *err)
{
        CLEANUP(freep) char *old = NULL;
        size_t changes = 0;

        if (before == 0 ||
            catalog_fingerprint(env->catalog, env->site->name, before, &old, err) < 0 ||
            outline_diff(old, text, count, &changes, err) < 0)
                return -1;
        env_note(env, "the database's schema %s", changes == 0 ? "did not change" : "has changed");
        return changes > 0;
}

/* schema.note {version, database, before}: what the version's database is made of, and whether that
 * is another than version ${before}'s; 0 for none.  It is knowledge and not state: an operation
 * does not fail for want of it. */
static int note_run(struct step_env *env, const json_t *args, struct err *err)
{
        uint64_t number = json_get_u64(args, "version");
        CLEANUP(freep) char *text = NULL;
        struct err why;

        (void)err;
        if (outline_now(env, arg_text(args, "database"), &text, &why) < 0 ||
            catalog_put_fingerprint(env->catalog, env->site->name, number, text,
                                    compare(env, json_get_u64(args, "before"), text, &why),
                                    &why) < 0)
                env_note(env, "the schema of version %" PRIu64 " was not written down: %s", number,
                         why.msg);
        return 0;
}

static void note_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "write down the schema of database '%s' for version %" PRIu64,
                       arg_text(args, "database"), json_get_u64(args, "version"));
}

const struct step_kind step_schema_note = {
        .name = "schema.note",
        .run = note_run,
        .describe = note_describe,
};
