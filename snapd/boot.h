/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BOOT_H
#define SNAPD_BOOT_H

#include "snapd/catalog.h"
#include "snapd/dirs.h"

/* boot_settle(dirs, catalog, err): Bring every site to where it serves what the catalog says.  A
 * site that cannot be is logged and does not stop the others; fails only when the catalog cannot
 * be read. */
int boot_settle(const struct dirs *dirs, struct catalog *catalog, struct err *err) MUST_CHECK;

#endif
