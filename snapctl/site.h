/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_SITE_H
#define SNAPCTL_SITE_H

/*
 * Sites as the API lists them.
 */

#include "snapctl/ctl.h"

extern const struct table site_table;

#endif
