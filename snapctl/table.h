/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_TABLE_H
#define SNAPCTL_TABLE_H

/*
 * Lists and objects of the API, printed.
 *
 * The same names everywhere: a column is named as the member of the API's objects, in --columns,
 * in the header of CSV and in JSON.  The three formats:
 *
 *   table  for people: aligned, sizes as "1.4 GiB", strangers' strings harmless, on a terminal
 *          relative times and cut to its width
 *   json   the API's answer itself, with only the chosen columns in the list
 *   csv    RFC 4180 (but lines end in a line feed alone): times ISO in UTC, bytes as a number
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "snapctl/term.h"

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

enum cell { CELL_TEXT, CELL_NUMBER, CELL_BYTES, CELL_TIME, CELL_LIST, CELL_BOOL };

enum column_flags {
        COLUMN_EXTRA = 1,    /* only with -v or when asked for */
        COLUMN_FLEXIBLE = 2, /* is cut when the terminal is too narrow */
};

struct column {
        const char *key, *title;
        enum cell cell;
        unsigned flags;
};

struct row_look {  /* how a row stands out in a table */
        char mark; /* before it; ' ' for none */
        enum colour colour;
};

struct table {
        const char *member; /* of the answer: the list */
        const struct column *columns;
        size_t n_columns;
        const char *look_member;                      /* of a row: what ${look} looks at */
        struct row_look (*look)(const json_t *value); /* or NULL */
        const char *empty;                            /* printed in place of a table without rows */
};

struct look {
        enum format format;
        const char *columns; /* as typed, or NULL */
        bool no_headers, utc, verbose;
        struct term term;
};

/* table_print(table, answer, look, err): Print the list in ${answer}: of objects, or of lists of
 * values whose names are the list "members" of the answer.  ERR_INVALID: no such column;
 * ERR_CORRUPT: no such list. */
int table_print(const struct table *table, const json_t *answer, const struct look *look,
                struct err *err) MUST_CHECK;

/* table_members(table, look, also, buf, size, err): The members of a row that table_print() would
 * show, "a,b,c", and ${also}: so that no others need to be asked for.  "" when it would show all.
 * ERR_INVALID: no such column. */
int table_members(const struct table *table, const struct look *look, const char *also, char *buf,
                  size_t size, struct err *err) MUST_CHECK;

/* table_print_object(table, object, look, err): One object: a line a member, or as JSON or CSV.
 * table->member and ->look are not used. */
int table_print_object(const struct table *table, const json_t *object, const struct look *look,
                       struct err *err) MUST_CHECK;

/* json_print(json, term, err): Indented, and in ASCII on a terminal. */
int json_print(const json_t *json, const struct term *term, struct err *err) MUST_CHECK;

#endif
