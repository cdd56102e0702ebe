/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log.h"

static enum log_level max_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
        max_level = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
        char line[2048];
        va_list ap;

        if (level > max_level)
                return;
        va_start(ap, fmt);
        (void)vsnprintf(line, sizeof(line), fmt, ap);
        va_end(ap);

        /* A tenant's name in a message must not forge a line or move the cursor. */
        for (char *c = line; *c != '\0'; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = '?';
        if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "%s\n", line);
        else
                (void)fprintf(stderr, "<%d>%s\n", (int)level, line);
}
