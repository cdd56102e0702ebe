/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "snapd/prober_stamp.h"

int64_t stamp_read(const char *text)
{
        struct tm tm = { 0 };
        const char *end;
        int64_t seconds;
        long offset;

        end = strptime(text, strchr(text, '/') != NULL ? "%d/%b/%Y:%H:%M:%S" : "%Y-%m-%dT%H:%M:%S",
                       &tm);
        if (end != NULL && end[0] == '.')
                end += 1 + strspn(end + 1, "0123456789");
        end = end == NULL ? NULL : strptime(end, "%z", &tm);
        if (end == NULL || end[0] != '\0')
                return 0;
        /* timegm() overwrites it. */
        offset = tm.tm_gmtoff;
        seconds = (int64_t)timegm(&tm) - offset;
        return seconds > 0 && seconds < (int64_t)STAMP_SECONDS_MAX ? seconds * USEC_PER_SEC : 0;
}
