/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

static int64_t now_usec(clockid_t id)
{
        struct timespec ts = { 0 };

        /* Both clocks exist on every kernel we run on, so this cannot fail. */
        (void)clock_gettime(id, &ts);
        return (int64_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

int64_t clock_wall_usec(void)
{
        return now_usec(CLOCK_REALTIME);
}

int64_t clock_boot_usec(void)
{
        return now_usec(CLOCK_BOOTTIME);
}

void clock_iso(int64_t usec, int utc, char buf[static CLOCK_ISO_MAX])
{
        time_t sec = (time_t)(usec / USEC_PER_SEC);
        struct tm tm = { 0 };
        size_t n;

        if (utc) {
                (void)gmtime_r(&sec, &tm);
                (void)strftime(buf, CLOCK_ISO_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
                return;
        }
        (void)localtime_r(&sec, &tm);
        n = strftime(buf, CLOCK_ISO_MAX, "%Y-%m-%dT%H:%M:%S%z", &tm);
        /* strftime writes +0100; ISO 8601 extended form has the colon. */
        if (n >= 5 && n + 1 < CLOCK_ISO_MAX) {
                memmove(buf + n - 1, buf + n - 2, 3);
                buf[n - 2] = ':';
        }
}
