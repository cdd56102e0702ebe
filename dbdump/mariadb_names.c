/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "dbdump/mariadb_names.h"

#define QUOTED_MAX 512

static bool in_word(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80) != 0;
}

/* Blanks and comments may stand between a name and its dot; and of a comment that the server reads
 * only the marks are none of its words. */
static const char *skip_blank(const char *at)
{
        for (;;) {
                const char *end;

                at += strspn(at, " \t\n\v\f\r");
                if (at[0] == '*' && at[1] == '/') {
                        at += 2;
                } else if (at[0] == '#' || (at[0] == '-' && at[1] == '-')) {
                        at += strcspn(at, "\n");
                } else if (strncmp(at, "/*!", 3) == 0 || strncmp(at, "/*M!", 4) == 0) {
                        at += at[2] == '!' ? 3 : 4;
                        at += strspn(at, "0123456789");
                } else {
                        if (at[0] != '/' || at[1] != '*' || (end = strstr(at + 2, "*/")) == NULL)
                                return at;
                        at = end + 2;
                }
        }
}

/* A word begins behind what is none; the version of a comment that the server reads is none. */
static bool begins_here(const char *text, const char *at)
{
        const char *digits = at;

        while (digits > text && isdigit((unsigned char)digits[-1]))
                digits--;
        return at == text || !in_word(at[-1]) ||
               (digits < at && digits > text && digits[-1] == '!');
}

/* As it is written there: in quotes those in it are doubled. */
static bool reaches(const char *text, const char *written)
{
        size_t n = strlen(written);

        for (const char *at = strcasestr(text, written); at != NULL;
             at = strcasestr(at + 1, written)) {
                const char *before = at, *behind = at + n;

                if (before > text && (before[-1] == '`' || before[-1] == '"'))
                        before--;
                else if (!begins_here(text, before))
                        continue;
                if (*behind == '`' || *behind == '"')
                        behind++;
                else if (in_word(*behind))
                        continue;
                if (*skip_blank(behind) == '.' && (before == text || before[-1] != '.'))
                        return true;
        }
        return false;
}

bool mariadb_names_reaches(const char *text, const char *schema)
{
        static const char quotes[] = "`\"";

        if (schema[0] == '\0' || reaches(text, schema))
                return schema[0] != '\0';
        for (size_t i = 0; quotes[i] != '\0'; i++) {
                CLEANUP(mariadb_sql_done) struct mariadb_sql written = { 0 };

                if (strchr(schema, quotes[i]) == NULL)
                        continue;
                for (const char *at = schema; *at != '\0'; at++)
                        mariadb_sql_bytes(&written, *at == quotes[i] ? (char[]){ *at, *at } : at,
                                          *at == quotes[i] ? 2 : 1);
                if (written.failed || reaches(text, written.text))
                        return true;
        }
        return false;
}

/* Where the quoted thing that begins at ${at} ends: behind its other quote, which is doubled inside
 * it or has a backslash before it in a string. */
static const char *skip_quoted(const char *at)
{
        char quote = *at++;

        while (*at != '\0') {
                if (*at == '\\' && quote == '\'' && at[1] != '\0')
                        at++;
                else if (*at == quote && at[1] == quote)
                        at++;
                else if (*at == quote)
                        return at + 1;
                at++;
        }
        return at;
}

bool mariadb_names_qualifies(const char *text, const char *schema)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql quoted = { 0 };
        const char *at = text, *end;

        mariadb_sql_add(&quoted, "%I", schema);
        for (; *at != '\0'; at = end) {
                end = *at == '`' || *at == '\'' ? skip_quoted(at) : at + 1;
                if (quoted.failed ||
                    (*end == '.' && (at == text || at[-1] != '.') &&
                     (size_t)(end - at) == quoted.n && memcmp(at, quoted.text, quoted.n) == 0))
                        return true;
        }
        return false;
}

/* Is `from`.`name` at ${at} the name of something that is called? */
static bool is_called(const char *text, const char *at, size_t n)
{
        static const char nextval[] = "nextval(", lastval[] = "lastval(";
        const char *end;

        if (at[n] != '.' || at[n + 1] != '`')
                return false;
        end = skip_quoted(at + n + 1);
        return *end == '(' || (at - text >= 8 && (strncmp(at - 8, nextval, 8) == 0 ||
                                                  strncmp(at - 8, lastval, 8) == 0));
}

void mariadb_names_repoint(struct mariadb_sql *sql, const char *text, const char *from,
                           const char *to)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql quoted = { 0 };
        const char *at = text, *end;

        mariadb_sql_add(&quoted, "%I", from);
        while (*at != '\0') {
                end = *at == '`' || *at == '\'' ? skip_quoted(at) : at + 1;
                if (!quoted.failed && (size_t)(end - at) == quoted.n &&
                    memcmp(at, quoted.text, quoted.n) == 0 && is_called(text, at, quoted.n) &&
                    (at == text || at[-1] != '.')) {
                        if (to != NULL)
                                mariadb_sql_add(sql, "%I", to);
                        else
                                end++;
                } else {
                        mariadb_sql_bytes(sql, at, (size_t)(end - at));
                }
                at = end;
        }
}
