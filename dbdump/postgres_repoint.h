/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_POSTGRES_REPOINT_H
#define DBDUMP_POSTGRES_REPOINT_H

/*
 * Bodies of functions are text to the server, so a schema's name in them is found as text.
 *
 * "shop.orders" becomes "snap7_shop.orders" wherever it stands, in a string too (dynamic SQL,
 * nextval('shop.ids')), and so does the name in a function's own SET search_path.  What still says
 * the name afterwards could mean the live schema in a way that cannot be told, and is refused.
 */

#include "common/error.h"

/* postgres_repoint(text, from, to, what, ret_text, err): The caller frees.  ERR_UNSUPPORTED:
 * ${what} names ${from} in a way that cannot be re-pointed. */
int postgres_repoint(const char *text, const char *from, const char *to, const char *what,
                     char **ret_text, struct err *err) MUST_CHECK;

#endif
