/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "common/units.h"
#include "tests/lib/test.h"

static struct err err;

static uint64_t duration(const char *text)
{
        uint64_t msec = 0;

        ASSERT_OK(units_duration(text, &msec, &err));
        return msec;
}

static uint64_t size(const char *text)
{
        uint64_t bytes = 0;

        ASSERT_OK(units_size(text, &bytes, &err));
        return bytes;
}

TEST(durations_are_read)
{
        ASSERT_EQ(duration("0"), 0);
        ASSERT_EQ(duration("500ms"), 500);
        ASSERT_EQ(duration("30m"), 1800000);
        ASSERT_EQ(duration("1h30m"), 5400000);
        ASSERT_EQ(duration("2w"), 14 * 86400000LL);
        ASSERT_EQ(duration("90sec"), 90000);
}

TEST(sizes_are_read)
{
        ASSERT_EQ(size("0"), 0);
        ASSERT_EQ(size("512B"), 512);
        ASSERT_EQ(size("20G"), 20LL << 30);
        ASSERT_EQ(size("20GiB"), 20LL << 30);
        ASSERT_EQ(size("1G512M"), (1LL << 30) + (512LL << 20));
}

TEST(what_is_unclear_or_too_large_is_refused)
{
        static const char *const durations[] = { "",
                                                 "30",
                                                 "m",
                                                 "30 m",
                                                 "-1s",
                                                 "1m1h",
                                                 "1s1s",
                                                 "1.5h",
                                                 "30M ",
                                                 "5mm",
                                                 "s5",
                                                 "00x",
                                                 "18446744073709551615w",
                                                 "18446744073709551616s" };
        uint64_t value = 7;

        for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
                ASSERT_ERR(units_duration(durations[i], &value, &err), ERR_INVALID,
                           "is not a duration such as 30m");
        ASSERT_ERR(units_size("20", &value, &err), ERR_INVALID, "is not a size such as 20G");
        ASSERT_ERR(units_size("16384P", &value, &err), ERR_INVALID, "'16384P'");
        ASSERT_EQ(value, 7);
}

/* Values with every number of bits, each read back as it was. */
TEST(printing_loses_nothing)
{
        char text[UNITS_MAX];
        uint64_t seed = 88172645463325252;

        for (unsigned i = 0; i < 20000; i++) {
                uint64_t value;

                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                value = seed >> (i % 64);
                if (i % 3 == 0)
                        value = value / 3600000 * 3600000;
                units_duration_print(value, text);
                ASSERT_EQ(duration(text), value);
                units_size_print(value, text);
                ASSERT_EQ(size(text), value);
        }
        units_duration_print(5400000, text);
        ASSERT_STR(text, "90m");
        units_size_print(20ULL << 30, text);
        ASSERT_STR(text, "20G");
}
