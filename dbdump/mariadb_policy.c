/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dbdump/mariadb_lex.h"
#include "dbdump/mariadb_policy.h"
#include "dbdump/mariadb_words.h"

#define NAME_MAX_BYTES 260

static int refuse(const struct mariadb_lex *lex, const char *what, struct err *err)
{
        char word[160] = "its end";

        if (lex->kind == MARIADB_LEX_BAD)
                (void)snprintf(word, sizeof(word),
                               "a comment, a semicolon, an open quote or a name that begins as a "
                               "number ('%.*s')",
                               (int)(lex->n < 50 ? lex->n : 50), lex->text);
        else if (lex->kind != MARIADB_LEX_END)
                (void)snprintf(word, sizeof(word), "'%.*s'", (int)(lex->n < 50 ? lex->n : 50),
                               lex->text);
        for (char *c = word; *c != '\0'; c++)
                if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
                        *c = '?';
        return err_fail(err, ERR_REFUSED, 0,
                        "%s in the dump has %s where no dump of ours has it; nothing of it was run",
                        what, word);
}

static bool is_one_of(const struct mariadb_lex *lex, const char *const *words, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (mariadb_lex_is(lex, words[i]))
                        return true;
        return false;
}
#define IS_ONE_OF(lex, words) is_one_of(lex, words, sizeof(words) / sizeof((words)[0]))

/* A name in backticks before a parenthesis is called, unless it is one of a table's, or a column of
 * a key with the length of its prefix. */
static const char *const before_names[] = { "TABLE",      "KEY", "INDEX",
                                            "REFERENCES", "FOR", "PARTITION" };
/* Behind these stands one word that is not in the list. */
static const char *const before_charsets[] = { "CHARSET", "COLLATE", "USING" };
static const char symbols[] = "(),=<>!+-*/%&|^~";

/* The name of an engine, or of a character set or a collation. */
static bool take_value(struct mariadb_lex *lex, bool engine)
{
        (void)mariadb_lex_take(lex, "=");
        if (lex->kind != MARIADB_LEX_WORD || (engine && !mariadb_words_engine(lex)))
                return false;
        mariadb_lex_next(lex);
        return true;
}

/* _latin1'...', or a word of the list and what belongs to it. */
static bool take_word(struct mariadb_lex *lex)
{
        bool engine = mariadb_lex_is(lex, "ENGINE"), charset = IS_ONE_OF(lex, before_charsets);
        bool introducer = lex->text[0] == '_', character = mariadb_lex_is(lex, "CHARACTER");

        if (!introducer && !mariadb_words_has(lex))
                return false;
        if (introducer) {
                struct mariadb_lex next = *lex;

                mariadb_lex_next(&next);
                if (next.kind != MARIADB_LEX_STRING && next.kind != MARIADB_LEX_NUMBER)
                        return false;
        }
        mariadb_lex_next(lex);
        if (character && mariadb_lex_take(lex, "SET"))
                charset = true;
        return (!engine && !charset) || take_value(lex, engine);
}

/* One piece of a definition; what is refused stays current. */
static bool take_piece(struct mariadb_lex *lex, bool may_be_a_name)
{
        struct mariadb_lex next = *lex;

        switch (lex->kind) {
        case MARIADB_LEX_WORD:
                return take_word(lex);
        case MARIADB_LEX_NAME:
                mariadb_lex_next(&next);
                if (mariadb_lex_is(&next, "(") && !may_be_a_name)
                        return false;
                break;
        case MARIADB_LEX_SYMBOL:
                if (strchr(symbols, lex->text[0]) == NULL)
                        return false;
                break;
        case MARIADB_LEX_STRING:
        case MARIADB_LEX_NUMBER:
                break;
        default:
                return false;
        }
        mariadb_lex_next(lex);
        return true;
}

/* Of numbers alone, and the row that follows sets all of them. */
static int sequence(struct mariadb_lex *lex, struct err *err)
{
        return !mariadb_lex_take(lex, "ENGINE") || !mariadb_lex_is(lex, "=") ||
                               !take_value(lex, true) || lex->kind != MARIADB_LEX_END
                       ? refuse(lex, "a sequence", err)
                       : 0;
}

int mariadb_policy_table(const char *text, size_t n, char *name, size_t size, struct err *err)
{
        struct mariadb_lex lex;
        bool named = false, keyed = false; /* behind such a word, behind KEY and a name */
        int depth = 0, key_depth = 0;

        mariadb_lex_begin(&lex, text, n);
        if (!mariadb_lex_take(&lex, "CREATE"))
                return refuse(&lex, "a table", err);
        if (mariadb_lex_take(&lex, "SEQUENCE"))
                return mariadb_lex_name(&lex, false, name, size) ? sequence(&lex, err)
                                                                 : refuse(&lex, "a sequence", err);
        if (!mariadb_lex_take(&lex, "TABLE") || !mariadb_lex_name(&lex, false, name, size) ||
            !mariadb_lex_is(&lex, "("))
                return refuse(&lex, "a table", err);
        while (lex.kind != MARIADB_LEX_END) {
                bool word = IS_ONE_OF(&lex, before_names),
                     name_of = named && lex.kind == MARIADB_LEX_NAME;

                if (mariadb_lex_is(&lex, "(") && ++depth && key_depth == 0 && (named || keyed))
                        key_depth = depth;
                if (mariadb_lex_is(&lex, ")") && depth-- == key_depth)
                        key_depth = 0;
                if (depth < 0 || !take_piece(&lex, named || (key_depth > 0 && key_depth == depth)))
                        return refuse(&lex, "a table", err);
                keyed = name_of;
                named = word;
        }
        return depth == 0 ? 0 : refuse(&lex, "a table", err);
}

/* @v1 */
static bool take_variable(struct mariadb_lex *lex)
{
        if (!mariadb_lex_take(lex, "@") || lex->kind != MARIADB_LEX_WORD || lex->n < 2 ||
            lex->text[0] != 'v')
                return false;
        mariadb_lex_next(lex);
        return true;
}

/* '...', a number with its sign, NULL, _utf8mb4'...', or a variable. */
static bool take_constant(struct mariadb_lex *lex)
{
        bool sign = mariadb_lex_take(lex, "-");

        if (!sign && mariadb_lex_take(lex, "NULL"))
                return true;
        if (!sign && mariadb_lex_is(lex, "@"))
                return take_variable(lex);
        if (!sign)
                (void)mariadb_lex_take(lex, "_utf8mb4");
        if (lex->kind != MARIADB_LEX_NUMBER && (sign || lex->kind != MARIADB_LEX_STRING))
                return false;
        mariadb_lex_next(lex);
        return true;
}

int mariadb_policy_rows(const char *text, size_t n, uint64_t *ret_rows, struct err *err)
{
        char name[NAME_MAX_BYTES];
        struct mariadb_lex lex;
        uint64_t rows = 0;

        mariadb_lex_begin(&lex, text, n);
        if (!mariadb_lex_take(&lex, "INSERT") || !mariadb_lex_take(&lex, "INTO") ||
            !mariadb_lex_name(&lex, false, name, sizeof(name)) || !mariadb_lex_take(&lex, "("))
                return refuse(&lex, "a row", err);
        do {
                if (!mariadb_lex_name(&lex, false, name, sizeof(name)))
                        return refuse(&lex, "a row", err);
        } while (mariadb_lex_take(&lex, ","));
        if (!mariadb_lex_take(&lex, ")") || !mariadb_lex_take(&lex, "VALUES"))
                return refuse(&lex, "a row", err);
        do {
                if (!mariadb_lex_take(&lex, "("))
                        return refuse(&lex, "a row", err);
                do {
                        if (!take_constant(&lex))
                                return refuse(&lex, "a row", err);
                } while (mariadb_lex_take(&lex, ","));
                if (!mariadb_lex_take(&lex, ")"))
                        return refuse(&lex, "a row", err);
                rows++;
        } while (mariadb_lex_take(&lex, ","));
        *ret_rows = rows;
        return lex.kind == MARIADB_LEX_END ? 0 : refuse(&lex, "a row", err);
}

int mariadb_policy_value(const char *text, size_t n, struct err *err)
{
        struct mariadb_lex lex;
        bool more;

        mariadb_lex_begin(&lex, text, n);
        if (!mariadb_lex_take(&lex, "SET") || !take_variable(&lex) || !mariadb_lex_take(&lex, "="))
                return refuse(&lex, "a long value", err);
        more = mariadb_lex_take(&lex, "CONCAT");
        if ((more && (!mariadb_lex_take(&lex, "(") || !take_variable(&lex) ||
                      !mariadb_lex_take(&lex, ","))) ||
            !take_constant(&lex) || (more && !mariadb_lex_take(&lex, ")")) ||
            lex.kind != MARIADB_LEX_END)
                return refuse(&lex, "a long value", err);
        return 0;
}

/* Letters, digits and underscores: what can be written without quotes. */
static bool take_plain(struct mariadb_lex *lex, char *text, size_t size)
{
        if (lex->kind != MARIADB_LEX_WORD || lex->n >= size)
                return false;
        memcpy(text, lex->text, lex->n);
        text[lex->n] = '\0';
        mariadb_lex_next(lex);
        return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789_")] == '\0';
}

int mariadb_policy_schema(const char *text, size_t n, char *charset, char *collation, size_t size,
                          struct err *err)
{
        struct mariadb_lex lex;

        mariadb_lex_begin(&lex, text, n);
        if (!mariadb_lex_take(&lex, "ALTER") || !mariadb_lex_take(&lex, "DATABASE") ||
            !mariadb_lex_take(&lex, "CHARACTER") || !mariadb_lex_take(&lex, "SET") ||
            !take_plain(&lex, charset, size) || !mariadb_lex_take(&lex, "COLLATE") ||
            !take_plain(&lex, collation, size) || lex.kind != MARIADB_LEX_END)
                return refuse(&lex, "the first statement", err);
        return 0;
}

/* In these every byte below 128 is what it is in ASCII, and part of no other character: a name that
 * was quoted here cannot end elsewhere. */
static const char *const charsets[] = {
        "utf8mb4", "utf8mb3", "utf8",     "latin1",  "latin2", "latin5", "latin7",
        "ascii",   "cp1250",  "cp1251",   "cp1256",  "cp1257", "cp850",  "cp852",
        "cp866",   "koi8r",   "koi8u",    "greek",   "hebrew", "binary", "armscii8",
        "geostd8", "macce",   "macroman", "keybcs2", "dec8",   "hp8",
};

bool mariadb_policy_charset(const char *charset)
{
        for (size_t i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++)
                if (strcmp(charsets[i], charset) == 0)
                        return true;
        return false;
}

int mariadb_policy_context(const char *text, size_t n, struct mariadb_policy_context *ret_context,
                           struct err *err)
{
        struct mariadb_policy_context context = { .sql_mode = "" };
        const struct {
                const char *name;
                char *value;
                size_t size;
        } fields[] = {
                { "sql_mode", context.sql_mode, sizeof(context.sql_mode) },
                { "character_set_client", context.charset, sizeof(context.charset) },
                { "collation_connection", context.collation, sizeof(context.collation) },
                { "time_zone", context.zone, sizeof(context.zone) },
        };
        struct mariadb_lex lex;

        mariadb_lex_begin(&lex, text, n);
        if (!mariadb_lex_take(&lex, "SET"))
                return refuse(&lex, "a setting", err);
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
                if (i > 0 && !mariadb_lex_take(&lex, ","))
                        return refuse(&lex, "a setting", err);
                if (!mariadb_lex_take(&lex, fields[i].name) || !mariadb_lex_take(&lex, "=") ||
                    (!mariadb_lex_take(&lex, "DEFAULT") &&
                     !mariadb_lex_string(&lex, fields[i].value, fields[i].size)))
                        return refuse(&lex, "a setting", err);
        }
        if (!mariadb_policy_charset(context.charset))
                return err_fail(
                        err, ERR_UNSUPPORTED, 0,
                        "an object in the dump was written in the character set '%s', which "
                        "is not read from a dump",
                        context.charset);
        *ret_context = context;
        return lex.kind == MARIADB_LEX_END ? 0 : refuse(&lex, "a setting", err);
}

/* DEFINER=`name`@`host`, or a role alone. */
static bool skip_definer(struct mariadb_lex *lex)
{
        char name[NAME_MAX_BYTES];

        return mariadb_lex_take(lex, "DEFINER") && mariadb_lex_take(lex, "=") &&
               mariadb_lex_name(lex, true, name, sizeof(name)) &&
               (!mariadb_lex_take(lex, "@") || mariadb_lex_name(lex, true, name, sizeof(name)));
}

/* Up to DO there are times and a comment, which the server reads now and not when it runs; and it
 * has to say that it sleeps.  Strings end for us where they end in the event's own mode. */
static bool event_sleeps(struct mariadb_lex *lex, const char *sql_mode)
{
        static const char *const words[] = {
                "ON",          "SCHEDULE",      "AT",         "EVERY",      "STARTS",
                "ENDS",        "COMPLETION",    "NOT",        "PRESERVE",   "DISABLE",
                "SLAVE",       "COMMENT",       "YEAR",       "QUARTER",    "MONTH",
                "DAY",         "HOUR",          "MINUTE",     "WEEK",       "SECOND",
                "YEAR_MONTH",  "DAY_HOUR",      "DAY_MINUTE", "DAY_SECOND", "HOUR_MINUTE",
                "HOUR_SECOND", "MINUTE_SECOND",
        };
        bool sleeps = false;

        lex->plain_backslash = strcasestr(sql_mode, "NO_BACKSLASH_ESCAPES") != NULL;
        for (; !mariadb_lex_is(lex, "DO"); mariadb_lex_next(lex)) {
                if ((lex->kind != MARIADB_LEX_STRING || lex->text[0] != '\'') &&
                    lex->kind != MARIADB_LEX_NUMBER && !IS_ONE_OF(lex, words))
                        return false;
                sleeps |= mariadb_lex_is(lex, "DISABLE");
        }
        return sleeps;
}

static void add_user(struct mariadb_sql *sql, const char *user)
{
        const char *at = strrchr(user, '@');
        char name[NAME_MAX_BYTES];

        (void)snprintf(name, sizeof(name), "%.*s",
                       at == NULL ? (int)strlen(user) : (int)(at - user), user);
        mariadb_sql_add(sql, "DEFINER=%I@%I", name, at == NULL || at[1] == '\0' ? "%" : at + 1);
}

/* Which words may stand before the name, and what has to come behind it. */
static const struct {
        const char *words, *kind, *next;
} kinds[] = {
        { "FUNCTION", "function", "(" }, { "PROCEDURE", "procedure", "(" },
        { "TRIGGER", "trigger", NULL },  { "EVENT", "event", "ON" },
        { "PACKAGE", "package", NULL },  { "VIEW", "view", NULL },
};

static bool take_algorithm(struct mariadb_lex *lex, char algorithm[static 16])
{
        static const char *const known[] = { "UNDEFINED", "MERGE", "TEMPTABLE" };

        if (!mariadb_lex_take(lex, "ALGORITHM"))
                return true;
        if (!mariadb_lex_take(lex, "=") || !IS_ONE_OF(lex, known))
                return false;
        (void)snprintf(algorithm, 16, "%.*s", (int)lex->n, lex->text);
        mariadb_lex_next(lex);
        return true;
}

int mariadb_policy_object(const char *text, size_t n, const char *sql_mode, const char *user,
                          struct mariadb_sql *sql, char kind[static 16], char *name, size_t size,
                          struct err *err)
{
        char algorithm[16] = "";
        bool aggregate, security, invoker = false;
        struct mariadb_lex lex, head;
        size_t which = 0;

        /* Whoever looks for a name in it would look no further. */
        if (memchr(text, '\0', n) != NULL)
                return err_fail(err, ERR_REFUSED, 0,
                                "an object in the dump has a NUL in it; nothing of it was run");
        mariadb_lex_begin(&lex, text, n);
        if (!mariadb_lex_take(&lex, "CREATE") || !take_algorithm(&lex, algorithm) ||
            !skip_definer(&lex))
                return refuse(&lex, "an object", err);
        security = mariadb_lex_take(&lex, "SQL");
        if (security) {
                if (!mariadb_lex_take(&lex, "SECURITY"))
                        return refuse(&lex, "an object", err);
                invoker = mariadb_lex_take(&lex, "INVOKER");
                if (!invoker && !mariadb_lex_take(&lex, "DEFINER"))
                        return refuse(&lex, "an object", err);
        }
        aggregate = mariadb_lex_take(&lex, "AGGREGATE");
        while (which < sizeof(kinds) / sizeof(kinds[0]) &&
               !mariadb_lex_take(&lex, kinds[which].words))
                which++;
        if (which == sizeof(kinds) / sizeof(kinds[0]))
                return refuse(&lex, "an object", err);
        (void)snprintf(kind, 16, "%s", kinds[which].kind);
        mariadb_sql_add(sql, "CREATE ");
        if (algorithm[0] != '\0')
                mariadb_sql_add(sql, "ALGORITHM=%s ", algorithm);
        add_user(sql, user);
        mariadb_sql_add(sql, "%s%s %s ",
                        security ? invoker ? " SQL SECURITY INVOKER" : " SQL SECURITY DEFINER" : "",
                        aggregate ? " AGGREGATE" : "", kinds[which].words);
        if (strcmp(kind, "package") == 0 && mariadb_lex_take(&lex, "BODY"))
                mariadb_sql_add(sql, "BODY ");
        if (!mariadb_lex_name(&lex, true, name, size) || mariadb_lex_is(&lex, ".") ||
            (kinds[which].next != NULL && !mariadb_lex_is(&lex, kinds[which].next)))
                return refuse(&lex, kinds[which].kind, err);
        head = lex;
        if (strcmp(kind, "event") == 0 && !event_sleeps(&head, sql_mode))
                return refuse(&head, kinds[which].kind, err);
        mariadb_sql_add(sql, "%I ", name);
        mariadb_sql_bytes(sql, lex.text, (size_t)(text + n - lex.text));
        return 0;
}
