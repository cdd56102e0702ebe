/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_BUNDLE_DIGEST_H
#define SNAPD_BUNDLE_DIGEST_H

/*
 * SHA-256 as reader and writer of bundles need it; only in the module "archive".
 */

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "snapd/bundle.h"

static inline void bundle_digest_donep(EVP_MD_CTX **context)
{
        EVP_MD_CTX_free(*context);
}

/* bundle_digest_begin(context, err): Begin anew; makes the context when it is NULL. */
int bundle_digest_begin(EVP_MD_CTX **context, struct err *err) MUST_CHECK;
int bundle_digest_add(EVP_MD_CTX *context, const void *bytes, size_t n, struct err *err) MUST_CHECK;
int bundle_digest_end(EVP_MD_CTX *context, unsigned char digest[static BUNDLE_DIGEST_BYTES],
                      struct err *err) MUST_CHECK;

/* bundle_digest_xattr(name, value, n, xattrs, err): One more attribute of a member. */
int bundle_digest_xattr(const char *name, const void *value, size_t n,
                        unsigned char xattrs[static BUNDLE_DIGEST_BYTES],
                        struct err *err) MUST_CHECK;

#endif
