/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/crypto.h>
#include <string.h>

#include "snapd/bundle_digest.h"

int bundle_digest_begin(EVP_MD_CTX **context, struct err *err)
{
        /* Its settings are files that a sandbox may not open. */
        if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
                return err_fail(err, ERR_IO, 0, "libcrypto cannot be used");
        if (*context == NULL)
                *context = EVP_MD_CTX_new();
        if (*context == NULL || EVP_DigestInit_ex(*context, EVP_sha256(), NULL) != 1)
                return err_fail(err, ERR_IO, 0, "libcrypto has no SHA-256");
        return 0;
}

int bundle_digest_add(EVP_MD_CTX *context, const void *bytes, size_t n, struct err *err)
{
        if (EVP_DigestUpdate(context, bytes, n) != 1)
                return err_fail(err, ERR_IO, 0, "libcrypto has failed");
        return 0;
}

int bundle_digest_end(EVP_MD_CTX *context, unsigned char digest[static BUNDLE_DIGEST_BYTES],
                      struct err *err)
{
        if (EVP_DigestFinal_ex(context, digest, NULL) != 1)
                return err_fail(err, ERR_IO, 0, "libcrypto has failed");
        return 0;
}

/* They come back from an archive in another order, so the order is left out. */
int bundle_digest_xattr(const char *name, const void *value, size_t n,
                        unsigned char xattrs[static BUNDLE_DIGEST_BYTES], struct err *err)
{
        CLEANUP(bundle_digest_donep) EVP_MD_CTX *context = NULL;
        unsigned char one[BUNDLE_DIGEST_BYTES];

        if (bundle_digest_begin(&context, err) < 0 ||
            bundle_digest_add(context, name, strlen(name) + 1, err) < 0 ||
            bundle_digest_add(context, value, n, err) < 0 ||
            bundle_digest_end(context, one, err) < 0)
                return -1;
        for (size_t i = 0; i < sizeof(one); i++)
                xattrs[i] ^= one[i];
        return 0;
}
