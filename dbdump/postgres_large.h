/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_LARGE_H
#define DBDUMP_POSTGRES_LARGE_H

/*
 * Large objects of a database: they lie in no schema, and have the same numbers in the copy, as
 * columns hold these.  They go through us in pieces.
 */

#include "dbdump/postgres_view.h"

/* postgres_large_copy(view, to, err): All that the view sees, into the database that ${to} is
 * connected to, with owners, rights and comments; view->large is how many. */
int postgres_large_copy(struct postgres_view *view, struct postgres_link *to,
                        struct err *err) MUST_CHECK;

/* postgres_large_verify(view, link, err): ERR_CORRUPT: the database has more, or fewer. */
int postgres_large_verify(const struct postgres_view *view, struct postgres_link *link,
                          struct err *err) MUST_CHECK;

#endif
