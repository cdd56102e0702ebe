/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"

/* Largest first; names[0] is the one that is printed. */
struct unit {
        uint64_t value;
        const char *names[4];
};

static const struct unit durations[] = {
        { UINT64_C(604800000), { "w" } },
        { UINT64_C(86400000), { "d" } },
        { UINT64_C(3600000), { "h" } },
        { UINT64_C(60000), { "m", "min" } },
        { UINT64_C(1000), { "s", "sec" } },
        { UINT64_C(1), { "ms" } },
        { 0 },
};

static const struct unit sizes[] = {
        { UINT64_C(1) << 50, { "P", "PB", "PiB" } },
        { UINT64_C(1) << 40, { "T", "TB", "TiB" } },
        { UINT64_C(1) << 30, { "G", "GB", "GiB" } },
        { UINT64_C(1) << 20, { "M", "MB", "MiB" } },
        { UINT64_C(1) << 10, { "K", "KB", "KiB" } },
        { UINT64_C(1), { "B" } },
        { 0 },
};

/* The unit of this name, or NULL; ${n} is the name's length. */
static const struct unit *unit_find(const struct unit *units, const char *name, size_t n)
{
        for (const struct unit *unit = units; unit->value != 0; unit++)
                for (size_t i = 0; i < 4 && unit->names[i] != NULL; i++)
                        if (strlen(unit->names[i]) == n && strncmp(unit->names[i], name, n) == 0)
                                return unit;
        return NULL;
}

/* The number at *text, which is moved behind it.  -1: none, or it does not fit. */
static int number_read(const char **text, uint64_t *ret_number)
{
        uint64_t number = 0;

        if (!isdigit((unsigned char)**text))
                return -1;
        for (; isdigit((unsigned char)**text); (*text)++)
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(**text - '0'), &number))
                        return -1;
        *ret_number = number;
        return 0;
}

/* Pairs of number and unit, each unit smaller than the one before: "1h30m" but not "30m1h". */
static int units_read(const struct unit *units, const char *text, uint64_t *ret_value)
{
        uint64_t value = 0, below = UINT64_MAX;

        if (strcmp(text, "0") == 0) {
                *ret_value = 0;
                return 0;
        }
        do {
                const struct unit *unit;
                uint64_t number;
                size_t n = 0;

                if (number_read(&text, &number) < 0)
                        return -1;
                while (isalpha((unsigned char)text[n]))
                        n++;
                unit = unit_find(units, text, n);
                if (unit == NULL || unit->value >= below ||
                    __builtin_mul_overflow(number, unit->value, &number) ||
                    __builtin_add_overflow(value, number, &value))
                        return -1;
                below = unit->value;
                text += n;
        } while (*text != '\0');
        *ret_value = value;
        return 0;
}

static void units_print(const struct unit *units, uint64_t value, char buf[static UNITS_MAX])
{
        const struct unit *unit = units;

        if (value == 0) {
                (void)snprintf(buf, UNITS_MAX, "0");
                return;
        }
        while (value % unit->value != 0)
                unit++;
        (void)snprintf(buf, UNITS_MAX, "%" PRIu64 "%s", value / unit->value, unit->names[0]);
}

int units_duration(const char *text, uint64_t *ret_msec, struct err *err)
{
        if (units_read(durations, text, ret_msec) < 0)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is not a duration such as 30m, 1h30m or 500ms "
                                "(units: ms s m h d w)",
                                text);
        return 0;
}

int units_size(const char *text, uint64_t *ret_bytes, struct err *err)
{
        if (units_read(sizes, text, ret_bytes) < 0)
                return err_fail(err, ERR_INVALID, 0,
                                "'%s' is not a size such as 20G or 512M (units: B K M G T P)",
                                text);
        return 0;
}

void units_duration_print(uint64_t msec, char buf[static UNITS_MAX])
{
        units_print(durations, msec, buf);
}

void units_size_print(uint64_t bytes, char buf[static UNITS_MAX])
{
        units_print(sizes, bytes, buf);
}
