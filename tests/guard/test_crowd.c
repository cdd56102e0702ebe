/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Played sites: who asks for which page and what fails, by the crowd to the guard.  Each is played
 * again without the crowd, which shows what the crowd changes.
 */
#include "common/clock.h"
#include "snapd/guard.h"
#include "snapd/prober_crowd.h"
#include "tests/lib/test.h"

#define BEFORE_SEC 600
#define AFTER_SEC  300
#define RATE       40
#define PAGES      20
#define SEC        ((int64_t)USEC_PER_SEC)

static struct err err;

static const struct guard_policy policy = {
        .probation_usec = 2 * AFTER_SEC * SEC,
        .interval_usec = SEC,
        .min_samples = 100,
        .confirm = 3,
        .error_rate = 0.01,
        .error_factor = 3,
        .latency_factor = 3,
        .latency_floor_msec = 250,
};
static const struct guard_probe visitors = { "visitors", GUARD_VISITORS, true };

/* What fails after the upgrade: of what all visitors ask for, and of what one asks for more. */
enum fails { NOTHING, ONE_PAGE, EVERYTHING };
enum asks {
        NOT,
        ONE_URL,   /* that fails in every version */
        MANY_URLS, /* and has something else behind the '?' each time */
        MANY_PATHS,
        A_PAGE, /* that is well for others, with what makes it fail */
};

struct play {
        const char *name;
        unsigned networks, pages; /* 0: as many as PAGES, each asked for as often */
        enum fails fails;
        enum asks asks;
        unsigned rate; /* of who asks more; and how many networks he has */
        unsigned attacker_networks;
        bool behind_proxy; /* all of them have one address */
        bool seldom;       /* all errors are as seldom as one in a thousand, before and after */
        bool wanted;       /* is it to be taken back? */
        bool raw;          /* and would it be without the crowd? */
};

static uint64_t state;

static unsigned any_of(unsigned n)
{
        uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return (unsigned)((z ^ z >> 31) % n);
}

static void address_write(const struct play *play, unsigned network, struct line *line)
{
        (void)snprintf(line->address, sizeof(line->address), "10.%u.%u.7",
                       play->behind_proxy ? 0 : network / 256,
                       play->behind_proxy ? 0 : network % 256);
}

/* Half of them ask for few pages and the rest for any, as it is where there are many. */
static unsigned page_of(const struct play *play)
{
        unsigned pages = play->pages == 0 ? PAGES : play->pages;

        return pages > PAGES && any_of(2) == 0 ? any_of(PAGES) : any_of(pages);
}

static bool visitor_asks(const struct play *play, bool after, struct line *line)
{
        unsigned page = page_of(play);

        *line = (struct line){ .method = "GET", .path = "/index.php" };
        address_write(play, any_of(play->networks), line);
        (void)snprintf(line->query, sizeof(line->query), "page=%u", page);
        if (play->seldom && any_of(1000) == 0)
                return false;
        return !after || play->fails == NOTHING || (play->fails == ONE_PAGE && page != 7);
}

static void attacker_asks(const struct play *play, struct line *line)
{
        *line = (struct line){ .method = "GET", .path = "/broken.php" };
        address_write(play,
                      5000 + any_of(play->attacker_networks == 0 ? 1 : play->attacker_networks),
                      line);
        if (play->asks == MANY_URLS)
                (void)snprintf(line->query, sizeof(line->query), "x=%u", any_of(1000000));
        if (play->asks == MANY_PATHS)
                (void)snprintf(line->path, sizeof(line->path), "/x/%u", any_of(1000000));
        if (play->asks == A_PAGE) {
                (void)snprintf(line->path, sizeof(line->path), "/index.php");
                (void)snprintf(line->query, sizeof(line->query), "page=3");
        }
}

static void answer(struct crowd *crowd, const struct line *line, bool good, struct sample *sample)
{
        if (good)
                crowd_well(crowd, line);
        sample->good += good;
        sample->bad += !good;
        if (!good && !crowd_fails(crowd, line))
                sample->lone++;
}

static struct sample second(const struct play *play, struct crowd *crowd, bool after, int64_t sec)
{
        struct sample sample = { .from_usec = sec * SEC, .to_usec = (sec + 1) * SEC };
        struct line line;

        for (unsigned i = 0; i < RATE; i++) {
                bool good = visitor_asks(play, after, &line);

                answer(crowd, &line, good, &sample);
        }
        for (unsigned i = 0; after && i < play->rate; i++) {
                attacker_asks(play, &line);
                answer(crowd, &line, false, &sample);
        }
        crowd_interval(crowd);
        return sample;
}

/* After how many seconds there is a breach, 0: none. */
static unsigned played(const struct play *play, bool with_crowd)
{
        struct guard_baseline baseline = { 0 };
        struct guard_decision decision;
        struct crowd *crowd;
        struct guard *guard;
        unsigned found = 0;

        state = 20261121;
        ASSERT_OK(crowd_open(&crowd, &err));
        for (unsigned t = 0; t < BEFORE_SEC; t++) {
                struct sample sample = second(play, crowd, false, t);

                guard_baseline_add(&baseline, &sample);
        }
        ASSERT_OK(guard_open(&policy, &visitors, 1, &baseline, BEFORE_SEC * SEC, 0, &guard, &err));
        for (unsigned t = BEFORE_SEC; t < BEFORE_SEC + AFTER_SEC && found == 0; t++) {
                struct sample sample = second(play, crowd, true, t);

                if (!with_crowd)
                        sample.lone = 0;
                guard_feed(guard, 0, &sample);
                guard_judge(guard, (t + 1) * SEC, &(struct guard_neighbours){ 0 }, &decision);
                if (decision.verdict == GUARD_BREACH)
                        found = t + 1 - BEFORE_SEC;
        }
        guard_close(guard);
        crowd_close(crowd);
        return found;
}

static const struct play plays[] = {
        { "a good one", 200, .raw = false },
        { "one in a thousand", 200, .seldom = true, .raw = false },
        { "one URL, 2 a second", 200, .asks = ONE_URL, .rate = 2, .raw = true },
        { "one URL, a flood", 200, .asks = ONE_URL, .rate = 200, .raw = true },
        { "many URLs, a flood", 200, .asks = MANY_URLS, .rate = 200, .raw = true },
        { "many paths, a flood", 200, .asks = MANY_PATHS, .rate = 200, .raw = true },
        { "a page, a flood", 200, .asks = A_PAGE, .rate = 12, .raw = true },
        { "three networks, a flood", 200, .asks = MANY_PATHS, .rate = 200, .attacker_networks = 3,
          .raw = true },
        { "100 networks, one URL", 200, .asks = ONE_URL, .rate = 200, .attacker_networks = 100,
          .raw = true },
        { "and behind a proxy: one URL", 200, .asks = ONE_URL, .rate = 200, .behind_proxy = true,
          .raw = true },
        { "many URLs", 200, .asks = MANY_URLS, .rate = 200, .behind_proxy = true, .raw = true },
        { "many paths", 200, .asks = MANY_PATHS, .rate = 200, .behind_proxy = true, .raw = true },
        { "few visitors, one URL", 2, .asks = ONE_URL, .rate = 2, .raw = true },

        { "broken: all", 200, .fails = EVERYTHING, .wanted = true, .raw = true },
        { "one page in twenty", 200, .fails = ONE_PAGE, .wanted = true, .raw = true },
        { "one page, 8 networks", 8, .fails = ONE_PAGE, .wanted = true, .raw = true },
        { "one page, 4 networks", 4, .fails = ONE_PAGE, .wanted = true, .raw = true },
        { "one page, 3 networks", 3, .fails = ONE_PAGE, .wanted = true, .raw = true },
        { "one page, 2 networks", 2, .fails = ONE_PAGE, .wanted = true, .raw = true },
        { "one page, 1 network", 1, .fails = ONE_PAGE, .wanted = true, .raw = true },
        { "one page behind a proxy", 200, .fails = ONE_PAGE, .behind_proxy = true, .wanted = true,
          .raw = true },
        { "all behind a proxy", 200, .fails = EVERYTHING, .behind_proxy = true, .wanted = true,
          .raw = true },
        { "all, 100,000 pages", 200, 100000, .fails = EVERYTHING, .wanted = true, .raw = true },
        { "the same behind a proxy", 200, 100000, .fails = EVERYTHING, .behind_proxy = true,
          .wanted = true, .raw = true },
        { "all, and a flood hides nothing", 200, .fails = EVERYTHING, .asks = MANY_PATHS,
          .rate = 200, .wanted = true, .raw = true },
};

TEST(one_visitor_cannot_ask_a_version_down_and_what_is_broken_is_found_as_soon)
{
        printf("# seconds at %u answers each until it is taken back; without the crowd\n", RATE);
        for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
                unsigned found = played(&plays[i], true), raw = played(&plays[i], false);

                printf("# %-32s %3u  %3u\n", plays[i].name, found, raw);
                if ((found > 0) != plays[i].wanted || (raw > 0) != plays[i].raw)
                        test_fail(__FILE__, __LINE__, "'%s': after %u s, without the crowd %u",
                                  plays[i].name, found, raw);
                if (plays[i].wanted && found > raw + raw / 4 + 2)
                        test_fail(__FILE__, __LINE__, "'%s' takes %u s, not %u", plays[i].name,
                                  found, raw);
        }
}

static bool fails_at(struct crowd *crowd, const char *address, const char *path)
{
        struct line line = { .method = "GET" };

        (void)snprintf(line.address, sizeof(line.address), "%s", address);
        (void)snprintf(line.path, sizeof(line.path), "%s", path);
        return crowd_fails(crowd, &line);
}

/* How many of 100 failures count. */
static unsigned counted(struct crowd *crowd, const char *first, const char *last, bool many_paths)
{
        unsigned n = 0;

        for (unsigned i = 0; i < 100; i++) {
                char address[64], path[40];

                (void)snprintf(address, sizeof(address), "%s%u%s", first, i, last);
                (void)snprintf(path, sizeof(path), "/%u", many_paths ? i : 0);
                n += fails_at(crowd, address, path);
        }
        return n;
}

TEST(who_has_many_addresses_of_a_network_is_one_visitor)
{
        static const struct {
                const char *first, *last;
                unsigned count;
        } rows[] = {
                { "192.0.2.", "", 4 },   { "::ffff:192.0.2.", "", 4 }, { "2001:db8:7:", "::1", 4 },
                { "192.0.", ".2", 100 }, { "2001:db8:", "::1", 100 },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct crowd *crowd;
                unsigned n;

                ASSERT_OK(crowd_open(&crowd, &err));
                n = counted(crowd, rows[i].first, rows[i].last, true);
                if (n != rows[i].count)
                        test_fail(__FILE__, __LINE__, "'%s': %u of 100 count", rows[i].first, n);
                crowd_close(crowd);
        }
}

TEST(a_path_that_nobody_was_answered_well_at_counts_a_few_times)
{
        struct crowd *crowd;

        ASSERT_OK(crowd_open(&crowd, &err));
        ASSERT_EQ(counted(crowd, "192.0.", ".2", false), 4);
        /* And again when that is long ago. */
        for (int i = 0; i < 4 * CROWD_FADE; i++)
                crowd_interval(crowd);
        ASSERT(counted(crowd, "192.0.", ".2", false) >= 3);
        crowd_close(crowd);
}

TEST(pages_with_visitors_are_not_moved_out_by_a_flood_of_others)
{
        struct line line = { .method = "GET", .path = "/kept", .address = "192.0.2.1" };
        struct crowd *crowd;
        unsigned n = 0;

        ASSERT_OK(crowd_open(&crowd, &err));
        for (unsigned i = 0; i < 50; i++)
                crowd_well(crowd, &line);
        for (unsigned i = 0; i < 100000; i++) {
                (void)snprintf(line.query, sizeof(line.query), "x=%u", i);
                crowd_well(crowd, &line);
        }
        line.query[0] = '\0';
        for (unsigned i = 0; i < 100; i++)
                n += crowd_fails(crowd, &line);
        /* As often as it was well, and what counts of anybody. */
        ASSERT_EQ(n, 54);
        crowd_close(crowd);
}
