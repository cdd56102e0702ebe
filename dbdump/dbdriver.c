/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbdump/dbdriver.h"

const struct db_driver *db_driver_by_name(const struct db_driver *const *table, const char *name)
{
        for (; *table != NULL; table++)
                if (strcmp((*table)->name, name) == 0)
                        return *table;
        return NULL;
}

void db_copy_name(const char *base, uint64_t serial, char name[static DB_NAME_MAX])
{
        int n = snprintf(name, DB_NAME_MAX, "snap%" PRIu64 "_", serial);

        for (; *base != '\0' && n < DB_NAME_MAX - 1; base++) {
                char c = *base;

                if (c >= 'A' && c <= 'Z')
                        c = (char)(c - 'A' + 'a');
                name[n++] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
        }
        name[n] = '\0';
}

bool db_is_copy_name(const char *name)
{
        size_t digits, n = strlen(name);

        if (strncmp(name, "snap", 4) != 0 || n >= DB_NAME_MAX)
                return false;
        digits = strspn(name + 4, "0123456789");
        return digits > 0 && name[4] != '0' && name[4 + digits] == '_' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

int db_drop(const struct db_driver *driver, struct db *db, const char *name, struct err *err)
{
        if (!db_is_copy_name(name))
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is not a copy of ours and is not dropped", name);
        return driver->drop(db, name, err);
}
