/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "snapctl/args.h"
#include "snapctl/text.h"

DEFINE_CLEANUP(struct args *, args_done);

/* How many of the words ${name} ("site add") takes, or 0 when they are others. */
static size_t name_matches(const char *name, const char *const *words, size_t n)
{
        size_t used = 0;

        for (const char *at = name; *at != '\0'; at += strspn(at, " ")) {
                size_t length = strcspn(at, " ");

                if (used == n || strlen(words[used]) != length ||
                    memcmp(words[used], at, length) != 0)
                        return 0;
                at += length;
                used++;
        }
        return used;
}

const struct command *args_command(const char *const *words, size_t n, size_t *ret_used)
{
        const struct command *best = NULL;

        *ret_used = 0;
        for (size_t i = 0; i < n_commands; i++) {
                const char *name;

                for (size_t j = 0; (name = command_name(&commands[i], j)) != NULL; j++) {
                        size_t used = name_matches(name, words, n);

                        /* "ops show" is more than "ops". */
                        if (used > *ret_used) {
                                *ret_used = used;
                                best = &commands[i];
                        }
                }
        }
        return best;
}

/* The command whose name is nearest to what was typed, if it is near at all. */
static const char *nearest_command(const char *const *words, size_t n)
{
        unsigned best_distance = 3;
        const char *best = NULL;
        char typed[64];

        for (size_t i = 0; i < n_commands; i++) {
                const char *name;

                for (size_t j = 0; (name = command_name(&commands[i], j)) != NULL; j++) {
                        bool two = strchr(name, ' ') != NULL && n > 1;
                        unsigned distance;

                        (void)snprintf(typed, sizeof(typed), "%s%s%s", words[0], two ? " " : "",
                                       two ? words[1] : "");
                        distance = text_distance(typed, name);
                        if ((commands[i].flags & COMMAND_HIDDEN) == 0 && distance < best_distance &&
                            distance < strlen(name) / 2 + 1) {
                                best_distance = distance;
                                best = name;
                        }
                }
        }
        return best;
}

static int unknown_command(const char *const *words, size_t n, struct err *err)
{
        const char *near = nearest_command(words, n);
        char group[256] = "";
        size_t at = 0;

        /* The first word of "site add" on its own, or with a second word nobody knows. */
        for (size_t i = 0; i < n_commands; i++) {
                const char *last = command_in_group(&commands[i], words[0]);

                if (last != NULL && at < sizeof(group))
                        at += (size_t)snprintf(group + at, sizeof(group) - at, "%s%s",
                                               at > 0 ? ", " : "", last);
        }
        if (at > 0 && n < 2)
                return err_fail(err, ERR_INVALID, 0, "'%s' needs one of: %s", words[0], group);
        if (at > 0)
                return err_fail(err, ERR_INVALID, 0, "'%s' knows no '%s', but: %s", words[0],
                                words[1], group);
        if (near != NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "no command '%s': did you mean '%s'? See '" SITESNAP_CTL " help'",
                                words[0], near);
        return err_fail(err, ERR_INVALID, 0, "no command '%s': see '" SITESNAP_CTL " help'",
                        words[0]);
}

static int unknown_option(const char *typed, struct err *err)
{
        unsigned best_distance = 3;
        const char *best = NULL;

        for (size_t i = 0; i < OPTIONS && strncmp(typed, "--", 2) == 0; i++) {
                unsigned distance = text_distance(typed + 2, option_specs[i].name);

                if (distance < best_distance) {
                        best_distance = distance;
                        best = option_specs[i].name;
                }
        }
        if (best != NULL)
                return err_fail(err, ERR_INVALID, 0, "no option '%s': did you mean '--%s'?", typed,
                                best);
        return err_fail(err, ERR_INVALID, 0, "no option '%s': see '" SITESNAP_CTL " help'", typed);
}

/* Is ${word} of this kind?  ${what} is where it stands, for the error. */
static int check_word(enum word_kind kind, const char *word, const char *what, struct err *err)
{
        const struct word_spec *spec = &word_specs[kind];
        bool good = *word != '\0';

        if (spec->choices != NULL)
                good = word_is_choice(spec->choices, word);
        else if (spec->valid != NULL)
                good = spec->valid(word);
        if (!good)
                return err_fail(err, ERR_INVALID, 0, "%s is '%s', not %s", what, word,
                                spec->wanted);
        return 0;
}

static int add_option(struct args *args, enum option_id option, const char *value, struct err *err)
{
        const struct option_spec *spec = &option_specs[option];
        char what[64];

        (void)snprintf(what, sizeof(what), "--%s", spec->name);
        if (spec->value != WORD_NONE && check_word(spec->value, value, what, err) < 0)
                return -1;
        args->uses[args->n_uses++] = (struct option_use){ option, value };
        return 0;
}

/* One "--name", "--name=value" or "--name value"; ${next} is the word behind it or NULL.
 * ${ret_taken}: was that word the value? */
static int long_option(struct args *args, const char *typed, const char *next, bool *ret_taken,
                       struct err *err)
{
        size_t length = strcspn(typed + 2, "=");
        const char *value = typed[2 + length] == '=' ? typed + 2 + length + 1 : NULL;

        for (enum option_id i = 0; i < OPTIONS; i++) {
                const struct option_spec *spec = &option_specs[i];

                if (strlen(spec->name) != length || memcmp(spec->name, typed + 2, length) != 0)
                        continue;
                if (spec->value == WORD_NONE && value != NULL)
                        return err_fail(err, ERR_INVALID, 0, "--%s takes no value", spec->name);
                if (spec->value == WORD_NONE)
                        return add_option(args, i, "", err);
                *ret_taken = value == NULL;
                value = value != NULL ? value : next;
                if (value == NULL)
                        return err_fail(err, ERR_INVALID, 0, "--%s needs a value: %s", spec->name,
                                        word_specs[spec->value].wanted);
                return add_option(args, i, value, err);
        }
        return unknown_option(typed, err);
}

static int letters(struct args *args, const char *typed, struct err *err)
{
        for (const char *letter = typed + 1; *letter != '\0'; letter++) {
                enum option_id i = 0;

                while (i < OPTIONS && option_specs[i].letter != *letter)
                        i++;
                if (i == OPTIONS)
                        return unknown_option(typed, err);
                if (add_option(args, i, "", err) < 0)
                        return -1;
        }
        return 0;
}

/* Part argv into options and words.  For a command that takes its words raw, all that follows it
 * is a word. */
static int split(int argc, char *const *argv, struct args *args, struct err *err)
{
        size_t used;

        for (int i = 1; i < argc; i++) {
                const struct command *command = args_command(args->words, args->n_words, &used);
                bool raw = command != NULL && (command->flags & COMMAND_RAW) != 0;
                bool taken = false;

                if (strcmp(argv[i], "--") == 0 && !raw) {
                        args->argv = argv + i + 1;
                        return 0;
                }
                if (argv[i][0] != '-' || argv[i][1] == '\0' || raw) {
                        args->words[args->n_words++] = argv[i];
                } else if (argv[i][1] != '-') {
                        if (letters(args, argv[i], err) < 0)
                                return -1;
                } else {
                        if (long_option(args, argv[i], argv[i + 1], &taken, err) < 0)
                                return -1;
                        i += taken;
                }
        }
        return 0;
}

/* A usage error with the command's own line behind it. */
static int usage_error(const struct command *command, struct err *err)
{
        char inner[sizeof(err->msg)], usage[400];

        (void)snprintf(inner, sizeof(inner), "%s", err->msg);
        command_usage(command, true, usage, sizeof(usage));
        return err_fail(err, ERR_INVALID, 0, "%s; usage: " SITESNAP_CTL " %s", inner, usage);
}

static int check_options(const struct args *args, struct err *err)
{
        const struct command *command = args->command;
        uint64_t seen = 0;

        for (size_t i = 0; i < args->n_uses; i++) {
                enum option_id option = args->uses[i].option;
                const struct option_spec *spec = &option_specs[option];

                if (!command_has_option(command, option))
                        return err_fail(err, ERR_INVALID, 0, "'%s' takes no --%s", command->words,
                                        spec->name);
                if (spec->value != WORD_NONE && !spec->many && (seen & OPT_BIT(option)) != 0)
                        return err_fail(err, ERR_INVALID, 0, "--%s is given twice", spec->name);
                seen |= OPT_BIT(option);
        }
        if ((seen & OPT_BIT(OPT_JSON)) != 0 && (seen & OPT_BIT(OPT_FORMAT)) != 0)
                return err_fail(err, ERR_INVALID, 0, "either --json or --format, not both");
        for (enum option_id i = OPT_GLOBALS; i < OPTIONS; i++)
                if ((command->required & ~seen & OPT_BIT(i)) != 0)
                        return err_fail(err, ERR_INVALID, 0, "'%s' needs --%s", command->words,
                                        option_specs[i].name);
        return 0;
}

static int check_words(const struct args *args, struct err *err)
{
        const struct command *command = args->command;
        size_t taken = 0;

        for (size_t i = 0; i < COMMAND_ARGS && command->args[i].kind != WORD_NONE; i++) {
                const struct word_spec *spec = &word_specs[command->args[i].kind];

                if (taken == args->n_words && command->args[i].times == ONCE)
                        return err_fail(err, ERR_INVALID, 0, "'%s' needs %s", command->words,
                                        spec->shown);
                while (taken < args->n_words) {
                        const char *word = args->words[taken++];

                        /* Raw words may be empty: they are what was typed so far. */
                        if ((command->flags & COMMAND_RAW) == 0 &&
                            check_word(command->args[i].kind, word, spec->shown, err) < 0)
                                return -1;
                        if (command->args[i].times != ANY)
                                break;
                }
        }
        if (taken < args->n_words)
                return err_fail(err, ERR_INVALID, 0, "'%s' is one word too many for '%s'",
                                args->words[taken], command->words);
        if (args->argv != NULL && (command->flags & COMMAND_TAKES_ARGV) == 0)
                return err_fail(err, ERR_INVALID, 0, "'%s' takes no command behind '--'",
                                command->words);
        if (args->argv != NULL && (args->argv[0] == NULL || args->argv[0][0] == '\0'))
                return err_fail(err, ERR_INVALID, 0, "no command stands behind '--'");
        return 0;
}

int args_parse(int argc, char *const *argv, struct args *ret_args, struct err *err)
{
        struct args args = { 0 };
        CLEANUP(args_donep) struct args *guard = &args;
        size_t used = 0;

        /* A cluster of letters makes more options than words. */
        size_t room = 1;

        for (int i = 1; i < argc; i++)
                room += strlen(argv[i]) + 1;
        args.uses = calloc(room, sizeof(*args.uses));
        args.words = calloc((size_t)argc + 1, sizeof(*args.words));
        if (args.uses == NULL || args.words == NULL)
                return err_oom(err);

        if (split(argc, argv, &args, err) < 0)
                return -1;
        if (args.n_words > 0) {
                args.command = args_command(args.words, args.n_words, &used);
                if (args.command == NULL)
                        return unknown_command(args.words, args.n_words, err);
                args.n_words -= used;
                memmove(args.words, args.words + used, args.n_words * sizeof(*args.words));

                /* `snapctl upgrade --help` is no mistake. */
                if (args_option(&args, OPT_HELP) == NULL &&
                    (check_words(&args, err) < 0 || check_options(&args, err) < 0))
                        return usage_error(args.command, err);
        }
        *ret_args = args;
        guard = NULL;
        (void)guard;
        return 0;
}

void args_done(struct args *args)
{
        if (args == NULL)
                return;
        free(args->uses);
        free(args->words);
        args->uses = NULL;
        args->words = NULL;
}

const char *args_value(const struct args *args, enum option_id option, size_t i)
{
        for (size_t j = 0; j < args->n_uses; j++)
                if (args->uses[j].option == option && i-- == 0)
                        return args->uses[j].value;
        return NULL;
}

const char *args_option(const struct args *args, enum option_id option)
{
        const char *last = NULL;

        for (size_t j = 0; j < args->n_uses; j++)
                if (args->uses[j].option == option)
                        last = args->uses[j].value;
        return last;
}

const char *args_word(const struct args *args, size_t i)
{
        return i < args->n_words ? args->words[i] : NULL;
}

uint64_t args_number(const struct args *args, size_t i)
{
        uint64_t value = 0;

        if (i < args->n_words)
                (void)text_parse_u64(args->words[i], &value);
        return value;
}
