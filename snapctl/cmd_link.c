/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is led to a version that is not the live one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/units.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

static const struct column columns[] = {
        { "version", "#", CELL_NUMBER, 0 }, { "kind", "Kind", CELL_TEXT, 0 },
        { "shown", "Shown", CELL_TEXT, 0 }, { "name", "Link or address", CELL_TEXT, 0 },
        { "until", "Until", CELL_TIME, 0 }, { "created", "Since", CELL_TIME, 0 },
        { "by", "By", CELL_TEXT, 0 },
};

static const struct table pass_table = {
        .member = "passes",
        .columns = columns,
        .n_columns = sizeof(columns) / sizeof(*columns),
        .empty = "Everybody sees the live version.",
};

static int list(struct ctl *ctl, const char *site, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;

        if (client_get(ctl->client, &answer, err, "/v1/sites/%s/passes", site) < 0)
                return -1;
        return table_print(&pass_table, answer, &ctl->look, err);
}

int cmd_link(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *pass = NULL;
        const char *site = args_word(ctl->args, 0), *lasts = args_option(ctl->args, OPT_FOR), *name;
        uint64_t number = args_number(ctl->args, 1), msec;
        char path[CLIENT_PATH_MAX];

        if (number == 0)
                return list(ctl, site, err);
        if (ctl_set(body, "version", json_integer((json_int_t)number), err) < 0 ||
            ctl_set_option(ctl, body, OPT_FROM, "address", err) < 0)
                return -1;
        if (lasts != NULL &&
            (units_duration(lasts, &msec, err) < 0 ||
             ctl_set(body, "for_sec", json_integer((json_int_t)(msec / 1000)), err) < 0))
                return -1;
        (void)snprintf(path, sizeof(path), "/v1/sites/%s/passes", site);
        if (client_call(ctl->client, "POST", path, body, &pass, err) < 0)
                return -1;
        if (ctl->look.format != FORMAT_TABLE)
                return table_print_object(&pass_table, pass, &ctl->look, err);
        name = json_get_string(pass, "name");
        if (name == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no 'name'");
        if (args_option(ctl->args, OPT_FROM) != NULL) {
                ctl_say(ctl, "%s: %s sees version %" PRIu64 ".", site, name, number);
        } else {
                /* The link alone on stdout: it is what is sent to somebody. */
                (void)fputs("/?sitesnap_link=", stdout);
                text_put(stdout, name, 64);
                (void)putchar('\n');
                ctl_note(ctl,
                         "%s: whoever opens this on the site's address sees version %" PRIu64
                         " for the visit. Take it back with: " SITESNAP_CTL " unlink %s %s",
                         site, number, site, name);
        }
        return 0;
}

int cmd_unlink(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        const char *site = args_word(ctl->args, 0), *name = args_word(ctl->args, 1);
        char path[CLIENT_PATH_MAX];

        (void)snprintf(path, sizeof(path), "/v1/sites/%s/passes/remove", site);
        if (ctl_set(body, "name", json_string(name), err) < 0 ||
            client_call(ctl->client, "POST", path, body, NULL, err) < 0)
                return -1;
        ctl_say(ctl, "%s: '%s' leads nowhere any more.", site, name);
        return 0;
}
