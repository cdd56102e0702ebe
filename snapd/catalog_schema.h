/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_CATALOG_SCHEMA_H
#define SNAPD_CATALOG_SCHEMA_H

/*
 * The tables of state.db and how an older file becomes a newer one.
 *
 * `PRAGMA user_version` is the number of scripts that have run.  A script is never edited once it
 * was released; a change is a new script at the end.
 */

#include <sqlite3.h>

#include "common/error.h"

/* catalog_schema_update(db, err): The file has the tables of this build; one transaction.
 * ERR_UNSUPPORTED: it was written by a newer sitesnap.  ERR_CORRUPT: it is not ours. */
int catalog_schema_update(sqlite3 *db, struct err *err) MUST_CHECK;

#endif
