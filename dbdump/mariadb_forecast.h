/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_FORECAST_H
#define DBDUMP_MARIADB_FORECAST_H

#include "dbdump/mariadb_hold.h"

/* mariadb_forecast(tables, wanted, ret_forecast, err): What a copy of these tables costs, by
 * the way that it goes.  ERR_UNSUPPORTED: not by the one that is wanted. */
int mariadb_forecast(const struct mariadb_tables *tables, enum db_way wanted,
                     struct db_forecast *ret_forecast, struct err *err) MUST_CHECK;

#endif
