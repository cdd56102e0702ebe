/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/driver/fs_conformance.h"
#include "tests/driver/overlay_debris.h"

const struct fs_case fs_case = {
        .driver = &fs_driver_overlayfs,
        .fs_type = "xfs",
        .mbytes = 320,
        .plant = overlay_plant,
        .expect_clean = overlay_expect_clean,
};
