/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_PLACES_H
#define TESTS_LIB_PLACES_H

#include "snapd/dirs.h"

/* places_begin(dirs): The directories of a daemon, below test_tmpdir() and open, with an empty
 * sites.d; the socket's path leads nowhere.  The test is skipped for who is not root. */
void places_begin(struct dirs *dirs);

#endif
