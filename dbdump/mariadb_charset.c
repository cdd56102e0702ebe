/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "dbdump/mariadb_charset.h"

/* In these a text has the same bytes. */
static const char *const same_bytes[] = { "utf8mb4", "utf8mb3", "utf8", "binary" };

static bool is_same(const char *text, size_t n, const char *charset)
{
        for (size_t i = 0; i < sizeof(same_bytes) / sizeof(same_bytes[0]); i++)
                if (strcmp(same_bytes[i], charset) == 0)
                        return true;
        for (size_t i = 0; i < n; i++)
                if ((text[i] & 0x80) != 0)
                        return false;
        return true;
}

/* Its bytes, and whether they say the same; NULL: they do not. */
static int take_bytes(void *arg, char **values, const unsigned long *sizes, struct err *err)
{
        struct mariadb_sql *sql = arg;

        (void)err;
        mariadb_sql_reset(sql);
        if (values[0] != NULL)
                mariadb_sql_bytes(sql, values[0], sizes[0]);
        return 0;
}

int mariadb_charset_encode(struct mariadb_conn *conn, struct mariadb_sql *sql, const char *charset,
                           struct err *err)
{
        if (sql->failed || is_same(sql->text, sql->n, charset))
                return 0;
        if (mariadb_each(conn, take_bytes, sql, err,
                         "SELECT IF(CAST(CONVERT(there USING utf8mb4) AS BINARY) = CAST(given AS "
                         "BINARY), CAST(there AS BINARY), NULL) FROM (SELECT given, CONVERT(given "
                         "USING %s) AS there FROM (SELECT %L AS given) AS one) AS both_of_them",
                         charset, sql->text) < 0)
                return -1;
        return sql->n > 0 ? 0
                          : err_fail(err, ERR_UNSUPPORTED, 0,
                                     "it was written in the character set '%s' and has characters "
                                     "that are not in that",
                                     charset);
}

int mariadb_charset_decode(struct mariadb_conn *conn, const char *text, const char *charset,
                           char **ret_text, struct err *err)
{
        CLEANUP(mariadb_sql_done) struct mariadb_sql hex = { 0 };

        if (is_same(text, strlen(text), charset)) {
                *ret_text = strdup(text);
                return *ret_text == NULL ? err_oom(err) : 0;
        }
        for (const char *at = text; *at != '\0'; at++) {
                static const char digits[] = "0123456789ABCDEF";
                unsigned char c = (unsigned char)*at;

                mariadb_sql_bytes(&hex, (char[]){ digits[c >> 4], digits[c & 15] }, 2);
        }
        return mariadb_text(conn, ret_text, err,
                            "SELECT CONVERT(CONVERT(x'%s' USING %s) USING utf8mb4)",
                            hex.failed ? "" : hex.text, charset);
}
