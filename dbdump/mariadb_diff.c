/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_diff.h"
#include "dbdump/mariadb_table.h"

struct diffing {
        struct mariadb_conn *conn;
        const char *from, *to, *table;
        db_row_report report;
        void *arg;
        const struct mariadb_column **columns; /* those that both have, the key's first */
        const char **names;
        struct db_value *old, *new;
        size_t n, n_key;
};

static void diffing_done(struct diffing *diffing)
{
        free(diffing->columns);
        free(diffing->names);
        free(diffing->old);
        free(diffing->new);
}

static const struct mariadb_column *column_named(const struct mariadb_layout *layout,
                                                 const char *name)
{
        for (size_t i = 0; i < layout->n; i++)
                if (strcmp(layout->columns[i].name, name) == 0)
                        return &layout->columns[i];
        return NULL;
}

/* The same columns in the same order. */
static bool same_key(const struct mariadb_layout *a, const struct mariadb_layout *b)
{
        if (a->n_key == 0 || a->n_key != b->n_key)
                return false;
        for (size_t i = 0; i < a->n; i++) {
                const struct mariadb_column *other = column_named(b, a->columns[i].name);

                if (a->columns[i].key != 0 && (other == NULL || other->key != a->columns[i].key))
                        return false;
        }
        return true;
}

static int take_columns(struct diffing *diffing, const struct mariadb_layout *from,
                        const struct mariadb_layout *to, struct err *err)
{
        diffing->n_key = same_key(from, to) ? from->n_key : 0;
        diffing->n = 0;
        diffing->columns = calloc(from->n + 1, sizeof(*diffing->columns));
        diffing->names = calloc(from->n + 1, sizeof(*diffing->names));
        diffing->old = calloc(from->n + 1, sizeof(*diffing->old));
        diffing->new = calloc(from->n + 1, sizeof(*diffing->new));
        if (diffing->columns == NULL || diffing->names == NULL || diffing->old == NULL ||
            diffing->new == NULL)
                return err_oom(err);
        for (unsigned k = 1; k <= diffing->n_key; k++)
                for (size_t i = 0; i < from->n; i++)
                        if (from->columns[i].key == k)
                                diffing->columns[diffing->n++] = &from->columns[i];
        for (size_t i = 0; i < from->n; i++)
                if ((diffing->n_key == 0 || from->columns[i].key == 0) &&
                    column_named(to, from->columns[i].name) != NULL)
                        diffing->columns[diffing->n++] = &from->columns[i];
        for (size_t i = 0; i < diffing->n; i++)
                diffing->names[i] = diffing->columns[i]->name;
        return 0;
}

/* A column as it is told: f.`a`, or what keeps all digits of it. */
static void add_columns(const struct diffing *diffing, struct mariadb_sql *sql, const char *alias)
{
        for (size_t i = 0; i < diffing->n; i++)
                mariadb_sql_add(sql, diffing->columns[i]->real ? "%s%s.%I*1e0" : "%s%s.%I",
                                i == 0 ? "" : ",", alias, diffing->columns[i]->name);
}

/* As it is compared: numbers as such, anything else by its bytes. */
static void add_compared(const struct mariadb_column *column, struct mariadb_sql *sql,
                         const char *alias)
{
        mariadb_sql_add(sql,
                        column->literal == MARIADB_RAW || column->real ? "%s%I"
                                                                       : "CAST(%s%I AS BINARY)",
                        alias, column->name);
}

static void add_join(const struct diffing *diffing, struct mariadb_sql *sql, const char *left,
                     const char *left_alias, const char *right, const char *right_alias)
{
        mariadb_sql_add(
                sql, " FROM %I.%I %s" MARIADB_NO_VIEW " LEFT JOIN %I.%I %s" MARIADB_NO_VIEW " ON ",
                left, diffing->table, left_alias, right, diffing->table, right_alias);
        for (size_t i = 0; i < diffing->n_key; i++)
                mariadb_sql_add(sql, "%sf.%I=t.%I", i == 0 ? "" : " AND ", diffing->names[i],
                                diffing->names[i]);
        mariadb_sql_add(sql, " WHERE %s.%I IS NULL", right_alias, diffing->names[0]);
}

static void set_values(const struct diffing *diffing, struct db_value *values, char **row,
                       const unsigned long *sizes)
{
        for (size_t i = 0; i < diffing->n; i++)
                values[i] = (struct db_value){ row[i], sizes[i] };
}

static int tell(const struct diffing *diffing, enum db_change change, struct err *err)
{
        const struct db_row_change row = {
                .table = diffing->table,
                .change = change,
                .whole = diffing->n_key == 0,
                .n_columns = diffing->n,
                .columns = diffing->names,
                .n_key = diffing->n_key,
                .from = change == DB_ROW_INSERTED ? NULL : diffing->old,
                .to = change == DB_ROW_DELETED ? NULL : diffing->new,
        };

        return diffing->report(&row, diffing->arg, err);
}

/* f.* and t.*: what is gone or changed. */
static int tell_old(struct diffing *diffing, char **row, const unsigned long *sizes,
                    struct err *err)
{
        set_values(diffing, diffing->old, row, sizes);
        set_values(diffing, diffing->new, row + diffing->n, sizes + diffing->n);
        return tell(diffing, row[diffing->n] == NULL ? DB_ROW_DELETED : DB_ROW_CHANGED, err);
}

static int tell_new(struct diffing *diffing, char **row, const unsigned long *sizes,
                    struct err *err)
{
        set_values(diffing, diffing->new, row, sizes);
        return tell(diffing, DB_ROW_INSERTED, err);
}

/* Behind the columns: how many more of it the other side has. */
static int tell_counted(struct diffing *diffing, char **row, const unsigned long *sizes,
                        struct err *err)
{
        long more = strtol(row[diffing->n], NULL, 10);

        set_values(diffing, more > 0 ? diffing->new : diffing->old, row, sizes);
        for (long i = 0; i < labs(more); i++)
                if (tell(diffing, more > 0 ? DB_ROW_INSERTED : DB_ROW_DELETED, err) < 0)
                        return -1;
        return 0;
}

static int ask(struct diffing *diffing, struct mariadb_sql *sql,
               int (*row)(struct diffing *diffing, char **row, const unsigned long *sizes,
                          struct err *err),
               struct err *err)
{
        MYSQL_RES *result;
        MYSQL_ROW values;
        int r = 0;

        if (mariadb_query(diffing->conn, sql, &result, err) < 0)
                return -1;
        while (r == 0 && (values = mysql_fetch_row(result)) != NULL)
                r = row(diffing, values, mysql_fetch_lengths(result), err);
        if (r == 0)
                r = mariadb_fetched(diffing->conn, err);
        else
                mariadb_kill(diffing->conn, true);
        mysql_free_result(result);
        return r;
}

static int diff_by_key(struct diffing *diffing, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql old = { 0 }, new = { 0 };

        mariadb_sql_add(&old, "SELECT ");
        add_columns(diffing, &old, "f");
        mariadb_sql_add(&old, ",");
        add_columns(diffing, &old, "t");
        add_join(diffing, &old, diffing->from, "f", diffing->to, "t");
        for (size_t i = 0; i < diffing->n; i++) {
                mariadb_sql_add(&old, " OR NOT ");
                add_compared(diffing->columns[i], &old, "f.");
                mariadb_sql_add(&old, "<=>");
                add_compared(diffing->columns[i], &old, "t.");
        }
        mariadb_sql_add(&new, "SELECT ");
        add_columns(diffing, &new, "t");
        add_join(diffing, &new, diffing->to, "t", diffing->from, "f");
        return ask(diffing, &old, tell_old, err) < 0 ? -1 : ask(diffing, &new, tell_new, err);
}

static void add_counted(const struct diffing *diffing, struct mariadb_sql *sql, const char *schema,
                        const char *count)
{
        mariadb_sql_add(sql, "SELECT ");
        for (size_t i = 0; i < diffing->n; i++) {
                add_compared(diffing->columns[i], sql, "");
                mariadb_sql_add(sql, " AS %I,", diffing->names[i]);
        }
        mariadb_sql_add(sql, "%s AS `", count);
        /* A name that no column is going to have. */
        for (size_t i = 0; i < 64; i++)
                mariadb_sql_add(sql, "n");
        mariadb_sql_add(sql, "` FROM %I.%I" MARIADB_NO_VIEW, schema, diffing->table);
}

/* Equal rows fall into one group by a digest of each value: a GROUP BY of long values would look at
 * their beginnings only. */
static int diff_by_count(struct diffing *diffing, struct err *err)
{
        static const char count[] =
                "SUM(`nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn`)";
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };

        mariadb_sql_add(&sql, "SELECT ");
        for (size_t i = 0; i < diffing->n; i++)
                mariadb_sql_add(&sql, diffing->columns[i]->real ? "MIN(%I)*1e0," : "MIN(%I),",
                                diffing->names[i]);
        mariadb_sql_add(&sql, "%s FROM (", count);
        add_counted(diffing, &sql, diffing->to, "1");
        mariadb_sql_add(&sql, " UNION ALL ");
        add_counted(diffing, &sql, diffing->from, "-1");
        mariadb_sql_add(&sql, ") both_sides GROUP BY ");
        for (size_t i = 0; i < diffing->n; i++)
                mariadb_sql_add(&sql, "%sIFNULL(SHA2(%I,256),'')", i == 0 ? "" : ",",
                                diffing->names[i]);
        mariadb_sql_add(&sql, " HAVING %s<>0", count);
        return ask(diffing, &sql, tell_counted, err);
}

static int diff_table(const struct diffing *all, const struct mariadb_table *table, struct err *err)
{
        CLEANUP(mariadb_layout_done) struct mariadb_layout from = { 0 }, to = { 0 };
        CLEANUP(diffing_done) struct diffing diffing = *all;

        diffing.table = table->name;
        if (mariadb_layout_read(all->conn, all->from, table, &from, err) < 0 ||
            mariadb_layout_read(all->conn, all->to, table, &to, err) < 0 ||
            take_columns(&diffing, &from, &to, err) < 0)
                return -1;
        if (diffing.n == 0)
                return 0;
        if ((diffing.n_key > 0 ? diff_by_key : diff_by_count)(&diffing, err) < 0)
                return err_wrap(err, "the table '%s'", table->name);
        return 0;
}

static const struct mariadb_table *table_named(const struct mariadb_tables *tables,
                                               const char *name)
{
        for (size_t i = 0; i < tables->n; i++)
                if (strcmp(tables->all[i].name, name) == 0)
                        return &tables->all[i];
        return NULL;
}

int mariadb_diff(struct mariadb_conn *conn, const char *from, const char *to, const char *prefix,
                 db_row_report report, void *arg, struct err *err)
{
        CLEANUP(mariadb_tables_done) struct mariadb_tables old = { 0 }, new = { 0 };
        const struct diffing diffing = {
                .conn = conn,
                .from = from,
                .to = to,
                .report = report,
                .arg = arg,
        };

        if (mariadb_tables_list(conn, from, prefix, &old, err) < 0 ||
            mariadb_tables_list(conn, to, prefix, &new, err) < 0 ||
            mariadb_run(conn, err, "SET NAMES binary") < 0 ||
            mariadb_run(conn, err, "START TRANSACTION WITH CONSISTENT SNAPSHOT") < 0)
                return -1;
        for (size_t i = 0; i < old.n; i++)
                if (old.all[i].kind != MARIADB_SEQUENCE &&
                    table_named(&new, old.all[i].name) != NULL &&
                    diff_table(&diffing, &old.all[i], err) < 0)
                        return -1;
        return 0;
}
