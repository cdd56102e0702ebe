/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_GRAMMAR_H
#define SNAPCTL_GRAMMAR_H

/*
 * What can be typed: three tables, of the kinds of words, of the options and of the commands.
 * Parsing, `help`, usage errors, suggestions and the shells' completion all come from them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct ctl; /* snapctl/ctl.h */

/* A kind of word: as an argument or as the value of an option. */
enum word_kind {
        WORD_NONE,
        WORD_SITE,
        WORD_NEW_SITE,
        WORD_VERSION,
        WORD_RANGE,
        WORD_OPERATION,
        WORD_TARGET,
        WORD_MARK,
        WORD_SERVER,
        WORD_FORMAT,
        WORD_DRIVER,
        WORD_SWITCHER,
        WORD_COLUMNS,
        WORD_COUNT,
        WORD_DURATION,
        WORD_UNTIL,
        WORD_ADDRESS,
        WORD_REDIRECT,
        WORD_DIRECTORY,
        WORD_FILE,
        WORD_SHARED,
        WORD_DATABASE,
        WORD_PAIR,
        WORD_RULE,
        WORD_USER,
        WORD_TEXT,
        WORD_SPAN,
        WORD_TOPIC,
        WORD_PHASE,
        WORD_URL,
        WORD_KINDS
};

struct word_spec {
        const char *shown;               /* in a usage line: "SITE" */
        const char *choices;             /* the words it can be, by spaces; NULL: see valid */
        bool (*valid)(const char *word); /* NULL: anything but "" */
        const char *wanted;              /* in an error: "a version's number" */
};

enum option_id {
        OPT_FORMAT,
        OPT_JSON,
        OPT_COLUMNS,
        OPT_NO_HEADERS,
        OPT_UTC,
        OPT_QUIET,
        OPT_VERBOSE,
        OPT_DRY_RUN,
        OPT_YES,
        OPT_NO_WAIT,
        OPT_WAIT,
        OPT_PLAIN,
        OPT_SOCKET,
        OPT_HELP,
        OPT_VERSION,
        OPT_GLOBALS, /* those before it go with every command */
        OPT_LABEL = OPT_GLOBALS,
        OPT_REASON,
        OPT_TIMEOUT,
        OPT_KEEP,
        OPT_LIMIT,
        OPT_HOME,
        OPT_OWNER,
        OPT_ADOPT,
        OPT_SHARED,
        OPT_DRIVER,
        OPT_POOL,
        OPT_SWITCHER,
        OPT_DATABASE,
        OPT_DATABASE_OPTION,
        OPT_SET,
        OPT_TABLE,
        OPT_SQL,
        OPT_CSV,
        OPT_TEMPORARY,
        OPT_READ_ONLY,
        OPT_CLOSED,
        OPT_STAGED,
        OPT_REDIRECT,
        OPT_UNTIL,
        OPT_FOR,
        OPT_FROM,
        OPT_SPAN,
        OPT_WATCH,
        OPT_WITH_SHARED,
        OPT_AT,
        OPT_PROBE,
        OPT_PRESET,
        OPTIONS
};

#define OPT_BIT(option) (UINT64_C(1) << (option))

struct option_spec {
        const char *name;
        char letter; /* '\0': none */
        enum word_kind value;
        bool many; /* may be given more than once */
        const char *help;
};

enum command_flags {
        COMMAND_TAKES_ARGV = 1, /* `-- COMMAND ARG...` may follow */
        COMMAND_PLANS = 2,      /* -n/--dry-run can show what would be done */
        COMMAND_LOCAL = 4,      /* needs no daemon */
        COMMAND_HIDDEN = 8,     /* for other programs */
        COMMAND_RAW = 16,       /* words are taken as they are, options too */
};

enum word_times { ONCE, MAYBE, ANY };

#define COMMAND_ARGS    4
#define COMMAND_ALIASES 4

struct command {
        const char *words; /* "site add" */
        const char *aliases[COMMAND_ALIASES];
        struct {
                enum word_kind kind;
                enum word_times times;
        } args[COMMAND_ARGS];
        uint64_t options;  /* OPT_BIT() of those beyond the global ones */
        uint64_t required; /* ... that must be given */
        unsigned flags;

        /* Returns the exit status, or -1 with ${err} filled. */
        int (*run)(struct ctl *ctl, struct err *err);
        const char *help;
};

extern const struct word_spec word_specs[WORD_KINDS];
extern const struct option_spec option_specs[OPTIONS];
extern const struct command commands[];
extern const size_t n_commands;

/* command_name(command, i): Its words, then its aliases; NULL after the last one. */
const char *command_name(const struct command *command, size_t i);

/* command_in_group(command, word): Its last word when ${word} is the first of its two, as "add" of
 * "site add" for "site"; else NULL. */
const char *command_in_group(const struct command *command, const char *word);

/* command_has_option(command, option): May it be given with this command? */
bool command_has_option(const struct command *command, enum option_id option);

/* option_shown(option, buf, size): "--closed", "--label TEXT". */
#define OPTION_SHOWN_MAX 60
void option_shown(const struct option_spec *option, char *buf, size_t size);

/* command_usage(command, options, buf, size): "activate SITE N", with all its ${options} when they
 * are wanted. */
void command_usage(const struct command *command, bool options, char *buf, size_t size);

/* word_is_choice(choices, word): Is it one of these words? */
bool word_is_choice(const char *choices, const char *word);

#endif
