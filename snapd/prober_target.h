/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_TARGET_H
#define SNAPD_PROBER_TARGET_H

/*
 * Where a URL is asked for: at the host it names, or straight at an address.  Private to
 * snapd/prober_*.c.
 *
 * By http an address takes the place of the URL's host and the host goes into a header, so that
 * connections are shared by all sites behind that address; by https the certificate is the
 * host's, so libcurl is told to connect elsewhere.
 */

#include <stdbool.h>

#include "snapd/prober_fetch.h"

struct fetch_target {
        char *given;       /* the URL as configured */
        char *url;         /* what libcurl gets */
        char *host_header; /* or NULL, as are the next two */
        char *connect_to;
        char *unix_path;
        char *host; /* to be looked up, without brackets */
        unsigned port;
        char *name; /* the site's */
        bool https;
};

#endif
