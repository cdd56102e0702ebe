/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbdump/mariadb_keys.h"

static int refuse(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        (void)arg;
        (void)sizes;
        return err_fail(err, ERR_REFUSED, 0,
                        "the foreign key '%s' of the table '%s' leads to '%s.%s', which is not "
                        "copied: rows of a copy would hold rows there",
                        values[0], values[1], values[2], values[3]);
}

int mariadb_keys_check(struct mariadb_conn *conn, const char *schema, const char *prefix,
                       struct err *err)
{
        const char *begin = prefix == NULL ? "" : prefix;

        return mariadb_each(conn, refuse, NULL, err,
                            "SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_SCHEMA,"
                            " REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
                            " WHERE TABLE_SCHEMA = %L AND REFERENCED_TABLE_NAME IS NOT NULL"
                            " AND BINARY LEFT(TABLE_NAME, CHAR_LENGTH(%L)) = BINARY %L"
                            " AND NOT (REFERENCED_TABLE_SCHEMA = %L"
                            " AND BINARY LEFT(REFERENCED_TABLE_NAME, CHAR_LENGTH(%L)) = BINARY %L)",
                            schema, begin, begin, schema, begin, begin);
}
