/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BALLAST_H
#define SNAPD_BALLAST_H

/*
 * Ballast: room that only going back may use.
 *
 * On a full disk a rollback is not possible by default: neither the journal's commit nor a new
 * symlink finds room (measured on btrfs, data and metadata apart).  So a few MiB of data and a few
 * hundred small files lie below `.ballast` in the state directory and in each site's home, and are
 * removed when a step that must not fail meets a full disk.  They are laid again when there is
 * room.
 */

#include <stdbool.h>

#include "common/error.h"

/* ballast_lay(dir_fd, err): Make the ballast in ${dir_fd} when it is missing and there is plenty
 * of room (five times its size); little room is no error. */
int ballast_lay(int dir_fd, struct err *err) MUST_CHECK;

/* ballast_drop(dir_fd): Remove it, durably; true when there was any. */
bool ballast_drop(int dir_fd);

#endif
