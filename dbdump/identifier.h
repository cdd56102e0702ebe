/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_IDENTIFIER_H
#define DBDUMP_IDENTIFIER_H

/*
 * Names of schemas and tables in SQL text.  They come from strangers' databases, so none gets
 * into a statement but through identifier_quote().
 */

#include <stddef.h>

#include "common/error.h"

/* How an engine writes a name that may hold anything. */
struct identifier_dialect {
        const char *name;
        char quote;       /* doubled inside the name */
        size_t max_bytes; /* longer names do not exist there; 0: no limit */
};

extern const struct identifier_dialect identifier_sqlite;
extern const struct identifier_dialect identifier_mariadb;
extern const struct identifier_dialect identifier_postgres;

/* identifier_quote(dialect, name, out, size, err): Write ${name} in its quotes to ${out}.
 * ERR_INVALID: it is empty, longer than the engine allows, or does not fit in ${size} bytes. */
int identifier_quote(const struct identifier_dialect *dialect, const char *name, char *out,
                     size_t size, struct err *err) MUST_CHECK;

#endif
