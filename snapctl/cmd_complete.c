/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be typed next, for the shells' completion: `complete WORD...` prints a candidate a
 * line, with a tab and its explanation; the last word is the one being typed, and may be empty.
 * The lines ":directory", ":file", ":user" and ":command" ask the shell to go on by itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapctl/cmd.h"

/* Waiting for a daemon that hangs must not freeze a shell. */
#define COMPLETE_MSEC 1000

static void put(const char *word, const char *help)
{
        /* What cannot be in a name of ours is not offered to a shell either. */
        if (strpbrk(word, "\t\n\\'\"$`;&|<>(){}*?~# ") == NULL)
                (void)printf("%s\t%s\n", word, help);
}

/* The names of sites, or the numbers in a list of the API. */
static void put_members(struct ctl *ctl, const char *path, const char *list, const char *key,
                        const char *explain)
{
        CLEANUP(client_closep) struct client *client = NULL;
        CLEANUP(json_decrefp) json_t *answer = NULL;
        struct err ignored;
        const json_t *item;
        size_t i;

        /* Without a daemon there are no candidates, and no noise. */
        if (client_open(ctl->socket_path, &client, &ignored) < 0)
                return;
        client_set_timeout(client, COMPLETE_MSEC);
        if (client_call(client, "GET", path, NULL, &answer, &ignored) < 0)
                return;
        json_array_foreach (json_object_get(answer, list), i, item) {
                const char *text = json_get_string(item, key);
                const char *help = json_get_string(item, explain);
                char number[24];

                (void)snprintf(number, sizeof(number), "%" PRIu64, json_get_u64(item, key));
                if (help == NULL || strpbrk(help, "\t\n\r\033") != NULL)
                        help = "";
                put(text != NULL ? text : number, help);
        }
}

static void put_choices(const char *choices)
{
        char word[32];

        for (const char *at = choices; *at != '\0'; at += strspn(at, " ")) {
                size_t n = strcspn(at, " ");

                (void)snprintf(word, sizeof(word), "%.*s", (int)n, at);
                put(word, "");
                at += n;
        }
}

/* Candidates for a word of this kind; ${site} is what was typed for SITE, or NULL. */
static void put_kind(struct ctl *ctl, enum word_kind kind, const char *site)
{
        char path[CLIENT_PATH_MAX];

        if (word_specs[kind].choices != NULL) {
                put_choices(word_specs[kind].choices);
        } else if (kind == WORD_SITE) {
                put_members(ctl, "/v1/sites", "sites", "name", "home");
        } else if ((kind == WORD_VERSION || kind == WORD_RANGE) && site != NULL &&
                   word_specs[WORD_SITE].valid(site)) {
                (void)snprintf(path, sizeof(path), "/v1/sites/%s/versions", site);
                put_members(ctl, path, "versions", "number", "label");
        } else if (kind == WORD_OPERATION) {
                put_members(ctl, "/v1/operations?limit=20", "operations", "id", "verb");
        } else if (kind == WORD_TARGET) {
                put_members(ctl, "/v1/notices/check", "targets", "name", "kind");
        } else if (kind == WORD_DIRECTORY) {
                (void)puts(":directory");
        } else if (kind == WORD_FILE) {
                (void)puts(":file");
        } else if (kind == WORD_USER) {
                (void)puts(":user");
        }
}

/* The word of a command's name that comes after those typed: "site" -> add, remove, ... */
static void put_commands(const char *const *words, size_t n)
{
        char last[32] = "";

        for (size_t i = 0; i < n_commands; i++) {
                const char *at = commands[i].words;
                size_t matched = 0, length = 0;

                while (matched < n) {
                        length = strcspn(at, " ");
                        if (strlen(words[matched]) != length ||
                            memcmp(words[matched], at, length) != 0 || at[length] == '\0')
                                break;
                        at += length + 1;
                        matched++;
                }
                length = strcspn(at, " ");
                /* "site" is offered once, though five commands begin with it. */
                if (matched < n || (commands[i].flags & COMMAND_HIDDEN) != 0 ||
                    (strlen(last) == length && memcmp(last, at, length) == 0))
                        continue;
                (void)snprintf(last, sizeof(last), "%.*s", (int)length, at);
                put(last, at[length] == '\0' ? commands[i].help : "...");
        }
}

static void put_options(const struct command *command)
{
        char word[40];

        for (enum option_id i = 0; i < OPTIONS; i++) {
                bool fits = command != NULL ? command_has_option(command, i) : i < OPT_GLOBALS;

                (void)snprintf(word, sizeof(word), "--%s", option_specs[i].name);
                if (fits)
                        put(word, option_specs[i].help);
        }
}

/* The option whose value is being typed: the word before is "--name" of one that takes one. */
static const struct option_spec *open_option(const char *before)
{
        if (before == NULL || strncmp(before, "--", 2) != 0)
                return NULL;
        for (enum option_id i = 0; i < OPTIONS; i++)
                if (strcmp(option_specs[i].name, before + 2) == 0 &&
                    option_specs[i].value != WORD_NONE)
                        return &option_specs[i];
        return NULL;
}

/* The plain words among ${typed}, without options and their values.  Returns how many of the
 * typed ones were looked at: fewer than ${n} when the rest stands behind "--". */
static size_t plain_words(const char *const *typed, size_t n, const char **words, size_t *ret_n)
{
        *ret_n = 0;
        for (size_t i = 0; i < n; i++) {
                if (strcmp(typed[i], "--") == 0)
                        return i;
                if (typed[i][0] == '-')
                        i += open_option(typed[i]) != NULL;
                else
                        words[(*ret_n)++] = typed[i];
        }
        return n;
}

/* "--format=j": the whole word is offered, as zsh wants it. */
static void put_joined(const char *typed)
{
        size_t length = strcspn(typed + 2, "=");
        char word[80];

        for (enum option_id i = 0; i < OPTIONS; i++) {
                const struct option_spec *option = &option_specs[i];
                const char *at = word_specs[option->value].choices;

                if (strlen(option->name) != length ||
                    memcmp(option->name, typed + 2, length) != 0 || at == NULL)
                        continue;
                for (; *at != '\0'; at += strspn(at, " ")) {
                        size_t n = strcspn(at, " ");

                        (void)snprintf(word, sizeof(word), "--%s=%.*s", option->name, (int)n, at);
                        put(word, "");
                        at += n;
                }
        }
}

static void put_argument(struct ctl *ctl, const struct command *command, const char **words,
                         size_t n)
{
        size_t i = 0;

        while (i < n && i < COMMAND_ARGS && command->args[i].kind != WORD_NONE &&
               command->args[i].times != ANY)
                i++;
        if (i == COMMAND_ARGS || command->args[i].kind == WORD_NONE ||
            (i < n && command->args[i].times != ANY))
                return;
        if (command->args[i].kind == WORD_TOPIC)
                put_commands(words, n);
        else
                put_kind(ctl, command->args[i].kind, n > 0 ? words[0] : NULL);
}

int cmd_complete(struct ctl *ctl, struct err *err)
{
        const struct args *args = ctl->args;
        const char **typed = args->words, *last;
        CLEANUP(freep) const char **words = calloc(args->n_words + 1, sizeof(*words));
        const struct option_spec *option;
        const struct command *command;
        size_t n, used, seen;

        if (words == NULL)
                return err_oom(err);
        if (args->n_words == 0)
                return 0;
        last = typed[args->n_words - 1];
        seen = plain_words(typed, args->n_words - 1, words, &n);
        if (seen < args->n_words - 1) {
                (void)puts(seen + 2 == args->n_words ? ":command" : ":file");
                return 0;
        }
        option = open_option(args->n_words > 1 ? typed[args->n_words - 2] : NULL);
        command = args_command(words, n, &used);
        if (option != NULL)
                put_kind(ctl, option->value, NULL);
        else if (last[0] == '-' && strchr(last, '=') != NULL)
                put_joined(last);
        else if (last[0] == '-')
                put_options(command);
        else if (command == NULL)
                put_commands(words, n);
        else
                put_argument(ctl, command, words + used, n - used);

        /* "ops" is a command of its own and the beginning of "ops show". */
        if (option == NULL && last[0] != '-' && command != NULL && n == used)
                put_commands(words, n);
        return 0;
}
