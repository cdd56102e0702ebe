/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

/* "  -n, --dry-run        show what would be done" */
static void put_option(FILE *out, enum option_id i)
{
        const struct option_spec *option = &option_specs[i];
        char shown[OPTION_SHOWN_MAX], left[OPTION_SHOWN_MAX + 4];

        option_shown(option, shown, sizeof(shown));
        (void)snprintf(left, sizeof(left), "%c%c%s%s", option->letter != '\0' ? '-' : ' ',
                       option->letter != '\0' ? option->letter : ' ',
                       option->letter != '\0' ? ", " : "  ", shown);
        (void)fprintf(out, "  %-30s  %s", left, option->help);
        if (option->value != WORD_NONE && word_specs[option->value].choices != NULL)
                (void)fprintf(out, " (%s)", word_specs[option->value].choices);
        (void)fputc('\n', out);
}

static void help_command(FILE *out, const struct command *command)
{
        char usage[400];

        command_usage(command, true, usage, sizeof(usage));
        (void)fprintf(out, "usage: " SITESNAP_CTL " %s\n\n%s\n", usage, command->help);
        for (size_t i = 1; command_name(command, i) != NULL; i++)
                (void)fprintf(out, "%s%s", i == 1 ? "also: " : ", ", command_name(command, i));
        if (command_name(command, 1) != NULL)
                (void)fputc('\n', out);
        if (command->options != 0)
                (void)fputc('\n', out);
        for (enum option_id i = OPT_GLOBALS; i < OPTIONS; i++)
                if ((command->options & OPT_BIT(i)) != 0)
                        put_option(out, i);
        (void)fprintf(out, "\nOptions of every command: " SITESNAP_CTL " help\n");
}

static void help_all(FILE *out)
{
        (void)fprintf(out,
                      "usage: " SITESNAP_CTL " [OPTION...] COMMAND ...\n\n"
                      "Keep numbered versions of web sites, switch between them, go back.\n\n");
        for (size_t i = 0; i < n_commands; i++) {
                char usage[400];

                if ((commands[i].flags & COMMAND_HIDDEN) != 0)
                        continue;
                command_usage(&commands[i], false, usage, sizeof(usage));
                (void)fprintf(out, "  %-24s  %s\n", usage, commands[i].help);
        }
        (void)fputs("\nOptions, before or after the command:\n\n", out);
        for (enum option_id i = 0; i < OPT_GLOBALS; i++)
                put_option(out, i);
        (void)fputs("\nExit status: 0 ok, 1 error, 2 usage, 3 busy, 4 refused by policy, 5 no "
                    "space,\n6 rolled back, 7 held, 8 nothing to do; questions: 0 yes, 10 no.\n",
                    out);
}

/* "help site": the commands that begin so.  Returns whether there are any. */
static bool help_group(FILE *out, const char *word)
{
        bool found = false;

        for (size_t i = 0; i < n_commands; i++)
                if (command_in_group(&commands[i], word) != NULL) {
                        (void)fprintf(out, "  %-16s  %s\n", commands[i].words, commands[i].help);
                        found = true;
                }
        return found;
}

int cmd_help(struct ctl *ctl, struct err *err)
{
        const struct args *args = ctl->args;
        const struct command *command = args->command;
        FILE *out = ctl->look.term.stream;
        size_t used;

        if (command == NULL || (command->run == cmd_help && args->n_words == 0)) {
                help_all(out);
                return 0;
        }
        /* `upgrade --help` comes here with the command itself. */
        if (command->run != cmd_help) {
                help_command(out, command);
                return 0;
        }
        command = args_command(args->words, args->n_words, &used);
        if (command != NULL && used == args->n_words) {
                help_command(out, command);
                return 0;
        }
        if (args->n_words == 1 && help_group(out, args->words[0]))
                return 0;
        return err_fail(err, ERR_INVALID, 0, "no command '%s': see '" SITESNAP_CTL " help'",
                        args->words[args->n_words - 1]);
}

int cmd_version(struct ctl *ctl, struct err *err)
{
        CLEANUP(client_closep) struct client *client = NULL;
        CLEANUP(json_decrefp) json_t *daemon = NULL;

        (void)printf("%s " SITESNAP_VERSION "\n", SITESNAP_CTL);
        if (!ctl->look.verbose)
                return 0;
        if (client_open(ctl->socket_path, &client, err) < 0 ||
            client_get(client, &daemon, err, "/v1") < 0)
                return -1;
        ctl_say(ctl, "daemon %s, API %" PRIu64,
                json_get_string(daemon, "version") != NULL ? json_get_string(daemon, "version")
                                                           : "?",
                json_get_u64(daemon, "api"));
        return 0;
}
