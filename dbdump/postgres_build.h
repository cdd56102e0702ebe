/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_BUILD_H
#define DBDUMP_POSTGRES_BUILD_H

/*
 * Making the objects of a copy, each with the rights of its owner (postgres_tenant.h).
 */

#include "dbdump/postgres_objects.h"

struct postgres_place {
        struct postgres_link *link;       /* to the database of the copy */
        char work[POSTGRES_NAME_MAX];     /* the schema for helpers, quoted */
        char path[2 * POSTGRES_NAME_MAX]; /* what bare names mean there */
};

/* postgres_build_phase(place, objects, phase, last, err): Make those of ${phase}, and what earlier
 * phases left.  What names something that is not there yet is left for a later one, unless this is
 * the last; then the first is named. */
int postgres_build_phase(const struct postgres_place *place, struct postgres_objects *objects,
                         enum postgres_phase phase, bool last, struct err *err) MUST_CHECK;

/* postgres_build_table_sql(link, place, objects, table, worker, ret_sql, err): The transaction that
 * makes the keys and indexes of ${table}; NULL when it has none. */
int postgres_build_table_sql(struct postgres_link *link, const struct postgres_place *place,
                             const struct postgres_objects *objects, uint32_t table,
                             unsigned worker, char **ret_sql, struct err *err) MUST_CHECK;

#endif
