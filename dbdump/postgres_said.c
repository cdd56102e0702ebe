/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/postgres_said.h"

#define ROW_TOO_LARGE                                                                              \
        "a row is larger than the 1 GB that the server can write as text and send; nothing was "   \
        "changed; a copy within one database has no such limit, nor has 'way files'"

/* The classes of SQL that are about the server, names and rights, and not about rows. */
static const char plain_classes[] = "08 0A 0L 0P 25 26 28 2B 2D 34 3B 3D 3F 40 42 53 54 55 57 58 "
                                    "72 F0 XX";

/* What the others mean; the first that begins so. */
static const struct {
        const char *state, *cause;
} causes[] = {
        { "23505", "two rows have the same key" },
        { "23503", "a row refers to one that is not there" },
        { "23502", "a value is missing" },
        { "23514", "a row does not meet a check" },
        { "23P01", "two rows exclude each other" },
        { "23", "a row breaks a constraint" },
        { "22001", "a value is too long for its column" },
        { "22003", "a number is out of range" },
        { "22007", "a value is no date or time" },
        { "22008", "a date or time is out of range" },
        { "22021", "bytes are no text of the database's encoding" },
        { "22P02", "a value is none of its type" },
        { "22P03", "a value is none of its type" },
        { "22P04", "rows are not as COPY has them" },
        { "22", "a value is none of its type, or no function's to take" },
        { "", "a function raised an error of its own" },
};

/* What only the source of a server explains; a part of its message or detail. */
static const struct {
        const char *state, *part, *cause;
} riddles[] = {
        /* enlargeStringInfo() before and since version 18, and palloc() */
        { "54000", "string buffer", ROW_TOO_LARGE },
        { "XX000", "invalid memory alloc request size", ROW_TOO_LARGE },
};

static const char *cause_of(const char *state, const char *message, const char *detail)
{
        for (size_t i = 0; i < sizeof(riddles) / sizeof(riddles[0]); i++)
                if (strcmp(riddles[i].state, state) == 0 &&
                    ((message != NULL && strstr(message, riddles[i].part) != NULL) ||
                     (detail != NULL && strstr(detail, riddles[i].part) != NULL)))
                        return riddles[i].cause;
        return NULL;
}

static bool is_plain(const char *state)
{
        for (const char *class = plain_classes; *class != '\0'; class += class[2] == ' ' ? 3 : 2)
                if (strncmp(class, state, 2) == 0)
                        return true;
        return false;
}

static void add(char *text, const char *before, const char *more, const char *behind)
{
        size_t n = strlen(text);

        if (more != NULL && more[0] != '\0')
                (void)snprintf(text + n, POSTGRES_SAID_MAX - n, "%s%s%s", n == 0 ? "" : before,
                               more, n == 0 ? "" : behind);
}

void postgres_said(const PGresult *result, char said[static POSTGRES_SAID_MAX])
{
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const char *table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
        const char *cause = cause_of(state, message, detail);
        size_t i = 0;

        said[0] = '\0';
        if (cause != NULL) {
                add(said, "", cause, "");
                return;
        }
        if (is_plain(state)) {
                add(said, "", message, "");
                add(said, " (", detail, ")");
                add(said, " (", PQresultErrorField(result, PG_DIAG_MESSAGE_HINT), ")");
                return;
        }
        while (strncmp(state, causes[i].state, strlen(causes[i].state)) != 0)
                i++;
        add(said, "", table, "");
        add(said, ": ", causes[i].cause, "");
        add(said, " (column '", PQresultErrorField(result, PG_DIAG_COLUMN_NAME), "')");
        add(said, " (constraint '", PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME), "')");
        add(said, " (type '", PQresultErrorField(result, PG_DIAG_DATATYPE_NAME), "')");
        add(said, " (", state, "; the value is not told)");
}
