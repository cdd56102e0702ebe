/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_ARGS_H
#define SNAPCTL_ARGS_H

/*
 * What was typed, checked against the grammar.
 *
 * Options stand anywhere before `--`; `--name=value`, `--name value` and clusters of letters
 * (`-nq`) are taken.  Strings are borrowed from argv.
 */

#include "snapctl/grammar.h"

struct option_use {
        enum option_id option;
        const char *value; /* "" for one that takes none */
};

struct args {
        const struct command *command; /* NULL when nothing but global options was typed */
        struct option_use *uses;
        size_t n_uses;
        const char **words; /* what follows the command's own words */
        size_t n_words;
        char *const *argv; /* behind `--`, NULL-terminated; NULL when there was none */
};

/* args_parse(argc, argv, ret_args, err): Read the words after the program's name.  ERR_INVALID
 * says what is wrong, and which command may have been meant.  Give it to args_done(). */
int args_parse(int argc, char *const *argv, struct args *ret_args, struct err *err) MUST_CHECK;
void args_done(struct args *args);

/* args_command(words, n, ret_used): The command that the first words name, and how many words
 * that took; NULL. */
const struct command *args_command(const char *const *words, size_t n, size_t *ret_used);

/* args_option(args, option): The value it was last given, or NULL. */
const char *args_option(const struct args *args, enum option_id option);

/* args_value(args, option, i): The value it was given the i-th time, or NULL. */
const char *args_value(const struct args *args, enum option_id option, size_t i);

/* args_word(args, i): The i-th argument, or NULL. */
const char *args_word(const struct args *args, size_t i);

/* args_number(args, i): The i-th argument as a number, which the grammar has checked; 0 when
 * there is none. */
uint64_t args_number(const struct args *args, size_t i);

#endif
