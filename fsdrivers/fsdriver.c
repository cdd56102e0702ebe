/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "fsdrivers/fsdriver.h"

const struct fs_driver *fs_driver_by_name(const struct fs_driver *const *table, const char *name)
{
        for (; *table != NULL; table++)
                if (strcmp((*table)->name, name) == 0)
                        return *table;
        return NULL;
}

int fs_driver_choose(const struct fs_driver *const *table, int dir_fd,
                     const struct fs_driver **ret_driver, struct err *err)
{
        if (*table == NULL)
                return err_fail(err, ERR_UNSUPPORTED, 0, "this build has no file-system driver");
        for (; *table != NULL; table++)
                if ((*table)->probe(dir_fd, err) == 0) {
                        *ret_driver = *table;
                        return 0;
                }
        return -1;
}
