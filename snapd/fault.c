/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapd/fault.h"

#ifdef SITESNAP_FAULT
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fault_point(const char *prefix, const char *kind, const char *place)
{
        static unsigned seen;
        const char *wanted = getenv("SITESNAP_FAULT");
        char here[128], at[128] = "";
        unsigned nth = 1;
        const char *hash;
        int number;

        if (wanted == NULL ||
            (strncmp(wanted, "kill@", 5) != 0 && strncmp(wanted, "stop@", 5) != 0))
                return;
        number = wanted[0] == 'k' ? SIGKILL : SIGSTOP;
        wanted += 5;
        hash = strchr(wanted, '#');
        if (hash != NULL)
                nth = (unsigned)strtoul(hash + 1, NULL, 10);
        (void)snprintf(at, sizeof(at), "%.*s%s", (int)strcspn(wanted, "#:"), wanted,
                       strchr(wanted, ':') == NULL ? "" : strchr(wanted, ':'));
        (void)snprintf(here, sizeof(here), "%s%s:%s", prefix, kind, place);
        if (strcmp(at, here) == 0 && ++seen == nth)
                (void)raise(number);
}

int64_t fault_revalidate_usec(int64_t usual)
{
        const char *msec = getenv("SITESNAP_REVALIDATE_MSEC");

        return msec == NULL ? usual : (int64_t)strtoul(msec, NULL, 10) * 1000;
}
#else
/* ISO C wants a translation unit to hold something. */
typedef int fault_is_not_built;
#endif
