/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

/*
 * The log of the programs.  Library code does not log; it returns an error.  Lines go to stderr
 * with the <N> prefix that the journal reads, or without when stderr is a terminal.
 */

#include "common/error.h"

enum log_level {
        LOG_LEVEL_ERR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/* log_set_level(level): Lines above ${level} are dropped; the default is info. */
void log_set_level(enum log_level level);

/* log_line(level, fmt, ...): One line.  Control characters in it are shown as '?'. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_error(...)   log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
