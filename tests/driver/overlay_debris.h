/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DRIVER_OVERLAY_DEBRIS_H
#define TESTS_DRIVER_OVERLAY_DEBRIS_H

#include "tests/driver/fs_conformance.h"

/* overlay_plant(), overlay_expect_clean(): See struct fs_case. */
void overlay_plant(struct world *world);
void overlay_expect_clean(struct world *world);

#endif
