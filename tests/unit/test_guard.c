/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard on played sites.  A site is a function of time: what each of its two probes saw in
 * every second before and after an upgrade.
 */
#include <math.h>

#include "common/clock.h"
#include "snapd/guard.h"
#include "tests/lib/test.h"

#define BEFORE_SEC 600
#define SEC        ((int64_t)USEC_PER_SEC)

static struct err err;

static const struct guard_policy policy = {
        .probation_usec = 300 * SEC,
        .interval_usec = SEC,
        .min_samples = 100,
        .confirm = 3,
        .error_rate = 0.01,
        .error_factor = 3,
        .latency_factor = 3,
        .latency_floor_msec = 250,
};

static const struct guard_probe two_probes[] = {
        { "front", GUARD_ACTIVE, true },
        { "visitors", GUARD_VISITORS, true },
};

/* What a probe saw in one second. */
struct seen {
        unsigned good, bad, unknown, msec;
};

static unsigned bucket_of(unsigned msec)
{
        unsigned bucket = 0;

        while (bucket < SAMPLE_BUCKETS - 1 && pow(2, bucket / 2.0) <= msec)
                bucket++;
        return bucket;
}

static struct sample sample_of(int64_t sec, const struct seen *seen)
{
        struct sample sample = {
                .from_usec = sec * SEC,
                .to_usec = (sec + 1) * SEC,
                .version = 2,
                .good = seen->good,
                .bad = seen->bad,
                .unknown = seen->unknown,
        };

        sample.latency[bucket_of(seen->msec == 0 ? 40 : seen->msec)] = seen->good + seen->bad;
        return sample;
}

static struct guard *guard_after(const struct guard_policy *how, const struct guard_probe *probes,
                                 const struct seen *active, const struct seen *visitors)
{
        struct guard_baseline baselines[2] = { 0 };
        struct guard *guard;

        for (int64_t sec = 0; sec < BEFORE_SEC; sec++) {
                struct sample first = sample_of(sec, active), second = sample_of(sec, visitors);

                guard_baseline_add(&baselines[0], &first);
                guard_baseline_add(&baselines[1], &second);
        }
        ASSERT_OK(guard_open(how, probes, 2, baselines, BEFORE_SEC * SEC, 0, &guard, &err));
        return guard;
}

static void feed(struct guard *guard, int64_t sec, const struct seen seen[2])
{
        for (size_t i = 0; i < 2; i++) {
                struct sample sample = sample_of(sec, &seen[i]);

                guard_feed(guard, i, &sample);
        }
}

/* One row of the table: what is seen at second t after the upgrade, and what is decided, when. */
struct row {
        const char *name;
        struct seen before[2];
        void (*play)(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours);
        enum guard_verdict verdict;
        enum guard_rule rule;
        enum guard_why why;
        size_t probe;
        unsigned from_sec, until_sec; /* when the verdict comes at the earliest and latest */
        bool wanted;
};

#define WELL_SITE                                                                                  \
        {                                                                                          \
                { 1, 0, 0, 0 },                                                                    \
                {                                                                                  \
                        20, 0, 0, 0                                                                \
                }                                                                                  \
        }
#define QUIET                                                                                      \
        {                                                                                          \
                { 1, 0, 0, 0 },                                                                    \
                {                                                                                  \
                        0, 0, 0, 0                                                                 \
                }                                                                                  \
        }

static void plays_well(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        (void)t;
        (void)neighbours;
        seen[0] = (struct seen){ 1, 0, 0, 0 };
        seen[1] = (struct seen){ 20, 0, 0, 0 };
}

static void plays_dead(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        (void)t;
        (void)neighbours;
        seen[0] = (struct seen){ 0, 1, 0, 0 };
        seen[1] = (struct seen){ 0, 20, 0, 0 };
}

static void plays_dead_without_visitors(unsigned t, struct seen seen[2],
                                        struct guard_neighbours *neighbours)
{
        plays_dead(t, seen, neighbours);
        seen[1] = (struct seen){ 0 };
}

/* The prober's page is fine, one visitor in twenty fails. */
static void plays_five_percent(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        seen[1] = (struct seen){ 19, 1, 0, 0 };
}

static void plays_blip(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        if (t == 30 || t == 31)
                plays_dead(t, seen, neighbours);
}

/* Two dead seconds in every minute are one visitor in thirty. */
static void plays_blips(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        if (t % 60 == 30 || t % 60 == 31)
                plays_dead(t, seen, neighbours);
}

static void plays_flapping(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        if (t % 2 == 0)
                plays_well(t, seen, neighbours);
        else
                plays_dead(t, seen, neighbours);
}

static void plays_slow(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        seen[0].msec = seen[1].msec = 400;
}

static void plays_slow_without_visitors(unsigned t, struct seen seen[2],
                                        struct guard_neighbours *neighbours)
{
        plays_slow(t, seen, neighbours);
        seen[1] = (struct seen){ 0 };
}

static void plays_a_little_slower(unsigned t, struct seen seen[2],
                                  struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        seen[0].msec = seen[1].msec = 100;
}

/* Behind a cache: the prober's answers say nothing, and no visitor reaches the application. */
static void plays_cached(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        (void)t;
        (void)neighbours;
        seen[0] = seen[1] = (struct seen){ 0, 0, 1, 0 };
}

static void plays_without_traffic(unsigned t, struct seen seen[2],
                                  struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        seen[1] = (struct seen){ 0 };
}

/* Ten visitors an hour, of whom some meet an error: too few to judge by. */
static void plays_little_traffic(unsigned t, struct seen seen[2],
                                 struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        seen[1] = (struct seen){ 0, t % 60 == 5, 0, 0 };
}

/* Every answer to visitors is a 404: not a server's error, so the log's probe counts it as good;
 * the page that the prober asks for exists. */
static void plays_4xx(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
}

/* 503 with Retry-After while our own maintenance is on is unknown for a minute. */
static void plays_maintenance(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        if (t < 60) {
                seen[0] = (struct seen){ 0, 0, 1, 0 };
                seen[1] = (struct seen){ 0, 0, 20, 0 };
        }
}

static void plays_all_at_once(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        if (t < 20 || t >= 60)
                return;
        plays_dead(t, seen, neighbours);
        *neighbours = (struct guard_neighbours){ .judged = 30, .failing = 28 };
}

/* Some neighbour is always broken; that excuses nobody. */
static void plays_dead_like_a_few(unsigned t, struct seen seen[2],
                                  struct guard_neighbours *neighbours)
{
        plays_dead(t, seen, neighbours);
        *neighbours = (struct guard_neighbours){ .judged = 30, .failing = 3 };
}

/* The prober says nothing at all from second 10 on. */
static void plays_cut_off(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_well(t, seen, neighbours);
        if (t >= 10)
                seen[0] = seen[1] = (struct seen){ 0, 0, t % 2, 0 };
}

/* Visitors meet a broken page that the prober does not know; the probe is wanted only. */
static void plays_broken_page(unsigned t, struct seen seen[2], struct guard_neighbours *neighbours)
{
        plays_five_percent(t, seen, neighbours);
}

/* The prober is answered well, every visitor badly. */
static void plays_well_for_probers(unsigned t, struct seen seen[2],
                                   struct guard_neighbours *neighbours)
{
        (void)t;
        (void)neighbours;
        seen[0] = (struct seen){ 1, 0, 0, 0 };
        seen[1] = (struct seen){ 0, 20, 0, 0 };
}

static const struct row rows[] = {
        { "good", WELL_SITE, plays_well, GUARD_HEALTHY, .from_sec = 300, .until_sec = 300 },
        { "dead", WELL_SITE, plays_dead, GUARD_BREACH, .from_sec = 3, .until_sec = 4 },
        { "dead, nobody there", QUIET, plays_dead_without_visitors, GUARD_BREACH, .from_sec = 4,
          .until_sec = 4 },
        { "0 to 5 %", WELL_SITE, plays_five_percent, GUARD_BREACH, GUARD_ERRORS, .probe = 1,
          .from_sec = 10, .until_sec = 30 },
        { "a blip", WELL_SITE, plays_blip, GUARD_HEALTHY, .from_sec = 300, .until_sec = 310 },
        { "blips", WELL_SITE, plays_blips, GUARD_BREACH, .from_sec = 60, .until_sec = 240 },
        { "flapping", WELL_SITE, plays_flapping, GUARD_BREACH, .from_sec = 4, .until_sec = 10 },
        { "slow", WELL_SITE, plays_slow, GUARD_BREACH, GUARD_LATENCY, .from_sec = 3,
          .until_sec = 7 },
        { "slow, nobody there", QUIET, plays_slow_without_visitors, GUARD_BREACH, GUARD_LATENCY,
          .from_sec = 5, .until_sec = 7 },
        { "a little slower", WELL_SITE, plays_a_little_slower, GUARD_HEALTHY, .from_sec = 300,
          .until_sec = 300 },
        { "cached", WELL_SITE, plays_cached, GUARD_UNKNOWN, .why = GUARD_WHY_SILENT, .from_sec = 10,
          .until_sec = 12 },
        { "no traffic", WELL_SITE, plays_without_traffic, GUARD_HEALTHY, .from_sec = 300,
          .until_sec = 300 },
        { "little traffic", WELL_SITE, plays_little_traffic, GUARD_HEALTHY, .from_sec = 300,
          .until_sec = 300 },
        { "4xx", WELL_SITE, plays_4xx, GUARD_HEALTHY, .from_sec = 300, .until_sec = 300 },
        { "maintenance 503", WELL_SITE, plays_maintenance, GUARD_UNKNOWN, .why = GUARD_WHY_SILENT,
          .from_sec = 10, .until_sec = 12 },
        { "all sites at once", WELL_SITE, plays_all_at_once, GUARD_UNKNOWN, .why = GUARD_WHY_COMMON,
          .from_sec = 23, .until_sec = 24 },
        { "dead, like a few", WELL_SITE, plays_dead_like_a_few, GUARD_BREACH, .from_sec = 3,
          .until_sec = 4 },
        { "prober cut off", WELL_SITE, plays_cut_off, GUARD_UNKNOWN, .why = GUARD_WHY_SILENT,
          .from_sec = 20, .until_sec = 22 },
        { "baseline bad",
          { { 0, 1, 0, 0 }, { 10, 10, 0, 0 } },
          plays_dead,
          GUARD_UNKNOWN,
          .why = GUARD_WHY_UNPROVED,
          .from_sec = 300,
          .until_sec = 300 },
        { "baseline half bad",
          { { 3, 1, 0, 0 }, { 15, 5, 0, 0 } },
          plays_dead,
          GUARD_UNKNOWN,
          .why = GUARD_WHY_SICK,
          .from_sec = 4,
          .until_sec = 60 },
        { "no baseline",
          { { 0 }, { 0 } },
          plays_dead,
          GUARD_UNKNOWN,
          .why = GUARD_WHY_SICK,
          .from_sec = 4,
          .until_sec = 60 },
        { "visitors unmeasured", QUIET, plays_well_for_probers, GUARD_UNKNOWN,
          .why = GUARD_WHY_SICK, .from_sec = 5, .until_sec = 60 },
        { "the same, wanted", QUIET, plays_well_for_probers, GUARD_HEALTHY, .from_sec = 300,
          .until_sec = 300, .wanted = true },
        { "wanted", WELL_SITE, plays_broken_page, GUARD_WARN, .probe = 1, .from_sec = 10,
          .until_sec = 30, .wanted = true },
};

/* Plays a row until something is decided; returns after how many seconds. */
static unsigned play(const struct row *row, struct guard_decision *decision,
                     char text[static GUARD_TEXT_MAX])
{
        struct guard_probe probes[] = { two_probes[0], two_probes[1] };
        struct guard *guard;
        unsigned t = 0;

        probes[1].required = !row->wanted;
        guard = guard_after(&policy, probes, &row->before[0], &row->before[1]);
        do {
                struct guard_neighbours neighbours = { 0 };
                struct seen seen[2];

                row->play(t, seen, &neighbours);
                feed(guard, BEFORE_SEC + t, seen);
                t++;
                guard_judge(guard, (BEFORE_SEC + t) * SEC, &neighbours, decision);
        } while (decision->verdict == GUARD_GOING && t < 3600);
        guard_explain(guard, decision, text);
        guard_close(guard);
        return t;
}

TEST(every_row_of_the_decision_table)
{
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct guard_decision decision;
                char text[GUARD_TEXT_MAX];
                unsigned t = play(&rows[i], &decision, text);

                printf("# %-20s %4u s  %-8s %s\n", rows[i].name, t,
                       guard_verdict_name(decision.verdict), text);
                if (decision.verdict != rows[i].verdict || decision.why != rows[i].why ||
                    decision.rule != rows[i].rule ||
                    (rows[i].probe != 0 && decision.probe != rows[i].probe) ||
                    t < rows[i].from_sec || t > rows[i].until_sec)
                        test_fail(__FILE__, __LINE__, "'%s' was decided as %s after %u s: %s",
                                  rows[i].name, guard_verdict_name(decision.verdict), t, text);
        }
}

TEST(what_all_sites_showed_together_is_forgotten_when_they_are_back)
{
        struct guard *guard = guard_after(&policy, two_probes, &(struct seen){ 1, 0, 0, 0 },
                                          &(struct seen){ 20, 0, 0, 0 });
        struct guard_decision decision;
        unsigned unknown = 0;

        for (unsigned t = 0; t < 299; t++) {
                struct guard_neighbours neighbours = { 0 };
                struct seen seen[2];

                plays_all_at_once(t, seen, &neighbours);
                feed(guard, BEFORE_SEC + t, seen);
                guard_judge(guard, (BEFORE_SEC + t + 1) * SEC, &neighbours, &decision);
                ASSERT(decision.verdict == GUARD_GOING || decision.verdict == GUARD_UNKNOWN);
                unknown += decision.verdict == GUARD_UNKNOWN;
        }
        ASSERT(unknown > 0);
        guard_close(guard);
}

TEST(an_unknown_answer_is_neither_bad_nor_well)
{
        static const struct guard_probe one[] = { { "front", GUARD_ACTIVE, true } };
        struct guard_baseline baseline = { .good = 600, .latency = { [10] = 600 } };
        struct guard_decision decision;
        struct guard *guard;

        ASSERT_OK(guard_open(&policy, one, 1, &baseline, 0, 0, &guard, &err));
        for (unsigned t = 0; t < 3600; t++) {
                /* One answer in nine seconds keeps the guard awake, the rest is unknown. */
                struct sample sample = sample_of(t, &(struct seen){ t % 9 == 0, 0, 1, 0 });

                guard_feed(guard, 0, &sample);
                guard_judge(guard, (t + 1) * SEC, &(struct guard_neighbours){ 0 }, &decision);
                ASSERT_EQ(decision.verdict == GUARD_HEALTHY,
                          t + 1 >= 150 * 9 - 8 && decision.verdict == GUARD_HEALTHY);
                ASSERT(decision.verdict != GUARD_BREACH);
                if (t == 400) {
                        ASSERT_EQ(decision.verdict, GUARD_UNKNOWN);
                        ASSERT_EQ(decision.why, GUARD_WHY_UNPROVED);
                }
        }
        ASSERT_EQ(decision.verdict, GUARD_HEALTHY);
        guard_close(guard);
}

TEST(probation_goes_on_where_it_was)
{
        static const struct guard_probe one[] = { { "front", GUARD_ACTIVE, true } };
        struct guard_baseline baseline = { .good = 600, .latency = { [10] = 600 } };
        struct guard_policy half = policy;
        struct guard_decision decision;
        struct guard *guard;
        unsigned t;

        half.probation_usec = 20 * SEC;
        ASSERT_OK(guard_open(&half, one, 1, &baseline, 1000 * SEC, 8 * SEC, &guard, &err));
        for (t = 0; t < 100; t++) {
                struct sample sample = sample_of(1000 + t, &(struct seen){ 1, 0, 0, 0 });

                guard_feed(guard, 0, &sample);
                guard_judge(guard, (1001 + t) * SEC, &(struct guard_neighbours){ 0 }, &decision);
                if (decision.verdict != GUARD_GOING)
                        break;
        }
        ASSERT_EQ(decision.verdict, GUARD_HEALTHY);
        ASSERT_EQ(t + 1, 12);
        guard_close(guard);
}

TEST(a_sample_that_comes_twice_counts_once)
{
        static const struct guard_probe one[] = { { "front", GUARD_ACTIVE, true } };
        struct guard_baseline baseline = { .good = 600, .latency = { [10] = 600 } };
        struct sample sample = sample_of(5, &(struct seen){ 0, 1, 0, 0 });
        struct guard_decision decision;
        struct guard *guard;

        ASSERT_OK(guard_open(&policy, one, 1, &baseline, 0, 0, &guard, &err));
        for (int i = 0; i < 100; i++)
                guard_feed(guard, 0, &sample);
        guard_judge(guard, 6 * SEC, &(struct guard_neighbours){ 0 }, &decision);
        ASSERT_EQ(decision.verdict, GUARD_GOING);
        ASSERT_EQ(guard_began_failing(guard), 5 * SEC);
        guard_close(guard);
}

TEST(a_wanted_probe_warns_and_ends_no_probation_otherwise)
{
        struct guard_probe probes[] = { two_probes[0], two_probes[1] };
        struct guard_decision decision;
        struct guard *guard;
        unsigned warned = 0;

        probes[1].required = false;
        guard = guard_after(&policy, probes, &(struct seen){ 1, 0, 0, 0 },
                            &(struct seen){ 20, 0, 0, 0 });
        for (unsigned t = 0; t < 300; t++) {
                struct seen seen[] = { { 1, 0, 0, 0 }, { 0, 20, 0, 0 } };

                feed(guard, BEFORE_SEC + t, seen);
                guard_judge(guard, (BEFORE_SEC + t + 1) * SEC, &(struct guard_neighbours){ 0 },
                            &decision);
                warned += decision.verdict == GUARD_WARN;
        }
        ASSERT(warned > 200);
        ASSERT_EQ(decision.verdict, GUARD_HEALTHY);
        guard_close(guard);
}

TEST(nothing_is_proved_while_visitors_fail)
{
        /* So few were there before that half of them may fail by chance. */
        struct guard_baseline baselines[2] = { { .good = 600 }, { .good = 3 } };
        struct guard_decision decision;
        struct guard *guard;

        ASSERT_OK(guard_open(&policy, two_probes, 2, baselines, 0, 0, &guard, &err));
        for (unsigned t = 0; t < 900; t++) {
                struct seen seen[] = { { 1, 0, 0, 0 }, { 10, 10, 0, 0 } };

                feed(guard, t, seen);
                guard_judge(guard, (t + 1) * SEC, &(struct guard_neighbours){ 0 }, &decision);
                ASSERT(decision.verdict == GUARD_GOING || decision.verdict == GUARD_UNKNOWN);
        }
        ASSERT_EQ(decision.verdict, GUARD_UNKNOWN);
        ASSERT_EQ(decision.why, GUARD_WHY_UNPROVED);
        guard_close(guard);
}

TEST(a_short_baseline_is_not_held_against_the_new_version)
{
        /* One visitor in forty failed all along; the two hundred of before happened to be spared.
         */
        struct guard_baseline baselines[2] = { { .good = 600 }, { .good = 200 } };
        struct guard_decision decision;
        struct guard *guard;

        ASSERT_OK(guard_open(&policy, two_probes, 2, baselines, 0, 0, &guard, &err));
        for (unsigned t = 0; t < 299; t++) {
                struct seen seen[] = { { 1, 0, 0, 0 }, { 20 - t % 2, t % 2, 0, 0 } };

                feed(guard, t, seen);
                guard_judge(guard, (t + 1) * SEC, &(struct guard_neighbours){ 0 }, &decision);
                ASSERT_EQ(decision.verdict, GUARD_GOING);
        }
        guard_close(guard);
}
