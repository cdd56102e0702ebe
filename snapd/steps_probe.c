/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/args.h"
#include "snapd/env.h"
#include "snapd/served.h"
#include "snapd/smoke.h"
#include "snapd/steps.h"

/* probe.run {version}: the new version answers as it should.  It is once: an upgrade whose answer
 * is not known is taken back as one whose answer is bad. */
static int probe_run(struct step_env *env, const json_t *args, struct err *err)
{
        CLEANUP(closep) int versions_fd = -1, cwd_fd = -1;
        char number[24];

        (void)snprintf(number, sizeof(number), "%" PRIu64, json_get_u64(args, "version"));
        if (served_versions_fd(env, &versions_fd, err) < 0 ||
            safepath_open_mounted(versions_fd, number, O_PATH | O_DIRECTORY, &cwd_fd, err) < 0)
                return -1;
        return smoke_ask(env, PROBER_AFTER, cwd_fd, err) < 0
                       ? err_wrap(err, "version %s does not answer as it should", number)
                       : 0;
}

static void probe_describe(const json_t *args, char *buf, size_t size)
{
        (void)snprintf(buf, size, "ask the probes whether version %" PRIu64 " is well",
                       json_get_u64(args, "version"));
}

const struct step_kind step_probe_run = {
        .name = "probe.run",
        .run = probe_run,
        .once = true,
        .describe = probe_describe,
};
