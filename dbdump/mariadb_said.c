/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <mysqld_error.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/mariadb_said.h"

/* A message with a value: where that begins, and what comes behind it for certain (NULL: nothing
 * that could not be the value's own).  The last one is taken, as the value may say the same. */
static const struct {
        unsigned number;
        const char *from, *behind;
} valued[] = {
        { ER_PARSE_ERROR, " near '", NULL }, /* what was sent */
        { ER_DUP_ENTRY, "'", " for key '" },
        { ER_DUP_ENTRY_WITH_KEY_NAME, "'", " for key '" },
        { ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, "'", " for column " },
        { ER_TRUNCATED_WRONG_VALUE, "'", " for column " },
        { ER_ILLEGAL_VALUE_FOR_TYPE, "'", NULL },
        { ER_WRONG_VALUE_FOR_TYPE, "'", NULL },
        { ER_WRONG_VALUE, "'", NULL },
        { ER_INVALID_CHARACTER_STRING, "'", NULL },
        { ER_NO_PARTITION_FOR_GIVEN_VALUE, " value ", NULL },
        { ER_DATA_OUT_OF_RANGE, "'", NULL },
        { ER_FOREIGN_DUPLICATE_KEY_WITH_CHILD_INFO, " record '", NULL },
        { ER_FOREIGN_DUPLICATE_KEY_WITHOUT_CHILD_INFO, " record '", NULL },
        { 1557 /* a duplicate by a foreign key, of old */, " entry '", NULL },
        { 1918 /* MariaDB: a value that cannot be converted */, "'", NULL },
        { 3854 /* MySQL: a string that cannot be converted */, "'", NULL },
};

/* Of data, and with names only. */
static const unsigned named[] = {
        ER_WARN_DATA_OUT_OF_RANGE,
        ER_DATA_TOO_LONG,
        ER_BAD_NULL_ERROR,
        ER_DUP_KEY,
        ER_DUP_UNIQUE,
        ER_NO_REFERENCED_ROW,
        ER_NO_REFERENCED_ROW_2,
        ER_ROW_IS_REFERENCED,
        ER_ROW_IS_REFERENCED_2,
        1859 /* a duplicate in a key that is being made */,
        3819 /* MySQL: a CHECK */,
        4025 /* MariaDB: a CHECK */,
};

/* The classes of SQL for data, keys and what a routine raises; unknown ones of those may have a
 * value anywhere. */
static bool is_of_data(unsigned number, const char *state)
{
        for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
                if (named[i] == number)
                        return false;
        return number == ER_SIGNAL_EXCEPTION || strncmp(state, "22", 2) == 0 ||
               strncmp(state, "23", 2) == 0 || strncmp(state, "45", 2) == 0;
}

static const char *last_of(const char *text, const char *what)
{
        const char *found = NULL;

        while ((text = strstr(text, what)) != NULL)
                found = text++;
        return found;
}

static bool ends_with_digit(const char *text)
{
        char last = text[strlen(text) - 1]; /* it is not empty: a quote is in it */

        return last >= '0' && last <= '9';
}

void mariadb_said(unsigned number, const char *state, const char *text,
                  char said[static MARIADB_SAID_MAX])
{
        for (size_t i = 0; i < sizeof(valued) / sizeof(valued[0]); i++) {
                const char *from, *behind;

                if (valued[i].number != number || (from = strstr(text, valued[i].from)) == NULL)
                        continue;
                behind = valued[i].behind == NULL ? NULL : last_of(from, valued[i].behind);
                /* "... at row 1"; without, it would be the value that says so. */
                if (behind != NULL && strcmp(valued[i].behind, " for column ") == 0 &&
                    !ends_with_digit(text))
                        behind = NULL;
                while (from > text && from[-1] == ' ')
                        from--;
                (void)snprintf(said, MARIADB_SAID_MAX, "%.*s%s%s", (int)(from - text), text,
                               number == ER_PARSE_ERROR ? "" : " (its value is not told)",
                               behind == NULL ? "" : behind);
                return;
        }
        if (is_of_data(number, state))
                (void)snprintf(said, MARIADB_SAID_MAX,
                               "a row, or a routine of the database, is refused");
        else
                (void)snprintf(said, MARIADB_SAID_MAX, "%s", text);
}
