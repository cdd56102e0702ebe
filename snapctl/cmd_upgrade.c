/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What changes which version is served or shown: each is one verb of the API. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/units.h"
#include "snapctl/cmd.h"
#include "snapctl/progress.h"
#include "snapctl/text.h"

/* The number alone for -p. */
static void say_number(const struct ctl *ctl, const json_t *op)
{
        if (ctl->plain && ctl->look.format != FORMAT_JSON)
                (void)printf("%" PRIu64 "\n", json_get_u64(op, "version"));
}

int cmd_upgrade(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *op = NULL;
        const char *timeout = args_option(ctl->args, OPT_TIMEOUT);
        const char *site = args_word(ctl->args, 0);
        uint64_t msec;
        int status;

        if (ctl_set_option(ctl, body, OPT_LABEL, "label", err) < 0 ||
            ctl_set_words(body, "command", ctl->args->argv, err) < 0)
                return -1;
        if (args_option(ctl->args, OPT_CLOSED) != NULL &&
            ctl_set(body, "closed", json_true(), err) < 0)
                return -1;
        if (args_option(ctl->args, OPT_STAGED) != NULL &&
            ctl_set(body, "staged", json_true(), err) < 0)
                return -1;
        if (timeout != NULL &&
            (units_duration(timeout, &msec, err) < 0 ||
             ctl_set(body, "timeout_sec", json_integer((json_int_t)(msec / 1000)), err) < 0))
                return -1;
        status = operation_run_verb(ctl, "upgrade", json_incref(body), &op, err);
        if (op == NULL)
                return status;
        say_number(ctl, op);
        ctl_say(ctl,
                "%s: version %" PRIu64
                " is active, the one before it is kept. Undo with: " SITESNAP_CTL " rollback %s",
                site, json_get_u64(op, "version"), site);
        return 0;
}

/* --temporary and what goes with it. */
static int set_temporary(struct ctl *ctl, json_t *body, struct err *err)
{
        const char *redirect = args_option(ctl->args, OPT_REDIRECT);
        const char *until = args_option(ctl->args, OPT_UNTIL);
        bool temporary = args_option(ctl->args, OPT_TEMPORARY) != NULL;
        bool read_only = args_option(ctl->args, OPT_READ_ONLY) != NULL;
        bool closed = args_option(ctl->args, OPT_CLOSED) != NULL;
        int64_t end_usec;
        char mode[32];

        if (!temporary && (read_only || closed || redirect != NULL || until != NULL))
                return err_fail(
                        err, ERR_INVALID, 0,
                        "--read-only, --closed, --redirect and --until go with --temporary");
        if (read_only + closed + (redirect != NULL) > 1)
                return err_fail(err, ERR_INVALID, 0,
                                "only one of --read-only, --closed and --redirect is possible");
        if (!temporary)
                return 0;
        if (redirect != NULL)
                (void)snprintf(mode, sizeof(mode), "redirect-%.3s", redirect);
        else
                (void)snprintf(mode, sizeof(mode), "%s",
                               closed      ? "closed"
                               : read_only ? "read-only"
                                           : "open");
        if (ctl_set(body, "temporary", json_string(mode), err) < 0)
                return -1;
        if (until == NULL)
                return 0;
        if (!text_parse_until(until, &end_usec) || end_usec <= clock_wall_usec() + USEC_PER_SEC)
                return err_fail(err, ERR_INVALID, 0, "'%s' is over already", until);
        return ctl_set(
                body, "for_sec",
                json_integer((end_usec - clock_wall_usec() + USEC_PER_SEC - 1) / USEC_PER_SEC),
                err);
}

/* The verbs that move `current`, which differ in their name alone. */
static int switch_version(struct ctl *ctl, const char *verb, uint64_t number, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *op = NULL;
        int status;

        if (number != 0 && ctl_set(body, "version", json_integer((json_int_t)number), err) < 0)
                return -1;
        if (strcmp(verb, "activate") == 0 && set_temporary(ctl, body, err) < 0)
                return -1;
        status = operation_run_verb(ctl, verb, json_incref(body), &op, err);
        if (op == NULL)
                return status;
        say_number(ctl, op);
        ctl_say(ctl, "%s: version %" PRIu64 " is active.", args_word(ctl->args, 0),
                json_get_u64(op, "version"));
        return 0;
}

int cmd_activate(struct ctl *ctl, struct err *err)
{
        return switch_version(ctl, "activate", args_number(ctl->args, 1), err);
}

int cmd_rollback(struct ctl *ctl, struct err *err)
{
        return switch_version(ctl, "rollback", 0, err);
}

int cmd_forward(struct ctl *ctl, struct err *err)
{
        return switch_version(ctl, "forward", 0, err);
}

static int show_or_hide(struct ctl *ctl, const char *verb, json_t **ret_op, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();

        if (ctl_set(body, "version", json_integer((json_int_t)args_number(ctl->args, 1)), err) < 0)
                return -1;
        return operation_run_verb(ctl, verb, json_incref(body), ret_op, err);
}

/* -p prints the path: it is what a script wants next. */
int cmd_mount(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        CLEANUP(json_decrefp) json_t *version = NULL;
        const char *site = args_word(ctl->args, 0), *path;
        uint64_t number = args_number(ctl->args, 1);
        int status = show_or_hide(ctl, "mount", &op, err);

        if (op == NULL)
                return status;
        if (client_get(ctl->client, &version, err, "/v1/sites/%s/versions/%" PRIu64, site, number) <
            0)
                return -1;
        path = json_get_string(version, "path");
        if (path == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon's answer has no 'path'");
        if (ctl->plain && ctl->look.format != FORMAT_JSON) {
                text_put(stdout, path, 100000);
                (void)putchar('\n');
        }
        ctl_say(ctl, "%s: version %" PRIu64 " is shown read-only at %s", site, number, path);
        return 0;
}

int cmd_umount(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        int status = show_or_hide(ctl, "umount", &op, err);

        if (op == NULL)
                return status;
        say_number(ctl, op);
        ctl_say(ctl, "%s: version %" PRIu64 " is shown no more.", args_word(ctl->args, 0),
                args_number(ctl->args, 1));
        return 0;
}
