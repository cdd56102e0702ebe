/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A version as a file, and a file as a version. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/progress.h"

/* The daemon is in another directory. */
static int set_file(json_t *body, const char *file, struct err *err)
{
        char path[PATH_MAX], here[PATH_MAX / 2];

        if (file[0] == '/')
                return ctl_set(body, "file", json_string(file), err);
        if (getcwd(here, sizeof(here)) == NULL ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", here, file) >= sizeof(path))
                return err_fail(err, ERR_INVALID, errno, "cannot tell the path of '%s'", file);
        return ctl_set(body, "file", json_string(path), err);
}

int cmd_export(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *op = NULL;
        const char *site = args_word(ctl->args, 0), *file = args_word(ctl->args, 2);
        uint64_t number = args_number(ctl->args, 1);
        int status;

        if (ctl_set(body, "version", json_integer((json_int_t)number), err) < 0 ||
            set_file(body, file, err) < 0)
                return -1;
        if (args_option(ctl->args, OPT_WITH_SHARED) != NULL &&
            ctl_set(body, "shared", json_true(), err) < 0)
                return -1;
        status = operation_run_verb(ctl, "export", json_incref(body), &op, err);
        if (op == NULL)
                return status;
        if (ctl->plain && ctl->look.format != FORMAT_JSON)
                (void)printf("%" PRIu64 "\n", json_get_u64(op, "version"));
        ctl_say(ctl, "%s: version %" PRIu64 " is in %s", site, number, file);
        return 0;
}

int cmd_import(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *op = NULL;
        const char *site = args_word(ctl->args, 0);
        uint64_t number;
        int status;

        if (set_file(body, args_word(ctl->args, 1), err) < 0)
                return -1;
        status = operation_run_verb(ctl, "import", json_incref(body), &op, err);
        if (op == NULL)
                return status;
        number = json_get_u64(op, "version");
        if (ctl->plain && ctl->look.format != FORMAT_JSON)
                (void)printf("%" PRIu64 "\n", number);
        ctl_say(ctl,
                "%s: version %" PRIu64 " is kept. Look at it with: " SITESNAP_CTL
                " mount %s %" PRIu64 "; serve it with: " SITESNAP_CTL " activate %s %" PRIu64,
                site, number, site, number, site, number);
        return 0;
}
