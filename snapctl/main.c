/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

static enum format format_of(const struct args *args)
{
        const char *format = args_option(args, OPT_FORMAT);

        if (args_option(args, OPT_JSON) != NULL)
                return FORMAT_JSON;
        if (format == NULL || format[0] == 't')
                return FORMAT_TABLE;
        return format[0] == 'j' ? FORMAT_JSON : FORMAT_CSV;
}

static struct ctl ctl_make(const struct args *args)
{
        const char *from_env = getenv("SITESNAP_SOCKET");
        struct ctl ctl = { .args = args };

        ctl.look.format = format_of(args);
        ctl.look.columns = args_option(args, OPT_COLUMNS);
        ctl.look.no_headers = args_option(args, OPT_NO_HEADERS) != NULL;
        ctl.look.utc = args_option(args, OPT_UTC) != NULL;
        ctl.look.verbose = args_option(args, OPT_VERBOSE) != NULL;
        ctl.look.term = term_make(stdout);
        ctl.errors = term_make(stderr);
        ctl.quiet = args_option(args, OPT_QUIET) != NULL;
        ctl.dry_run = args_option(args, OPT_DRY_RUN) != NULL;
        ctl.yes = args_option(args, OPT_YES) != NULL;
        ctl.no_wait = args_option(args, OPT_NO_WAIT) != NULL;
        ctl.wait = args_option(args, OPT_WAIT) != NULL;
        ctl.plain = args_option(args, OPT_PLAIN) != NULL;
        ctl.socket_path = args_option(args, OPT_SOCKET);
        if (ctl.socket_path == NULL)
                ctl.socket_path = from_env != NULL && *from_env != '\0' ? from_env : CLIENT_SOCKET;
        return ctl;
}

static int run(const struct args *args, struct err *err)
{
        CLEANUP(client_closep) struct client *client = NULL;
        struct ctl ctl = ctl_make(args);

        if (args_option(args, OPT_VERSION) != NULL)
                return cmd_version(&ctl, err);
        if (args_option(args, OPT_HELP) != NULL)
                return cmd_help(&ctl, err);
        if (args->command == NULL)
                return err_fail(err, ERR_INVALID, 0, "no command: see '" SITESNAP_CTL " help'");
        if ((args->command->flags & COMMAND_LOCAL) == 0) {
                if (client_open(ctl.socket_path, &client, err) < 0)
                        return -1;
                ctl.client = client;
        }
        return args->command->run(&ctl, err);
}

int main(int argc, char **argv)
{
        struct args args = { 0 };
        struct err err = { 0 };
        int status;

        /* There is one thread, and a table is printed by the byte. */
        (void)__fsetlocking(stdout, FSETLOCKING_BYCALLER);

        status = args_parse(argc, argv, &args, &err);
        if (status == 0)
                status = run(&args, &err);
        args_done(&args);

        /* A full disk behind the redirection is an error too. */
        if ((fflush(stdout) == EOF || ferror(stdout)) && status == 0)
                status = err_fail(&err, ERR_IO, 0, "cannot write the output");
        if (status < 0) {
                (void)fputs(SITESNAP_CTL ": ", stderr);
                (void)text_put(stderr, err.msg, UINT_MAX - 1);
                (void)fputc('\n', stderr);
                status = err_exit_status(err.code);
        }
#if !defined(__SANITIZE_ADDRESS__)
        /* Everything is written; the two dozen libraries behind curl need not be ended one by one.
         */
        _exit(status);
#endif
        return status;
}
