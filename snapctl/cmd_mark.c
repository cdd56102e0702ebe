/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said about a version. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"
#include "snapctl/version.h"

/* PATCH the version with ${body}; ${what} has become true of it. */
static int change_version(struct ctl *ctl, const json_t *body, const char *what, struct err *err)
{
        CLEANUP(json_decrefp) json_t *version = NULL;
        const char *site = args_word(ctl->args, 0);
        uint64_t number = args_number(ctl->args, 1);
        char path[CLIENT_PATH_MAX];

        (void)snprintf(path, sizeof(path), "/v1/sites/%s/versions/%" PRIu64, site, number);
        if (client_call(ctl->client, "PATCH", path, body, &version, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON || ctl->look.format == FORMAT_CSV)
                return table_print_object(&version_table, version, &ctl->look, err);
        ctl_say(ctl, "%s: version %" PRIu64 " %s.", site, number, what);
        return 0;
}

static int set_pinned(struct ctl *ctl, bool pinned, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();

        if (ctl_set(body, "pinned", json_boolean(pinned), err) < 0)
                return -1;
        return change_version(ctl, body, pinned ? "is pinned" : "is not pinned any more", err);
}

int cmd_pin(struct ctl *ctl, struct err *err)
{
        return set_pinned(ctl, true, err);
}

int cmd_unpin(struct ctl *ctl, struct err *err)
{
        return set_pinned(ctl, false, err);
}

int cmd_mark(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        const char *mark = args_word(ctl->args, 2);
        char what[64];

        if (ctl_set(body, "mark", json_string(mark), err) < 0 ||
            ctl_set_option(ctl, body, OPT_REASON, "reason", err) < 0)
                return -1;
        if (strcmp(mark, "none") == 0)
                (void)snprintf(what, sizeof(what), "has no mark any more");
        else
                (void)snprintf(what, sizeof(what), "is marked %s", mark);
        return change_version(ctl, body, what, err);
}
