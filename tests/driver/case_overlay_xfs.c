/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/driver/fs_conformance.h"

const struct fs_case fs_case = {
        .driver = &fs_driver_overlayfs,
        .fs_type = "xfs",
        .mbytes = 320,
};
