/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "dbdump/mariadb_forecast.h"

/* Measured with MariaDB 10.11 on two processors: rows and their indexes together, and what a table
 * costs that has none.  A lock and the views took 5 ms, and a little for each table. */
#define BYTES_PER_MSEC      (80 << 10)
#define DUMP_BYTES_PER_MSEC (40 << 10) /* through one connection, with the indexes in place */
#define TABLE_MSEC          15
#define STALL_MSEC          5
#define TABLES_PER_MSEC     20
#define EMPTY_TABLE_BYTES   (96 << 10)

int mariadb_forecast(const struct mariadb_tables *tables, enum db_way wanted,
                     struct db_forecast *ret_forecast, struct err *err)
{
        struct db_forecast forecast = { .way = DB_WAY_SNAPSHOT };
        const char *in_hold = NULL;

        (void)err;
        if (wanted == DB_WAY_DUMP)
                forecast.way = DB_WAY_DUMP;
        for (size_t i = 0; i < tables->n; i++) {
                const struct mariadb_table *table = &tables->all[i];

                forecast.disk_bytes += table->bytes + EMPTY_TABLE_BYTES;
                if (!table->in_view && in_hold == NULL)
                        in_hold = table->name;
        }
        forecast.copy_msec = forecast.disk_bytes / (wanted == DB_WAY_DUMP ? DUMP_BYTES_PER_MSEC
                                                                          : BYTES_PER_MSEC) +
                             tables->n * TABLE_MSEC;
        forecast.stall_msec =
                in_hold != NULL ? forecast.copy_msec : STALL_MSEC + tables->n / TABLES_PER_MSEC;
        if (in_hold != NULL)
                (void)snprintf(
                        forecast.why, sizeof(forecast.why),
                        "'%.40s' has an engine without consistent views, so writers wait for "
                        "the whole copy: ALTER TABLE ... ENGINE=InnoDB",
                        in_hold);
        else
                (void)snprintf(
                        forecast.why, sizeof(forecast.why), "%s",
                        wanted == DB_WAY_DUMP
                                ? "as the configuration says; 'snapshot' is quicker"
                                : "rows are streamed from views that are opened in the hold");
        *ret_forecast = forecast;
        return 0;
}
