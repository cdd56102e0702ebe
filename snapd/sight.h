/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SIGHT_H
#define SNAPD_SIGHT_H

/*
 * What is to be seen at versions/N: which tree with which database, and whether it can be written.
 */

#include <stdbool.h>

#include "fsdrivers/fsdriver.h"

struct view {
        uint64_t version;
        fs_id tree;
        bool read_only;
        bool live;            /* what it takes the place of may come back (served_unlay()) */
        const char *database; /* "" for none */
        int plain_fd;         /* -1; or this directory instead of the tree, without shared
                               * directories: it is being adopted and carries links to them */
};

#endif
