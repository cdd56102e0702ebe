/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_body.h"
#include "dbdump/mariadb_lex.h"

/* Where the text of the statement stands in the answer of SHOW CREATE. */
struct shown {
        size_t column;
        char *text;
};

static int take_text(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct shown *shown = arg;

        (void)sizes;
        if (shown->text != NULL || values[shown->column] == NULL)
                return 0;
        shown->text = strdup(values[shown->column]);
        return shown->text == NULL ? err_oom(err) : 0;
}

static size_t trimmed(const char *text)
{
        size_t n = strlen(text);

        while (n > 0 && strchr(" \t\r\n;", text[n - 1]) != NULL)
                n--;
        return n;
}

/* ... FOR EACH ROW [FOLLOWS name] body.  Names that are said without quotes are no such words. */
static const char *behind_trigger(struct mariadb_lex *lex)
{
        while (lex->kind != MARIADB_LEX_END && lex->kind != MARIADB_LEX_BAD) {
                if (!mariadb_lex_take(lex, "FOR"))
                        mariadb_lex_next(lex);
                else if (mariadb_lex_take(lex, "EACH") && mariadb_lex_take(lex, "ROW"))
                        break;
        }
        if (mariadb_lex_take(lex, "FOLLOWS") || mariadb_lex_take(lex, "PRECEDES"))
                mariadb_lex_next(lex);
        return lex->text;
}

/* The server writes an event's head itself: every name in it is quoted. */
static const char *behind_event(struct mariadb_lex *lex)
{
        while (lex->kind != MARIADB_LEX_END && lex->kind != MARIADB_LEX_BAD)
                if (mariadb_lex_take(lex, "DO"))
                        break;
                else
                        mariadb_lex_next(lex);
        return lex->text;
}

/* In the text, or NULL. */
static const char *find(const char *text, const char *kind, const char *sql_mode)
{
        struct mariadb_lex lex = {
                .plain_backslash = strstr(sql_mode, "NO_BACKSLASH_ESCAPES") != NULL,
                .at = text,
                .end = text + strlen(text),
        };
        const char *body;

        mariadb_lex_next(&lex);
        body = strcmp(kind, "trigger") == 0 ? behind_trigger(&lex) : behind_event(&lex);
        return lex.kind == MARIADB_LEX_END || lex.kind == MARIADB_LEX_BAD ? NULL : body;
}

int mariadb_body_read(struct mariadb_conn *conn, const char *kind, const char *schema,
                      const char *name, const char *sql_mode, const char *told, char **ret_body,
                      struct err *err)
{
        struct shown shown = { .column = strcmp(kind, "trigger") == 0 ? 2 : 3 };
        CLEANUP(freep) char *text = NULL;
        size_t n, n_told = trimmed(told);
        const char *body;
        int r = mariadb_each(conn, take_text, &shown, err, "SHOW CREATE %s %I.%I", kind, schema,
                             name);

        text = shown.text;
        if (r < 0)
                return err_wrap(err, "the %s '%s'", kind, name);
        if (text == NULL)
                return err_fail(err, ERR_BUSY, 0, "the %s '%s' has gone", kind, name);
        n = trimmed(text);
        body = n >= n_told && memcmp(text + n - n_told, told, n_told) == 0
                       ? text + n - n_told
                       : find(text, kind, sql_mode);
        if (body == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0,
                                "the %s '%s' has a text in it that is in another character set "
                                "than the rest, and a head that is not understood: make it anew "
                                "without comments before its body",
                                kind, name);
        *ret_body = strdup(body);
        return *ret_body == NULL ? err_oom(err) : 0;
}
