/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/series.h"

double series_clock(clockid_t clock)
{
        struct timespec now;

        (void)clock_gettime(clock, &now);
        return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

double series_now(void)
{
        return series_clock(CLOCK_MONOTONIC);
}

void series_note(struct series *series, double started)
{
        series_add(series, series_now() - started);
}

void series_add(struct series *series, double usec)
{
        if (series->n == series->room) {
                series->room = series->room == 0 ? 64 : 2 * series->room;
                series->usec = realloc(series->usec, series->room * sizeof(*series->usec));
                if (series->usec == NULL)
                        abort();
        }
        series->usec[series->n++] = usec;
}

static int order(const void *a, const void *b)
{
        double one = *(const double *)a, two = *(const double *)b;

        return (one > two) - (one < two);
}

static double at(struct series *series, size_t place)
{
        qsort(series->usec, series->n, sizeof(*series->usec), order);
        return series->usec[place];
}

double series_least(struct series *series)
{
        return at(series, 0);
}

double series_median(struct series *series)
{
        return at(series, series->n / 2);
}

void series_report(const char *what, struct series *series, struct series *base)
{
        if (series->n == 0)
                return;
        (void)printf("#   %-52s %9.3f /%9.3f ms", what, series_least(series) / 1e3,
                     series_median(series) / 1e3);
        if (base != NULL)
                (void)printf("   x%.3g / x%.3g", series_least(series) / series_least(base),
                             series_median(series) / series_median(base));
        (void)printf("\n");
        (void)fflush(stdout);
}
