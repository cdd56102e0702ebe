/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "snapd/ini_line.h"

bool ini_line_take(const char **next, char *to, int room)
{
        const char *line = *next;
        size_t n = strcspn(line, "\n");
        bool fits = n + 2 <= (size_t)room;

        if (fits)
                memcpy(to, line, n);
        to[fits ? n : 0] = '\0';
        *next = line + n + (line[n] == '\n');
        return fits;
}
