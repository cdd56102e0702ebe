/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_WORDS_H
#define DBDUMP_MARIADB_WORDS_H

/*
 * The words without quotes that a server writes into a table's definition: kinds of columns, keys,
 * options and parts, what expressions are made of, and functions that compute from their arguments
 * or tell the time.  Everything else is a name, and those are in backticks.
 */

#include <stdbool.h>

#include "dbdump/mariadb_lex.h"

/* mariadb_words_has(lex): Is the current word one of them? */
bool mariadb_words_has(const struct mariadb_lex *lex);

/* mariadb_words_engine(lex): Is it an engine whose tables are this server's own files or memory? */
bool mariadb_words_engine(const struct mariadb_lex *lex);

#endif
