/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_URL_H
#define COMMON_URL_H

/*
 * The form of an address in a configuration file, and of what is put into one.
 *
 * What connects reads it again with libcurl; every process reads configuration files, and most of
 * them shall not load libcurl's forty libraries for it.
 */

#include <stdbool.h>

#include "common/error.h"

/* url_is_printable(text): Printable ASCII without a blank, as an address has to be? */
bool url_is_printable(const char *text);

/* url_escape(text): What it takes to stand for ${text} in the query of an address (RFC 3986, 2.1);
 * the caller's.  NULL: no memory. */
char *url_escape(const char *text) MUST_CHECK;

/* url_check(text, schemes, ret_scheme, err): Is it SCHEME://HOST[:PORT][/...] in printable ASCII,
 * its scheme one of ${schemes} (ends with NULL), without a user or a password, which would be in
 * logs?  ERR_INVALID.  ${ret_scheme} may be NULL, else it points into ${schemes}. */
int url_check(const char *text, const char *const *schemes, const char **ret_scheme,
              struct err *err) MUST_CHECK;

#endif
