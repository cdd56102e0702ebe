/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapctl/cause.h"
#include "snapctl/cmd.h"
#include "snapctl/operation.h"
#include "snapctl/site.h"
#include "snapctl/text.h"
#include "snapctl/version.h"

#define OPERATIONS_SHOWN 5

/* A heading between the parts of the screen. */
static void heading(const struct ctl *ctl, const char *text)
{
        (void)fprintf(ctl->look.term.stream, "\n%s%s%s\n",
                      term_colour(&ctl->look.term, COLOUR_BOLD), text,
                      term_colour(&ctl->look.term, COLOUR_NONE));
}

static void say_daemon(const struct ctl *ctl, const json_t *status)
{
        const char *version = json_get_string(status, "version");
        char uptime[TEXT_TIME_MAX];
        const json_t *held, *name;
        size_t i;

        text_duration((int64_t)json_get_u64(status, "uptime_sec") * USEC_PER_SEC, uptime);
        ctl_say(ctl, "sitesnap %s, up %s, pid %" PRIu64, version != NULL ? version : "?", uptime,
                json_get_u64(status, "pid"));
        held = json_object_get(status, "held");
        json_array_foreach ((json_t *)held, i, name)
                ctl_say(ctl,
                        "HELD: site '%s' could not be rolled back; it serves what it last served. "
                        "See: " SITESNAP_CTL " ops %s",
                        json_is_string(name) ? json_string_value(name) : "?",
                        json_is_string(name) ? json_string_value(name) : "?");
}

/* The same for every site, for whoever may see them. */
static int status_all(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *sites = NULL;
        CLEANUP(json_decrefp) json_t *status = NULL;
        CLEANUP(json_decrefp) json_t *whole = json_object();
        const json_t *list;

        if (client_get(ctl->client, &sites, err, "/v1/sites") < 0 ||
            answer_array(sites, "sites", &list, err) < 0)
                return -1;
        /* The daemon's own state is the administrators'; an owner still sees its sites. */
        if (client_get(ctl->client, &status, err, "/v1/status") < 0 && err->code != ERR_DENIED)
                return -1;
        if (ctl->look.format == FORMAT_JSON) {
                if (json_object_set(whole, "daemon", status != NULL ? status : json_null()) < 0 ||
                    json_object_update(whole, sites) < 0)
                        return err_oom(err);
                return json_print(whole, &ctl->look.term, err);
        }
        if (ctl->look.format == FORMAT_CSV)
                return table_print(&site_table, sites, &ctl->look, err);
        if (status != NULL) {
                say_daemon(ctl, status);
                ctl_say(ctl, "%s", "");
        }
        if (table_print(&site_table, sites, &ctl->look, err) < 0)
                return -1;
        if (json_array_size(json_object_get(status, "operations")) == 0)
                return 0;
        heading(ctl, "Going on");
        return table_print(&operation_table, status, &ctl->look, err);
}

/* The operation that is going on when it is an upgrade: one is refused during a temporary rollback,
 * so what visitors get meanwhile is the upgrade's own and ends with it.  Else 0. */
static uint64_t upgrade_of(const json_t *site, const json_t *ops)
{
        uint64_t id = json_get_u64(site, "operation");
        const json_t *op;
        size_t i;

        json_array_foreach (json_object_get(ops, "operations"), i, op) {
                const char *verb = json_get_string(op, "verb");

                if (id != 0 && json_get_u64(op, "id") == id && verb != NULL &&
                    strcmp(verb, "upgrade") == 0)
                        return id;
        }
        return 0;
}

/* What visitors get during an upgrade: what was kept while it is staged, and what is active before
 * and afterwards, while the probes are asked. */
static uint64_t seen_version(const json_t *temporary, const json_t *versions)
{
        const json_t *version;
        size_t i;

        json_array_foreach (json_object_get(versions, "versions"), i, version)
                if (version_has_state(version, "active") && !version_has_state(version, "staged"))
                        return json_get_u64(version, "number");
        return json_get_u64(temporary, "version");
}

static void say_temporary(const struct ctl *ctl, const char *site, const json_t *temporary,
                          uint64_t version, uint64_t upgrade)
{
        const char *mode = json_get_string(temporary, "mode");
        const char *until = json_get_string(temporary, "until");
        char what[64] = "503";

        if (!json_is_object(temporary))
                return;
        if (mode == NULL || strcmp(mode, "closed") != 0)
                (void)snprintf(what, sizeof(what), "version %" PRIu64 " (%.20s)", version,
                               mode != NULL ? mode : "?");
        if (upgrade != 0)
                ctl_say(ctl, "UPGRADE: visitors get %s until operation %" PRIu64 " is done", what,
                        upgrade);
        else
                ctl_say(ctl,
                        "TEMPORARY: visitors get %s until %s. End it with: " SITESNAP_CTL
                        " forward %s",
                        what, until != NULL ? until : "somebody ends it", site);
}

/* The site's own lines, its versions and what was done last. */
static int status_site(struct ctl *ctl, const char *name, struct err *err)
{
        CLEANUP(json_decrefp) json_t *site = NULL;
        CLEANUP(json_decrefp) json_t *versions = NULL;
        CLEANUP(json_decrefp) json_t *ops = NULL;
        CLEANUP(json_decrefp) json_t *whole = json_object();
        const json_t *temporary;
        char size[TEXT_SIZE_MAX];
        uint64_t upgrade;

        if (client_get(ctl->client, &site, err, "/v1/sites/%s", name) < 0 ||
            version_list(ctl, name, "", &versions, err) < 0 ||
            operation_list(ctl, name, OPERATIONS_SHOWN, &ops, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON) {
                /* "site" in the list of versions is the name alone: the object wins. */
                if (json_object_update(whole, versions) < 0 || json_object_update(whole, ops) < 0 ||
                    json_object_set(whole, "site", site) < 0)
                        return err_oom(err);
                return json_print(whole, &ctl->look.term, err);
        }
        if (ctl->look.format == FORMAT_CSV)
                return table_print_object(&site_table, site, &ctl->look, err);
        if (table_print_object(&site_table, site, &ctl->look, err) < 0)
                return -1;
        temporary = json_object_get(site, "temporary");
        upgrade = upgrade_of(site, ops);
        say_temporary(ctl, name, temporary,
                      upgrade != 0 ? seen_version(temporary, versions)
                                   : json_get_u64(temporary, "version"),
                      upgrade);
        guard_print(ctl, json_object_get(site, "guard"));
        heading(ctl, "Versions");
        if (table_print(&version_table, versions, &ctl->look, err) < 0)
                return -1;
        text_size(json_get_u64(versions, "free_bytes"), size);
        ctl_say(ctl, "%s of disk left", size);
        heading(ctl, "Last operations");
        return table_print(&operation_table, ops, &ctl->look, err);
}

int cmd_status(struct ctl *ctl, struct err *err)
{
        const char *name = args_word(ctl->args, 0);

        return name != NULL ? status_site(ctl, name, err) : status_all(ctl, err);
}
