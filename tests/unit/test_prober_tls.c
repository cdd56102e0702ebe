/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "common/cleanup.h"
#include "snapd/prober_tls.h"
#include "tests/lib/test.h"

#define MANY 20000 /* more than are remembered */

static struct err err;

static struct tls_peer *peer_of(struct tls *tls, unsigned n)
{
        char key[64];
        struct tls_peer *peer;

        (void)snprintf(key, sizeof(key), "site%u.example:443   1", n);
        peer = tls_peer(tls, key);
        ASSERT(peer != NULL);
        return peer;
}

/* Those of sites that were removed and of addresses that were changed. */
static void many_come_and_go(struct tls *tls, unsigned from)
{
        for (unsigned n = from; n < from + MANY; n++)
                tls_release(peer_of(tls, n));
}

TEST(after_very_many_others_a_peer_is_taken_as_the_first_was)
{
        struct tls *tls;

        ASSERT_OK(tls_open(&tls, &err));
        many_come_and_go(tls, 1);
        *tls_hung(peer_of(tls, 0)) = true;
        ASSERT(*tls_hung(peer_of(tls, 0)));
        tls_close(tls);
}

TEST(one_that_is_in_use_is_not_forgotten_for_others)
{
        struct tls *tls;
        struct tls_peer *used;

        ASSERT_OK(tls_open(&tls, &err));
        used = peer_of(tls, 0);
        *tls_hung(used) = true;
        many_come_and_go(tls, 1);
        ASSERT(peer_of(tls, 0) == used && *tls_hung(used));
        tls_close(tls);
}

TEST(who_is_asked_again_and_again_is_remembered_and_who_is_not_goes)
{
        struct tls *tls;
        struct tls_peer *asked;

        ASSERT_OK(tls_open(&tls, &err));
        for (unsigned n = 0; n < 2; n++) {
                asked = peer_of(tls, n);
                *tls_hung(asked) = true;
                tls_release(asked);
        }
        for (unsigned n = 2; n < MANY; n++) {
                tls_release(peer_of(tls, n));
                if (n % 1000 == 0)
                        tls_release(peer_of(tls, 0));
        }
        ASSERT(*tls_hung(peer_of(tls, 0)));
        ASSERT(!*tls_hung(peer_of(tls, 1)));
        tls_close(tls);
}
