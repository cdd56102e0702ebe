/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_fingerprint.h"

/* $S is the schema as a literal, $P the prefix, $Q the schema as "`name`." in a literal: what the
 * server writes before a name in the texts that it keeps.  $F(x) is: x begins with the prefix. */
enum dialect { ON_BOTH, ON_MARIADB, ON_MYSQL };
static const struct {
        enum dialect dialect;
        const char *sql;
} sources[] = {
        { ON_BOTH,
          "SELECT CONCAT_WS(' ', 'table', TABLE_NAME, ENGINE, TABLE_COLLATION, CREATE_OPTIONS,"
          " QUOTE(TABLE_COMMENT)) FROM information_schema.TABLES WHERE TABLE_SCHEMA = $S"
          " AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND $F(TABLE_NAME)" },
        { ON_BOTH, "SELECT CONCAT_WS(' ', 'sequence', TABLE_NAME) FROM information_schema.TABLES"
                   " WHERE TABLE_SCHEMA = $S AND TABLE_TYPE = 'SEQUENCE' AND $F(TABLE_NAME)" },
        { ON_BOTH, "SELECT CONCAT_WS(' ', 'column', CONCAT(TABLE_NAME, '.', COLUMN_NAME),"
                   " ORDINAL_POSITION, COLUMN_TYPE, IF(IS_NULLABLE = 'YES', 'null', 'not null'),"
                   " CONCAT('default ', REPLACE(COLUMN_DEFAULT, $Q, '')), COLLATION_NAME, EXTRA,"
                   " REPLACE(GENERATION_EXPRESSION, $Q, ''), QUOTE(COLUMN_COMMENT))"
                   " FROM information_schema.COLUMNS c WHERE TABLE_SCHEMA = $S AND $F(TABLE_NAME)"
                   " AND NOT EXISTS (SELECT 1 FROM information_schema.TABLES t WHERE"
                   " t.TABLE_SCHEMA = $S AND t.TABLE_NAME = c.TABLE_NAME"
                   " AND t.TABLE_TYPE IN ('VIEW', 'SEQUENCE'))" },
        { ON_BOTH, "SELECT CONCAT_WS(' ', 'index', CONCAT(TABLE_NAME, '.', INDEX_NAME),"
                   " IF(MAX(NON_UNIQUE), '', 'unique'), MAX(INDEX_TYPE),"
                   " GROUP_CONCAT(CONCAT(IFNULL(COLUMN_NAME, '(expression)'),"
                   " IFNULL(CONCAT('(', SUB_PART, ')'), ''), IF(COLLATION = 'D', ' desc', ''))"
                   " ORDER BY SEQ_IN_INDEX), QUOTE(MAX(INDEX_COMMENT)))"
                   " FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = $S AND $F(TABLE_NAME)"
                   " GROUP BY TABLE_NAME, INDEX_NAME" },
        { ON_BOTH,
          "SELECT CONCAT_WS(' ', 'key', CONCAT(r.TABLE_NAME, '.', r.CONSTRAINT_NAME),"
          " GROUP_CONCAT(k.COLUMN_NAME ORDER BY k.ORDINAL_POSITION), 'references',"
          " IF(MAX(k.REFERENCED_TABLE_SCHEMA) = $S, '', MAX(k.REFERENCED_TABLE_SCHEMA)),"
          " r.REFERENCED_TABLE_NAME,"
          " GROUP_CONCAT(k.REFERENCED_COLUMN_NAME ORDER BY k.ORDINAL_POSITION),"
          " 'update', r.UPDATE_RULE, 'delete', r.DELETE_RULE)"
          " FROM information_schema.REFERENTIAL_CONSTRAINTS r"
          " JOIN information_schema.KEY_COLUMN_USAGE k ON k.TABLE_SCHEMA = $S"
          " AND k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.TABLE_NAME = r.TABLE_NAME"
          " AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME"
          " WHERE r.CONSTRAINT_SCHEMA = $S AND $F(r.TABLE_NAME)"
          " GROUP BY r.TABLE_NAME, r.CONSTRAINT_NAME, r.REFERENCED_TABLE_NAME, r.UPDATE_RULE,"
          " r.DELETE_RULE" },
        { ON_MARIADB,
          "SELECT CONCAT_WS(' ', 'check', CONCAT(TABLE_NAME, '.', CONSTRAINT_NAME), LEVEL,"
          " REPLACE(CHECK_CLAUSE, $Q, '')) FROM information_schema.CHECK_CONSTRAINTS"
          " WHERE CONSTRAINT_SCHEMA = $S AND $F(TABLE_NAME)" },
        { ON_MYSQL, "SELECT CONCAT_WS(' ', 'check', CONCAT(t.TABLE_NAME, '.', c.CONSTRAINT_NAME),"
                    " t.ENFORCED, c.CHECK_CLAUSE) FROM information_schema.CHECK_CONSTRAINTS c"
                    " JOIN information_schema.TABLE_CONSTRAINTS t ON t.TABLE_SCHEMA = $S"
                    " AND t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA"
                    " AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME"
                    " WHERE c.CONSTRAINT_SCHEMA = $S AND $F(t.TABLE_NAME)" },
        { ON_BOTH,
          "SELECT CONCAT_WS(' ', 'partition', CONCAT(TABLE_NAME, '.', PARTITION_NAME),"
          " SUBPARTITION_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, PARTITION_DESCRIPTION,"
          " SUBPARTITION_METHOD, SUBPARTITION_EXPRESSION)"
          " FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = $S"
          " AND PARTITION_NAME IS NOT NULL AND $F(TABLE_NAME)" },
        { ON_BOTH, "SELECT CONCAT_WS(' ', 'view', TABLE_NAME, SECURITY_TYPE, CHECK_OPTION,"
                   " REPLACE(VIEW_DEFINITION, $Q, '')) FROM information_schema.VIEWS"
                   " WHERE TABLE_SCHEMA = $S AND $F(TABLE_NAME)" },
        { ON_BOTH,
          "SELECT CONCAT_WS(' ', 'trigger', TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION,"
          " EVENT_OBJECT_TABLE, ACTION_ORDER, SQL_MODE, ACTION_STATEMENT)"
          " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = $S"
          " AND $F(EVENT_OBJECT_TABLE)" },
        { ON_BOTH,
          "SELECT CONCAT_WS(' ', 'routine', ROUTINE_TYPE, ROUTINE_NAME, DTD_IDENTIFIER,"
          " IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_DEFINITION)"
          " FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = $S AND $F(ROUTINE_NAME)" },
        { ON_BOTH, "SELECT CONCAT_WS(' ', 'parameter', ROUTINE_TYPE, CONCAT(SPECIFIC_NAME, '.',"
                   " IFNULL(PARAMETER_NAME, '')), ORDINAL_POSITION, PARAMETER_MODE, DTD_IDENTIFIER)"
                   " FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = $S"
                   " AND $F(SPECIFIC_NAME)" },
        { ON_BOTH,
          "SELECT CONCAT_WS(' ', 'event', EVENT_NAME, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE,"
          " INTERVAL_FIELD, STARTS, ENDS, ON_COMPLETION, TIME_ZONE, SQL_MODE,"
          " QUOTE(EVENT_COMMENT), EVENT_DEFINITION) FROM information_schema.EVENTS"
          " WHERE EVENT_SCHEMA = $S AND $F(EVENT_NAME)" },
};

struct lines {
        char **all;
        size_t n, bytes;
};

static void lines_done(struct lines *lines)
{
        for (size_t i = 0; i < lines->n; i++)
                free(lines->all[i]);
        free(lines->all);
}

/* One line whatever is in it. */
static int add_line(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct lines *lines = arg;
        const char *from = values[0] == NULL ? "" : values[0];
        char **all = reallocarray(lines->all, lines->n + 1, sizeof(*all));
        char *line, *to;

        if (all == NULL)
                return err_oom(err);
        lines->all = all;
        line = malloc(2 * sizes[0] + 1);
        if (line == NULL)
                return err_oom(err);
        for (to = line; *from != '\0'; from++) {
                if (*from == '\\' || *from == '\n')
                        *to++ = '\\';
                *to++ = *from == '\n' ? 'n' : *from;
        }
        *to = '\0';
        lines->all[lines->n++] = line;
        lines->bytes += (size_t)(to - line) + 1;
        return 0;
}

static int by_bytes(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int join(const struct lines *lines, char **ret_text, struct err *err)
{
        char *text = malloc(lines->bytes + 1), *at = text;

        if (text == NULL)
                return err_oom(err);
        for (size_t i = 0; i < lines->n; i++) {
                size_t n = strlen(lines->all[i]);

                memcpy(at, lines->all[i], n);
                at += n;
                *at++ = '\n';
        }
        *at = '\0';
        *ret_text = text;
        return 0;
}

/* "`name`." with the quotes that are in it doubled, as the server writes it. */
static void add_qualifier(struct mariadb_sql *sql, const char *schema)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql name = { 0 };

        mariadb_sql_add(&name, "%I.", schema);
        mariadb_sql_add(sql, "%L", name.failed ? "" : name.text);
}

static void fill_in(struct mariadb_sql *sql, const char *source, const char *schema,
                    const char *prefix)
{
        while (*source != '\0') {
                size_t plain = strcspn(source, "$"), name;

                mariadb_sql_bytes(sql, source, plain);
                source += plain;
                if (*source == '\0')
                        return;
                switch (source[1]) {
                case 'S':
                        mariadb_sql_add(sql, "%L", schema);
                        break;
                case 'Q':
                        add_qualifier(sql, schema);
                        break;
                default: /* $F(name) */
                        name = strcspn(source, ")");
                        mariadb_sql_add(sql, "BINARY LEFT");
                        mariadb_sql_bytes(sql, source + 2, name - 2);
                        mariadb_sql_add(sql, ", CHAR_LENGTH(%L)) = BINARY %L", prefix, prefix);
                        source += name - 1;
                        break;
                }
                source += 2;
        }
}

int mariadb_fingerprint(struct mariadb_conn *conn, const char *schema, const char *prefix,
                        char **ret_text, struct err *err)
{
        CLEANUP(lines_done) struct lines lines = { 0 };

        for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
                CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

                if (sources[i].dialect != ON_BOTH &&
                    (sources[i].dialect == ON_MARIADB) != conn->is_mariadb)
                        continue;
                fill_in(&sql, sources[i].sql, schema, prefix == NULL ? "" : prefix);
                if (sql.failed) {
                        *err = sql.why;
                        return -1;
                }
                if (mariadb_each(conn, add_line, &lines, err, "%s", sql.text) < 0)
                        return err_wrap(err, "looking at what is in '%s'", schema);
        }
        if (lines.n > 0)
                qsort(lines.all, lines.n, sizeof(*lines.all), by_bytes);
        return join(&lines, ret_text, err);
}

bool mariadb_fingerprint_differs(const char *a, const char *b, char *line, size_t size)
{
        size_t at = 0;

        /* To the first byte that differs, then back to its line's begin. */
        while (a[at] != '\0' && a[at] == b[at])
                at++;
        if (a[at] == b[at])
                return false;
        while (at > 0 && a[at - 1] != '\n')
                at--;
        /* In sorted lists the lesser line is the one that the other list has not. */
        if (a[at] == '\0' || (b[at] != '\0' && strcmp(b + at, a + at) < 0))
                a = b;
        (void)snprintf(line, size, "%.*s", (int)strcspn(a + at, "\n"), a + at);
        return true;
}
