/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_SWITCHER_H
#define SNAPD_SWITCHER_H

/*
 * Which version is served.
 *
 *   symlink   HOME/current -> versions/N, by symlink + rename + fsync of HOME.  A request stays in
 *             the version it began in; measured: 0 failed, 0 torn, 0 stale of thousands under load,
 *             when the web server passes the resolved path ($realpath_root).
 *   mount     for a docroot that cannot be a symlink: the version is mounted there too, beneath
 *             what is there, which is then taken off.  Long requests can see two versions, opcache
 *             can serve old code: the second choice.
 */

#include "snapd/env.h"

/* switcher_mounts(site): Does the site's docroot have to be a mount point? */
bool switcher_mounts(const struct site *site);

/* switcher_flip(env, version, err): After it, new requests are served by ${version}, durably; 0:
 * by nothing.  Repeatable. */
int switcher_flip(struct step_env *env, uint64_t version, struct err *err) MUST_CHECK;

#endif
