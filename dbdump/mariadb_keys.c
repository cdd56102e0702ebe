/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_keys.h"
#include "dbdump/mariadb_names.h"

/* Foreign keys come column by column, those of a table together; a table's go in one ALTER. */
struct keys {
        struct mariadb_conn *conn;
        const char *from, *to, *prefix;
        char *table, *key;                  /* of the rows before */
        struct mariadb_sql sql, references; /* what was read of this table, and of this key */
        char actions[64];
        struct mariadb_sql *statements; /* of the tables before */
        size_t n;
};

static void keys_done(struct keys *keys)
{
        free(keys->table);
        free(keys->key);
        mariadb_sql_done(&keys->sql);
        mariadb_sql_done(&keys->references);
        for (size_t i = 0; i < keys->n; i++)
                mariadb_sql_done(&keys->statements[i]);
        free(keys->statements);
}

static int keep(char **where, const char *text, struct err *err)
{
        free(*where);
        *where = strdup(text);
        return *where == NULL ? err_oom(err) : 0;
}

static void end_key(struct keys *keys)
{
        if (keys->key == NULL)
                return;
        mariadb_sql_add(&keys->sql, ") %s) %s",
                        keys->references.text == NULL ? "" : keys->references.text, keys->actions);
        mariadb_sql_reset(&keys->references);
        free(STEAL(keys->key));
}

static int end_statement(struct keys *keys, struct err *err)
{
        struct mariadb_sql *all;

        end_key(keys);
        if (keys->table == NULL)
                return 0;
        all = reallocarray(keys->statements, keys->n + 1, sizeof(*all));
        if (all == NULL)
                return err_oom(err);
        keys->statements = all;
        all[keys->n++] = keys->sql;
        keys->sql = (struct mariadb_sql){ 0 };
        free(STEAL(keys->table));
        return 0;
}

static int check_target(const struct keys *keys, char **values, struct err *err)
{
        if (strcmp(values[3], keys->from) == 0 &&
            strncmp(values[4], keys->prefix, strlen(keys->prefix)) == 0)
                return 0;
        return err_fail(err, ERR_REFUSED, 0,
                        "the foreign key '%s' of the table '%s' leads to '%s.%s', which is not "
                        "copied: rows of a copy would hold rows there",
                        values[1], values[0], values[3], values[4]);
}

static int add_column(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct keys *keys = arg;
        bool same_table = keys->table != NULL && strcmp(keys->table, values[0]) == 0;
        bool same_key = same_table && keys->key != NULL && strcmp(keys->key, values[1]) == 0;

        (void)sizes;
        if (check_target(keys, values, err) < 0)
                return -1;
        if (!same_table) {
                if (end_statement(keys, err) < 0 || keep(&keys->table, values[0], err) < 0)
                        return -1;
                mariadb_sql_add(&keys->sql, "ALTER TABLE %I ", values[0]);
        } else if (!same_key) {
                end_key(keys);
                mariadb_sql_add(&keys->sql, ", ");
        }
        if (!same_key) {
                if (keep(&keys->key, values[1], err) < 0)
                        return -1;
                mariadb_sql_add(&keys->sql, "ADD CONSTRAINT %I FOREIGN KEY (%I", values[1],
                                values[2]);
                mariadb_sql_add(&keys->references, "REFERENCES %I (%I", values[4], values[5]);
                (void)snprintf(keys->actions, sizeof(keys->actions), "ON UPDATE %s ON DELETE %s",
                               values[6], values[7]);
        } else {
                mariadb_sql_add(&keys->sql, ",%I", values[2]);
                mariadb_sql_add(&keys->references, ",%I", values[5]);
        }
        return 0;
}

static int copy_foreign(struct keys *keys, struct err *err)
{
        if (mariadb_each(keys->conn, add_column, keys, err,
                         "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME,"
                         " k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME,"
                         " k.REFERENCED_COLUMN_NAME, r.UPDATE_RULE, r.DELETE_RULE"
                         " FROM information_schema.KEY_COLUMN_USAGE k"
                         " JOIN information_schema.REFERENTIAL_CONSTRAINTS r"
                         " ON r.CONSTRAINT_SCHEMA = %L AND r.TABLE_NAME = k.TABLE_NAME"
                         " AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME"
                         " WHERE k.TABLE_SCHEMA = %L AND k.REFERENCED_TABLE_NAME IS NOT NULL"
                         " AND BINARY LEFT(k.TABLE_NAME, CHAR_LENGTH(%L)) = BINARY %L"
                         " AND NOT EXISTS (SELECT 1 FROM"
                         " information_schema.REFERENTIAL_CONSTRAINTS t WHERE"
                         " t.CONSTRAINT_SCHEMA = %L AND t.TABLE_NAME = k.TABLE_NAME"
                         " AND t.CONSTRAINT_NAME = k.CONSTRAINT_NAME)"
                         " ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION",
                         keys->from, keys->from, keys->prefix, keys->prefix, keys->to) < 0 ||
            end_statement(keys, err) < 0)
                return -1;
        for (size_t i = 0; i < keys->n; i++)
                if (mariadb_run_sql(keys->conn, &keys->statements[i], MARIADB_NO_LIMIT, err) < 0)
                        return err_wrap(err, "the foreign keys");
        return 0;
}

/* Kept until the answer is read: a statement cannot run inside another's rows. */
static int add_default(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct keys *keys = arg;

        (void)sizes;
        mariadb_sql_add(&keys->sql, "ALTER TABLE %I ALTER COLUMN %I SET DEFAULT (", values[0],
                        values[1]);
        mariadb_names_repoint(&keys->sql, values[2], keys->from, keys->to);
        mariadb_sql_add(&keys->sql, ")");
        return keep(&keys->table, values[0], err) < 0 ? -1 : end_statement(keys, err);
}

static int copy_defaults(struct keys *keys, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql quoted = { 0 };

        mariadb_sql_add(&quoted, "(`%s`.`", keys->from);
        if (quoted.failed || mariadb_each(keys->conn, add_default, keys, err,
                                          "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT"
                                          " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %L"
                                          " AND INSTR(COLUMN_DEFAULT, %L) > 0",
                                          keys->to, quoted.text) < 0)
                return -1;
        for (size_t i = 0; i < keys->n; i++)
                if (mariadb_run_sql(keys->conn, &keys->statements[i], MARIADB_NO_LIMIT, err) < 0)
                        return err_wrap(err, "a default that takes from a sequence");
        return 0;
}

int mariadb_keys_copy(struct mariadb_conn *conn, const char *from, const char *to,
                      const char *prefix, struct err *err)
{
        CLEANUP(keys_done) struct keys foreign = { conn, from, to, prefix };
        CLEANUP(keys_done) struct keys defaults = { conn, from, to, prefix };

        return copy_defaults(&defaults, err) < 0 ? -1 : copy_foreign(&foreign, err);
}
