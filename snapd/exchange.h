/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_EXCHANGE_H
#define SNAPD_EXCHANGE_H

/*
 * Taking a directory over while it is in use.
 *
 * A *place* is a name in a directory that is held open.  exchange_out() moves a directory to a
 * place of ours and leaves a symbolic link to it (or to something else) where it was, in one
 * rename: at no moment is the name without content, and open files go on.  exchange_in() is the
 * way back.  Both ask what is there first, so that they can be repeated.
 */

#include <stdbool.h>

#include "common/error.h"

struct place {
        int dir_fd;
        const char *name;
};

/* exchange_open(path, ret_dir_fd, ret_name, err): The place of an absolute path; no component may
 * be a symbolic link, the last one is not looked at.  The caller closes ${ret_dir_fd};
 * ${ret_name} points into ${path}. */
int exchange_open(const char *path, int *ret_dir_fd, const char **ret_name,
                  struct err *err) MUST_CHECK;

/* exchange_out(from, to, link, err): The directory at ${from} goes to ${to}, where nothing or an
 * empty directory was, and ${from} becomes a symbolic link to ${link}; durably.
 * ERR_NOT_FOUND: there is no directory at ${from}; ERR_REFUSED: the two are on different file
 * systems or subvolumes. */
int exchange_out(struct place from, struct place to, const char *link, struct err *err) MUST_CHECK;

/* exchange_in(from, to, link, back, err): The directory at ${to} goes back to ${from}, where there
 * is our symbolic link to ${link} or nothing; durably.  When ${from} is a directory already and
 * ${to} is none, it has happened before.  ${back} is the absolute path of ${from} when ${link}
 * leads to ${to}, so that who is on his way through the link arrives too; else NULL. */
int exchange_in(struct place from, struct place to, const char *link, const char *back,
                struct err *err) MUST_CHECK;

/* exchange_is_stub(place): With NULL for ${link} an empty directory, root's and 0555, takes the
 * name instead of a link: a docroot that cannot be a link is a mount point.  Is it that one? */
bool exchange_is_stub(struct place place);

/* exchange_is_link(place, link): Is there a symbolic link to exactly ${link}? */
bool exchange_is_link(struct place place, const char *link);

#endif
