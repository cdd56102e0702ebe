/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <mysqld_error.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbdump/mariadb_grants.h"

#define NAME_MAX_BYTES 256

/* What we need.  Schemas of copies are asked about by an example. */
#define COPIES  "snap%"
#define EXAMPLE "snap1_example"
static const char *const on_live[] = { "SELECT",  "LOCK TABLES", "SHOW VIEW",
                                       "TRIGGER", "EVENT",       "EXECUTE" };
static const char *const on_copies[] = {
        "SELECT",        "INSERT",     "UPDATE",      "DELETE",    "CREATE",
        "DROP",          "REFERENCES", "INDEX",       "ALTER",     "CREATE TEMPORARY TABLES",
        "LOCK TABLES",   "EXECUTE",    "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE",
        "ALTER ROUTINE", "EVENT",      "TRIGGER",
};

/* What the site's user may not do to a kept version's copy. */
static const char writing[] = "INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, "
                              "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, "
                              "CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER";

/* How information_schema writes who we are. */
#define ME                                                                                         \
        "CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''',"                           \
        " SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')"

/* A name of a schema in a grant is a pattern. */
static void add_pattern(struct mariadb_sql *sql, const char *schema)
{
        for (const char *at = schema; *at != '\0'; at++) {
                if (*at == '_' || *at == '%' || *at == '\\')
                        mariadb_sql_bytes(sql, "\\", 1);
                mariadb_sql_bytes(sql, at, 1);
        }
}

static void add_schema(struct mariadb_sql *sql, const char *schema)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql pattern = { 0 };

        add_pattern(&pattern, schema);
        mariadb_sql_add(sql, "%I", pattern.text == NULL ? "" : pattern.text);
}

/* How narrow the server takes a pattern to be: by where its first `_` or `%` stands. */
static size_t narrowness(const char *pattern)
{
        for (const char *at = pattern; *at != '\0'; at++)
                if (*at == '\\' && at[1] != '\0')
                        at++;
                else if (*at == '_' || *at == '%')
                        return (size_t)(at - pattern);
        return SIZE_MAX;
}

static int take_narrower(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        char **pattern = arg, *narrower;

        (void)sizes;
        if (*pattern != NULL && narrowness(values[0]) <= narrowness(*pattern))
                return 0;
        narrower = strdup(values[0]);
        if (narrower == NULL)
                return err_oom(err);
        free(*pattern);
        *pattern = narrower;
        return 0;
}

/* Of all the patterns that are right for a schema the server follows the narrowest, and no rights
 * of the others (MariaDB 10.6, acl_db_find()).  NULL: there is none. */
static int followed(struct mariadb_conn *conn, const char *schema, char **pattern, struct err *err)
{
        return mariadb_each(conn, take_narrower, pattern, err,
                            "SELECT DISTINCT TABLE_SCHEMA FROM information_schema.SCHEMA_PRIVILEGES"
                            " WHERE %L LIKE TABLE_SCHEMA AND GRANTEE = " ME,
                            schema);
}

/* Everywhere, or in what has this pattern. */
static int has(struct mariadb_conn *conn, const char *pattern, const char *privilege,
               bool grantable, bool *ret_has, struct err *err)
{
        uint64_t n;

        if (mariadb_number(conn, &n, err,
                           "SELECT (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES"
                           " WHERE PRIVILEGE_TYPE = %L AND (IS_GRANTABLE = 'YES' OR NOT %u)"
                           " AND GRANTEE = " ME ") + (SELECT COUNT(*)"
                           " FROM information_schema.SCHEMA_PRIVILEGES WHERE PRIVILEGE_TYPE = %L"
                           " AND (IS_GRANTABLE = 'YES' OR NOT %u) AND TABLE_SCHEMA = %L"
                           " AND GRANTEE = " ME ")",
                           privilege, (unsigned)grantable, privilege, (unsigned)grantable,
                           pattern) < 0)
                return -1;
        *ret_has = n > 0;
        return 0;
}

static int check_live(struct mariadb_conn *conn, const char *schema, const char *me,
                      struct mariadb_sql *missing, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql own = { 0 };
        CLEANUP(freep) char *pattern = NULL;
        const char *word = "GRANT ";
        bool there, all = true;

        add_pattern(&own, schema);
        if (followed(conn, schema, &pattern, err) < 0)
                return -1;
        for (size_t i = 0; i < sizeof(on_live) / sizeof(on_live[0]); i++) {
                if (has(conn, pattern, on_live[i], false, &there, err) < 0)
                        return -1;
                all &= there;
        }
        if (all)
                return 0;
        /* What a wider one gives is no longer followed then. */
        if (pattern != NULL && own.text != NULL && strcmp(pattern, own.text) != 0)
                pattern[0] = '\0';
        for (size_t i = 0; i < sizeof(on_live) / sizeof(on_live[0]); i++) {
                if (has(conn, pattern, on_live[i], false, &there, err) < 0)
                        return -1;
                if (there)
                        continue;
                mariadb_sql_add(missing, "%s%s", word, on_live[i]);
                word = ", ";
        }
        mariadb_sql_add(missing, " ON ");
        add_schema(missing, schema);
        mariadb_sql_add(missing, ".* TO %s; ", me);
        return 0;
}

static int check_copies(struct mariadb_conn *conn, bool grantable, const char *me,
                        struct mariadb_sql *missing, struct err *err)
{
        CLEANUP(freep) char *pattern = NULL;
        bool there;

        if (followed(conn, EXAMPLE, &pattern, err) < 0)
                return -1;
        for (size_t i = 0; i < sizeof(on_copies) / sizeof(on_copies[0]); i++) {
                if (has(conn, pattern, on_copies[i], grantable, &there, err) < 0)
                        return -1;
                if (there)
                        continue;
                mariadb_sql_add(missing, "GRANT ALL PRIVILEGES ON %I.* TO %s%s; ", COPIES, me,
                                grantable ? " WITH GRANT OPTION" : "");
                return 0;
        }
        return 0;
}

/* Only where something in the schema is somebody else's. */
static int check_definers(struct mariadb_conn *conn, const char *schema, const char *me,
                          struct mariadb_sql *missing, struct err *err)
{
        const char *right = conn->is_mariadb         ? "SET USER"
                            : conn->version >= 80200 ? "SET_ANY_DEFINER"
                                                     : "SET_USER_ID";
        bool there, super;
        uint64_t n;

        if (mariadb_number(conn, &n, err,
                           "SELECT (SELECT COUNT(*) FROM information_schema.VIEWS WHERE"
                           " TABLE_SCHEMA = %L AND DEFINER <> CURRENT_USER()) + (SELECT COUNT(*)"
                           " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %L AND"
                           " DEFINER <> CURRENT_USER()) + (SELECT COUNT(*) FROM"
                           " information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %L AND"
                           " DEFINER <> CURRENT_USER()) + (SELECT COUNT(*) FROM"
                           " information_schema.EVENTS WHERE EVENT_SCHEMA = %L AND"
                           " DEFINER <> CURRENT_USER())",
                           schema, schema, schema, schema) < 0)
                return -1;
        if (n == 0)
                return 0;
        if (has(conn, NULL, right, false, &there, err) < 0 ||
            has(conn, NULL, "SUPER", false, &super, err) < 0)
                return -1;
        if (!there && !super)
                mariadb_sql_add(missing, "GRANT %s ON *.* TO %s; ", right, me);
        return 0;
}

int mariadb_grants_global(struct mariadb_conn *conn, const char *right, bool *ret_may,
                          struct err *err)
{
        return has(conn, NULL, right, false, ret_may, err);
}

int mariadb_grants_check(struct mariadb_conn *conn, const char *schema, const char *app_user,
                         struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql missing = { 0 };
        CLEANUP(freep) char *me = NULL;

        if (mariadb_text(conn, &me, err,
                         "SELECT CONCAT('`', REPLACE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '`',"
                         " '``'), '`@`', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '`')") < 0 ||
            check_live(conn, schema, me, &missing, err) < 0 ||
            check_copies(conn, app_user != NULL, me, &missing, err) < 0 ||
            check_definers(conn, schema, me, &missing, err) < 0)
                return -1;
        if (missing.failed) {
                *err = missing.why;
                return -1;
        }
        if (missing.n == 0)
                return 0;
        missing.text[missing.n - 2] = '\0';
        return err_fail(err, ERR_DENIED, 0,
                        "'%s' cannot be copied yet; an administrator has to: %s", schema,
                        missing.text);
}

static void split(const char *app_user, char user[static NAME_MAX_BYTES], const char **ret_host)
{
        const char *at = strrchr(app_user, '@');

        (void)snprintf(user, NAME_MAX_BYTES, "%.*s",
                       at == NULL ? (int)strlen(app_user) : (int)(at - app_user), app_user);
        *ret_host = at == NULL || at[1] == '\0' ? "%" : at + 1;
}

static int change(struct mariadb_conn *conn, const char *verb, const char *what,
                  const char *preposition, const char *schema, const char *app_user,
                  struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql sql = { 0 };
        char user[NAME_MAX_BYTES];
        const char *host;

        split(app_user, user, &host);
        mariadb_sql_add(&sql, "%s %s ON ", verb, what);
        add_schema(&sql, schema);
        mariadb_sql_add(&sql, ".* %s %I@%I", preposition, user, host);
        if (mariadb_run_sql(conn, &sql, conn->limit_msec, err) < 0) {
                (void)err_wrap(err, "the rights of '%s'@'%s'", user, host);
                return -1;
        }
        return 0;
}

/* Else a GRANT for a user who is not there would make him, without a password. */
static int make_no_user(struct mariadb_conn *conn, struct err *err)
{
        return conn->is_mariadb ? mariadb_run(conn, err,
                                              "SET SESSION sql_mode=CONCAT(@@sql_mode,"
                                              " ',NO_AUTO_CREATE_USER')")
                                : 0;
}

/* Rights that are not this schema's.  Who may not look into the tables of rights is not told. */
static int check_wider(struct mariadb_conn *conn, const char *schema, const char *app_user,
                       struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql pattern = { 0 };
        char user[NAME_MAX_BYTES];
        uint64_t wider = 0, everywhere = 0;
        struct err ignored;
        const char *host;

        split(app_user, user, &host);
        add_pattern(&pattern, schema);
        if (pattern.failed || pattern.n == 0)
                return 0;
        if (mariadb_number(conn, &wider, &ignored,
                           "SELECT COUNT(*) FROM mysql.db WHERE User = %L AND Host = %L AND %L LIKE"
                           " Db AND Db <> %L AND 'Y' IN (Insert_priv, Update_priv, Delete_priv,"
                           " Drop_priv, Alter_priv)",
                           user, host, schema, pattern.text) < 0)
                wider = 0;
        if (mariadb_number(
                    conn, &everywhere, &ignored,
                    "SELECT COUNT(*) FROM mysql.user WHERE User = %L AND Host = %L AND 'Y' IN"
                    " (Insert_priv, Update_priv, Delete_priv, Drop_priv, Alter_priv)",
                    user, host) < 0)
                everywhere = 0;
        if (wider == 0 && everywhere == 0)
                return 0;
        return err_fail(
                err, ERR_REFUSED, 0,
                "'%s'@'%s' may write to '%s' by a right on %s, so it cannot be kept from it: "
                "give it rights on its own database only",
                user, host, schema, everywhere ? "every database" : "databases of many names");
}

int mariadb_grants_set(struct mariadb_conn *conn, const char *schema, const char *app_user,
                       bool writable, struct err *err)
{
        if (make_no_user(conn, err) < 0)
                return -1;
        if (writable)
                return change(conn, "GRANT", "ALL PRIVILEGES", "TO", schema, app_user, err);
        /* In this order reading is never interrupted, and there is a row to revoke from. */
        if (change(conn, "GRANT", "SELECT, SHOW VIEW", "TO", schema, app_user, err) < 0 ||
            change(conn, "REVOKE", writing, "FROM", schema, app_user, err) < 0)
                return -1;
        return check_wider(conn, schema, app_user, err);
}

int mariadb_grants_forget(struct mariadb_conn *conn, const char *schema, const char *app_user,
                          struct err *err)
{
        if (change(conn, "REVOKE", "ALL PRIVILEGES", "FROM", schema, app_user, err) == 0)
                return 0;
        /* There was none, or the user has gone and took it along. */
        return mysql_errno(conn->mysql) == ER_NONEXISTING_GRANT ||
                               mysql_errno(conn->mysql) == ER_PASSWORD_NO_MATCH
                       ? 0
                       : -1;
}
