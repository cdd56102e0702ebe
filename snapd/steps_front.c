/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/front.h"
#include "snapd/steps.h"

static int set(struct step_env *env, const json_t *wanted, struct err *err)
{
        const struct front_temporary temporary = {
                .mode = front_mode_by_name(arg_text(wanted, "mode")),
                .version = json_get_u64(wanted, "version"),
                .back = json_get_u64(wanted, "back"),
                .until_usec = (int64_t)json_get_u64(wanted, "until_usec"),
                .since_usec = (int64_t)json_get_u64(wanted, "since_usec"),
        };
        int home_fd;

        if (json_is_object(wanted) && temporary.mode == FRONT_MODES)
                return err_fail(err, ERR_CORRUPT, 0,
                                "there is no mode '%s' of a temporary rollback",
                                arg_text(wanted, "mode"));
        if (env_home(env, &home_fd, err) < 0 ||
            front_set_temporary(env->catalog, env->site->name,
                                json_is_object(wanted) ? &temporary : NULL, err) < 0)
                return -1;
        return front_render(env->catalog, env->site, home_fd, err);
}

/* front.set {to, before}: The temporary rollback that there is after it, and the one before; null
 * for none. */
static int set_run(struct step_env *env, const json_t *args, struct err *err)
{
        return set(env, json_object_get(args, "to"), err);
}

static int set_undo(struct step_env *env, const json_t *args, struct err *err)
{
        return set(env, json_object_get(args, "before"), err);
}

static void set_describe(const json_t *args, char *buf, size_t size)
{
        const json_t *to = json_object_get(args, "to");

        if (!json_is_object(to))
                (void)snprintf(buf, size, "visitors get the active version again, and can write");
        else
                (void)snprintf(buf, size,
                               "for the time being visitors get version %" PRIu64 " (%s)",
                               json_get_u64(to, "version"), arg_text(to, "mode"));
}

const struct step_kind step_front_set = {
        .name = "front.set",
        .run = set_run,
        .undo = set_undo,
        .describe = set_describe,
};
