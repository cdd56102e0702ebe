/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_lex.h"
#include "dbdump/mariadb_table.h"

/* Types that are not a string of bytes. */
static const struct {
        const char *type;
        enum mariadb_literal literal;
        bool real, enumerated, long_;
} types[] = {
        { "tinyint", MARIADB_RAW },
        { "smallint", MARIADB_RAW },
        { "mediumint", MARIADB_RAW },
        { "int", MARIADB_RAW },
        { "bigint", MARIADB_RAW },
        { "decimal", MARIADB_RAW },
        { "year", MARIADB_RAW },
        /* In quotes, else the sign of a negative zero is lost. */
        { "float", MARIADB_BYTES, .real = true },
        { "double", MARIADB_BYTES, .real = true },
        { "enum", MARIADB_BYTES, .enumerated = true },
        { "uuid", MARIADB_TEXT },
        { "inet6", MARIADB_TEXT },
        { "inet4", MARIADB_TEXT },
        { "json", MARIADB_TEXT, .long_ = true },
        { "mediumtext", MARIADB_BYTES, .long_ = true },
        { "longtext", MARIADB_BYTES, .long_ = true },
        { "mediumblob", MARIADB_BYTES, .long_ = true },
        { "longblob", MARIADB_BYTES, .long_ = true },
        { "geometry", MARIADB_BYTES, .long_ = true },
        { "linestring", MARIADB_BYTES, .long_ = true },
        { "polygon", MARIADB_BYTES, .long_ = true },
        { "multipoint", MARIADB_BYTES, .long_ = true },
        { "multilinestring", MARIADB_BYTES, .long_ = true },
        { "multipolygon", MARIADB_BYTES, .long_ = true },
        { "geometrycollection", MARIADB_BYTES, .long_ = true },
};

void mariadb_layout_done(struct mariadb_layout *layout)
{
        for (size_t i = 0; i < layout->n; i++)
                free(layout->columns[i].name);
        free(layout->columns);
        for (size_t i = 0; i < layout->n_keys; i++) {
                free(layout->keys[i].name);
                free(layout->keys[i].definition);
        }
        free(layout->keys);
        *layout = (struct mariadb_layout){ 0 };
}

static int add_column(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct mariadb_layout *layout = arg;
        struct mariadb_column *columns =
                reallocarray(layout->columns, layout->n + 1, sizeof(*columns));
        struct mariadb_column *column;

        (void)sizes;
        if (columns == NULL)
                return err_oom(err);
        layout->columns = columns;
        column = &columns[layout->n];
        *column = (struct mariadb_column){ .name = strdup(values[0]), .literal = MARIADB_BYTES };
        if (column->name == NULL)
                return err_oom(err);
        layout->n++;
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
                if (strcmp(types[i].type, values[1]) == 0) {
                        column->literal = types[i].literal;
                        column->real = types[i].real;
                        column->enumerated = types[i].enumerated;
                        column->long_ = types[i].long_;
                }
        layout->has_long |= column->long_;
        layout->has_enum |= column->enumerated;
        return 0;
}

static int mark_key(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct mariadb_layout *layout = arg;

        (void)sizes;
        (void)err;
        for (size_t i = 0; i < layout->n; i++)
                if (strcmp(layout->columns[i].name, values[0]) == 0)
                        layout->columns[i].key = (unsigned)++layout->n_key;
        return 0;
}

/* Columns come one by one, those of an index together and in its order. */
static int add_key(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct mariadb_layout *layout = arg;
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        bool goes_on =
                layout->n_keys > 0 && strcmp(layout->keys[layout->n_keys - 1].name, values[0]) == 0;
        struct mariadb_key *key;

        (void)sizes;
        if (!goes_on) {
                struct mariadb_key *keys =
                        reallocarray(layout->keys, layout->n_keys + 1, sizeof(*keys));

                if (keys == NULL)
                        return err_oom(err);
                layout->keys = keys;
                keys[layout->n_keys] = (struct mariadb_key){ .name = strdup(values[0]) };
                if (keys[layout->n_keys++].name == NULL)
                        return err_oom(err);
        }
        key = &layout->keys[layout->n_keys - 1];
        mariadb_sql_add(&sql, "%s%I", goes_on ? key->definition : "(", values[1]);
        if (values[2] != NULL)
                mariadb_sql_add(&sql, "(%s)", values[2]);
        mariadb_sql_add(&sql, "%s%s", strcmp(values[3], "D") == 0 ? " DESC" : "",
                        strcmp(values[4], "1") == 0 ? ")" : ", ");
        if (strcmp(values[4], "1") == 0 && values[5][0] != '\0')
                mariadb_sql_add(&sql, " COMMENT %L", values[5]);
        if (sql.failed) {
                *err = sql.why;
                return -1;
        }
        free(key->definition);
        key->definition = STEAL(sql.text);
        return 0;
}

/* The key that tells rows apart: PRIMARY, else the first unique one without NULLs and prefixes. */
static int read_row_key(struct mariadb_conn *conn, const char *schema, const char *table,
                        struct mariadb_layout *layout, struct err *err)
{
        CLEANUP(freep) char *name = NULL;

        if (mariadb_text(conn, &name, err,
                         "SELECT INDEX_NAME FROM information_schema.STATISTICS"
                         " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L AND NON_UNIQUE = 0"
                         " GROUP BY INDEX_NAME HAVING SUM(NULLABLE = 'YES') = 0"
                         " AND SUM(SUB_PART IS NOT NULL) = 0 AND SUM(COLUMN_NAME IS NULL) = 0"
                         " ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME LIMIT 1",
                         schema, table) < 0)
                return -1;
        if (name == NULL)
                return 0;
        return mariadb_each(conn, mark_key, layout, err,
                            "SELECT COLUMN_NAME FROM information_schema.STATISTICS"
                            " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L AND INDEX_NAME = %L"
                            " ORDER BY SEQ_IN_INDEX",
                            schema, table, name);
}

/* Plain keys of plain BTREEs.  Left as they are: a key that the counter or a foreign key stands on,
 * and one with an attribute that this list does not show. */
static int read_plain_keys(struct mariadb_conn *conn, const char *schema, const char *table,
                           struct mariadb_layout *layout, struct err *err)
{
        return mariadb_each(
                conn, add_key, layout, err,
                "SELECT s.INDEX_NAME, s.COLUMN_NAME, s.SUB_PART, IFNULL(s.COLLATION, 'A'),"
                " s.SEQ_IN_INDEX = (SELECT MAX(m.SEQ_IN_INDEX) FROM information_schema.STATISTICS m"
                " WHERE m.TABLE_SCHEMA = %L AND m.TABLE_NAME = %L AND m.INDEX_NAME = s.INDEX_NAME),"
                " s.INDEX_COMMENT FROM information_schema.STATISTICS s"
                " WHERE s.TABLE_SCHEMA = %L AND s.TABLE_NAME = %L AND s.INDEX_NAME IN"
                " (SELECT i.INDEX_NAME FROM information_schema.STATISTICS i"
                " JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = %L AND c.TABLE_NAME = %L"
                " AND c.COLUMN_NAME = i.COLUMN_NAME"
                " WHERE i.TABLE_SCHEMA = %L AND i.TABLE_NAME = %L GROUP BY i.INDEX_NAME"
                " HAVING MIN(i.NON_UNIQUE) = 1 AND MIN(i.INDEX_TYPE) = 'BTREE'"
                " AND MAX(i.INDEX_TYPE) = 'BTREE' AND SUM(c.EXTRA LIKE '%%auto_increment%%') = 0"
                " AND SUM(IFNULL(c.GENERATION_EXPRESSION, '') <> '') = 0"
                " AND SUM(c.COLUMN_NAME IN (SELECT IF(u.TABLE_NAME = %L, u.COLUMN_NAME,"
                " u.REFERENCED_COLUMN_NAME) FROM information_schema.KEY_COLUMN_USAGE u WHERE"
                " u.TABLE_SCHEMA = %L AND (u.TABLE_NAME = %L OR u.REFERENCED_TABLE_NAME = %L)"
                " AND u.REFERENCED_TABLE_NAME IS NOT NULL)) = 0 %s)"
                " ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX",
                schema, table, schema, table, schema, table, schema, table, table, schema, table,
                table,
                conn->is_mariadb
                        ? "AND MAX(i.IGNORED) = 'NO'"
                        : "AND MIN(i.IS_VISIBLE) = 'YES' AND SUM(i.EXPRESSION IS NOT NULL) = 0");
}

int mariadb_layout_read(struct mariadb_conn *conn, const char *schema,
                        const struct mariadb_table *table, struct mariadb_layout *ret_layout,
                        struct err *err)
{
        struct mariadb_layout layout = { 0 };
        int r = mariadb_each(conn, add_column, &layout, err,
                             "SELECT COLUMN_NAME, LOWER(DATA_TYPE) FROM information_schema.COLUMNS"
                             " WHERE TABLE_SCHEMA = %L AND TABLE_NAME = %L"
                             " AND (IFNULL(GENERATION_EXPRESSION, '') = ''"
                             " OR EXTRA LIKE 'STORED GENERATED%%' AND %u"
                             " AND GENERATION_EXPRESSION IN ('ROW START', 'ROW END'))"
                             " ORDER BY ORDINAL_POSITION",
                             schema, table->name, (unsigned)(table->kind == MARIADB_VERSIONED));

        if (r == 0 && layout.n == 0)
                r = err_fail(err, ERR_NOT_FOUND, 0, "there is no table '%s' in '%s'", table->name,
                             schema);
        if (r == 0)
                r = read_row_key(conn, schema, table->name, &layout, err);
        if (r == 0 && table->kind == MARIADB_TABLE)
                r = read_plain_keys(conn, schema, table->name, &layout, err);
        if (r < 0) {
                mariadb_layout_done(&layout);
                return -1;
        }
        *ret_layout = layout;
        return 0;
}

static int take_definition(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        char **text = arg;

        (void)sizes;
        free(*text);
        *text = strdup(values[1]);
        return *text == NULL ? err_oom(err) : 0;
}

static bool is_high(const char *at, size_t n)
{
        return n >= 3 && at[0] == 'x' && strchr("89ABCDEF", at[1]) != NULL &&
               strchr("0123456789ABCDEF", at[2]) != NULL;
}

/* _latin1'xE4' in an expression: the server keeps a byte there and shows four letters. */
static int refuse_lost_bytes(const char *text, const char *table, struct err *err)
{
        struct mariadb_lex lex;

        mariadb_lex_begin(&lex, text, strlen(text));
        while (lex.kind != MARIADB_LEX_END && lex.kind != MARIADB_LEX_BAD) {
                bool introducer = lex.kind == MARIADB_LEX_WORD && lex.text[0] == '_';

                mariadb_lex_next(&lex);
                if (!introducer || lex.kind != MARIADB_LEX_STRING)
                        continue;
                for (size_t i = 1; i < lex.n; i++)
                        if (is_high(lex.text + i, lex.n - i))
                                return err_fail(err, ERR_UNSUPPORTED, 0,
                                                "the definition of the table '%s' has a text in "
                                                "another character set, which the server does not "
                                                "show as it is: write its bytes as "
                                                "CONVERT(x'...' USING ...)",
                                                table);
        }
        return 0;
}

int mariadb_definition(struct mariadb_conn *conn, const char *schema, const char *table,
                       char **ret_text, struct err *err)
{
        CLEANUP(freep) char *text = NULL;

        if (mariadb_each(conn, take_definition, &text, err, "SHOW CREATE TABLE %I.%I", schema,
                         table) < 0)
                return -1;
        if (text == NULL)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no table '%s'", table);
        if (refuse_lost_bytes(text, table, err) < 0)
                return -1;
        *ret_text = STEAL(text);
        return 0;
}

static void add_length(const struct mariadb_layout *layout, struct mariadb_sql *sql)
{
        const char *plus = "";

        for (size_t i = 0; i < layout->n; i++)
                if (layout->columns[i].long_) {
                        mariadb_sql_add(sql, "%sIFNULL(LENGTH(%I),0)", plus,
                                        layout->columns[i].name);
                        plus = "+";
                }
}

void mariadb_layout_select(const struct mariadb_layout *layout, struct mariadb_sql *sql,
                           const char *schema, const struct mariadb_table *table, size_t large)
{
        for (size_t i = 0; i < layout->n; i++) {
                const struct mariadb_column *column = &layout->columns[i];

                mariadb_sql_add(sql, i == 0 ? "SELECT " : ", ");
                if (column->long_) {
                        mariadb_sql_add(sql, "IF(");
                        add_length(layout, sql);
                        mariadb_sql_add(sql, ">%U,NULL,%I)", (uint64_t)large, column->name);
                } else {
                        mariadb_sql_add(sql, column->real ? "%I*1e0" : "%I", column->name);
                }
        }
        mariadb_sql_add(sql, ", ");
        if (layout->has_long) {
                add_length(layout, sql);
                mariadb_sql_add(sql, ">%U", (uint64_t)large);
        } else {
                mariadb_sql_add(sql, "0");
        }
        mariadb_sql_add(sql, " FROM %I.%I%s" MARIADB_NO_VIEW, schema, table->name,
                        table->kind == MARIADB_VERSIONED ? " FOR SYSTEM_TIME ALL" : "");
}

void mariadb_layout_insert(const struct mariadb_layout *layout, struct mariadb_sql *sql,
                           const char *table)
{
        mariadb_sql_add(sql, "INSERT INTO %I (", table);
        for (size_t i = 0; i < layout->n; i++)
                mariadb_sql_add(sql, i == 0 ? "%I" : ",%I", layout->columns[i].name);
        mariadb_sql_add(sql, ") VALUES");
}

void mariadb_layout_literal(struct mariadb_sql *sql, const struct mariadb_column *column,
                            const char *value, size_t size)
{
        if (value == NULL) {
                mariadb_sql_bytes(sql, "NULL", 4);
        } else if (column->literal == MARIADB_RAW) {
                mariadb_sql_bytes(sql, value, size);
        } else {
                if (column->literal == MARIADB_TEXT)
                        mariadb_sql_bytes(sql, "_utf8mb4", 8);
                mariadb_sql_value(sql, value, size);
        }
}

void mariadb_layout_row(const struct mariadb_layout *layout, struct mariadb_sql *sql, char **values,
                        const unsigned long *sizes)
{
        for (size_t i = 0; i < layout->n; i++) {
                mariadb_sql_bytes(sql, i == 0 ? "(" : ",", 1);
                mariadb_layout_literal(sql, &layout->columns[i], values[i], sizes[i]);
        }
        mariadb_sql_bytes(sql, ")", 1);
}
