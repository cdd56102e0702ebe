/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

const struct site_kind site_kind_duration = { duration_read, duration_write, NULL };
const struct site_kind site_kind_size = { size_read, size_write, NULL };
const struct site_kind site_kind_count = { count_read, count_write, NULL };
