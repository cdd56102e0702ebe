/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_WEBCONF_H
#define SNAPD_WEBCONF_H

/*
 * The lines a web server needs so that a request sees one version from its begin to its end.
 *
 * HOME/current is a symlink that is flipped while requests run.  A server that hands PHP the path
 * through the symlink lets PHP resolve it again and again: within one request two versions mix,
 * and PHP's realpath cache serves the old one for minutes.  A server that resolves the symlink once
 * a request and hands on the result pins the request to a version.
 */

#include "common/error.h"
#include "snapd/site.h"

/* webconf_print(site, server, ret_text, err): The lines for "nginx" (to stand in a server block)
 * or "apache" (in a VirtualHost) with the reason of each as a comment.  The caller frees them.
 * ERR_INVALID: another server; ERR_UNSUPPORTED: the site's path has characters that would mean
 * something in such a file. */
int webconf_print(const struct site *site, const char *server, char **ret_text,
                  struct err *err) MUST_CHECK;

#endif
