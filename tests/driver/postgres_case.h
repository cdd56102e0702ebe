/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_POSTGRES_CASE_H
#define TESTS_DRIVER_POSTGRES_CASE_H

/*
 * What the tests of faults of PostgreSQL share: a database "shop" of the tenant's with a schema
 * "shop", in it the tables "people" and "more" of 20,000 rows.
 */

#include "dbdump/dbdriver.h"

#define COPY "snap12_shop"

extern struct db_conf postgres_conf; /* of the connection that begin gives */

/* postgres_case_begin(user, database, way): A fresh one; NULL: databases. */
struct db *postgres_case_begin(const char *user, const char *database, enum db_way way);

/* postgres_case_is_left(): Nothing is left of a copy, and nobody is held. */
void postgres_case_is_left(void);

/* postgres_case_end(db): The same, and then a copy is made as if nothing had been; closes. */
void postgres_case_end(struct db *db);

#endif
