/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_MODULE_H
#define SNAPD_MODULE_H

/*
 * Parts of the program that only some of its processes need, loaded by those.
 *
 * libcurl, libmariadb and libpq bring fifty libraries, and to load them cost each process 6 to
 * 10 ms, an activation as much as a status; libmicrohttpd with GnuTLS, which only the daemon needs,
 * another 2 to 4 ms; libsystemd, for its event loop, 1 ms.  A module lies beside the program (in
 * the directory of the file that runs), is of the same version or is refused, and stays loaded.
 */

#include "common/error.h"

/* What every module exports. */
#define MODULE_VERSION_SYMBOL "sitesnap_module_version"

/* module_find(module, symbol, ret_symbol, err): Load "snapd-MODULE.so" and look the symbol up.
 * ERR_UNSUPPORTED: this build has no such module; ERR_REFUSED: it is of another version, since a
 * package was upgraded and snapd not restarted. */
int module_find(const char *module, const char *symbol, void **ret_symbol,
                struct err *err) MUST_CHECK;

#endif
