/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "snapd/site_keys.h"

/* Numbers are kept in the unit that the member's name says: key->unit of the smallest one. */

typedef int (*number_parse)(const char *text, uint64_t *ret_number, struct err *err);
typedef void (*number_print)(uint64_t number, char buf[static UNITS_MAX]);

static uint64_t number_get(const struct site *site, const struct site_key *key)
{
        if (key->size == sizeof(unsigned))
                return SITE_VALUE(site, key, unsigned);
        return SITE_VALUE(site, key, uint64_t);
}

static void number_set(struct site *site, const struct site_key *key, uint64_t number)
{
        if (key->size == sizeof(unsigned))
                *SITE_FIELD(site, key, unsigned) = (unsigned)number;
        else
                *SITE_FIELD(site, key, uint64_t) = number;
}

static int number_read(struct site *site, const struct site_key *key, const char *text,
                       number_parse parse, number_print print, struct err *err)
{
        char min[UNITS_MAX], max[UNITS_MAX];
        uint64_t number;

        if (parse(text, &number, err) < 0)
                return -1;
        if (number % key->unit == 0 && number / key->unit >= key->min &&
            number / key->unit <= key->max) {
                number_set(site, key, number / key->unit);
                return 0;
        }
        print(key->min * key->unit, min);
        print(key->max * key->unit, max);
        return err_fail(err, ERR_INVALID, 0, "from %s to %s are possible%s", min, max,
                        key->unit > 1 ? ", in whole seconds" : "");
}

static int number_write(const struct site *site, const struct site_key *key, number_print print,
                        site_value_visit visit, void *arg, struct err *err)
{
        char text[UNITS_MAX];

        if (number_get(site, key) == 0 && key->preset == NULL)
                return 0; /* not set */
        print(number_get(site, key) * key->unit, text);
        return visit(text, arg, err);
}

static int count_parse(const char *text, uint64_t *ret_count, struct err *err)
{
        char *end;

        errno = 0;
        *ret_count = strtoul(text, &end, 10);
        if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9')
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a number", text);
        return 0;
}

static void count_print(uint64_t count, char buf[static UNITS_MAX])
{
        (void)snprintf(buf, UNITS_MAX, "%" PRIu64, count);
}

/* A decimal fraction in units of 10^-places: "2.5" with three places is 2500. */
static int fraction_parse(const char *text, size_t n, unsigned places, uint64_t *ret_number)
{
        uint64_t number = 0;
        unsigned decimals = 0;
        bool point = false;

        if (n == 0 || n > 12 || text[0] == '.' || text[n - 1] == '.')
                return -1;
        for (size_t i = 0; i < n; i++) {
                if (text[i] == '.' && !point) {
                        point = true;
                        continue;
                }
                if (text[i] < '0' || text[i] > '9' || (point && ++decimals > places))
                        return -1;
                number = number * 10 + (uint64_t)(text[i] - '0');
        }
        for (; decimals < places; decimals++)
                number *= 10;
        *ret_number = number;
        return 0;
}

static void fraction_print(uint64_t number, unsigned places, const char *suffix,
                           char buf[static UNITS_MAX])
{
        uint64_t one = 1;

        for (unsigned i = 0; i < places; i++)
                one *= 10;
        while (places > 0 && number % 10 == 0) {
                number /= 10;
                one /= 10;
                places--;
        }
        if (places == 0)
                (void)snprintf(buf, UNITS_MAX, "%" PRIu64 "%s", number, suffix);
        else
                (void)snprintf(buf, UNITS_MAX, "%" PRIu64 ".%0*" PRIu64 "%s", number / one,
                               (int)places, number % one, suffix);
}

static int share_parse(const char *text, uint64_t *ret_ppm, struct err *err)
{
        size_t n = strlen(text);

        if (n == 0 || text[n - 1] != '%' || fraction_parse(text, n - 1, 4, ret_ppm) < 0)
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a share such as 0.5%%", text);
        return 0;
}

static void share_print(uint64_t ppm, char buf[static UNITS_MAX])
{
        fraction_print(ppm, 4, "%", buf);
}

static int factor_parse(const char *text, uint64_t *ret_milli, struct err *err)
{
        if (fraction_parse(text, strlen(text), 3, ret_milli) < 0)
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a factor such as 2.5", text);
        return 0;
}

static void factor_print(uint64_t milli, char buf[static UNITS_MAX])
{
        fraction_print(milli, 3, "", buf);
}

static int duration_read(struct site *site, const struct site_key *key, const char *text,
                         struct err *err)
{
        return number_read(site, key, text, units_duration, units_duration_print, err);
}

static int duration_write(const struct site *site, const struct site_key *key,
                          site_value_visit visit, void *arg, struct err *err)
{
        return number_write(site, key, units_duration_print, visit, arg, err);
}

static int size_read(struct site *site, const struct site_key *key, const char *text,
                     struct err *err)
{
        return number_read(site, key, text, units_size, units_size_print, err);
}

static int size_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                      void *arg, struct err *err)
{
        return number_write(site, key, units_size_print, visit, arg, err);
}

static int count_read(struct site *site, const struct site_key *key, const char *text,
                      struct err *err)
{
        return number_read(site, key, text, count_parse, count_print, err);
}

static int count_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                       void *arg, struct err *err)
{
        return number_write(site, key, count_print, visit, arg, err);
}

static int share_read(struct site *site, const struct site_key *key, const char *text,
                      struct err *err)
{
        return number_read(site, key, text, share_parse, share_print, err);
}

static int share_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                       void *arg, struct err *err)
{
        return number_write(site, key, share_print, visit, arg, err);
}

static int factor_read(struct site *site, const struct site_key *key, const char *text,
                       struct err *err)
{
        return number_read(site, key, text, factor_parse, factor_print, err);
}

static int factor_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                        void *arg, struct err *err)
{
        return number_write(site, key, factor_print, visit, arg, err);
}

const struct site_kind site_kind_duration = { duration_read, duration_write, NULL };
const struct site_kind site_kind_size = { size_read, size_write, NULL };
const struct site_kind site_kind_count = { count_read, count_write, NULL };
const struct site_kind site_kind_share = { share_read, share_write, NULL };
const struct site_kind site_kind_factor = { factor_read, factor_write, NULL };

static int flag_read(struct site *site, const struct site_key *key, const char *text,
                     struct err *err)
{
        if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
                return err_fail(err, ERR_INVALID, 0, "it is 'yes' or 'no'");
        *SITE_FIELD(site, key, bool) = text[0] == 'y';
        return 0;
}

static int flag_write(const struct site *site, const struct site_key *key, site_value_visit visit,
                      void *arg, struct err *err)
{
        return visit(SITE_VALUE(site, key, bool) ? "yes" : "no", arg, err);
}

const struct site_kind site_kind_flag = { flag_read, flag_write, NULL };
