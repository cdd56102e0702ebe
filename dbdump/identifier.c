/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "dbdump/identifier.h"

/* SQLite has no limit of its own but that of a statement. */
const struct identifier_dialect identifier_sqlite = { "sqlite", '"', 0 };

/* 64 characters, of up to 3 bytes in its utf8mb3 dictionary; ANSI_QUOTES or not, backticks are
 * always a name. */
const struct identifier_dialect identifier_mariadb = { "mariadb", '`', 192 };

/* NAMEDATALEN - 1; a longer name would be cut in silence and mean another thing. */
const struct identifier_dialect identifier_postgres = { "postgres", '"', 63 };

int identifier_quote(const struct identifier_dialect *dialect, const char *name, char *out,
                     size_t size, struct err *err)
{
        size_t n = strlen(name), at = 0;

        if (n == 0)
                return err_fail(err, ERR_INVALID, 0, "an empty name is no identifier");
        if (dialect->max_bytes != 0 && n > dialect->max_bytes)
                return err_fail(err, ERR_INVALID, 0,
                                "the identifier '%.80s...' is longer than %s "
                                "allows (%zu bytes)",
                                name, dialect->name, dialect->max_bytes);
        /* The worst case is every byte doubled, two quotes and the NUL. */
        if (size < 3 || n > (size - 3) / 2)
                return err_fail(err, ERR_INVALID, 0, "the identifier '%.80s...' is too long", name);
        out[at++] = dialect->quote;
        for (; *name != '\0'; name++) {
                if (*name == dialect->quote)
                        out[at++] = dialect->quote;
                out[at++] = *name;
        }
        out[at++] = dialect->quote;
        out[at] = '\0';
        return 0;
}
