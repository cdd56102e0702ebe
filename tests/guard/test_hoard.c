/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <unistd.h>

#include "snapd/prober_hoard.h"
#include "tests/lib/test.h"

#define MANY 2000

static struct hoard hoard;
static struct body bodies[MANY], page;
static char data[65536];

static void done(void)
{
        for (size_t i = 0; i < MANY; i++)
                hoard_remove(&hoard, &bodies[i]);
        hoard_remove(&hoard, &page);
        ASSERT_EQ(hoard.bytes, 0);
        ASSERT(hoard.first == NULL && hoard.last == NULL);
}

static void all_send(size_t n)
{
        for (size_t i = 0; i < MANY; i++) {
                (void)hoard_add(&hoard, &bodies[i], data, n);
                ASSERT(hoard.bytes <= HOARD_MAX);
        }
}

static size_t dropped(void)
{
        size_t n = 0;

        for (size_t i = 0; i < MANY; i++)
                n += bodies[i].dropped;
        return n;
}

/* All at once, a piece of each in turns, and then nothing. */
TEST(what_is_sent_and_not_ended_is_bounded_and_a_page_beside_it_is_whole)
{
        for (unsigned i = 0; i < 15; i++)
                all_send(4096);
        ASSERT(dropped() >= MANY - HOARD_MAX / (15 * 4096) - 1);
        for (unsigned i = 0; i < 12; i++)
                ASSERT(hoard_add(&hoard, &page, data, 4096));
        ASSERT_EQ(page.n, 12 * 4096);
        ASSERT(page.data[page.n] == '\0' && hoard.bytes <= HOARD_MAX);
        done();
}

TEST(the_oldest_makes_way_when_it_takes_long)
{
        const size_t fit = HOARD_MAX / 60000;

        for (size_t i = 0; i < fit; i++)
                ASSERT(hoard_add(&hoard, &bodies[i], data, 60000));
        /* Nobody is larger, and all of them are young. */
        ASSERT(!hoard_add(&hoard, &page, data, 65536));
        ASSERT(page.dropped && dropped() == 0);
        (void)usleep(2100000);
        page = (struct body){ 0 };
        ASSERT(hoard_add(&hoard, &page, data, 65536));
        ASSERT(bodies[0].dropped && !bodies[fit - 1].dropped);
        ASSERT(!hoard_add(&hoard, &bodies[0], data, 1));
        done();
}
